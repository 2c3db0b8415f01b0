package decode

import (
	"math"
	"math/big"
	"strings"
	"time"

	ewmav3 "github.com/envoyproxy/go-control-plane/contrib/envoy/extensions/load_balancing_policies/peak_ewma/v3alpha"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	weightedv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/client_side_weighted_round_robin/v3"
	providedv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/cluster_provided/v3"
	commonlbv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/common/v3"
	leastv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/least_request/v3"
	maglevv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/maglev/v3"
	randomv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/random/v3"
	ringv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/ring_hash/v3"
	roundv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/round_robin/v3"
	subsetv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/subset/v3"
	localityv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/wrr_locality/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/heddle-mesh/heddle/data/proxy/balance"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// balancing reads how an endpoint is chosen: from load_balancing_policy, or from lb_policy and what belongs to it.
func (r *read) balancing(path string, m *clusterv3.Cluster, c *config.Cluster) {
	c.ChoiceCount, c.SlowStart = 2, config.SlowStart{Aggression: 1, Least: defaultLeastStart}
	r.ring(path, nil, nil, c)
	r.table(path, nil, c)
	if p := m.GetCommonLbConfig().GetHealthyPanicThreshold(); p != nil {
		c.Panic = p.GetValue()
	}
	if m.GetLoadBalancingPolicy() != nil {
		if m.GetCommonLbConfig().GetLocalityConfigSpecifier() != nil {
			r.add(join(path, "common_lb_config"), "with load_balancing_policy, what it says of localities belongs there")
		}
		if m.GetCommonLbConfig().GetConsistentHashingLbConfig() != nil {
			r.add(join(path, "common_lb_config.consistent_hashing_lb_config"), "with load_balancing_policy it belongs there")
		}
		r.policy(join(path, "load_balancing_policy"), m.GetLoadBalancingPolicy(), c)
	} else {
		r.lbPolicy(path, m, c)
		r.lbSubsets(join(path, "lb_subset_config"), m.GetLbSubsetConfig(), c)
	}
	if c.LocalityWeighted && (c.Subsets == nil || c.Subsets.LocalityAware) { // the weights split requests between localities
		c.Zones = nil
	}
	r.destination(join(path, "original_dst_lb_config"), m.GetOriginalDstLbConfig(), c)
	at := join(path, "lb_policy")
	if m.GetLoadBalancingPolicy() != nil {
		at = join(path, "load_balancing_policy") + firstPolicy
	}
	switch original := c.Type == config.OriginalDst; {
	case original && c.Policy != config.ClusterProvided:
		r.add(at, "an ORIGINAL_DST cluster needs CLUSTER_PROVIDED")
	case c.Type == config.ClientNames && c.Policy != config.ClusterProvided:
		r.add(at, "a cluster of names that clients give needs CLUSTER_PROVIDED")
		r.add(join(path, "cluster_type"), "a cluster of names that clients give needs lb_policy CLUSTER_PROVIDED")
	case !original && c.Type != config.ClientNames && c.Policy == config.ClusterProvided:
		r.add(at, "CLUSTER_PROVIDED is for ORIGINAL_DST clusters and those of names that clients give")
	}
}

const (
	defaultLeastStart = 10 // percent
	firstPolicy       = ".policies[0].typed_extension_config.typed_config"
)

// hashingSettings is what both forms of ConsistentHashingLbConfig have.
type hashingSettings interface {
	GetUseHostnameForHashing() bool
	GetHashBalanceFactor() *wrapperspb.UInt32Value
}

func (r *read) hashing(path string, m hashingSettings, c *config.Cluster) {
	c.HashHostnames = m.GetUseHostnameForHashing()
	if f := m.GetHashBalanceFactor(); f != nil {
		if c.HashBalance = f.GetValue(); c.HashBalance < 100 {
			r.add(path+".hash_balance_factor", "want 100 or more")
		}
	}
}

func (r *read) lbPolicy(path string, m *clusterv3.Cluster, c *config.Cluster) {
	r.hashing(join(path, "common_lb_config.consistent_hashing_lb_config"), m.GetCommonLbConfig().GetConsistentHashingLbConfig(), c)
	c.LocalityWeighted = m.GetCommonLbConfig().GetLocalityWeightedLbConfig() != nil
	zones := m.GetCommonLbConfig().GetZoneAwareLbConfig()
	if p := m.GetLbPolicy(); !c.LocalityWeighted && (p == clusterv3.Cluster_ROUND_ROBIN || p == clusterv3.Cluster_LEAST_REQUEST || p == clusterv3.Cluster_RANDOM) {
		r.zones(join(path, "common_lb_config.zone_aware_lb_config"), zones, c)
	} else if zones != nil {
		r.add(join(path, "common_lb_config.zone_aware_lb_config"), "it is for ROUND_ROBIN, LEAST_REQUEST and RANDOM")
	}
	switch m.GetLbPolicy() {
	case clusterv3.Cluster_LEAST_REQUEST:
		x := m.GetLeastRequestLbConfig()
		c.Policy = config.LeastRequest
		r.least(join(path, "least_request_lb_config"), x.GetChoiceCount(), x.GetActiveRequestBias(), x.GetSlowStartConfig(), c)
	case clusterv3.Cluster_RANDOM:
		c.Policy = config.Random
	case clusterv3.Cluster_CLUSTER_PROVIDED:
		c.Policy = config.ClusterProvided
	case clusterv3.Cluster_RING_HASH:
		x := m.GetRingHashLbConfig()
		c.Policy = config.RingHash
		r.ring(join(path, "ring_hash_lb_config"), x.GetMinimumRingSize(), x.GetMaximumRingSize(), c)
	case clusterv3.Cluster_MAGLEV:
		c.Policy = config.Maglev
		r.table(join(path, "maglev_lb_config"), m.GetMaglevLbConfig().GetTableSize(), c)
	default:
		r.slow(join(path, "round_robin_lb_config"), m.GetRoundRobinLbConfig().GetSlowStartConfig(), c)
	}
}

// policy reads the first policy, which is the one that counts: all that are taken are known.
func (r *read) policy(path string, m *clusterv3.LoadBalancingPolicy, c *config.Cluster) {
	if len(m.GetPolicies()) != 1 {
		r.add(path+".policies", "want one policy, of those that are known; there are %d", len(m.GetPolicies()))
		return
	}
	path += firstPolicy
	any := m.GetPolicies()[0].GetTypedExtensionConfig().GetTypedConfig()
	p, err := open(any)
	if err != nil {
		if any == nil {
			r.add(path, "it is missing")
		}
		return // reported by honour
	}
	switch p := p.(type) {
	case *roundv3.RoundRobin:
		r.slow(path, p.GetSlowStartConfig(), c)
		r.locality(path, p.GetLocalityLbConfig(), c)
	case *leastv3.LeastRequest:
		c.Policy = config.LeastRequest
		r.locality(path, p.GetLocalityLbConfig(), c)
		c.FullScan = p.GetSelectionMethod() == leastv3.LeastRequest_FULL_SCAN || p.GetEnableFullScan().GetValue()
		r.least(path, p.GetChoiceCount(), p.GetActiveRequestBias(), p.GetSlowStartConfig(), c)
	case *randomv3.Random:
		c.Policy = config.Random
		r.locality(path, p.GetLocalityLbConfig(), c)
	case *ringv3.RingHash:
		c.Policy, c.LocalityWeighted = config.RingHash, p.GetLocalityWeightedLbConfig() != nil
		r.hashing(path+".consistent_hashing_lb_config", p.GetConsistentHashingLbConfig(), c)
		r.ring(path, p.GetMinimumRingSize(), p.GetMaximumRingSize(), c)
	case *maglevv3.Maglev:
		c.Policy, c.LocalityWeighted = config.Maglev, p.GetLocalityWeightedLbConfig() != nil
		r.hashing(path+".consistent_hashing_lb_config", p.GetConsistentHashingLbConfig(), c)
		r.table(path, p.GetTableSize(), c)
	case *localityv3.WrrLocality:
		r.policy(path+".endpoint_picking_policy", p.GetEndpointPickingPolicy(), c)
		if c.LocalityWeighted || hashes(c.Policy) || c.Policy == config.ClusterProvided {
			r.add(path+".endpoint_picking_policy", "want round_robin, least_request or random, without a word on localities")
		}
		c.LocalityWeighted = true
	case *weightedv3.ClientSideWeightedRoundRobin:
		r.loadWeights(path, p, c)
	case *ewmav3.PeakEwma:
		c.Policy = config.PeakEWMA
		c.Quickness.Decay = r.positive(path+".decay_time", p.GetDecayTime(), 10*time.Second)
		c.Quickness.Unknown = r.positive(path+".default_rtt", p.GetDefaultRtt(), 10*time.Millisecond)
	case *subsetv3.Subset:
		r.subsetPolicy(path, p, c)
	case *providedv3.ClusterProvided:
		c.Policy = config.ClusterProvided
	default:
		r.add(path, "%s is not expected here, want a policy of load balancing", short(any.MessageName()))
	}
}

// leastUpdate is how often weights change at most, as in Envoy.
const leastUpdate = 100 * time.Millisecond

// loadWeights is a round robin with weights that endpoints tell. The defaults are those of stock Envoy, whose error_utilization_penalty is 0, although its API says 1.
func (r *read) loadWeights(path string, m *weightedv3.ClientSideWeightedRoundRobin, c *config.Cluster) {
	l := &config.LoadWeights{
		Blackout: r.duration(path+".blackout_period", m.GetBlackoutPeriod(), 10*time.Second), Expiry: r.duration(path+".weight_expiration_period", m.GetWeightExpirationPeriod(), 3*time.Minute),
		Update: max(leastUpdate, r.duration(path+".weight_update_period", m.GetWeightUpdatePeriod(), time.Second)), Metrics: m.GetMetricNamesForComputingUtilization(),
	}
	if p := m.GetErrorUtilizationPenalty(); p != nil {
		if l.Penalty = float64(p.GetValue()); !(l.Penalty >= 0) || math.IsInf(l.Penalty, 0) {
			r.add(path+".error_utilization_penalty", "want 0 or more")
		}
	}
	for i, name := range l.Metrics {
		kind, key, _ := strings.Cut(name, ".")
		if name != "cpu_utilization" && name != "mem_utilization" && !(key != "" && (kind == "named_metrics" || kind == "utilization")) {
			r.add(at(path, "metric_names_for_computing_utilization", i), "want cpu_utilization, mem_utilization, named_metrics.NAME or utilization.NAME")
		}
	}
	r.slow(path, m.GetSlowStartConfig(), c)
	c.Load = l
}

func hashes(p config.Policy) bool { return p == config.RingHash || p == config.Maglev }

func (r *read) locality(path string, m *commonlbv3.LocalityLbConfig, c *config.Cluster) {
	if c.LocalityWeighted = m.GetLocalityWeightedLbConfig() != nil; c.LocalityWeighted {
		return
	}
	r.zones(path+".locality_lb_config.zone_aware_lb_config", m.GetZoneAwareLbConfig(), c)
}

// zoneSettings is what both forms of ZoneAwareLbConfig have.
type zoneSettings interface {
	GetRoutingEnabled() *typev3.Percent
	GetMinClusterSize() *wrapperspb.UInt64Value
	GetFailTrafficOnPanic() bool
}

// leastZones is Envoy's min_cluster_size.
const leastZones = 6

// zones: where nothing is said the defaults are in force, as in Envoy; they mean nothing without a local cluster.
func (r *read) zones(path string, m zoneSettings, c *config.Cluster) {
	c.Zones = &config.Zones{Percent: 100, Least: leastZones, FailOnPanic: m.GetFailTrafficOnPanic()}
	if p := m.GetRoutingEnabled(); p != nil {
		if c.Zones.Percent = p.GetValue(); !(c.Zones.Percent >= 0 && c.Zones.Percent <= 100) {
			r.add(path+".routing_enabled", "want 0 to 100")
		}
	}
	if n := m.GetMinClusterSize(); n != nil {
		c.Zones.Least = n.GetValue()
	}
}

func (r *read) least(path string, choices *wrapperspb.UInt32Value, bias *corev3.RuntimeDouble, slow slowStart, c *config.Cluster) {
	c.ChoiceCount = number(choices, 2)
	if c.ChoiceCount < 2 {
		r.add(path+".choice_count", "want 2 or more")
	}
	if bias != nil {
		v := bias.GetDefaultValue()
		if c.Bias = &v; v < 0 || math.IsNaN(v) || math.IsInf(v, 0) {
			r.add(path+".active_request_bias.default_value", "want 0 or more")
		}
	}
	r.slow(path, slow, c)
}

// slowStart is what both forms of SlowStartConfig have.
type slowStart interface {
	GetSlowStartWindow() *durationpb.Duration
	GetAggression() *corev3.RuntimeDouble
	GetMinWeightPercent() *typev3.Percent
}

func (r *read) slow(path string, m slowStart, c *config.Cluster) {
	path += ".slow_start_config"
	c.SlowStart.Window = r.duration(path+".slow_start_window", m.GetSlowStartWindow(), 0)
	if a := m.GetAggression(); a != nil {
		if c.SlowStart.Aggression = a.GetDefaultValue(); !(c.SlowStart.Aggression > 0) || math.IsInf(c.SlowStart.Aggression, 0) {
			r.add(path+".aggression.default_value", "want more than 0")
		}
	}
	if p := m.GetMinWeightPercent(); p != nil {
		if c.SlowStart.Least = p.GetValue(); !(c.SlowStart.Least >= 0 && c.SlowStart.Least <= 100) {
			r.add(path+".min_weight_percent", "want 0 to 100")
		}
	}
}

// size reads the size of a ring or table. The bounds are Envoy's, because both take memory in proportion.
func (r *read) size(path string, n *wrapperspb.UInt64Value, otherwise, most uint64) uint64 {
	if n == nil {
		return otherwise
	}
	if n.GetValue() == 0 || n.GetValue() > most {
		r.add(path, "want 1 to %d", most)
	}
	return n.GetValue()
}

func (r *read) ring(path string, least, most *wrapperspb.UInt64Value, c *config.Cluster) {
	c.RingMin = r.size(path+".minimum_ring_size", least, balance.MinRingSize, balance.MaxRingSize)
	c.RingMax = r.size(path+".maximum_ring_size", most, balance.MaxRingSize, balance.MaxRingSize)
	if c.RingMin > c.RingMax {
		r.add(path+".minimum_ring_size", "%d is above maximum_ring_size %d", c.RingMin, c.RingMax)
	}
}

func (r *read) table(path string, size *wrapperspb.UInt64Value, c *config.Cluster) {
	c.MaglevSize = r.size(path+".table_size", size, balance.MaglevSize, maxMaglevSize)
	if !new(big.Int).SetUint64(c.MaglevSize).ProbablyPrime(0) {
		r.add(path+".table_size", "%d is not prime", c.MaglevSize)
	}
}

// destinationHeader is what names the destination where no other header is configured.
const destinationHeader = "x-envoy-original-dst-host"

func (r *read) destination(path string, m *clusterv3.Cluster_OriginalDstLbConfig, c *config.Cluster) {
	switch {
	case m.GetUseHttpHeader():
		if c.DestinationHeader = strings.ToLower(m.GetHttpHeaderName()); c.DestinationHeader == "" {
			c.DestinationHeader = destinationHeader
		}
	case m.GetHttpHeaderName() != "":
		r.add(path+".http_header_name", "set use_http_header: true")
	}
	port := m.GetUpstreamPortOverride().GetValue()
	if port > math.MaxUint16 {
		r.add(path+".upstream_port_override", "%d is above 65535", port)
	}
	c.DestinationPort = uint16(port)
}

func (r *read) positive(path string, m *durationpb.Duration, otherwise time.Duration) time.Duration {
	d := r.duration(path, m, otherwise)
	if d <= 0 {
		r.add(path, "want more than 0s")
	}
	return d
}
