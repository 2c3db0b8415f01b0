package pool

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/dial"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/proxyprotocol"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// pool holds one worker's connections to one host. The last one that was used is used first, so that the others can grow old.
type pool struct {
	w          *Worker
	l          *local
	key        announcedKey
	host       *upstream.Host
	idle       []*Conn
	shared     []*shared // of a pool that speaks HTTP/2
	open       int       // connected or on the way
	connecting int
	dialling   []*dialling
	first      *Ticket
	last       *Ticket
	waiting    int
}

// Stream is one exchange with an upstream: the codec.Stream of its request.
type Stream interface {
	codec.Stream
	// Send begins the request; r hears of the response. The rest of the request follows by Body and Trailers unless end is set.
	Send(h *codec.Head, end bool, r codec.Receiver)
	// Origin is what is known of the connection.
	Origin() *loop.Origin
}

// Waiter is who waits for a connection.
type Waiter interface {
	// Ready gives an exchange on a connection; Send must be called at once.
	Ready(s Stream)
	// Refused tells that there is none, and the transport's own words.
	Refused(r codec.Reason, detail string)
}

// Ticket is a place in the queue of a pool. The zero Ticket is free; its user embeds it.
type Ticket struct {
	waiter     Waiter
	pool       *pool
	upgrade    bool
	prev, next *Ticket
}

// Waiting says whether the ticket is in a queue.
func (t *Ticket) Waiting() bool { return t.pool != nil }

// Leave takes the ticket out of its queue.
func (t *Ticket) Leave() {
	if p := t.pool; p != nil {
		p.unqueue(t)
		p.retire()
	}
}

// Want is what a connection must be like.
type Want struct {
	SNI     string       // goes before the transport's own, "" for that
	Frames  bool         // HTTP/2
	Upgrade bool         // its server has said whether it takes upgrades
	Client  *loop.Origin // whose request it is
	Level   uint8        // routing priority: 0 is the default one, 1 the high one; each has limits and connections of its own
}

// Acquire gives an exchange on a connection to a host: at once, or (nil and NoReason) later by the ticket, or never (a reason).
func (w *Worker) Acquire(h *upstream.Host, want Want, t *Ticket, waiter Waiter) (Stream, codec.Reason) {
	l, upgrade := w.local(h.Cluster), want.Upgrade
	key := announcedKey{poolKey: poolKey{host: h, sni: want.SNI, frames: want.Frames, level: want.Level}}
	if h.Proxy != 0 && want.Client != nil {
		key.from, key.to = want.Client.Remote.AddrPort, want.Client.Original.AddrPort
		key.extensions = string(extensions(h, want.Client))
	}
	if c := want.Client; c != nil && c.KeepSource {
		key.source, key.mark = c.Remote.Addr(), c.SourceMark
	}
	p := l.find(key)
	if p == nil {
		p = &pool{w: w, l: l, key: key, host: h}
		l.add(p)
	}
	b, limits := p.breaker()
	if i := p.ready(upgrade); i >= 0 {
		if !b.Take(upstream.Requests, limits) {
			w.Shard.Inc(l.stats.PendingOverflow)
			return nil, codec.Overflow
		}
		return p.take(i), codec.NoReason
	}
	if !b.Take(upstream.Pending, limits) {
		w.Shard.Inc(l.stats.PendingOverflow)
		p.retire()
		return nil, codec.Overflow
	}
	t.waiter, t.pool, t.upgrade = waiter, p, upgrade
	p.queue(t)
	if p.short() {
		p.connect()
	}
	return nil, codec.NoReason
}

// breaker is what bounds the pool's priority.
func (p *pool) breaker() (*upstream.Breaker, *config.Thresholds) {
	return p.host.Cluster.Breaker(int(p.key.level)), &p.host.Cluster.Config().Thresholds[p.key.level]
}

// ready finds a connection that can take an exchange now, by its place among those of its kind; -1 if there is none.
func (p *pool) ready(upgrade bool) int {
	if p.key.frames {
		return slices.IndexFunc(p.shared, func(c *shared) bool { return c.room(upgrade) })
	}
	return len(p.idle) - 1 // the one that rested last
}

// take gives an exchange on a connection that is ready.
func (p *pool) take(i int) Stream {
	if p.key.frames {
		return p.shared[i].take()
	}
	c := p.idle[i]
	p.idle[i] = nil
	p.idle = p.idle[:i]
	c.take()
	return c
}

// assumed is how many exchanges a shared connection that is not here yet is expected to take (Envoy: 100, unless the server said otherwise).
const assumed = 100

// short says whether more wait than the connections that are on their way can take.
func (p *pool) short() bool { return p.takes(p.connecting) < p.waiting }

