package config

import (
	"net/netip"
	"time"
)

// ClusterType is envoy.config.cluster.v3.Cluster.DiscoveryType.
type ClusterType uint8

// The types.
const (
	StaticCluster ClusterType = iota
	EDS
	StrictDNS
	LogicalDNS
	OriginalDst
	ClientNames // the host that each request or connection names (envoy.clusters.dynamic_forward_proxy)
)

// Policy is Cluster.LbPolicy.
type Policy uint8

// The policies.
const (
	RoundRobin Policy = iota
	LeastRequest
	Random
	ClusterProvided // original destination, and names that clients give
	RingHash
	Maglev
	PeakEWMA
)

// Speaks is which version of HTTP goes to a cluster.
type Speaks uint8

// The versions.
const (
	SpeaksHTTP1 Speaks = iota
	SpeaksHTTP2
	SpeaksAsClient // use_downstream_protocol_config
)

// Cluster is envoy.config.cluster.v3.Cluster. Endpoints live apart in their own value, so that a change of them rebuilds nothing else.
type Cluster struct {
	Name, AltStat string
	Speaks        Speaks
	Frames        Frames
	Type          ClusterType
	Policy        Policy
	ChoiceCount   uint32   // of least request; 2 by default
	Bias          *float64 // of active requests, where weights differ; nil: their share of the weight alone matters
	FullScan      bool     // least request looks at all endpoints
	RingMin       uint64   // least number of places of a ring, and its bound
	RingMax       uint64
	MaglevSize    uint64 // of the table, prime
	HashHostnames bool   // endpoints are placed by their host names
	HashBalance   uint32 // percent of an even load that an endpoint may have before a hash means another; 0: any
	// DestinationHeader of a request names where it goes, before the original destination; DestinationPort, when it is not 0, replaces the port of either.
	DestinationHeader string
	DestinationPort   uint16
	ConnectTimeout    time.Duration
	BufferLimit       int        // bytes that a connection holds, see loop.Origin; 0: the default
	Bind              netip.Addr // source address; invalid for none
	BindOther         netip.Addr // source address for endpoints of the other family
	// Transport by endpoint metadata (transport_socket_matches); the first match wins, else TLS (nil: plain).
	Matches []TransportMatch
	TLS     *ClientTLS
	Proxy   uint8      // version of the PROXY header that connections begin with, before TLS; 0 for none
	TLVs    *ProxyTLVs // extensions of that header, nil for none

	MaxRequestsPerConn uint32
	MaxConnDuration    time.Duration
	IdleTimeout        time.Duration // of pooled connections; an hour by default, 0 none
	Keepalive          Keepalive
	Thresholds         [2]Thresholds // default and high priority
	Outlier            *Outlier
	Errors             *Codes       // the answers that outlier detection counts as errors; nil: 5xx
	Check              *HealthCheck // nil: endpoints are what discovery says
	// IgnoreHealthOnRemoval: an endpoint that discovery has removed goes at once, else it stays as long as its checks pass.
	IgnoreHealthOnRemoval bool
	IgnoreNewHosts        bool    // endpoints that were never checked do not count (ignore_new_hosts_until_first_hc)
	Panic                 float64 // percent; 50 by default
	LocalityWeighted      bool
	Overprovisioning      uint32 // percent; 140 by default
	SlowStart             SlowStart
	Quickness             Quickness
	Zones                 *Zones       // nil: requests are not kept in their zone
	Subsets               *Subsets     // nil: endpoints are not divided
	Load                  *LoadWeights // nil: endpoints weigh what discovery says
	DNSRefresh            time.Duration
	DNSRetry              [2]time.Duration // after a failure: the first pause and the longest
	RespectDNSTTL         bool
	DNSFamily             DNSFamily
	ServiceName           string        // EDS service name, or the cluster's name
	EndpointsWait         time.Duration // how long the cluster waits for EDS (initial_fetch_timeout); 0 for ever
	Telemetry             ClusterTelemetry
	Origin                string // the user's object that shaped it (metadata istio.config), for the decision trail
	Names                 *Names // of ClientNames
	Reach                 Reach  // of ClientNames
	Denied                string // why nothing may be sent to it (metadata heddle.dev/denied), "" if it may
	// Version of the definition; a cluster with the same version keeps its connections.
	Version string
	// Assignment is what the cluster resource itself holds (STATIC, DNS), nil for EDS.
	Assignment *Assignment
	// Endpoints are those in force: from Assignment or EDS.
	Endpoints *Assignment
}

// DNSFamily is dns_lookup_family.
type DNSFamily uint8

// The families.
const (
	DNSAuto DNSFamily = iota
	DNSV4
	DNSV6
	DNSAll
)

// Keepalive is upstream_connection_options.tcp_keepalive; zero Time: off.
type Keepalive struct {
	Time, Interval time.Duration
	Probes         uint32
}

