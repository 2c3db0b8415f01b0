package mesh

import "strings"

// LocalityBalance is how nearness counts in the choice of endpoints (Istio's LocalityLoadBalancerSetting). The zero value puts nearer localities first where outlier
// detection can tell that their endpoints fail.
type LocalityBalance struct {
	Off        bool
	Distribute []Distribution // the first that fits the client counts, and nothing below
	Labels     []LabelPriority
	Failover   []RegionFailover
	// Zoned is Istio's ZoneAwareLoadBalancerSetting: requests stay in the client's zone as far as that burdens no endpoint more than others, where there are Least endpoints in its
	// region (0: the proxies' default), and go to other regions when its own is sick, whatever tells that. There is no distribution then.
	Zoned bool
	Least uint32
}

// Distribution shares the requests of clients at From out between localities; others get none.
type Distribution struct {
	From LocalityPattern
	To   []LocalityShare
}

// LocalityShare is a share of requests, in percent.
type LocalityShare struct {
	To     LocalityPattern
	Weight uint32
}

// RegionFailover prefers region To to all others when that of the client, From, is sick.
type RegionFailover struct{ From, To string }

// LabelPriority asks that an endpoint has a label with a value, nil: with that of the client. Endpoints that fulfil more of such a list, from its beginning, go first.
type LabelPriority struct {
	Key   string
	Value *string
}

// LocalityPattern is a locality whose parts may be "*", or empty below the region: any.
type LocalityPattern struct{ Region, Zone, Subzone string }

// Matches says whether a locality fits.
func (p LocalityPattern) Matches(l Locality) bool {
	fits := func(pattern, value string) bool { return pattern == "*" || pattern == value }
	return fits(p.Region, l.Region) && (p.Zone == "" || fits(p.Zone, l.Zone)) && (p.Subzone == "" || fits(p.Subzone, l.Subzone))
}

// Overlaps says whether a locality can fit both.
func (p LocalityPattern) Overlaps(q LocalityPattern) bool {
	meet := func(a, b string) bool { return a == b || a == "*" || b == "*" || a == "" || b == "" }
	return meet(p.Region, q.Region) && meet(p.Zone, q.Zone) && meet(p.Subzone, q.Subzone)
}

// The labels that stand for where a client and an endpoint run, whatever their own labels say.
const (
	LabelNetwork = "topology.istio.io/network"
	LabelCluster = "topology.istio.io/cluster"
	LabelRegion  = "topology.kubernetes.io/region"
	LabelZone    = "topology.kubernetes.io/zone"
	LabelSubzone = "topology.istio.io/subzone"
	// LabelHostname is the node; what runs on none that is known may have it as a label of its own.
	LabelHostname = "kubernetes.io/hostname"
)

// Topology is the value of one of these labels.
func Topology(key string, n NetworkID, c ClusterID, l Locality) (value string, ok bool) {
	switch key {
	case LabelNetwork:
		return string(n), true
	case LabelCluster:
		return string(c), true
	case LabelRegion:
		return l.Region, true
	case LabelZone:
		return l.Zone, true
	case LabelSubzone:
		return l.Subzone, true
	}
	return "", false
}

// Nearness is which endpoints of a service go first (trafficDistribution of a Service).
type Nearness uint8

// The nearnesses.
const (
	Anywhere Nearness = iota
	NearZone
	NearNode
)

// ParseNearness reads trafficDistribution in any case; false when there is no such one.
func ParseNearness(text string) (Nearness, bool) {
	switch strings.ToLower(text) {
	case "preferclose", "prefersamezone":
		return NearZone, true
	case "prefersamenode":
		return NearNode, true
	}
	return Anywhere, false
}

// Nearest puts the same network, region, zone and sub-zone first, and the same node before them if that is asked for.
func Nearest(n Nearness) *LocalityBalance {
	out := &LocalityBalance{Labels: []LabelPriority{{Key: LabelNetwork}, {Key: LabelRegion}, {Key: LabelZone}, {Key: LabelSubzone}}}
	if n == NearNode {
		out.Labels = append(out.Labels, LabelPriority{Key: LabelHostname})
	}
	return out
}