// takes is how many exchanges connections that are on their way are expected to take.
func (p *pool) takes(connecting int) int {
	if p.key.frames {
		return connecting * assumed
	}
	return connecting
}

// forgo gives up the connections on their way that nobody waits for any more, the youngest first. A pool does so only when memory is short: who opens requests and gives them up
// at once would else have it connect again and again.
func (p *pool) forgo() {
	for p.connecting > 0 && p.takes(p.connecting-1) >= p.waiting {
		last := len(p.dialling) - 1
		d := p.dialling[last]
		p.dialling[last] = nil
		p.dialling = p.dialling[:last]
		d.attempt.Cancel()
		p.connecting--
		p.settle(d.admitted)
	}
}

func (p *pool) queue(t *Ticket) {
	t.prev, t.next = p.last, nil
	if p.last != nil {
		p.last.next = t
	} else {
		p.first = t
	}
	p.last = t
	p.waiting++
	p.w.Shard.Inc(p.l.stats.PendingTotal)
	p.w.Shard.Inc(p.l.stats.PendingActive)
}

func (p *pool) unqueue(t *Ticket) {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		p.first = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	} else {
		p.last = t.prev
	}
	t.prev, t.next, t.pool = nil, nil, nil
	p.waiting--
	p.host.Cluster.Breaker(int(p.key.level)).Give(upstream.Pending)
	p.w.Shard.Dec(p.l.stats.PendingActive)
}

// connect opens another connection if the bounds allow it; a pool that has none may always open one, or its queue would wait for ever.
func (p *pool) connect() {
	b, limits := p.breaker()
	admitted := b.Take(upstream.Connections, limits)
	if !admitted {
		p.w.Shard.Inc(p.l.stats.ConnectionOverflow)
		if p.open > 0 {
			return
		}
	}
	p.host.Cluster.Touch()
	p.open++
	p.connecting++
	p.w.Shard.Inc(p.l.stats.Connections)
	p.w.Shard.Inc(p.l.stats.ConnectionsActive)
	to := Target(p.host, p.key.sni)
	to.From, to.To, to.Extensions = p.key.from, p.key.to, []byte(p.key.extensions)
	bindSource(&to, p.key.source, p.key.mark)
	if to.TLS != nil && p.key.frames {
		to.ALPN = to.TLS.Offer("h2")
	}
	d := &dialling{admitted: admitted}
	d.attempt = p.w.dialer.Dial(p.w.Loop, to, func(lc loop.Conn, err error) {
		p.dialling = slices.DeleteFunc(p.dialling, func(x *dialling) bool { return x == d })
		p.connected(lc, err, admitted)
	})
	p.dialling = append(p.dialling, d)
}

// dialling is a connection on its way.
type dialling struct {
	attempt  *dial.Attempt
	admitted bool // counted by the breaker
}

// Cut ends the connections to a host at once: those on their way, those that rest and those that exchanges share. Nobody may wait for one.
func (w *Worker) Cut(h *upstream.Host) {
	for p := range w.local(h.Cluster).all() {
		if p.host != h {
			continue
		}
		for _, d := range p.dialling {
			d.attempt.Cancel()
			p.connecting--
			p.settle(d.admitted)
		}
		p.dialling = nil
		for _, c := range slices.Clone(p.shared) {
			c.lc.Abort(false)
		}
		p.drain()
		p.retire()
	}
}

// closed ends the accounts of a connection. Who waited for it, because there may be no more, gets another one.
func (p *pool) closed(admitted bool) {
	p.settle(admitted)
	if p.short() {
		p.connect()
	}
	p.retire()
}

func (p *pool) settle(admitted bool) {
	p.open--
	if admitted {
		p.host.Cluster.Breaker(int(p.key.level)).Give(upstream.Connections)
	}
	p.w.Shard.Inc(p.l.stats.ConnectionDestroy)
	p.w.Shard.Dec(p.l.stats.ConnectionsActive)
}

// retire forgets an empty pool.
func (p *pool) retire() {
	if p.open == 0 && p.waiting == 0 {
		p.l.remove(p)
	}
}

// announcedIdle bounds how long a connection rests that is one client's, who may be gone.
const announcedIdle = 15 * time.Second

func (p *pool) idleTimeout() time.Duration {
	d := p.host.Cluster.Config().IdleTimeout
	if p.key.apart() && (d == 0 || d > announcedIdle) {
		return announcedIdle
	}
	return d
}

// extensions are those of the PROXY header for a client.
func extensions(h *upstream.Host, client *loop.Origin) []byte {
	return proxyprotocol.Extend(nil, client.Extensions, h.TLVs)
}

