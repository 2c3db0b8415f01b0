package pool

import (
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/http2"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// Call is one exchange on a shared connection: the codec.Stream of its request, and the receiver of its response. It lives until the stream's place is free, which may be
// later than the exchange.
type Call struct {
	*http2.Stream
	c        *shared
	receiver codec.Receiver // nil: nobody listens
	busy     bool
	sent     bool // the request is complete
	got      bool // the response's end was told
	free     *Call
}

// maxCalls bounds the calls that a worker keeps for reuse.
const maxCalls = 1024

func (w *Worker) call(c *shared) *Call {
	a := w.calls
	if a == nil {
		a = &Call{}
	} else {
		w.calls, a.free = a.free, nil
		w.freeCalls--
	}
	a.c, a.busy = c, true
	return a
}

func (w *Worker) giveCall(a *Call) {
	*a = Call{}
	if w.freeCalls < maxCalls {
		a.free, w.calls = w.calls, a
		w.freeCalls++
	}
}

// Send implements Stream.
func (a *Call) Send(h *codec.Head, end bool, r codec.Receiver) {
	a.receiver, a.sent = r, end
	if a.Stream = a.c.h2.Open((*reply)(a)); a.Stream == nil { // the connection has ended since it was given
		c := a.c
		c.pool.w.Loop.Defer(func() {
			if rec := a.receiver; rec != nil {
				rec.Abort(codec.ConnectionTermination, "")
			}
			a.over()
		})
		return
	}
	a.Stream.Head(h, end)
}

// Origin implements Stream.
func (a *Call) Origin() *loop.Origin { return a.c.lc.Origin() }

// Body implements codec.Stream.
func (a *Call) Body(p []byte, end bool) {
	if a.Stream != nil {
		a.sent = a.sent || end
		a.Stream.Body(p, end)
	}
}

// Trailers implements codec.Stream.
func (a *Call) Trailers(t *codec.Fields) {
	if a.Stream != nil {
		a.sent = true
		a.Stream.Trailers(t)
	}
}

// Full implements codec.Stream.
func (a *Call) Full() bool { return a.Stream != nil && a.Stream.Full() }

// Pause implements codec.Stream.
func (a *Call) Pause() {
	if a.Stream != nil {
		a.Stream.Pause()
	}
}

// Resume implements codec.Stream.
func (a *Call) Resume() {
	if a.Stream != nil {
		a.Stream.Resume()
	}
}

// Abort implements codec.Stream: the exchange is given up, and its stream with it; the connection lives on.
func (a *Call) Abort(r codec.Reason, detail string) {
	if !a.busy {
		return
	}
	a.receiver = nil
	if a.Stream != nil && !(a.sent && a.got) {
		a.c.pool.w.Shard.Inc(a.c.pool.l.stats.TxReset)
		a.Stream.Abort(r, detail)
	}
}

// over ends the accounts.
func (a *Call) over() {
	if a.busy {
		a.busy, a.receiver = false, nil
		a.c.given()
	}
}

// reply is the Call as its stream sees it.
type reply Call

// Head implements codec.Receiver.
func (r *reply) Head(h *codec.Head, end bool) {
	r.got = end
	if r.receiver != nil {
		r.receiver.Head(h, end)
	}
}

// Informational implements codec.Receiver.
func (r *reply) Informational(h *codec.Head) {
	if r.receiver != nil {
		r.receiver.Informational(h)
	}
}

// Body implements codec.Receiver.
func (r *reply) Body(p []byte, end bool) {
	r.got = end
	if r.receiver != nil {
		r.receiver.Body(p, end)
	}
}

// Trailers implements codec.Receiver.
func (r *reply) Trailers(t *codec.Fields) {
	r.got = true
	if r.receiver != nil {
		r.receiver.Trailers(t)
	}
}

// Writable implements codec.Receiver.
func (r *reply) Writable() {
	if r.receiver != nil {
		r.receiver.Writable()
	}
}

// Abort implements codec.Receiver.
func (r *reply) Abort(reason codec.Reason, detail string) {
	a := (*Call)(r)
	rec := a.receiver
	a.receiver = nil
	a.c.pool.w.Shard.Inc(a.c.pool.l.stats.RxReset)
	if a.Stream.Refused() {
		reason = codec.RefusedStream
	}
	if rec != nil {
		rec.Abort(reason, detail)
	}
}

var (
	_ Stream         = (*Call)(nil)
	_ codec.Receiver = (*reply)(nil)
)