// TransportMatch chooses TLS for endpoints whose metadata envoy.transport_socket_match has all the pairs; TLS nil is plain.
type TransportMatch struct {
	Labels map[string]string
	TLS    *ClientTLS
	Proxy  uint8 // as in Cluster
	TLVs   *ProxyTLVs
}

// SlowStart gives new endpoints less than their share (Cluster.SlowStartConfig).
type SlowStart struct {
	Window     time.Duration // 0: no slow start
	Aggression float64       // 1: the share grows evenly; more: it grows fast at first
	Least      float64       // the share at the beginning, in percent
}

// Zones keeps requests in the proxy's own locality where there are enough endpoints (zone_aware_lb_config).
type Zones struct {
	Percent     float64 // of the requests (routing_enabled)
	Least       uint64  // endpoints of the cluster (min_cluster_size)
	FailOnPanic bool    // in panic nobody is chosen
}

// Quickness is what PeakEWMA goes by (envoy.extensions.load_balancing_policies.peak_ewma).
type Quickness struct {
	Decay   time.Duration // after which what was measured counts for 37 % (1/e)
	Unknown time.Duration // of an endpoint that was never measured
}

// LoadWeights weighs endpoints by what they tell of their load (ClientSideWeightedRoundRobin).
type LoadWeights struct {
	Blackout time.Duration // how long an endpoint must have told something before it counts
	Expiry   time.Duration // after which the last word does not count any more
	Update   time.Duration // how often weights change
	Penalty  float64       // of errors per request, on the utilization
	Metrics  []string      // whose highest is the utilization, before what the application says
}

// Thresholds are circuit breakers; Envoy's defaults are 1024, 1024, 1024 and 3.
type Thresholds struct {
	Connections, Pending, Requests, Retries uint32
	// Budget replaces Retries when set: percent of active requests, and a minimum of retries at once.
	Budget        bool
	BudgetPercent float64
	BudgetMin     uint32
	// BudgetInterval: the requests that began in it count, instead of those that are active.
	BudgetInterval time.Duration
}

// Outlier is envoy.config.cluster.v3.OutlierDetection; counts of 0 switch a detector off.
type Outlier struct {
	Consecutive5xx, ConsecutiveGateway, ConsecutiveLocal uint32
	Enforce5xx, EnforceGateway, EnforceLocal             uint32 // percent
	SplitLocal                                           bool
	Interval, BaseEjection, MaxEjection, MaxJitter       time.Duration
	MaxEjectionPercent                                   uint32
	AlwaysEjectOne                                       bool
	KeepEjected                                          bool // an active health check that passes takes nobody back
	SuccessRate, FailurePercentage                       Statistical
	StdevFactor                                          float64 // standard deviations below the mean success rate that are too many
	FailureThreshold                                     uint32  // percent of failures that are too many
}

// Codes is a set of status codes below 640.
type Codes [10]uint64

// Add puts a code into the set; false when there is no room for it.
func (c *Codes) Add(code int) bool {
	if code < 0 || code >= 64*len(c) {
		return false
	}
	c[code/64] |= 1 << (code % 64)
	return true
}

// Has says whether a code is in the set.
func (c *Codes) Has(code int) bool {
	return code >= 0 && code < 64*len(c) && c[code/64]&(1<<(code%64)) != 0
}

// Statistical says when endpoints are compared: so many of them must have had so many requests in the interval. Enforce and EnforceLocal are percent, for answers and for
// getting there at all.
type Statistical struct{ Hosts, Volume, Enforce, EnforceLocal uint32 }

// ClusterTelemetry is what metrics say of the destination (metadata istio.services).
type ClusterTelemetry struct {
	Service, ServiceName, ServiceNamespace string
}

// Assignment is envoy.config.endpoint.v3.ClusterLoadAssignment.
type Assignment struct {
	Localities       []Locality
	Overprovisioning uint32
	Version          string
}

// Locality is LocalityLbEndpoints.
type Locality struct {
	Region, Zone, Subzone string
	Priority              uint32
	Weight                uint32 // 0: none given
	Endpoints             []*Endpoint
}

// HealthStatus is the health that discovery reports.
type HealthStatus uint8

// The states.
const (
	HealthUnknown HealthStatus = iota
	Healthy
	Unhealthy
	Draining
	Degraded
)

// Endpoint is LbEndpoint.
type Endpoint struct {
	Address   netip.AddrPort
	Path      string // unix socket
	Host      string // DNS name to resolve, with Address.Port()
	Port      uint16 // of Host
	Hostname  string
	Weight    uint32 // at least 1
	Health    HealthStatus
	Transport map[string]string // envoy.transport_socket_match
	Labels    map[string]string // envoy.lb, each value as JSON
	Check     *EndpointCheck    // nil: checked as its cluster says
	Workload  string            // istio.workload: NAME;NAMESPACE;CANONICAL;REVISION;CLUSTER
}

// Has says whether the endpoint has all labels.
func (e *Endpoint) Has(labels map[string]string) bool {
	for k, v := range labels {
		if e.Labels[k] != v {
			return false
		}
	}
	return true
}