// Target is where and how to connect to a host.
func Target(h *upstream.Host, sni string) dial.Target {
	def := h.Cluster.Config()
	k := def.Keepalive
	t := dial.Target{Addr: h.Address, ConnectTimeout: def.ConnectTimeout, Proxy: h.Proxy, TLS: h.TLS, SNI: sni, Keepalive: k.Time, KeepaliveInterval: k.Interval, KeepaliveProbes: int(k.Probes), BufferLimit: def.BufferLimit}
	for _, a := range [...]netip.Addr{def.Bind, def.BindOther} {
		if a.IsValid() && h.Address.AddrPort.IsValid() && a.Is4() == h.Address.Addr().Is4() {
			t.Bind = loop.TCP(netip.AddrPortFrom(a, 0))
		}
	}
	return t
}

// keepSource calls from a client's address if its listener says so.
func keepSource(t *dial.Target, client *loop.Origin) {
	if client.KeepSource {
		bindSource(t, client.Remote.Addr(), client.SourceMark)
	}
}

// bindSource calls from an address that is not this machine's, if it is one of the host's family (a client may have come another way).
func bindSource(t *dial.Target, source netip.Addr, mark uint32) {
	if !source.IsValid() || !t.Addr.AddrPort.IsValid() || source.Is4() != t.Addr.Addr().Is4() {
		return
	}
	t.Bind, t.Transparent = loop.TCP(netip.AddrPortFrom(source, 0)), true
	if mark != 0 {
		t.Mark = int(mark)
	}
}

func (p *pool) connected(lc loop.Conn, err error, admitted bool) {
	p.connecting--
	if err != nil {
		reason, detail := p.w.connectFailed(p.l, err)
		p.settle(admitted)
		p.refuse(reason, detail)
		return
	}
	if p.key.frames {
		c := newShared(p, lc, admitted)
		p.shared = append(p.shared, c)
		c.settle()
		return
	}
	p.serve(newConn(p, lc, admitted))
}

// share gives exchanges on a connection to those who wait longest.
func (p *pool) share(c *shared) {
	b, limits := p.breaker()
	for p.first != nil && c.room(p.first.upgrade) {
		t := p.first
		p.unqueue(t)
		if !b.Take(upstream.Requests, limits) {
			p.w.Shard.Inc(p.l.stats.PendingOverflow)
			t.waiter.Refused(codec.Overflow, "")
			continue
		}
		t.waiter.Ready(c.take())
	}
}

// unshare takes a connection that has ended out.
func (p *pool) unshare(c *shared) {
	if i := slices.Index(p.shared, c); i >= 0 {
		p.shared = slices.Delete(p.shared, i, i+1)
	}
}

// connectFailed counts a failed connect and gives it Envoy's words.
func (w *Worker) connectFailed(l *local, err error) (codec.Reason, string) {
	w.Shard.Inc(l.stats.ConnectFail)
	var e *dial.Error
	if !errors.As(err, &e) {
		return codec.RemoteConnectionFailure, err.Error()
	}
	switch {
	case e.Timeout:
		w.Shard.Inc(l.stats.ConnectTimeout)
		return codec.ConnectionTimeout, e.Reason
	case strings.HasPrefix(e.Reason, "immediate connect error"):
		return codec.LocalConnectionFailure, e.Reason
	}
	return codec.RemoteConnectionFailure, e.Reason
}

// refuse fails the whole queue: who waits chooses anew, perhaps another host (as Envoy does).
func (p *pool) refuse(reason codec.Reason, detail string) {
	for n := p.waiting; n > 0 && p.first != nil; n-- {
		t := p.first
		p.unqueue(t)
		p.w.Shard.Inc(p.l.stats.PendingFailure)
		t.waiter.Refused(reason, detail)
	}
	p.retire()
}

// serve gives a connection to whoever waits longest, or keeps it.
func (p *pool) serve(c *Conn) {
	b, limits := p.breaker()
	for p.first != nil {
		t := p.first
		p.unqueue(t)
		if !b.Take(upstream.Requests, limits) {
			p.w.Shard.Inc(p.l.stats.PendingOverflow)
			t.waiter.Refused(codec.Overflow, "")
			continue
		}
		c.take()
		t.waiter.Ready(c)
		return
	}
	if p.host.Gone() || p.w.Short != nil && p.w.Short() {
		c.lc.Close()
		return
	}
	c.rest()
}

// drain closes what is idle.
func (p *pool) drain() {
	for _, c := range p.idle {
		c.idle.Stop()
		c.resting = false
		c.lc.Close()
	}
	clear(p.idle)
	p.idle = p.idle[:0]
	for _, c := range slices.Clone(p.shared) {
		c.idled()
	}
}

// remove takes an idle connection out.
func (p *pool) remove(c *Conn) {
	for i, x := range p.idle {
		if x == c {
			copy(p.idle[i:], p.idle[i+1:])
			p.idle[len(p.idle)-1] = nil
			p.idle = p.idle[:len(p.idle)-1]
			return
		}
	}
}
