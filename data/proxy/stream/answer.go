package stream

import (
	"strconv"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// answer is the exchange as the upstream's connection sees it.
type answer Exchange

// Informational implements codec.Receiver. After one is passed on there is no other try.
func (a *answer) Informational(h *codec.Head) {
	x := (*Exchange)(a)
	x.heard()
	if !x.m.Config.Proxy100Continue {
		return // 100 we have said ourselves, and Envoy passes on no other without proxy_100_continue
	}
	x.retries = false
	x.down.Informational(h)
}

// Head implements codec.Receiver.
func (a *answer) Head(h *codec.Head, end bool) {
	x := (*Exchange)(a)
	x.timers.try.Stop()
	x.heard()
	x.w.Pools.Report(x.host, x.host.Cluster.OutcomeFor(h.Status, x.statusFor(h)))
	x.w.Pools.Responded(x.host, h)
	x.host.Took(x.waited())
	x.tryEnds(x.attempts, h.Status, codec.NoReason, "")
	x.endTrySpan(h.Status)
	if x.retries && x.policyOf.Response(h, x.matchResponse) {
		if x.again(h) {
			return
		}
		if x.others() {
			x.endTry()
			return
		}
	}
	if x.attempts > 1 && h.Status < 500 {
		x.w.Shard.Inc(x.counters.RetrySuccess)
	}
	x.accept(h, end)
}

// accept makes a response the client's.
func (x *Exchange) accept(h *codec.Head, end bool) {
	x.endHedges(x.now)
	x.retries = false
	if !x.requestDone || x.mirrors == 0 {
		x.keep = false
	}
	x.charge(h.Status)
	x.answered = x.w.Loop.Now()
	x.details = "via_upstream"
	x.Response.CopyFrom(h)
	if x.requestDone && !x.m.Config.SuppressEnvoy {
		x.Response.SetInt(codec.EnvoyUpstreamServiceTime, millis(x.answered.Sub(x.complete)))
	}
	if x.ownKey {
		x.Response.Del(webSocketAccept)
	}
	x.giveCookie(&x.Response)
	x.routeResponse(&x.Response)
	if !end && x.foreign(&x.Response) {
		x.gathering = true
		return
	}
	x.encode(end)
	if end && !x.over {
		x.finish()
	} else if h.Upgrade {
		x.agreed()
	}
}

// statusFor is the status that outlier detection sees: that of gRPC, where a head has one.
func (x *Exchange) statusFor(h *codec.Head) int {
	if v, ok := h.Value(codec.GRPCStatus); ok && x.isGRPC() {
		if code, err := strconv.Atoi(string(v)); err == nil {
			return httpOf(code)
		}
	}
	return h.Status
}

// heard notes a byte from the upstream.
func (x *Exchange) heard() {
	now := x.w.Loop.Now()
	x.timers.active, x.timers.tried = now, now
}

func (x *Exchange) matchResponse(m *config.HeaderMatch, h *codec.Head) bool {
	return matchHeader(x.w, m, h)
}

// Body implements codec.Receiver.
func (a *answer) Body(p []byte, end bool) {
	x := (*Exchange)(a)
	x.heard()
	if x.gathering {
		x.gather(p, end)
		return
	}
	x.deliver(p, end)
	if end {
		x.finish()
		return
	}
	if x.down.Full() && !x.upPaused && x.up != nil {
		x.upPaused = true
		x.up.Pause()
	}
}

// Trailers implements codec.Receiver.
func (a *answer) Trailers(t *codec.Fields) {
	x := (*Exchange)(a)
	if x.gathering {
		x.gather(nil, true)
		return
	}
	x.w.Pools.Told(x.host, t)
	x.noteTrailers(t)
	x.deliverTrailers(t)
	x.finish()
}

// Writable implements codec.Receiver.
func (a *answer) Writable() {
	if x := (*Exchange)(a); !x.full {
		x.down.Resume()
	}
}

// Abort implements codec.Receiver.
func (a *answer) Abort(r codec.Reason, detail string) { (*Exchange)(a).tryFailed(r, detail) }
