package route

import (
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	prioritiesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/mesh"
)

// Istio's default retry policy (HTTPRetry in VirtualService, "the default cluster-wide retry policy").
const (
	defaultRetryOn  = "connect-failure,refused-stream,unavailable,cancelled"
	defaultAttempts = 2
	hostAttempts    = 5 // how often another host than those already tried is looked for
	priorityUpdates = 2 // tries before another priority is looked for
	retriableStatus = "retriable-status-codes"
)

var usualRetries = message.Frozen(retry(nil, &mesh.HTTPRule{}))

// Again is the policy of the inbound side, where nothing is tried again unless the mesh says so.
func Again(said *mesh.Retry) *routev3.RetryPolicy {
	if said == nil {
		return nil
	}
	return retry(said, &mesh.HTTPRule{})
}

// retry is the policy of a rule; nil switches retries off.
func retry(unsaid *mesh.Retry, rule *mesh.HTTPRule) *routev3.RetryPolicy {
	in := rule.Retry
	if in == nil {
		in = unsaid
	}
	if in == nil {
		in = &mesh.Retry{Attempts: defaultAttempts}
	}
	if in.Attempts == 0 {
		return nil
	}
	out := &routev3.RetryPolicy{
		RetryOn: in.On, NumRetries: message.UInt32(in.Attempts), PerTryTimeout: message.Set(in.PerTryTimeout),
		RetriableStatusCodes: in.Codes, HostSelectionRetryMaxAttempts: hostAttempts,
	}
	if rule.TryTimeout != nil && *rule.TryTimeout > 0 {
		out.PerTryTimeout = message.Duration(*rule.TryTimeout)
		if rule.Retry == nil {
			out.NumRetries = message.UInt32(0)
		}
	}
	if out.RetryOn == "" {
		out.RetryOn = defaultRetryOn
		if len(in.Codes) > 0 {
			out.RetryOn = retriableStatus
		}
	}
	if len(in.Codes) > 0 && !slices.Contains(strings.Split(out.RetryOn, ","), retriableStatus) {
		out.RetryOn += "," + retriableStatus
	}
	if in.IgnorePreviousHosts == nil || *in.IgnorePreviousHosts {
		out.RetryHostPredicate = []*routev3.RetryPolicy_RetryHostPredicate{{
			Name:       "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: message.Any(&previoushostsv3.PreviousHostsPredicate{})},
		}}
	}
	if in.RemoteLocalities != nil && *in.RemoteLocalities {
		out.RetryPriority = &routev3.RetryPolicy_RetryPriority{
			Name: "envoy.retry_priorities.previous_priorities",
			ConfigType: &routev3.RetryPolicy_RetryPriority_TypedConfig{
				TypedConfig: message.Any(&prioritiesv3.PreviousPrioritiesConfig{UpdateFrequency: priorityUpdates}),
			},
		}
	}
	if in.BackoffBase > 0 {
		out.RetryBackOff = &routev3.RetryPolicy_RetryBackOff{BaseInterval: message.Duration(in.BackoffBase), MaxInterval: message.Set(in.BackoffMax)}
	}
	return out
}
