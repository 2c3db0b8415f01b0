package mesh

import (
	"net/netip"

	"github.com/heddle-mesh/heddle/identity"
)

// ProxyKind is the first part of Istio's node id.
type ProxyKind uint8

// The kinds of proxy. Proxyless gRPC clients announce metadata GENERATOR=grpc.
const (
	Sidecar ProxyKind = iota
	Router
	Proxyless
)

// Feature is something that a proxy announces it can do; what it does not announce it is never sent.
type Feature string

// The features of node metadata HEDDLE_FEATURES. A stock Envoy announces nothing there and is given what Envoy 1.40 can do.
const (
	FeatureVHDS  Feature = "vhds"
	FeatureHTTP2 Feature = "http2"
	FeatureRBAC  Feature = "rbac"
	FeatureFault Feature = "fault"
	FeatureCORS  Feature = "cors"
	// FeatureHash is consistent hashing, on a ring and by Maglev.
	FeatureHash Feature = "hash"
	// FeatureProxyProtocol is HAProxy's PROXY header, from clients and to upstreams.
	FeatureProxyProtocol Feature = "proxy-protocol"
	// FeatureRevocation is lists of revoked certificates beside roots.
	FeatureRevocation Feature = "crl"
	// FeatureBudgetInterval is a retry budget over the requests of an interval.
	FeatureBudgetInterval Feature = "budget-interval"
	// FeatureBalance is the form of slow starts, and weights of localities in rings and tables.
	FeatureBalance Feature = "balance"
	// FeatureUpstream is what a DestinationRule says of HTTP towards upstreams: bounds and signs of life of HTTP/2, codes that are errors, weights by load.
	FeatureUpstream Feature = "upstream"
	// FeatureRouteStats is counters of single routes.
	FeatureRouteStats Feature = "route-stats"
	// FeaturePins is certificates of clients that are known by their hashes.
	FeaturePins Feature = "pins"
	// FeatureTunnel is connections in tunnels by CONNECT, and FeatureTunnelPost by POST.
	FeatureTunnel     Feature = "tunnel"
	FeatureTunnelPost Feature = "tunnel-post"
	// FeatureClientNames is names that clients give, which are looked up while they wait.
	FeatureClientNames Feature = "client-names"
	// FeatureUDP is listeners for datagrams, and clusters that they go to.
	FeatureUDP Feature = "udp"
	// FeatureUDPCapture: the datagrams that the workload sends are led to the proxy, which takes those to services.
	FeatureUDPCapture Feature = "udp-capture"
	// FeaturePatch: resources may be changed by patches, as far as the table of what heddle-proxy honours goes.
	FeaturePatch Feature = "patch"
	// FeatureExtensions is all that stock Envoy has.
	FeatureExtensions Feature = "extensions"
	// FeatureSession is clients that keep to an endpoint by a token.
	FeatureSession Feature = "session"
	// FeatureExternalAuth is servers that are asked about the requests of a route.
	FeatureExternalAuth Feature = "external-auth"
	// FeatureLogFilter is access logs that keep what an expression is true of.
	FeatureLogFilter Feature = "log-filter"
	// FeatureTracing is spans of requests, as Telemetry asks for them.
	FeatureTracing Feature = "tracing"
	// FeatureRetry, FeatureOutlier, FeatureLeastRequest and FeatureMaxRequests are asked of gRPC clients, whose versions differ: retries, ejection of failing endpoints, balancing
	// by open requests, and a bound of them.
	FeatureRetry        Feature = "retry"
	FeatureOutlier      Feature = "outlier"
	FeatureLeastRequest Feature = "least-request"
	FeatureMaxRequests  Feature = "max-requests"
	// FeatureLocalCluster: the proxy asks where its like run (metadata ENABLE_SELF_DISCOVERY), so requests can stay in its zone.
	FeatureLocalCluster Feature = "local-cluster"
	// FeatureMetrics is other labels and fewer of Istio's standard metrics (stats.PluginConfig).
	FeatureMetrics Feature = "metrics"
	// FeatureEntries: an agent on the cluster sds-grpc counts what access log entries tell (metadata HEDDLE_ENTRIES); otherwise the proxy counts by itself.
	FeatureEntries Feature = "entries"
	// FeatureSecretSocket: workload keys and roots come from an agent on the cluster sds-grpc; otherwise the proxy makes them itself.
	FeatureSecretSocket Feature = "secret-socket"
)

// MetaSelfDiscovery is the variable of proxyMetadata by which a proxy is told to ask where its like run (Istio's name).
const MetaSelfDiscovery = "ISTIO_META_ENABLE_SELF_DISCOVERY"

// Proxy is a connected client of the control plane. Identity comes from its credential; the rest from its node, checked against the identity.
type Proxy struct {
	ID             string // node id
	Kind           ProxyKind
	Name           string // workload name (metadata NAME)
	Namespace      Namespace
	ServiceAccount string
	Identity       identity.ID
	Labels         Labels
	Addresses      []netip.Addr
	Cluster        ClusterID
	Network        NetworkID
	Locality       Locality
	Envoy          bool // stock Envoy
	Build          string
	Features       map[Feature]bool
	Capture        string            // INTERCEPTION_MODE: REDIRECT, TPROXY, NONE
	Metadata       map[string]string // other string metadata that compilers ask for by key
	// Entry is the WorkloadEntry of a workload outside of Kubernetes, where the proxy has one that is not called after it.
	Entry string
	// Probed says that the proxy asks its workload for its health (ProxyConfig's readinessProbe).
	Probed bool
	// Config is the proxy's own ProxyConfig, nil where that of the mesh counts.
	Config *ProxyConfig
}

// Can says whether the proxy is able to do something.
func (p *Proxy) Can(f Feature) bool {
	if f == FeatureLocalCluster {
		return p.Kind != Proxyless && p.Metadata["ENABLE_SELF_DISCOVERY"] == "true"
	}
	if f == FeatureEntries {
		return p.Kind != Proxyless && p.Envoy && p.Metadata["HEDDLE_ENTRIES"] == "true"
	}
	if p.Kind == Proxyless { // gRPC speaks HTTP/2 alone; what else it can do follows from its version
		return f == FeatureHTTP2 || p.Features[f]
	}
	if p.Envoy {
		return f != FeatureVHDS && f != FeatureUDPCapture && f != FeatureMetrics
	}
	return p.Features[f]
}
