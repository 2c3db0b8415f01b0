package pool

import (
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// raw is the far end of a CONNECT that ends here: a connection of bytes, in the form of an exchange. Its 200 is our own.
type raw struct {
	w        *Worker
	l        *local
	host     *upstream.Host
	conn     loop.Conn
	receiver codec.Receiver // nil: nobody listens
	head     codec.Head
	ended    bool // the upstream's end was told
	sent     bool // so was the client's
	over     bool
	level    uint8 // of the circuit breaker
}

// Reach connects to a host for a CONNECT that ends here, and gives the connection as an exchange. cancel gives up; the waiter hears nothing after it.
func (w *Worker) Reach(h *upstream.Host, level uint8, client *loop.Origin, waiter Waiter) (cancel func()) {
	c, l := h.Cluster, w.local(h.Cluster)
	if !c.Breaker(int(level)).Take(upstream.Connections, &c.Config().Thresholds[level]) {
		w.Shard.Inc(l.stats.ConnectionOverflow)
		over := false
		w.Loop.Defer(func() {
			if !over {
				waiter.Refused(codec.Overflow, "")
			}
		})
		return func() { over = true }
	}
	h.Begin()
	w.Shard.Inc(l.stats.Connections)
	w.Shard.Inc(l.stats.ConnectionsActive)
	x := &raw{w: w, l: l, host: h, level: level}
	to := Target(h, "")
	to.From, to.To, to.Extensions = client.Remote.AddrPort, client.Original.AddrPort, extensions(h, client)
	keepSource(&to, client)
	attempt := w.dialer.Dial(w.Loop, to, func(conn loop.Conn, err error) {
		if err != nil {
			x.release()
			reason, detail := w.connectFailed(l, err)
			waiter.Refused(reason, detail)
			return
		}
		x.conn = conn
		conn.SetHandler(x)
		conn.PauseRead() // an upstream may speak first, and the head goes before
		waiter.Ready(x)
	})
	return func() {
		attempt.Cancel()
		x.release()
	}
}

// release ends the accounts.
func (x *raw) release() {
	if x.over {
		return
	}
	x.over = true
	x.host.End()
	x.host.Cluster.Breaker(int(x.level)).Give(upstream.Connections)
	x.w.Shard.Inc(x.l.stats.ConnectionDestroy)
	x.w.Shard.Dec(x.l.stats.ConnectionsActive)
}

// Send implements Stream: the request has done its work.
func (x *raw) Send(_ *codec.Head, end bool, r codec.Receiver) {
	x.receiver = r
	x.w.Loop.Defer(func() {
		if x.receiver == nil {
			return
		}
		x.head.Status, x.head.Upgrade, x.head.Length = 200, true, -1
		x.receiver.Head(&x.head, false)
		x.conn.ResumeRead()
		if end {
			x.Body(nil, true)
		}
	})
}

// Origin implements Stream.
func (x *raw) Origin() *loop.Origin { return x.conn.Origin() }

// Head implements codec.Stream; see Send.
func (x *raw) Head(*codec.Head, bool) {}

// Informational implements codec.Stream; a request has none.
func (x *raw) Informational(*codec.Head) {}

// Body implements codec.Stream.
func (x *raw) Body(p []byte, end bool) {
	if x.sent {
		return
	}
	if len(p) > 0 {
		x.w.Shard.Add(x.l.stats.TxBytes, uint64(len(p)))
		x.conn.Write(p)
	}
	if end {
		x.sent = true
		x.conn.CloseWrite()
	}
}

// Trailers implements codec.Stream: bytes have none, but an end.
func (x *raw) Trailers(*codec.Fields) { x.Body(nil, true) }

// Full implements codec.Stream.
func (x *raw) Full() bool { return loop.Full(x.conn) }

// Pause implements codec.Stream.
func (x *raw) Pause() { x.conn.PauseRead() }

// Resume implements codec.Stream.
func (x *raw) Resume() { x.conn.ResumeRead() }

// Abort implements codec.Stream: an exchange that has ended both ways leaves the connection to end by itself.
func (x *raw) Abort(codec.Reason, string) {
	x.receiver = nil
	if !x.sent || !x.ended {
		x.conn.Abort(true)
	}
}

// OnData implements loop.Handler.
func (x *raw) OnData(p []byte) int {
	x.w.Shard.Add(x.l.stats.RxBytes, uint64(len(p)))
	if x.receiver != nil {
		x.receiver.Body(p, false)
	}
	return len(p)
}

// OnEOF implements loop.Handler.
func (x *raw) OnEOF() {
	x.ended = true
	if x.receiver != nil {
		x.receiver.Body(nil, true)
	}
}

// OnWritable implements loop.Handler.
func (x *raw) OnWritable() {
	if x.receiver != nil {
		x.receiver.Writable()
	}
}

// OnClose implements loop.Handler.
func (x *raw) OnClose(error) {
	x.release()
	if r := x.receiver; r != nil && !x.ended {
		x.receiver = nil
		r.Abort(codec.ConnectionTermination, x.conn.Origin().Failure)
	}
}

var _ Stream = (*raw)(nil)
