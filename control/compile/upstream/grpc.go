package upstream

import (
	"math"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// What gRPC bounds: the ring (gRFC A42), and the share of failures above which an endpoint is ejected (gRFC A50), in percent: all but one in a hundred or more.
const (
	largestRing = 8 << 20
	allFail     = 99
)

// client is a cluster for a gRPC client without a proxy: the parts that gRPC reads, in the forms that it does not refuse.
func (t *target) client(v *view.View, name string) *clusterv3.Cluster {
	if t.rule != nil {
		t.unread(v)
	}
	c := &clusterv3.Cluster{Name: name, Metadata: t.metadata(v)}
	t.clientOutliers(v, c)
	if !t.clientSecurity(v, c) {
		// A cluster without endpoints: calls fail at once, while clients wait long for a cluster that is missing, before they make any call of the target.
		c.TransportSocket = nil
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
		c.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: message.ADS(), ServiceName: view.BlackHoleCluster}
		return c
	}
	if !t.clientDiscovery(v, c) {
		return nil
	}
	t.clientBalancer(v, c)
	requests := uint32(math.MaxUint32)
	if p := t.policy.Pool; p != nil && p.MaxRequests > 0 {
		requests = p.MaxRequests
	}
	c.CircuitBreakers = &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{MaxRequests: message.UInt32(requests)}}} // gRFC A32
	return c
}

// clientDiscovery is EDS, or one name that the client resolves (gRFC A37): gRPC knows no cluster of several names.
func (t *target) clientDiscovery(v *view.View, c *clusterv3.Cluster) bool {
	if t.service.Resolution == mesh.Static {
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
		c.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: message.ADS(), ServiceName: c.Name}
		return true
	}
	t.dns(v, c)
	names := 0
	for _, l := range c.LoadAssignment.Endpoints {
		names += len(l.LbEndpoints)
	}
	if names == 0 {
		return false
	}
	if names > 1 {
		v.Notice(mesh.Problem{
			Object: t.service.Origin, Field: "spec.endpoints", Code: mesh.CodeNotEnforced, Message: "connected gRPC clients without a proxy resolve the first name only (gRFC A37)",
			Hint: "write one name, or addresses with resolution STATIC",
		})
	}
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_LOGICAL_DNS}
	c.LoadAssignment.Endpoints = firstOnly(c.LoadAssignment.Endpoints)
	return true
}

// clientBalancer chooses among what gRPC has: by turns (gRFC A27), the ring (A42) and, where the client knows it, the least requests (A48). Others count as by turns.
func (t *target) clientBalancer(v *view.View, c *clusterv3.Cluster) {
	c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
	lb := t.policy.LoadBalancer
	if lb == nil {
		return
	}
	if h := lb.Hash; h != nil {
		if !v.Can(mesh.FeatureHash) || h.Header == "" && !h.SourceIP {
			return // without a policy that gRPC knows the ring would be chosen from at random
		}
		size := uint64(1024)
		if h.Size > 0 && !h.Maglev {
			size = min(h.Size, largestRing)
		}
		c.LbPolicy = clusterv3.Cluster_RING_HASH
		c.LbConfig = &clusterv3.Cluster_RingHashLbConfig_{RingHashLbConfig: &clusterv3.Cluster_RingHashLbConfig{MinimumRingSize: wrapperspb.UInt64(size)}}
		return
	}
	// The least requests know no weights of localities, which a distribution is made of.
	if lb.Algorithm == mesh.LeastRequest && v.Can(mesh.FeatureLeastRequest) && (lb.Locality == nil || len(lb.Locality.Distribute) == 0) {
		c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
	}
}

