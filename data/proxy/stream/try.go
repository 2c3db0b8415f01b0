package stream

import (
	"slices"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/pool"
	"github.com/heddle-mesh/heddle/data/proxy/route"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// omits says whether a retry leaves an endpoint out (retry_host_predicate).
func (x *Exchange) omits(h *upstream.Host) bool {
	p := x.retryPolicy()
	return p.PreviousHosts && slices.Contains(x.tried, h) || p.OmitCanaries && h.Config().Labels["canary"] == "true" ||
		slices.ContainsFunc(p.OmitLabels, func(l map[string]string) bool { return h.Config().Has(l) })
}

// attempt makes a try: an endpoint, a connection, the request.
func (x *Exchange) attempt() {
	x.attempts++
	x.tryBegan, x.tryAt = false, x.w.Loop.Now()
	if x.vhost.IncludeAttemptCount {
		x.Request.SetInt(codec.EnvoyAttemptCount, int64(x.attempts))
	}
	x.choice = upstream.Choice{}
	need := x.need
	need.Note = &x.choice
	if p := x.retryPolicy(); p != nil {
		if x.attempts > 1 && x.avoid != nil && p.Avoids() {
			need.Avoid, need.Attempts = x.avoid, max(p.SelectAttempts, 1)
		}
		if x.retries && p.PriorityForfeit > 0 {
			x.forfeit.Every = p.PriorityForfeit
			need.Forfeit = &x.forfeit
		}
	}
	h := x.keptEndpoint()
	if h != nil {
		x.choice = upstream.NamedBy("session")
	} else if len(x.endpoint) == 0 || !x.session.Strict || x.attempts > 1 {
		h = x.w.Pools.Choose(x.cluster, need)
	}
	x.host = h
	x.tryBegins(h, &x.choice)
	if h == nil {
		x.unavailable()
		return
	}
	x.tried = append(x.tried, h)
	x.traceTry()
	if f := x.route.Forward; f.HostRewriteAuto && h.Config().Hostname != "" {
		x.rewriteHost(h.Config().Hostname, f.AppendXFH)
	}
	if x.route.Forward.EndConnect && x.Request.Kind == codec.CONNECT {
		x.giveUpDial = x.w.Pools.Reach(h, x.route.Forward.Level, x.origin, (*waiter)(x))
		return
	}
	conn, refused := x.w.Pools.Acquire(h, pool.Want{SNI: x.sni(h), Frames: x.frames(x.cluster), Upgrade: x.tunnel, Client: x.origin, Level: x.route.Forward.Level}, &x.ticket, (*waiter)(x))
	switch {
	case conn != nil:
		x.send(conn)
	case refused != codec.NoReason:
		x.tryFailed(refused, "")
	}
}

// unavailable answers a request that no endpoint can take, or may be given.
func (x *Exchange) unavailable() {
	body, details := "no healthy upstream", "no_healthy_upstream"
	if why := x.cluster.Config().Denied; why != "" {
		x.failure = underscored(why)
		body, details = why, "destination_denied{"+x.failure+"}"
	}
	x.tryEnds(x.attempts, 0, codec.NoReason, details)
	x.flags = x.flags.With(codec.FlagNoHealthyUpstream)
	x.charge(503)
	x.endTry()
	x.answer(503, body, details, nil)
}

func (x *Exchange) retryPolicy() *config.Retry {
	if p := x.route.Forward.Retry; p != nil {
		return p
	}
	return x.vhost.Retry
}

// sni is the server name of an upstream that takes it from the request's host (auto_sni).
func (x *Exchange) sni(h *upstream.Host) string {
	if h.TLS == nil || !h.TLS.AutoSNI() {
		return ""
	}
	name, _ := splitHost(x.Request.Authority())
	return string(name)
}

// frames says whether a cluster is spoken to in HTTP/2.
func (x *Exchange) frames(c *upstream.Cluster) bool {
	switch c.Config().Speaks {
	case config.SpeaksHTTP2:
		return true
	case config.SpeaksAsClient:
		return x.down.protocol() == "HTTP/2"
	}
	return false
}

// waiter is the exchange as the pool sees it.
type waiter Exchange

// Ready implements pool.Waiter.
func (a *waiter) Ready(c pool.Stream) {
	a.giveUpDial = nil
	(*Exchange)(a).send(c)
}

// Refused implements pool.Waiter.
func (a *waiter) Refused(r codec.Reason, detail string) {
	a.giveUpDial = nil
	(*Exchange)(a).tryFailed(r, detail)
}

// send puts the request, as far as it is here, on a connection.
func (x *Exchange) send(c pool.Stream) {
	x.up = c
	x.tryBegan = true
	x.w.Pools.Connected(x.host)
	x.tryOrigin = c.Origin()
	x.tryReady(x.tryOrigin)
	x.upLocal = x.tryOrigin.Local
	x.peerURI = x.tryOrigin.Identity()
	end := x.requestDone && len(x.kept) == 0 && x.tail.Len() == 0
	c.Send(&x.Request, end, x.receiver(c))
	if x.tunnel {
		return // what the client has sent already waits until the upstream agrees
	}
	if !end && (len(x.kept) > 0 || x.requestDone) {
		x.put(c, x.kept, x.requestDone)
	}
	if !x.keep {
		x.kept = x.kept[:0]
	}
	x.full = false
	if x.down.Resume(); c.Full() && !x.requestDone {
		x.down.Pause()
	}
	if x.requestDone {
		x.watchTry()
	}
}

// watchTry bounds a try whose request is complete and which has a connection.
func (x *Exchange) watchTry() {
	if x.tryLimit > 0 {
		x.timers.try.Set(x.tryLimit)
	}
	if x.tryIdle > 0 {
		x.timers.tried = x.w.Loop.Now()
		x.timers.tryIdle.Set(x.tryIdle)
	}
}

// leave gives up waiting for a connection.
func (x *Exchange) leave() {
	x.ticket.Leave()
	if cancel := x.giveUpDial; cancel != nil {
		x.giveUpDial = nil
		cancel()
	}
}

// endTry lets go of whatever the current try holds.
func (x *Exchange) endTry() {
	x.timers.try.Stop()
	x.timers.tryIdle.Stop()
	x.leave()
	if c := x.up; c != nil {
		x.up = nil
		x.late()
		if x.upPaused {
			x.upPaused = false
			c.Resume()
		}
		c.Abort(codec.LocalReset, "")
	}
	if x.retrying {
		x.retrying = false
		x.cluster.EndRetry(x.route.Forward.Level)
	}
}

// tryFailed handles a try that brought no response.
func (x *Exchange) tryFailed(r codec.Reason, detail string) {
	x.up = nil
	detail = underscored(detail)
	x.failure = detail
	x.tryEnds(x.attempts, 0, r, detail)
	x.failTrySpan(r)
	if r != codec.Overflow && x.host != nil {
		x.w.Pools.Report(x.host, upstream.LocalFailure)
	}
	if !x.startedReply && x.policyOf.Reset(r, x.tryBegan) && x.again(nil) {
		return
	}
	if !x.startedReply && x.others() {
		x.charge(statusOf(r))
		x.endTry()
		return
	}
	x.flags = x.flags.With(r.Flag())
	if x.startedReply {
		x.details = "upstream_reset_after_response_started{" + resetDetail(r, detail) + "}"
		x.cut()
		return
	}
	status := statusOf(r)
	x.charge(status)
	body := "upstream connect error or disconnect/reset before headers. "
	if x.attempts > 1 {
		body += "retried and the latest "
	}
	body += "reset reason: " + r.String() // why the transport failed is for the log, not for the client
	x.endTry()
	var edit func(*codec.Head)
	switch {
	case r == codec.Overflow && !x.m.Config.SuppressEnvoy:
		edit = overloaded
	case r == codec.RemoteReset && x.isGRPC() && x.expired():
		// The server counts the deadline as well, and gives the stream up when it has passed. Envoy says 14 here; gRPC's own clients take such a reset for what it is.
		edit = deadlineExceeded
	}
	x.answer(status, body, "upstream_reset_before_response_started{"+resetDetail(r, detail)+"}", edit)
}

// statusOf is the status that stands for a try without a response.
func statusOf(r codec.Reason) int {
	if r == codec.ProtocolError {
		return 502
	}
	return 503
}

func overloaded(h *codec.Head) { h.SetString(codec.EnvoyOverloaded, "true") }

// resetDetail is Envoy's form.
func resetDetail(r codec.Reason, detail string) string {
	if detail == "" {
		return r.Detail()
	}
	return r.Detail() + "|" + detail
}

// underscored is a text without blanks, for logs.
func underscored(s string) string { return strings.ReplaceAll(s, " ", "_") }

// again begins a retry if the policy's number, the cluster's bounds and the body that was kept allow it. It says whether it did. h is the response that is not good
// enough, nil when there is none.
func (x *Exchange) again(h *codec.Head) bool {
	if !x.retries || x.tunnel && x.received > 0 {
		return false
	}
	if x.left == 0 {
		x.w.Shard.Inc(x.counters.RetryLimit)
		x.flags = x.flags.With(codec.FlagUpstreamRetryLimitExceeded)
		return false
	}
	x.left--
	if !x.cluster.BeginRetry(x.route.Forward.Level) {
		x.w.Shard.Inc(x.counters.RetryOverflow)
		x.flags = x.flags.With(codec.FlagUpstreamOverflow)
		return false
	}
	wait := x.backoff(h)
	x.endTry()
	x.retrying = true
	x.w.Shard.Inc(x.counters.Retry)
	x.Delay(wait, x.retry)
	return true
}

// backoff is the time before a retry: what the response asks for, or what the policy gives.
func (x *Exchange) backoff(h *codec.Head) time.Duration {
	if h != nil {
		if d, ok := x.policyOf.ResetAfter(h, x.w.Loop.Wall(), x.w.Loop.Rand()); ok {
			return d
		}
	}
	return x.policyOf.Backoff(x.attempts, x.w.Loop.Rand())
}

// retry makes the next try after the back-off.
func (x *Exchange) retry() {
	if x.retrying {
		x.retrying = false
		x.cluster.EndRetry(x.route.Forward.Level)
	}
	x.failure = ""
	x.attempt()
}

// tryOverdue ends one try that took too long.
func (x *Exchange) tryOverdue() { x.tryOver(x.counters.TryTimeout, "upstream_per_try_timeout") }

// tryIdled looks whether the time has passed since the upstream's last byte, so that bytes need not set a timer.
func (x *Exchange) tryIdled() {
	if left := x.tryIdle - x.w.Loop.Now().Sub(x.timers.tried); left > 0 {
		x.timers.tryIdle.Set(left)
		return
	}
	x.tryOver(x.counters.TryIdleTimeout, "upstream_per_try_idle_timeout")
}

func (x *Exchange) tryOver(counter stats.Handle, details string) {
	if x.hedging {
		x.hedge()
		return
	}
	x.w.Shard.Inc(counter)
	x.tryEnds(x.attempts, 0, codec.NoReason, details)
	x.w.Pools.Report(x.host, upstream.LocalFailure)
	x.dropTry()
	if !x.startedReply && x.policyOf.Reset(codec.LocalReset, x.tryBegan) && x.again(nil) {
		return
	}
	if !x.startedReply {
		x.charge(504)
	}
	x.flags = x.flags.With(codec.FlagUpstreamRequestTimeout)
	x.endTry()
	x.answer(504, "upstream request timeout", details, nil)
}

// overdue ends the exchange that took too long.
func (x *Exchange) overdue() {
	x.tryEnds(x.attempts, 0, codec.NoReason, "response_timeout")
	tries := len(x.hedges)
	if x.up != nil || tries == 0 {
		tries++
	}
	x.w.Shard.Add(x.counters.Timeout, uint64(tries))
	if x.up != nil && !x.startedReply {
		x.w.Pools.Report(x.host, upstream.LocalFailure)
	}
	x.dropTry()
	for range tries {
		if !x.startedReply {
			x.charge(504)
		}
	}
	x.flags = x.flags.With(codec.FlagUpstreamRequestTimeout)
	x.endTry()
	x.answer(504, "upstream request timeout", "response_timeout", nil)
}

// dropTry gives the connection up, whatever comes on it.
func (x *Exchange) dropTry() {
	x.timers.try.Stop()
	x.timers.tryIdle.Stop()
	x.leave()
	if c := x.up; c != nil {
		x.up = nil
		x.late()
		c.Abort(codec.LocalReset, "")
	}
}

// late tells of a try that is given up without an answer. One that is answered was told of then, however long its body takes.
func (x *Exchange) late() {
	if x.answered == 0 {
		x.host.Late(x.waited())
	}
}

// waited is how long the upstream has had the whole request, or the try if it began later.
func (x *Exchange) waited() time.Duration {
	from := x.tryAt
	if x.requestDone {
		from = max(from, x.complete)
	}
	return x.w.Loop.Now().Sub(from)
}

// charge counts a status for the cluster.
func (x *Exchange) charge(status int) {
	if x.counters == nil {
		return
	}
	x.w.Shard.Inc(x.counters.Completed)
	if class := status / 100; class > 0 && class < len(x.counters.ByClass) {
		x.w.Shard.Inc(x.counters.ByClass[class])
	}
}

// matchHeader compares one header of any head with a matcher.
func matchHeader(w *Worker, m *config.HeaderMatch, h *codec.Head) bool {
	return route.Header(m, w.view(h, 0))
}
