package upstream

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	weightedv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/client_side_weighted_round_robin/v3"
	commonlbv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/common/v3"
	localityv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/wrr_locality/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
)

// utilization weighs endpoints by what they tell of their load, in the place of the algorithm. Localities that share requests out do so around it.
func (t *target) utilization(v *view.View, c *clusterv3.Cluster) {
	lb := t.policy.LoadBalancer
	if lb == nil || lb.Utilization == nil || c.GetType() == clusterv3.Cluster_ORIGINAL_DST || !t.upstream(v, "loadBalancer.backendUtilization", "choose endpoints by the requests that are in flight") {
		return
	}
	u := lb.Utilization
	w := &weightedv3.ClientSideWeightedRoundRobin{
		BlackoutPeriod: message.Set(u.Stabilization), WeightExpirationPeriod: message.Set(u.Expiration), WeightUpdatePeriod: message.Set(u.Update),
		MetricNamesForComputingUtilization: u.Metrics,
	}
	if u.PenaltyPercent > 0 {
		w.ErrorUtilizationPenalty = wrapperspb.Float(float32(u.PenaltyPercent) / 100)
	}
	if slow := t.slowStart(v, lb); slow != nil {
		w.SlowStartConfig = &commonlbv3.SlowStartConfig{SlowStartWindow: slow.SlowStartWindow, Aggression: slow.Aggression, MinWeightPercent: slow.MinWeightPercent}
	}
	policy := balancing("envoy.load_balancing_policies.client_side_weighted_round_robin", w)
	if c.CommonLbConfig.GetLocalityWeightedLbConfig() != nil {
		c.CommonLbConfig.LocalityConfigSpecifier = nil
		policy = balancing("envoy.load_balancing_policies.wrr_locality", &localityv3.WrrLocality{EndpointPickingPolicy: policy})
	}
	c.LbPolicy, c.LbConfig, c.LoadBalancingPolicy = clusterv3.Cluster_ROUND_ROBIN, nil, policy
}

// balancing is a policy of load balancing by its extension.
func balancing(name string, m proto.Message) *clusterv3.LoadBalancingPolicy {
	return &clusterv3.LoadBalancingPolicy{Policies: []*clusterv3.LoadBalancingPolicy_Policy{{
		TypedExtensionConfig: &corev3.TypedExtensionConfig{Name: name, TypedConfig: message.Any(m)},
	}}}
}
