package stream

import (
	"math"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/filter/forwarded"
	"github.com/heddle-mesh/heddle/data/proxy/filter/retry"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/pool"
	"github.com/heddle-mesh/heddle/data/proxy/route"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// Exchange is one request with its response. It belongs to its worker and is used again after it has finished: nobody may keep it longer.
//
//	open → filters → tries → response → finished; a local reply may come at any time before the response
type Exchange struct {
	w    *Worker
	m    *Manager
	down downstream

	// Request and Response are the heads as they are sent on. Response is empty (Status 0) until there is one.
	Request, Response codec.Head
	// Client is what the forwarded headers and the connection tell of the client.
	Client forwarded.Client

	origin   *loop.Origin
	started  loop.Time
	arrived  time.Time // the same by the calendar
	complete loop.Time // the request's last byte
	answered loop.Time // the response's first byte
	random   uint64
	need     upstream.Need // of the choice of an endpoint
	forfeit  upstream.Forfeit
	given    *config.HashCookie // is to be set, because the client had none
	session  *config.Session    // by which the client keeps to an endpoint, nil for none
	endpoint []byte             // that it names

	cors       *config.CORS // by which the origin is allowed
	corsOrigin []byte

	table    *route.Table
	vhost    *config.VirtualHost
	route    *config.Route
	weighted *config.WeightedCluster
	name     string // of the cluster
	cluster  *upstream.Cluster
	counters *pool.Stats

	flags        codec.Flags
	details      string
	policy       string // that decided on access
	failure      string // transport failure reason
	received     uint64 // body bytes
	sent         uint64
	requestBytes int
	next         int // filter
	filtering    bool
	waiting      bool // for a filter
	tunnel       bool
	ownKey       bool // the WebSocket's key is ours
	requestDone  bool
	startedReply bool // the final head went to the client
	local        bool // the response is ours
	over         bool

	// The request's body: what waits for a connection, or is kept for a retry or a mirror.
	kept     []byte
	tail     codec.Fields // trailers
	keep     bool
	full     bool // reading is paused because too much waits
	mirrors  int
	deadline time.Duration // of the whole, 0 for none

	// Tries.
	ticket    pool.Ticket
	up        pool.Stream
	host      *upstream.Host // of the latest try
	upLocal   loop.Address
	tried     []*upstream.Host
	attempts  int
	left      int // retries
	retries   bool
	retrying  bool // a retry is counted by the breaker
	policyOf  retry.Policy
	tryLimit  time.Duration
	tryIdle   time.Duration
	tryAt     loop.Time // when the latest try began
	tryBegan  bool      // the request was on its way
	avoid     func(*upstream.Host) bool
	upPaused  bool
	tryOrigin *loop.Origin
	hedging   bool     // a try that takes too long goes on beside the next one
	now       *hedge   // the current try, of an exchange that hedges
	hedges    []*hedge // the tries that take too long
	// giveUpDial ends the connect for a CONNECT that ends here, nil when none runs.
	giveUpDial func()
	// What a filter waits for: an answer, the request's body.
	asking     *asked
	collecting *collecting
	// giveUpName ends the wait for the name that the client gave, nil when there is none.
	giveUpName func()
	// What bodies go through, nil for nothing.
	in, out  Transform
	notes    []note // of filters
	acts     []Act  // of filters, for the decision trail
	tries    []Try
	choice   upstream.Choice // of the latest endpoint
	hashedBy uint32          // a bit for each of the route's first 32 hash policies that found something
	headOnly bool            // the response has no body
	accepts  []byte          // accept-encoding, as the client sent it
	web      Web
	// An answer that is not gRPC on its way to a client of gRPC-Web.
	gathering bool
	gathered  []byte
	// Upstream identity and metadata, for telemetry.
	peerURI string
	facts   factsOf

	timers timers
	trace  tracing

	trailers   *codec.Fields // of the response, while it ends
	grpcStatus uint8         // that they told, plus one; 0: nothing
	talk       talk
}

// open ties the exchange to a connection.
func (x *Exchange) open(m *Manager, origin *loop.Origin, down downstream) {
	x.m, x.down, x.origin = m, down, origin
	x.need.Original = x.origin.Original
	x.Request.Minor = 1 // until the head says otherwise
	x.started = x.w.Loop.Now()
	x.arrived = x.w.Loop.Wall()
	x.random = x.w.Loop.Rand()
	x.Client.Address = x.origin.Remote
	x.w.active++
	sh, s := x.w.Shard, &x.m.stats
	sh.Inc(s.Requests)
	sh.Inc(s.RequestsActive)
}

// reset makes the exchange ready for reuse; memory is kept, as long as it is not much.
func (x *Exchange) reset() {
	x.timers.stop()
	req, resp, tail, kept, tried, t, avoid := x.Request, x.Response, x.tail, x.kept[:0], x.tried[:0], x.timers, x.avoid
	acts, tries := x.acts[:0], x.tries[:0]
	req.Reset()
	resp.Reset()
	tail.Reset()
	if cap(kept) > 64<<10 {
		kept = nil
	}
	clear(tried[:cap(tried)])
	w := x.w
	*x = Exchange{w: w, Request: req, Response: resp, tail: tail, kept: kept, tried: tried, timers: t, avoid: avoid, acts: acts, tries: tries}
}

// begin looks at a new request. end says that it has no body.
func (x *Exchange) begin(end bool) {
	x.requestBytes = x.Request.Bytes()
	c := x.m.Config
	if end {
		x.endRequest()
	} else if c.RequestTimeout > 0 {
		x.timers.request.Set(c.RequestTimeout)
	}
	if c.MaxStreamDuration > 0 {
		x.timers.duration.Set(c.MaxStreamDuration)
	}
	if c.StreamIdleTimeout > 0 {
		x.watchIdle(c.StreamIdleTimeout)
	}
	if x.w.overloaded(config.StopRequests, x.random) {
		x.w.Shard.Inc(x.m.stats.OverloadRequest)
		x.flags = x.flags.With(codec.FlagOverloadManager)
		x.Reply(503, "envoy overloaded", "overload")
		return
	}
	if !x.prepare() {
		return
	}
	x.choose()
	x.beginTracing()
	if x.tunnel && !x.upgradable() {
		x.Reply(403, "", "upgrade_failed")
		return
	}
	x.filtering = true
	x.filter()
}

// filter runs the filters from the current position.
func (x *Exchange) filter() {
	for x.next < len(x.m.filters) {
		f := x.m.filters[x.next]
		x.next++
		switch f.Request(x) {
		case Responded:
			return
		case Wait:
			x.waiting = true
			return
		}
	}
	x.filtering = false
	x.dispatch()
}

// Resume goes on behind the filter that waited.
func (x *Exchange) Resume() {
	if x.waiting && !x.over {
		x.waiting = false
		x.filter()
	}
}

// endRequest notes the request's last byte.
func (x *Exchange) endRequest() {
	x.requestDone = true
	x.complete = x.w.Loop.Now()
	x.timers.request.Stop()
}

// defaultKeep is Envoy's default buffer limit, in bytes.
const defaultKeep = 1 << 20

// keepLimit bounds the body that is kept for retries and mirrors, and that which waits for a connection before reading is paused.
func (x *Exchange) keepLimit() int {
	if x.collecting != nil {
		return max(x.limitOf(), x.collecting.most)
	}
	return x.limitOf()
}

func (x *Exchange) limitOf() int {
	switch own := x.origin.BufferLimit; {
	case x.route != nil && x.route.BodyLimit != nil:
		return int(min(*x.route.BodyLimit, math.MaxInt32))
	case own > 0:
		return own
	default:
		return defaultKeep
	}
}

// single gives the retries and the mirrors up, for which the body is too large.
func (x *Exchange) single() {
	x.keep, x.retries, x.mirrors = false, false, 0
	x.w.Shard.Inc(x.counters.RetryAbandoned)
}

// body takes a piece of the request's body.
func (x *Exchange) body(p []byte, end bool) {
	x.received += uint64(len(p))
	x.timers.active = x.w.Loop.Now()
	if end {
		x.endRequest()
	}
	if x.over || x.startedReply && x.local {
		return
	}
	if x.in != nil {
		p = x.in.Body(p, end)
		if why := broken(x.in); why != "" {
			x.down.doubtful()
			x.giveUp(400, why, "request_body_broken")
			return
		}
		if len(p) == 0 && !end {
			return
		}
	}
	x.asked(p)
	up := x.up
	switch {
	case x.tunnel && !x.Response.Upgrade:
		x.wait(p)
	case up == nil:
		if x.hold(p); x.collecting != nil && !x.over {
			x.collected()
			return
		}
	case x.keep:
		x.hold(p)
		x.pass(up, p, end)
	default:
		x.pass(up, p, end)
	}
	if end && !x.over && x.filteredIn() {
		x.wholeRequest()
	}
}

// filteredIn says that the filters have let the request through to the tries.
func (x *Exchange) filteredIn() bool { return !x.filtering && x.attempts > 0 }

// trail takes the trailers, which end the request.
func (x *Exchange) trail(t *codec.Fields) {
	x.tail.CopyFrom(t)
	x.body(nil, true)
}

// put sends a piece of the request on, the trailers behind the last one.
func (x *Exchange) put(up pool.Stream, p []byte, end bool) {
	if !end || x.tail.Len() == 0 {
		up.Body(p, end)
		return
	}
	if len(p) > 0 {
		up.Body(p, false)
	}
	up.Trailers(&x.tail)
}

func (x *Exchange) pass(up pool.Stream, p []byte, end bool) {
	x.put(up, p, end)
	if up.Full() && !x.requestDone {
		x.down.Pause()
	}
}

// hold keeps a piece of the body. What is too much for a retry is given up; what nobody takes yet makes the client wait.
func (x *Exchange) hold(p []byte) {
	much := len(x.kept)+len(p) > x.keepLimit()
	switch {
	case much && x.up != nil:
		x.single()
		x.kept = x.kept[:0]
		return
	case much && x.retrying:
		x.w.Shard.Inc(x.counters.RetryAbandoned)
		x.giveUp(507, "exceeded request buffer limit while retrying upstream", "request_payload_exceeded_retry_buffer_limit")
		return
	case much && x.keep:
		x.single() // the first try alone needs what is kept
	}
	x.kept = append(x.kept, p...)
	if much && x.up == nil && !x.requestDone {
		x.full = true
		x.down.Pause()
	}
}

// wait keeps what a client sends before its tunnel is agreed on. An upstream that does not agree would take it for its next requests (CVE-2025-64763).
func (x *Exchange) wait(p []byte) {
	x.kept = append(x.kept, p...)
	if len(x.kept) > waitLimit && !x.full {
		x.full = true
		x.down.Pause()
	}
}

// waitLimit is how much is read from a client before its tunnel is agreed on.
const waitLimit = 64 << 10

// agreed sends on what has waited for the tunnel.
func (x *Exchange) agreed() {
	if len(x.kept) > 0 {
		x.put(x.up, x.kept, x.requestDone)
		x.kept = x.kept[:0]
	}
	x.full = false
	if x.up.Full() {
		x.down.Pause()
	} else {
		x.down.Resume()
	}
}

// wholeRequest starts what begins with the request's last byte.
func (x *Exchange) wholeRequest() {
	if x.deadline > 0 && !x.startedReply {
		x.timers.overall.Set(x.deadline)
	}
	if x.up != nil && !x.startedReply {
		x.watchTry()
	}
	if x.mirrors > 0 {
		x.mirror()
	}
}

// clientWritable goes on with the response when the client has caught up.
func (x *Exchange) clientWritable() {
	if x.upPaused && x.up != nil {
		x.upPaused = false
		x.up.Resume()
	}
}

// gone ends the exchange because the client has left.
func (x *Exchange) gone() {
	if x.over {
		return
	}
	x.w.Shard.Inc(x.m.stats.RxReset)
	x.flags = x.flags.With(codec.FlagDownstreamConnectionTermination)
	x.details = "downstream_remote_disconnect"
	x.finish()
}

// cancelled ends the exchange because the client, or its codec, has reset the stream.
func (x *Exchange) cancelled(detail string) {
	if x.over {
		return
	}
	x.w.Shard.Inc(x.m.stats.RxReset)
	x.flags = x.flags.With(codec.FlagDownstreamRemoteReset)
	x.details = detail
	x.finish()
}

// finish ends the exchange: what still runs is given up, the books are closed, and the exchange is given back. Nothing may touch x afterwards.
func (x *Exchange) finish() {
	if x.over {
		return
	}
	x.over = true
	if x.asking != nil {
		x.asking.cancel()
		x.asking = nil
	}
	if x.giveUpName != nil {
		x.giveUpName()
		x.giveUpName = nil
	}
	x.endTry()
	x.endHedges(nil)
	x.timers.stop()
	x.closeTransforms()
	x.account()
	c, whole := x.down, x.requestDone && !x.tunnel
	x.w.active--
	x.w.give(x)
	c.finished(whole)
}
