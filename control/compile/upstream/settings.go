package upstream

import (
	"math"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// unbounded is Istio's default, frozen.
var unbounded = message.Frozen(bounded(&mesh.ConnectionPool{}, nil))

// breakers are the bounds of a cluster.
func breakers(p *mesh.ConnectionPool, budget *clusterv3.CircuitBreakers_Thresholds_RetryBudget) *clusterv3.CircuitBreakers {
	if budget == nil && p.MaxConnections|p.MaxPendingRequests|p.MaxRequests|p.MaxRetries == 0 {
		return unbounded
	}
	return bounded(p, budget)
}

// bounded are bounds of which those that are not said have Istio's default, none.
func bounded(p *mesh.ConnectionPool, budget *clusterv3.CircuitBreakers_Thresholds_RetryBudget) *clusterv3.CircuitBreakers {
	bound := func(n uint32) uint32 {
		if n == 0 {
			return math.MaxUint32
		}
		return n
	}
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
		MaxConnections:     message.UInt32(bound(p.MaxConnections)),
		MaxPendingRequests: message.UInt32(bound(p.MaxPendingRequests)),
		MaxRequests:        message.UInt32(bound(p.MaxRequests)),
		MaxRetries:         message.UInt32(bound(p.MaxRetries)),
		TrackRemaining:     true,
		RetryBudget:        budget,
	}}}
}

// budget bounds retries in the place of a fixed number; nil for none.
func (t *target) budget(v *view.View) *clusterv3.CircuitBreakers_Thresholds_RetryBudget {
	b := t.policy.Budget
	if b == nil {
		return nil
	}
	out := &clusterv3.CircuitBreakers_Thresholds_RetryBudget{BudgetPercent: &typev3.Percent{Value: b.Percent}, MinRetryConcurrency: message.UInt32(b.Minimum)}
	switch {
	case b.Interval == 0:
	case v.Can(mesh.FeatureBudgetInterval):
		out.BudgetInterval = message.Duration(b.Interval)
	default:
		v.Notice(mesh.Problem{
			Object: t.origin(), Field: "spec.trafficPolicy.retryBudget.budgetInterval", Code: mesh.CodeNotEnforced,
			Message: "some connected proxies count only the requests that are active or wait", Hint: "upgrade them",
		})
	}
	return out
}

// pool bounds connections and requests.
func (t *target) pool(c *clusterv3.Cluster, budget *clusterv3.CircuitBreakers_Thresholds_RetryBudget) {
	p := t.policy.Pool
	if p == nil {
		p = &mesh.ConnectionPool{}
	}
	c.CircuitBreakers = breakers(p, budget)
	if p.ConnectTimeout > 0 {
		c.ConnectTimeout = message.Duration(p.ConnectTimeout)
	}
	keepAlive(c, mesh.Keepalive{Probes: p.KeepaliveProbes, Time: p.KeepaliveTime, Interval: p.KeepaliveInterval})
}

// keepAlive has the kernel look whether peers are still there.
func keepAlive(c *clusterv3.Cluster, k mesh.Keepalive) {
	if k != (mesh.Keepalive{}) {
		c.UpstreamConnectionOptions = &clusterv3.UpstreamConnectionOptions{TcpKeepalive: &corev3.TcpKeepalive{
			KeepaliveProbes: message.SetUInt32(k.Probes), KeepaliveTime: message.SetUInt32(uint32(k.Time.Seconds())), KeepaliveInterval: message.SetUInt32(uint32(k.Interval.Seconds())),
		}}
	}
}

