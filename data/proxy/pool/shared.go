package pool

import (
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/http2"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// shared is a pooled HTTP/2 connection, which many exchanges share.
//
//	open → leaving (takes no more exchanges) → closed; open → closed
type shared struct {
	pool     *pool
	admitted bool // counted by the breaker
	lc       loop.Conn
	h2       http2.Conn
	served   uint32
	broken   bool // the codec has ended it
	closed   bool
	attend   func() // bound once, because every exchange asks for it
	idle     loop.Alarm
	life     loop.Timer
	alive    *http2.KeepAlive
}

// frames are the limits of HTTP/2 connections: what is configured, else Envoy's.
func frames(c *config.Cluster) http2.Limits {
	l := http2.Defaults().With(&c.Frames)
	l.HeadBytes, l.Fields = responseLimits.HeadBytes, responseLimits.Fields
	return l
}

func newShared(p *pool, lc loop.Conn, admitted bool) *shared {
	c := &shared{pool: p, lc: lc, admitted: admitted}
	c.idle.Init(p.w.Loop, c.idled)
	c.attend = c.attended
	if d := p.host.Cluster.Config().MaxConnDuration; d > 0 {
		c.life = p.w.Loop.After(d, c.retire)
	}
	c.h2.Init(http2.Client, frames(p.host.Cluster.Config()).Buffering(lc.Origin().High()), c, c, &p.w.slab)
	c.alive = http2.StartKeepAlive(p.w.Loop, &c.h2, p.host.Cluster.Config().Frames.KeepAlive, c.silent)
	lc.SetHandler(c)
	return c
}

// room says whether the connection can take another exchange; an upgrade has to wait for the settings that allow it (RFC 8441 section 3).
func (c *shared) room(upgrade bool) bool {
	limit := c.pool.host.Cluster.Config().MaxRequestsPerConn
	return !c.broken && (!upgrade || c.h2.Greeted()) && c.h2.Available() > 0 && (limit == 0 || c.served < limit)
}

// take begins an exchange.
func (c *shared) take() *Call {
	c.idle.Stop()
	c.alive.Opening()
	c.served++
	sh, l := c.pool.w.Shard, c.pool.l
	sh.Inc(l.stats.Requests)
	sh.Inc(l.stats.RequestsActive)
	c.pool.host.Begin()
	if limit := c.pool.host.Cluster.Config().MaxRequestsPerConn; limit > 0 && c.served >= limit {
		sh.Inc(l.stats.MaxRequests)
	}
	return c.pool.w.call(c)
}

// given ends the accounts of an exchange, and gives its place to whoever waits.
func (c *shared) given() {
	c.pool.host.End()
	c.pool.host.Cluster.Breaker(int(c.pool.key.level)).Give(upstream.Requests)
	c.pool.w.Shard.Dec(c.pool.l.stats.RequestsActive)
}

// settle decides what becomes of the connection when an exchange has ended.
func (c *shared) settle() {
	switch {
	case c.closed:
	case c.broken, c.h2.Drained():
		c.lc.Close()
	case c.h2.Active() > 0:
	case c.pool.host.Gone(), !c.room(false):
		c.retire()
	default:
		if d := c.pool.idleTimeout(); d > 0 {
			c.idle.Set(d)
		}
	}
	if c.room(false) {
		c.pool.share(c)
	}
}

// retire ends the connection as soon as no exchange uses it.
func (c *shared) retire() {
	c.h2.Shutdown()
	if c.h2.Drained() {
		c.lc.Close()
	}
}

func (c *shared) idled() {
	if c.h2.Active() == 0 {
		c.retire()
	}
}

// silent gives the connection up: its peer does not answer.
func (c *shared) silent() {
	c.pool.w.Shard.Inc(c.pool.l.stats.KeepAliveTimeout)
	c.broken = true
	c.h2.Close(codec.ConnectionTermination, "")
	c.lc.Abort(false)
}

// Write implements http2.Output.
func (c *shared) Write(p []byte) {
	c.pool.w.Shard.Add(c.pool.l.stats.TxBytes, uint64(len(p)))
	c.lc.Write(p)
}

// Buffered implements http2.Output.
func (c *shared) Buffered() int { return c.lc.Buffered() }

// OnData implements loop.Handler.
func (c *shared) OnData(p []byte) int {
	if c.broken {
		return len(p)
	}
	n, err := c.h2.Feed(p)
	c.pool.w.Shard.Add(c.pool.l.stats.RxBytes, uint64(n))
	c.broken = c.broken || err != nil
	c.alive.Heard()
	c.settle()
	return n
}

// OnEOF implements loop.Handler.
func (c *shared) OnEOF() {
	c.broken = true
	c.h2.Close(codec.ConnectionTermination, c.lc.Origin().Failure)
	c.lc.Close()
}

// OnWritable implements loop.Handler.
func (c *shared) OnWritable() {
	c.h2.Writable()
	c.settle()
}

// OnClose implements loop.Handler.
func (c *shared) OnClose(error) {
	c.closed, c.broken = true, true
	c.idle.Stop()
	c.life.Stop()
	c.alive.Stop()
	c.pool.unshare(c)
	c.h2.Close(codec.ConnectionTermination, c.lc.Origin().Failure)
	c.pool.closed(c.admitted)
}

// Attend implements http2.Owner.
func (c *shared) Attend() { c.pool.w.Loop.Defer(c.attend) }

func (c *shared) attended() {
	c.h2.Attend()
	c.settle()
}

// Request implements http2.Owner; a client gets none.
func (c *shared) Request(*http2.Stream, *codec.Head, bool) codec.Receiver { return nil }

// Malformed implements http2.Owner; a client gets none.
func (c *shared) Malformed(*http2.Stream, *codec.Head, *http2.Error) {}

// Closed implements http2.Owner.
func (c *shared) Closed(s *http2.Stream) {
	if r, ok := s.Receiver().(*reply); ok {
		a := (*Call)(r)
		a.over()
		c.pool.w.giveCall(a)
	}
}
