package stream

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/filter/headers"
	"github.com/heddle-mesh/heddle/data/proxy/filter/retry"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// forward prepares the request for the upstream and makes the first try.
func (x *Exchange) forward() {
	f, h := x.route.Forward, &x.Request
	if h.Has(codec.EnvoyAltStat) {
		h.Del(codec.EnvoyAltStat)
	}
	x.setTimeouts(f)
	x.setRetries(f)
	x.finalize(f)
	if x.tunnel {
		x.keyed()
	}
	x.chooseMirrors(f)
	x.hashRequest(f.Hash)
	x.readDestination()
	x.readSession()
	x.keep = (x.retries || x.mirrors > 0) && !x.tunnel
	if x.keep && len(x.kept) > x.keepLimit() {
		x.single()
	}
	x.attempt()
	if x.requestDone && x.attempts > 0 { // neither holds once the exchange has finished
		x.wholeRequest()
	}
}

// readDestination follows the header that names the destination, where the cluster goes by one (original_dst_lb_config.use_http_header).
func (x *Exchange) readDestination() {
	name := x.cluster.Config().DestinationHeader
	if name == "" {
		return
	}
	if v, ok := x.Request.Get(name); ok {
		to, err := netip.ParseAddrPort(string(v))
		if err != nil {
			x.w.Shard.Inc(x.counters.DestinationInvalid)
			return
		}
		x.need.Original = loop.TCP(to)
	}
}

// header reads and removes a number that a client sent in a header.
func (x *Exchange) header(n codec.Name) (int64, bool) {
	v, ok := x.Request.Value(n)
	if !ok {
		return 0, false
	}
	num, err := strconv.ParseInt(string(v), 10, 32)
	x.Request.Del(n)
	return num, err == nil && num >= 0
}

// setTimeouts follows the route and the headers by which an internal client may change it (Envoy, "x-envoy-upstream-rq-timeout-ms").
func (x *Exchange) setTimeouts(f *config.Forward) {
	x.deadline = f.Timeout
	fromGRPC := f.MaxGRPCTimeout != nil && x.isGRPC()
	if fromGRPC {
		asked, _ := grpcTimeout(&x.Request)
		if x.deadline = atMost(asked, *f.MaxGRPCTimeout); asked == 0 { // nothing is asked for, which is as long as may be
			x.deadline = *f.MaxGRPCTimeout
		}
	}
	if p := x.retryPolicy(); p != nil {
		x.tryLimit, x.tryIdle = p.PerTry, p.PerTryIdle
	}
	if n, ok := x.header(codec.EnvoyTimeout); ok {
		x.deadline = time.Duration(n) * time.Millisecond
	}
	if n, ok := x.header(codec.EnvoyTryTimeout); ok {
		x.tryLimit = time.Duration(n) * time.Millisecond
	}
	if x.tunnel {
		x.deadline = 0
	}
	x.setHedging(f)
	if x.deadline > 0 && x.tryLimit >= x.deadline {
		x.tryLimit = 0
	}
	expected := x.tryLimit
	if expected == 0 || x.hedging { // a try that hedges is not cut
		expected = x.deadline
	}
	if expected > 0 && !x.m.Config.SuppressEnvoy {
		x.Request.SetInt(codec.EnvoyExpectedTimeout, millis(expected))
	}
	if expected > 0 && fromGRPC {
		codec.SetGRPCTimeout(&x.Request, expected)
	}
}

// setRetries joins the route's policy with what the request's headers ask for.
func (x *Exchange) setRetries(f *config.Forward) {
	h := &x.Request
	policy := f.Retry
	if policy == nil {
		policy = x.vhost.Retry
	}
	on, asked := h.Value(codec.EnvoyRetryOn)
	if policy == nil && !asked && !h.Has(codec.EnvoyRetryGRPCOn) {
		return
	}
	if policy == nil {
		policy = &noPolicy
	}
	if len(policy.RequestHeaders) > 0 && !x.anyHeader(policy.RequestHeaders) {
		return
	}
	x.policyOf = retry.Of(policy)
	x.left = int(policy.Attempts)
	if asked {
		x.policyOf.On |= retry.Parse(on)
		h.Del(codec.EnvoyRetryOn)
	}
	if v, ok := h.Value(codec.EnvoyRetryGRPCOn); ok {
		x.policyOf.On |= retry.Parse(v)
		h.Del(codec.EnvoyRetryGRPCOn)
	}
	if n, ok := x.header(codec.EnvoyMaxRetries); ok {
		x.left = int(n)
	}
	x.retries = x.policyOf.On != 0
	if policy.Avoids() && x.avoid == nil {
		x.avoid = x.omits
	}
}

// noPolicy is Envoy's default for a request that asks for retries by itself: one.
var noPolicy = config.Retry{Attempts: 1}

func (x *Exchange) anyHeader(list []config.HeaderMatch) bool {
	for i := range list {
		if matchHeader(x.w, &list[i], &x.Request) {
			return true
		}
	}
	return false
}

// finalize edits the request for the upstream: what is more special goes first, and is seen before the rewrites (Envoy, "Custom request/response headers").
func (x *Exchange) finalize(f *config.Forward) {
	x.eachLevel(func(e *config.HeaderEdits) { headers.Request(&x.Request, e, x.Record) })
	host := f.HostRewrite
	if x.weighted != nil && x.weighted.HostRewrite != "" {
		host = x.weighted.HostRewrite
	}
	if host != "" {
		x.rewriteHost(host, f.AppendXFH)
	}
	x.rewritePath(f)
}

func (x *Exchange) rewriteHost(to string, tell bool) {
	h := &x.Request
	old := h.Authority()
	if !x.m.Config.SuppressEnvoy && !h.Has(codec.EnvoyOriginalHost) {
		h.Set(codec.EnvoyOriginalHost, old)
	}
	if tell {
		h.Append(codec.ForwardedHost, ",", old)
	}
	h.SetAuthorityString(to)
}

// eachLevel calls fn for the header edits of the weighted cluster, the route, the virtual host and the table, in this order, or the opposite one when the most
// special is to have the last word.
func (x *Exchange) eachLevel(fn func(*config.HeaderEdits)) {
	var levels [4]*config.HeaderEdits
	n := 0
	if x.weighted != nil {
		levels[n] = &x.weighted.Headers
		n++
	}
	if x.route != nil {
		levels[n] = &x.route.Headers
		n++
	}
	if x.vhost != nil {
		levels[n] = &x.vhost.Headers
		n++
	}
	if x.table != nil {
		levels[n] = &x.table.Config.Headers
		n++
	}
	for i := range n {
		at := i
		if x.table != nil && x.table.Config.MostSpecific {
			at = n - 1 - i
		}
		if e := levels[at]; len(e.Request)+len(e.Response)+len(e.RequestRemove)+len(e.ResponseRemove) > 0 {
			fn(e)
		}
	}
}

// routeResponse edits a response as the route asks.
func (x *Exchange) routeResponse(h *codec.Head) {
	x.eachLevel(func(e *config.HeaderEdits) { headers.Response(h, e, x.Record) })
	if x.vhost != nil && x.vhost.AttemptCountResponse && x.attempts > 0 {
		h.SetInt(codec.EnvoyAttemptCount, int64(x.attempts))
	}
}
