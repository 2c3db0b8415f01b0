package upstream

import (
	"fmt"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	commonv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/matcher/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
)

// outliers follows Istio: success rates are never a reason, a count of 0 switches its reason off, and panic is off unless a minimum is given.
func (t *target) outliers(v *view.View, c *clusterv3.Cluster) {
	o := t.policy.Outlier
	if o == nil || c.GetType() == clusterv3.Cluster_ORIGINAL_DST {
		return
	}
	d := &clusterv3.OutlierDetection{
		Interval: message.Set(o.Interval), BaseEjectionTime: message.Set(o.BaseEjection),
		MaxEjectionPercent: message.SetUInt32(o.MaxEjectionPercent), EnforcingSuccessRate: message.UInt32(0),
	}
	enforce := func(n uint32) uint32 {
		if n > 0 {
			return 100
		}
		return 0
	}
	if n := o.Consecutive5xx; n != nil {
		d.Consecutive_5Xx, d.EnforcingConsecutive_5Xx = message.SetUInt32(*n), message.UInt32(enforce(*n))
	}
	if n := o.ConsecutiveGatewayErrors; n != nil {
		d.ConsecutiveGatewayFailure, d.EnforcingConsecutiveGatewayFailure = message.SetUInt32(*n), message.UInt32(enforce(*n))
	}
	if o.SplitLocalOrigin {
		d.SplitExternalLocalOriginErrors = true
		if n := o.ConsecutiveLocalOrigin; n != nil {
			d.ConsecutiveLocalOriginFailure, d.EnforcingConsecutiveLocalOriginFailure = message.SetUInt32(*n), message.UInt32(enforce(*n))
		}
		d.EnforcingLocalOriginSuccessRate = message.UInt32(0)
	}
	if p := o.FailurePercentage; p != nil && t.upstream(v, "outlierDetection.failurePercentageThreshold", "eject endpoints for failures in a row only") {
		d.FailurePercentageThreshold, d.EnforcingFailurePercentage = message.UInt32(*p), message.UInt32(100)
	}
	c.OutlierDetection = d
	c.CommonLbConfig.HealthyPanicThreshold = &typev3.Percent{Value: float64(o.MinHealthPercent)}
}

// errors says which answers are errors to outlier detection, where the rule names their codes.
func (t *target) errors(v *view.View, o *httpv3.HttpProtocolOptions) {
	d := t.policy.Outlier
	if d == nil || len(d.Codes) == 0 || !t.upstream(v, "outlierDetection.outlierDetectionHttpErrorCodes", "count 5xx as errors, and nothing else") {
		return
	}
	var codes []*commonv3.MatchPredicate
	for _, code := range d.Codes {
		codes = append(codes, &commonv3.MatchPredicate{Rule: &commonv3.MatchPredicate_HttpResponseHeadersMatch{HttpResponseHeadersMatch: &commonv3.HttpHeadersMatch{
			Headers: []*routev3.HeaderMatcher{{Name: ":status", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
				MatchPattern: &matcherv3.StringMatcher_Exact{Exact: fmt.Sprint(code)},
			}}}},
		}}})
	}
	matcher := codes[0]
	if len(codes) > 1 { // a set has two members or more
		matcher = &commonv3.MatchPredicate{Rule: &commonv3.MatchPredicate_OrMatch{OrMatch: &commonv3.MatchPredicate_MatchSet{Rules: codes}}}
	}
	o.OutlierDetection = &httpv3.HttpProtocolOptions_OutlierDetection{ErrorMatcher: matcher}
}
