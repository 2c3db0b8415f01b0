package stream

import (
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/http1"
	"github.com/heddle-mesh/heddle/data/proxy/http2"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// shared is a client's HTTP/2 connection, which many exchanges share.
//
//	open → draining (GOAWAY was sent) → closed; open → closed
type shared struct {
	w      *Worker
	m      *Manager // of the latest exchange
	first  *Manager // which the connection is counted for
	lc     loop.Conn
	id     uint64
	h2     http2.Conn
	place  link
	served uint32
	broken bool // the codec has ended it
	stuck  bool // in the middle of a head
	closed bool

	attend func()     // bound once, because every exchange asks for it
	idle   loop.Alarm // without an exchange; while it drains, the answer to the announcement
	head   loop.Alarm // the head that is being received
	life   loop.Timer
	alive  *http2.KeepAlive
}

func newShared(w *Worker, m *Manager, lc loop.Conn) {
	w.ids++
	c := &shared{w: w, m: m, first: m, lc: lc, id: w.ids<<8 | uint64(w.Loop.Index()&0xff)}
	c.idle.Init(w.Loop, c.idled)
	c.head.Init(w.Loop, c.headLate)
	c.attend = c.attended
	w.enlist(&c.place, c)
	if d := m.Config.MaxConnDuration; d > 0 {
		c.life = w.Loop.After(d, c.drain)
	}
	c.h2.Init(http2.Server, m.frames.Buffering(lc.Origin().High()), lc, c, &w.slab)
	c.alive = http2.StartKeepAlive(w.Loop, &c.h2, m.Config.Frames.KeepAlive, c.silent)
	c.rest()
	lc.SetHandler(c)
}

// rest begins the time without an exchange.
func (c *shared) rest() {
	d := c.m.Config.IdleTimeout
	if c.h2.GoingAway() && (d <= 0 || d > lastChance) {
		d = lastChance
	}
	if d > 0 {
		c.idle.Set(d)
	}
}

// idled tells the client to open nothing more, and closes when it had time to hear of it.
func (c *shared) idled() {
	if c.h2.Active() > 0 {
		return
	}
	if !c.h2.GoingAway() {
		c.drain()
		return
	}
	c.h2.Finish()
	c.settle()
}

// manager implements client.
func (c *shared) manager() *Manager { return c.m.latest() }

// drain implements client.
func (c *shared) drain() {
	if !c.h2.GoingAway() && !c.broken {
		c.w.Shard.Inc(c.m.stats.DrainClose)
		c.h2.Shutdown()
		if c.h2.Active() == 0 {
			c.rest()
		}
	}
}

// leave implements client.
func (c *shared) leave() { c.drain() }

// settle closes the connection once nothing is left to do on it.
func (c *shared) settle() {
	if c.broken || c.h2.Drained() {
		c.shut()
	}
}

// silent gives the connection up: its client does not answer.
func (c *shared) silent() {
	c.w.Shard.Inc(c.first.stats.KeepAliveTimeout)
	c.broken = true
	c.h2.Close(codec.ConnectionTermination, "")
	c.lc.Abort(false)
}

// shut closes behind what is queued.
func (c *shared) shut() {
	c.idle.Stop()
	c.head.Stop()
	c.lc.Close()
}

// OnData implements loop.Handler.
func (c *shared) OnData(p []byte) int {
	if c.broken {
		return len(p)
	}
	n, err := c.h2.Feed(p)
	if err != nil {
		c.broken = true
		c.w.Shard.Inc(c.m.stats.ProtocolError)
	}
	c.alive.Heard()
	c.watchHead(c.h2.Unfinished(p[n:]))
	c.settle()
	return n
}

// watchHead bounds the time of a head from its first byte to its last, in whatever pieces it comes.
func (c *shared) watchHead(stuck bool) {
	if stuck == c.stuck {
		return
	}
	if c.stuck = stuck; !stuck {
		c.head.Stop()
	} else if d := c.m.headTime(); d > 0 {
		c.head.Set(d)
	}
}

// headLate ends the connection: without the rest of the head nobody can read what comes behind it.
func (c *shared) headLate() {
	c.w.Shard.Inc(c.m.stats.HeaderTimeout)
	c.broken = true
	c.h2.Fail(http2.ErrHeadTime)
	c.settle()
}

// OnEOF implements loop.Handler. A client that half-closes has gone, as for Envoy.
func (c *shared) OnEOF() {
	c.h2.Close(codec.ConnectionTermination, "")
	c.broken = true
	c.shut()
}

// OnWritable implements loop.Handler.
func (c *shared) OnWritable() {
	c.h2.Writable()
	c.settle()
}

// OnClose implements loop.Handler.
func (c *shared) OnClose(error) {
	if c.closed {
		return
	}
	c.closed, c.broken = true, true
	c.idle.Stop()
	c.head.Stop()
	c.life.Stop()
	c.alive.Stop()
	c.w.strike(&c.place)
	c.w.Shard.Inc(c.first.stats.Destroyed)
	c.w.Shard.Dec(c.first.stats.ConnectionsActive)
	c.h2.Close(codec.ConnectionTermination, "")
}

// Attend implements http2.Owner.
func (c *shared) Attend() { c.w.Loop.Defer(c.attend) }

func (c *shared) attended() {
	c.h2.Attend()
	c.settle()
}

// Request implements http2.Owner.
func (c *shared) Request(s *http2.Stream, h *codec.Head, end bool) codec.Receiver {
	p := c.begin(s)
	x := p.x
	x.Request, *h = *h, x.Request
	x.tunnel = x.Request.Upgrade
	x.begin(end && !x.tunnel)
	return (*receiver)(p)
}

// begin starts an exchange.
func (c *shared) begin(s *http2.Stream) *part {
	c.idle.Stop()
	c.served++
	c.m = c.m.latest()
	p := c.w.part()
	p.Stream, p.c, p.x = s, c, c.w.take()
	p.x.open(c.m, c.lc.Origin(), p)
	return p
}

// Malformed implements http2.Owner: the client is told, as one of HTTP/1.1 is, and the log has a line. Nobody else sees the request.
func (c *shared) Malformed(s *http2.Stream, h *codec.Head, err *http2.Error) {
	c.w.Shard.Inc(c.m.stats.ProtocolError)
	p := c.begin(s)
	p.bad = true
	x := p.x
	x.Request, *h = *h, x.Request
	x.flags = x.flags.With(codec.FlagDownstreamProtocolError)
	x.refuse(err.Status, http1.Reason(err.Status), err.Detail)
	c.w.giveUp(p)
}

// Closed implements http2.Owner.
func (c *shared) Closed(s *http2.Stream) {
	if r, ok := s.Receiver().(*receiver); ok {
		c.w.giveUp((*part)(r))
	}
	if c.h2.Active() == 0 && !c.broken {
		c.rest()
	}
}

// lastChance is how long a connection waits for a request once its proxy is leaving: a client that has just connected, or was just told that the connection stays
// open, may have sent one, and would lose it.
const lastChance = 500 * time.Millisecond