// balancer chooses the algorithm. A cluster of the dialled address has none.
func (t *target) balancer(v *view.View, c *clusterv3.Cluster) {
	if c.GetType() == clusterv3.Cluster_ORIGINAL_DST || c.GetClusterType() != nil {
		c.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
		return
	}
	lb := t.policy.LoadBalancer
	if lb == nil {
		lb = &mesh.LoadBalancer{}
	}
	if lb.Hash != nil && v.Can(mesh.FeatureHash) {
		hashing(c, lb.Hash)
		return
	}
	slow := t.slowStart(v, lb)
	switch lb.Algorithm {
	case mesh.RoundRobin:
		c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
		if slow != nil {
			c.LbConfig = &clusterv3.Cluster_RoundRobinLbConfig_{RoundRobinLbConfig: &clusterv3.Cluster_RoundRobinLbConfig{SlowStartConfig: slow}}
		}
	case mesh.Random:
		c.LbPolicy = clusterv3.Cluster_RANDOM
	default:
		c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
		if slow != nil {
			c.LbConfig = &clusterv3.Cluster_LeastRequestLbConfig_{LeastRequestLbConfig: &clusterv3.Cluster_LeastRequestLbConfig{SlowStartConfig: slow}}
		}
	}
}

// slowStart gives new endpoints less than their share.
func (t *target) slowStart(v *view.View, lb *mesh.LoadBalancer) *clusterv3.Cluster_SlowStartConfig {
	if lb.Warmup == 0 {
		return nil
	}
	slow := &clusterv3.Cluster_SlowStartConfig{SlowStartWindow: message.Duration(lb.Warmup)}
	if lb.WarmupLeast == nil && lb.WarmupAggression == nil {
		return slow
	}
	if !v.Can(mesh.FeatureBalance) {
		t.incapable(v, "warmup", "some connected proxies begin with 10 percent and grow evenly")
		return slow
	}
	if p := lb.WarmupLeast; p != nil {
		slow.MinWeightPercent = &typev3.Percent{Value: *p}
	}
	if a := lb.WarmupAggression; a != nil {
		slow.Aggression = &corev3.RuntimeDouble{DefaultValue: *a, RuntimeKey: "heddle.slow_start.aggression"}
	}
	return slow
}

// origin is what is told of the policy: its rule, or MeshConfig.
func (t *target) origin() mesh.Ref {
	if t.rule == nil {
		return view.MeshDefault
	}
	return t.rule.Origin
}

// incapable tells the owner of the rule that some proxies cannot do all that a field of its load balancer asks for.
func (t *target) incapable(v *view.View, field, message string) {
	v.Notice(mesh.Problem{
		Object: t.origin(), Field: "spec.trafficPolicy.loadBalancer." + field, Code: mesh.CodeNotEnforced, Message: message, Hint: "upgrade them",
	})
}

// localities says that the weights of localities count. Without a distribution they only say how many endpoints there are.
func (t *target) localities(v *view.View, c *clusterv3.Cluster) {
	near, _ := v.Nearness(t.service, t.policy)
	if lb := t.policy.LoadBalancer; lb != nil && lb.Hash != nil && lb.Locality != nil && len(lb.Locality.Distribute) > 0 && !v.Can(mesh.FeatureBalance) {
		t.incapable(v, "localityLbSetting.distribute", "some connected proxies have one ring or table for the endpoints of all localities alike")
	}
	switch {
	case c.LbPolicy == clusterv3.Cluster_CLUSTER_PROVIDED:
	case near != nil && len(near.Distribute) > 0:
		c.CommonLbConfig.LocalityConfigSpecifier = &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig_{
			LocalityWeightedLbConfig: &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig{},
		}
	default:
		t.zones(v, c, near)
	}
}

// hashing sets what Istio sets: a ring of at least 1024 places, or Maglev's table.
func hashing(c *clusterv3.Cluster, h *mesh.ConsistentHash) {
	if h.Maglev {
		c.LbPolicy = clusterv3.Cluster_MAGLEV
		if h.Size > 0 {
			c.LbConfig = &clusterv3.Cluster_MaglevLbConfig_{MaglevLbConfig: &clusterv3.Cluster_MaglevLbConfig{TableSize: wrapperspb.UInt64(h.Size)}}
		}
		return
	}
	size := uint64(1024)
	if h.Size > 0 {
		size = h.Size
	}
	c.LbPolicy = clusterv3.Cluster_RING_HASH
	c.LbConfig = &clusterv3.Cluster_RingHashLbConfig_{RingHashLbConfig: &clusterv3.Cluster_RingHashLbConfig{MinimumRingSize: wrapperspb.UInt64(size)}}
}