// clientOutliers ejects an endpoint of which as many calls as the rule has consecutive errors were made in an interval, and all failed (gRFC A50): gRPC has no ejection after
// consecutive errors. A cluster without ejection says so: grpc-js-xds 1.14 does not notice when a cluster that said nothing gets it.
func (t *target) clientOutliers(v *view.View, c *clusterv3.Cluster) {
	if !v.Can(mesh.FeatureOutlier) {
		return
	}
	c.OutlierDetection = &clusterv3.OutlierDetection{EnforcingSuccessRate: message.UInt32(0), EnforcingFailurePercentage: message.UInt32(0)}
	o := t.policy.Outlier
	if o == nil {
		return
	}
	volume := uint32(0)
	for _, n := range []*uint32{o.Consecutive5xx, o.ConsecutiveGatewayErrors} {
		if n != nil && *n > 0 && (volume == 0 || *n < volume) {
			volume = *n
		}
	}
	if o.Consecutive5xx == nil && o.ConsecutiveGatewayErrors == nil {
		volume = 5 // Envoy's default
	}
	if volume == 0 {
		return
	}
	c.OutlierDetection = &clusterv3.OutlierDetection{
		Interval: message.Set(o.Interval), BaseEjectionTime: message.Set(o.BaseEjection), MaxEjectionPercent: message.SetUInt32(o.MaxEjectionPercent),
		EnforcingSuccessRate: message.UInt32(0), EnforcingFailurePercentage: message.UInt32(100), FailurePercentageThreshold: message.UInt32(allFail),
		FailurePercentageMinimumHosts: message.UInt32(1), FailurePercentageRequestVolume: message.UInt32(volume),
	}
}

// clientSecurity is the mesh's mutual TLS with the certificate providers of the client's bootstrap (gRFC A29), or plain text where the rule says nothing: gRPC has no choice by
// endpoint. It is false where the rule asks for what cannot be enforced.
func (t *target) clientSecurity(v *view.View, c *clusterv3.Cluster) bool {
	deny := func(field, message string) bool {
		v.Notice(mesh.Problem{
			Object: t.origin(), Field: "spec.trafficPolicy." + field, Code: mesh.CodeDenied, Message: "connected gRPC clients without a proxy " + message + ": they reach nothing at " + string(t.service.ID.Host),
			Hint: "use ISTIO_MUTUAL or DISABLE for them, with a workloadSelector, or give them a sidecar",
		})
		return false
	}
	if t.policy.Proxy != 0 {
		return deny("proxyProtocol", "send no PROXY header")
	}
	rule := t.policy.TLS
	switch {
	case rule == nil || rule.Mode == mesh.TLSDisable && rule.Denied == "":
		return true
	case rule.Denied != "":
		return false // told where the rule was read
	case t.backend != nil:
		v.Notice(mesh.Problem{
			Object: t.backend.Origin, Field: "spec.validation", Code: mesh.CodeDenied, Message: "connected gRPC clients without a proxy have no roots but those of the mesh: they reach nothing at " + string(t.service.ID.Host),
			Hint: "give them a sidecar",
		})
		return false
	case rule.CRL != "":
		return deny("tls.caCrl", "cannot tell which certificates are revoked")
	case rule.Mode != mesh.TLSIstioMutual:
		return deny("tls.mode", "have no keys and roots but those of the mesh")
	}
	names := append(v.Accounts(t.service.ID), t.service.SubjectAltNames...)
	if len(rule.SubjectAltNames) > 0 {
		names = rule.SubjectAltNames
	}
	check := &tlsv3.CertificateValidationContext{CaCertificateProviderInstance: message.Provider("ROOTCA")}
	for _, n := range slices.Compact(names) { // gRPC reads this field, not match_typed_subject_alt_names
		check.MatchSubjectAltNames = append(check.MatchSubjectAltNames, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: n}}) //nolint:staticcheck // see above
	}
	c.TransportSocket = socket(&tlsv3.UpstreamTlsContext{CommonTlsContext: &tlsv3.CommonTlsContext{
		TlsCertificateProviderInstance: message.Provider("default"),
		ValidationContextType:          &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: check},
	}})
	return true
}

