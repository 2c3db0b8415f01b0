package stream

import (
	"slices"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/pool"
	"github.com/heddle-mesh/heddle/data/proxy/trace"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// hedge is one try of an exchange that hedges (Envoy, HedgePolicy.hedge_on_per_try_timeout): when it takes longer than it may it is not ended, another one begins beside
// it, and the first good answer of all is the client's. It implements codec.Receiver.
//
//	current → (late, when another one begins | answered | over); late → (answered | over)
type hedge struct {
	x      *Exchange // nil: over
	up     pool.Stream
	host   *upstream.Host
	origin *loop.Origin
	span   *trace.Span // of a late try, nil for none
	number int         // which try it was
}

// setHedging follows the route, the virtual host, and the header by which an internal client may change it.
func (x *Exchange) setHedging(f *config.Forward) {
	x.hedging = x.vhost.Hedge
	if f.Hedge != nil {
		x.hedging = *f.Hedge
	}
	if v, ok := x.Request.Value(codec.EnvoyHedgeOnTryTimeout); ok {
		switch string(v) {
		case "true":
			x.hedging = true
		case "false":
			x.hedging = false
		}
		x.Request.Del(codec.EnvoyHedgeOnTryTimeout)
	}
	x.hedging = x.hedging && !x.tunnel
}

// receiver is who hears of the response on a connection.
func (x *Exchange) receiver(up pool.Stream) codec.Receiver {
	if !x.hedging {
		return (*answer)(x)
	}
	x.now = &hedge{x: x, up: up, host: x.host, origin: x.tryOrigin, number: x.attempts}
	return x.now
}

// hedge lets the current try go on, because it takes too long, and begins another one if it may. Without another one it stays the current try.
func (x *Exchange) hedge() {
	x.w.Pools.Report(x.host, upstream.LocalFailure) // even if a good answer comes yet
	x.timers.try.Stop()
	x.timers.tryIdle.Stop()
	h := x.now
	x.hedges = append(x.hedges, h)
	x.now, x.up = nil, nil
	if x.startedReply || !x.again(nil) {
		x.hedges = x.hedges[:len(x.hedges)-1]
		x.now, x.up = h, h.up
		return
	}
	h.span, x.trace.try = x.trace.try, nil
}

// closeSpan finishes the span of a late try, beside that of the current one.
func (h *hedge) closeSpan(end func(*Exchange)) {
	x := h.x
	if h.span == nil {
		return
	}
	try, number, host, origin, began := x.trace.try, x.trace.number, x.host, x.tryOrigin, x.tryBegan
	x.trace.try, x.trace.number, x.host, x.tryOrigin, x.tryBegan = h.span, h.number, h.host, h.origin, true
	end(x)
	x.trace.try, x.trace.number, x.host, x.tryOrigin, x.tryBegan = try, number, host, origin, began
	h.span = nil
}

// others says whether a response may come of another try: one that takes long, or one to come.
func (x *Exchange) others() bool { return len(x.hedges) > 0 }

// endHedges ends the tries that take too long, all but one.
func (x *Exchange) endHedges(but *hedge) {
	for _, h := range x.hedges {
		if h != but {
			h.end()
		}
	}
	clear(x.hedges)
	x.hedges = x.hedges[:0]
}

func (h *hedge) end() {
	if h.x != nil {
		h.closeSpan(func(x *Exchange) { x.endTrySpan(0) })
		h.x = nil
		h.up.Abort(codec.LocalReset, "")
	}
}

// late says whether another try has begun since.
func (h *hedge) late() bool { return h.x.now != h }

// Head implements codec.Receiver. A late try is never repeated: a bad answer of it counts only when there is no other to wait for.
func (h *hedge) Head(head *codec.Head, end bool) {
	x := h.x
	if x == nil {
		return
	}
	if !h.late() {
		(*answer)(x).Head(head, end)
		return
	}
	x.w.Pools.Report(h.host, h.host.Cluster.OutcomeFor(head.Status, x.statusFor(head)))
	x.w.Pools.Responded(h.host, head)
	x.tryEnds(h.number, head.Status, codec.NoReason, "")
	h.closeSpan(func(x *Exchange) { x.endTrySpan(head.Status) })
	if x.retries && x.policyOf.Response(head, x.matchResponse) && x.drop(h) {
		h.end()
		return
	}
	x.endTry() // whatever runs or waits now
	x.timers.pause.Stop()
	x.timers.then = nil
	x.now, x.up, x.host, x.tryOrigin, x.tryBegan = h, h.up, h.host, h.origin, true
	x.upLocal, x.peerURI = h.origin.Local, h.origin.Identity()
	x.accept(head, end)
}

// drop takes a late try out, and says whether there is another one to wait for.
func (x *Exchange) drop(h *hedge) bool {
	x.hedges = slices.DeleteFunc(x.hedges, func(o *hedge) bool { return o == h })
	return x.others() || x.up != nil || x.ticket.Waiting() || x.retrying
}

// Abort implements codec.Receiver.
func (h *hedge) Abort(r codec.Reason, detail string) {
	x := h.x
	if x == nil {
		return
	}
	x.tryEnds(h.number, 0, r, underscored(detail))
	h.closeSpan(func(x *Exchange) { x.failTrySpan(r) })
	h.x = nil
	switch {
	case x.now == h:
		(*answer)(x).Abort(r, detail)
	case x.drop(h):
		x.w.Pools.Report(h.host, upstream.LocalFailure)
		x.charge(statusOf(r))
	default:
		x.host, x.retries, x.policyOf.On = h.host, false, 0 // it was the last one, and has been repeated
		x.tryFailed(r, detail)
	}
}

// Informational implements codec.Receiver.
func (h *hedge) Informational(head *codec.Head) {
	x := h.x
	if x == nil || h.late() { // of a late try it would promise an answer that may not be the client's
		return
	}
	if x.m.Config.Proxy100Continue {
		x.endHedges(h) // and now it does promise one
	}
	(*answer)(x).Informational(head)
}

// Body implements codec.Receiver.
func (h *hedge) Body(p []byte, end bool) {
	if h.x != nil {
		(*answer)(h.x).Body(p, end)
	}
}

// Trailers implements codec.Receiver.
func (h *hedge) Trailers(t *codec.Fields) {
	if h.x != nil {
		(*answer)(h.x).Trailers(t)
	}
}

// Writable implements codec.Receiver.
func (h *hedge) Writable() {
	if h.x != nil {
		(*answer)(h.x).Writable()
	}
}

var _ codec.Receiver = (*hedge)(nil)
