package stream

import (
	"bytes"
	"errors"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/http1"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// conn is a client's HTTP/1 connection. It is also the codec.Stream of the response that is being sent.
//
//	idle → exchange → (idle | closed); idle → closed
type conn struct {
	w      *Worker
	m      *Manager // of the current or last exchange
	first  *Manager // which the connection is counted for
	lc     loop.Conn
	id     uint64
	parser http1.Parser
	x      *Exchange // nil between exchanges

	place    link
	served   uint32
	framing  http1.Framing
	asked    codec.Method
	minor    int
	sniff    bool // the first bytes may be HTTP/2's
	close    bool // after the current response
	feeding  bool // the parser runs
	held     bool // reading is paused because the next request is here already
	paused   bool // reading is paused because the upstream is slow
	partial  bool // some bytes of a head are here
	shutting bool
	closed   bool

	idle, head loop.Alarm
	life       loop.Timer
}

func newConn(w *Worker, m *Manager, lc loop.Conn, sniff bool) {
	w.ids++
	c := &conn{w: w, m: m, first: m, lc: lc, id: w.ids<<8 | uint64(w.Loop.Index()&0xff), sniff: sniff}
	c.parser.Init(http1.Request, m.limits, (*requests)(c))
	c.idle.Init(w.Loop, c.rested)
	c.head.Init(w.Loop, c.headLate)
	w.enlist(&c.place, c)
	if d := m.Config.MaxConnDuration; d > 0 {
		c.life = w.Loop.After(d, c.fade)
	}
	c.rest()
	lc.SetHandler(c)
}

// rest begins the time between exchanges.
func (c *conn) rest() {
	d := c.m.Config.IdleTimeout
	if c.w.draining && (d <= 0 || d > c.w.chance) {
		d = c.w.chance
	}
	if d > 0 {
		c.idle.Set(d)
	}
}

// manager implements client.
func (c *conn) manager() *Manager { return c.m.latest() }

// drain implements client: the next response says that it is the last.
func (c *conn) drain() {}

// leave implements client. One that was never used gets its last chance, others are closed unless
// this turn brings bytes. A request that has begun to come is served; its response is the last one.
func (c *conn) leave() {
	switch {
	case c.x != nil || c.shutting || c.partial:
	case c.served == 0:
		c.idle.Set(lastChance)
	default:
		c.idled()
	}
}

// idled comes before the bytes that this turn has found: they are looked at first.
func (c *conn) idled() {
	c.w.Loop.Defer(func() {
		if c.x == nil && !c.partial {
			c.shut()
		}
	})
}

// rested ends the time that a connection may be idle.
func (c *conn) rested() {
	if c.w.draining {
		c.idled()
		return
	}
	c.fade()
}

// fade lets go of a connection that has been idle, or open, for long enough. The client may be sending a request at this moment: one that comes within the drain time
// is answered, and told that it was the last.
func (c *conn) fade() {
	if c.served == 0 || c.m.Config.DrainTimeout <= 0 {
		c.close = true
		c.idled()
		return
	}
	if !c.close {
		c.close = true
		c.life.Stop()
		c.life = c.w.Loop.After(c.m.Config.DrainTimeout, c.idled)
	}
}

// shut closes behind what is queued.
func (c *conn) shut() {
	if !c.shutting && !c.closed {
		c.shutting = true
		c.head.Stop()
		c.idle.Stop()
		c.lc.Close()
	}
}

func (c *conn) headLate() {
	if c.x != nil || c.shutting {
		return
	}
	if c.m.Config.HeadersTimeout <= 0 {
		c.w.Shard.Inc(c.m.stats.IdleTimeout)
		x := c.begin()
		x.flags = x.flags.With(codec.FlagStreamIdleTimeout)
		x.refuse(408, "stream timeout", "stream_idle_timeout")
		return
	}
	c.w.Shard.Inc(c.m.stats.HeaderTimeout)
	c.begin().refuse(408, "request header timeout", "request_header_timeout")
}

// OnData implements loop.Handler.
func (c *conn) OnData(p []byte) int {
	if c.shutting {
		return len(p)
	}
	if c.sniff && c.seesPreface(p) {
		return 0
	}
	n := 0
	for n < len(p) && !c.shutting {
		if c.x != nil && c.x.requestDone {
			c.held = true // the next request waits its turn
			c.lc.PauseRead()
			return n
		}
		c.feeding = true
		used, err := c.parser.Feed(p[n:])
		c.feeding = false
		n += used
		if err != nil {
			c.violated(err)
			return len(p)
		}
		if c.x == nil {
			c.parser.Next()
		}
		if used == 0 {
			break
		}
	}
	if c.x == nil && !c.shutting {
		c.between(len(p) - n)
	}
	return n
}

// seesPreface looks whether the client speaks HTTP/2, and says whether its bytes are for somebody else, or must wait for more.
func (c *conn) seesPreface(p []byte) bool {
	n := min(len(p), len(preface))
	if string(p[:n]) != preface[:n] {
		c.sniff = false
		return false
	}
	if n < len(preface) {
		c.between(n)
		return true
	}
	c.idle.Stop()
	c.head.Stop()
	c.life.Stop()
	c.w.strike(&c.place)
	newShared(c.w, c.m, c.lc)
	return true
}

// between sets the timers of a connection that waits for a (whole) head.
func (c *conn) between(waiting int) {
	if waiting == 0 {
		c.partial = false
		c.rest()
		return
	}
	if !c.partial {
		c.partial = true
		c.idle.Stop()
		if d := c.m.headTime(); d > 0 {
			c.head.Set(d)
		}
	}
}

// begin starts an exchange.
func (c *conn) begin() *Exchange {
	c.partial = false
	c.head.Stop()
	c.idle.Stop()
	c.served++
	c.m = c.m.latest()
	x := c.w.take()
	c.x = x
	c.asked, c.minor = codec.OtherMethod, 1
	x.open(c.m, c.lc.Origin(), c)
	return x
}

// violated answers what is not HTTP.
func (c *conn) violated(err error) {
	status, detail := 400, "http1.codec_error"
	var e *http1.Error
	if errors.As(err, &e) {
		status, detail = e.Status, e.Detail
	}
	c.w.Shard.Inc(c.m.stats.ProtocolError)
	c.close = true
	if c.shutting {
		return
	}
	x := c.x
	if x == nil {
		x = c.begin()
	}
	x.flags = x.flags.With(codec.FlagDownstreamProtocolError)
	x.refuse(status, http1.Reason(status), detail)
}

// OnEOF implements loop.Handler. A client that half-closes has gone, as for Envoy.
func (c *conn) OnEOF() {
	if x := c.x; x != nil {
		x.gone()
	}
	c.shut()
}

// OnWritable implements loop.Handler.
func (c *conn) OnWritable() {
	if c.x != nil {
		c.x.clientWritable()
	}
}

// OnClose implements loop.Handler.
func (c *conn) OnClose(error) {
	c.closed, c.shutting = true, true
	c.idle.Stop()
	c.head.Stop()
	c.life.Stop()
	c.w.strike(&c.place)
	c.w.Shard.Inc(c.first.stats.Destroyed)
	c.w.Shard.Dec(c.first.stats.ConnectionsActive)
	if x := c.x; x != nil {
		x.gone()
	}
}

// finished ends the current exchange; the connection goes on, or closes.
func (c *conn) finished(complete bool) {
	c.x = nil
	if c.closed {
		return
	}
	if !complete || c.close || c.shutting {
		c.shut()
		return
	}
	if c.paused {
		c.paused = false
		c.lc.ResumeRead()
	}
	if !c.feeding {
		c.parser.Next()
		if c.held {
			c.held = false
			c.lc.ResumeRead()
		} else {
			c.rest()
		}
	}
}

// Head implements codec.Stream.
func (c *conn) Head(h *codec.Head, end bool) {
	closing := http1.Silent
	switch {
	case c.close:
		closing = http1.Close
	case c.minor == 0:
		closing = http1.StaysOpen
	}
	c.framing = http1.ResponseFraming(h, end, c.asked, c.minor)
	if c.framing == http1.UntilClose || c.framing == http1.Tunnel {
		c.close = true
		if closing == http1.StaysOpen {
			closing = http1.Close
		}
	}
	c.w.scratch = http1.AppendResponse(c.w.scratch[:0], h, c.framing, c.asked, c.minor, closing)
	c.lc.Write(c.w.scratch)
}

// Informational implements codec.Stream.
func (c *conn) Informational(h *codec.Head) {
	if c.minor > 0 {
		c.w.scratch = http1.AppendInformational(c.w.scratch[:0], h)
		c.lc.Write(c.w.scratch)
	}
}

// Body implements codec.Stream.
func (c *conn) Body(p []byte, end bool) {
	w := c.w
	switch {
	case c.framing == http1.NoBody:
	case c.framing == http1.ByChunks && len(p) > 0:
		w.scratch = http1.AppendChunkSize(w.scratch[:0], len(p))
		c.lc.Write(w.scratch)
		c.lc.Write(p)
		w.scratch = append(w.scratch[:0], '\r', '\n')
		if end {
			w.scratch = http1.AppendEnd(w.scratch, nil)
		}
		c.lc.Write(w.scratch)
	case c.framing == http1.ByChunks && end:
		w.scratch = http1.AppendEnd(w.scratch[:0], nil)
		c.lc.Write(w.scratch)
	case len(p) > 0:
		c.lc.Write(p)
	}
}

// Trailers implements codec.Stream. A client that does not say that it takes them gets none (RFC 9110 section 6.5.1) unless enable_trailers is set. Envoy looks at that alone.
func (c *conn) Trailers(t *codec.Fields) {
	if v, ok := c.x.Request.Value(codec.TE); !c.m.Config.Trailers && (!ok || !bytes.Contains(v, []byte("trailers"))) {
		t = nil
	}
	if c.framing == http1.ByChunks {
		c.w.scratch = http1.AppendEnd(c.w.scratch[:0], t)
		c.lc.Write(c.w.scratch)
	}
}

// Abort implements codec.Stream: a response that cannot be finished ends with its connection.
func (c *conn) Abort(codec.Reason, string) {
	if c.framing == http1.UntilClose && !c.closed {
		c.shutting = true
		c.lc.Abort(true) // a plain end would look like the end of the body
		return
	}
	c.shut()
}

// Full implements codec.Stream.
func (c *conn) Full() bool { return loop.Full(c.lc) }

// Pause implements codec.Stream.
func (c *conn) Pause() {
	if !c.paused && !c.closed {
		c.paused = true
		c.lc.PauseRead()
	}
}

// Resume implements codec.Stream.
func (c *conn) Resume() {
	if c.paused {
		c.paused = false
		if !c.held && !c.closed {
			c.lc.ResumeRead()
		}
	}
}

// requests is the conn as its parser sees it.
type requests conn

// Head implements http1.Sink.
func (r *requests) Head(h *http1.Head) {
	c := (*conn)(r)
	x := c.begin()
	c.minor = int(h.Minor)
	if err := h.Request(&x.Request); err != nil {
		c.parser.Stop()
		x.Request.Reset()
		x.Request.Minor = 1
		c.violated(err)
		return
	}
	c.asked = x.Request.Kind
	if c.minor == 0 && !c.m.Config.AcceptHTTP10 {
		c.minor = 1 // for the answer
		x.flags = x.flags.With(codec.FlagDownstreamProtocolError)
		x.refuse(426, http1.Reason(426), "low_version")
		return
	}
	if x.Request.Upgrade {
		c.parser.Tunnel()
		x.tunnel = true
	}
	if !x.Request.KeepAlive {
		c.close = true
	}
	x.begin(!x.tunnel && !h.Chunked && h.ContentLength <= 0)
}

// Body implements http1.Sink.
func (r *requests) Body(p []byte) int {
	if r.x != nil {
		r.x.body(p, false)
	}
	return len(p)
}

// End implements http1.Sink. Trailers end here, as at Envoy, unless enable_trailers is set.
func (r *requests) End(t []http1.Field) {
	x := r.x
	if x == nil || x.requestDone {
		return
	}
	if len(t) > 0 && x.m.Config.Trailers {
		http1.Trailers(&x.tail, t)
	}
	x.body(nil, true)
}