// unread tells the author of a rule which of its fields clients of gRPC without a proxy do not read.
func (t *target) unread(v *view.View) {
	tell := func(when bool, field, message string) {
		if when {
			v.Notice(mesh.Problem{
				Object: t.origin(), Field: "spec.trafficPolicy." + field, Code: mesh.CodeNotEnforced, Message: "connected gRPC clients without a proxy " + message,
				Hint: "leave it out, or give these clients a sidecar",
			})
		}
	}
	if lb := t.policy.LoadBalancer; lb != nil {
		tell(lb.Warmup > 0, "loadBalancer.warmup", "give new endpoints their whole share at once")
		tell(lb.Hash == nil && lb.Algorithm == mesh.Random, "loadBalancer.simple", "choose endpoints by turns, not at random")
		tell(lb.Hash == nil && lb.Algorithm == mesh.Passthrough, "loadBalancer.simple", "dial the endpoints that are known, by turns")
		tell(lb.Hash == nil && lb.Algorithm == mesh.LeastRequest && lb.Locality == nil && !v.Can(mesh.FeatureLeastRequest), "loadBalancer.simple",
			"choose endpoints by turns, since not all of them know the least requests (gRFC A48)")
	}
	tell(v.Zones(t.service, t.policy), "loadBalancer.zoneAwareLbSetting", "do not know where their like run, so endpoints of all regions count alike")
	t.unreadHash(v, tell)
	if p := t.policy.Pool; p != nil {
		tell(p.MaxConnections > 0, "connectionPool.tcp.maxConnections", "hold one connection to each endpoint")
		tell(p.ConnectTimeout > 0, "connectionPool.tcp.connectTimeout", "have a bound of their own for connecting, 20 seconds")
		tell(p.TCPIdleTimeout > 0 || p.HTTPIdleTimeout > 0, "connectionPool.http.idleTimeout", "keep their connections")
		tell(p.MaxConnectionDuration > 0, "connectionPool.tcp.maxConnectionDuration", "keep their connections")
		tell(p.KeepaliveTime > 0 || p.KeepaliveInterval > 0 || p.KeepaliveProbes > 0, "connectionPool.tcp.tcpKeepalive", "have a keepalive of their own")
		tell(p.MaxPendingRequests > 0, "connectionPool.http.http1MaxPendingRequests", "let calls wait without bound")
		tell(p.MaxRequestsPerConnection > 0, "connectionPool.http.maxRequestsPerConnection", "keep their connections")
		tell(p.MaxRequests > 0 && !v.Can(mesh.FeatureMaxRequests), "connectionPool.http.http2MaxRequests", "do not all bound the calls under way: those in Java do not (gRFC A32)")
		tell(p.MaxRetries > 0, "connectionPool.http.maxRetries", "do not count retries under way (gRFC A32)")
	}
	tell(t.policy.Budget != nil, "retryBudget", "do not count retries under way (gRFC A32)")
	if o := t.policy.Outlier; o != nil {
		tell(!v.Can(mesh.FeatureOutlier), "outlierDetection", "are too old to eject endpoints; upgrade them to 1.51 (Node.js: 1.7)")
		tell(true, "outlierDetection", "do not count consecutive errors: they eject an endpoint of which that many calls were made in an interval and all failed (gRFC A50)")
		tell(o.MinHealthPercent > 0, "outlierDetection.minHealthPercent", "eject up to maxEjectionPercent, whatever is left")
		tell(o.SplitLocalOrigin, "outlierDetection.splitExternalLocalOriginErrors", "count all failures alike")
	}
	tell(t.backend == nil && t.policy.TLS != nil && t.policy.TLS.SNI != "", "tls.sni", "name the target's host as server name")
}

func (t *target) unreadHash(v *view.View, tell func(bool, string, string)) {
	lb := t.policy.LoadBalancer
	if lb == nil || lb.Hash == nil {
		return
	}
	h := lb.Hash
	tell(!v.Can(mesh.FeatureHash), "loadBalancer.consistentHash", "are too old for a ring; upgrade them to 1.41 (Node.js: 1.10)")
	tell(h.Cookie != nil, "loadBalancer.consistentHash.httpCookie", "choose endpoints by turns: they hash a header or the client alone (gRFC A42)")
	tell(h.Query != "", "loadBalancer.consistentHash.httpQueryParameterName", "choose endpoints by turns: they hash a header or the client alone (gRFC A42)")
	tell(h.SourceIP, "loadBalancer.consistentHash.useSourceIp", "keep each channel to one endpoint, not all channels of an address (gRFC A42)")
	tell(h.Maglev, "loadBalancer.consistentHash.maglev", "use a ring, which chooses other endpoints than Maglev's table does (gRFC A42)")
}
