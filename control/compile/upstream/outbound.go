package upstream

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/heddle-mesh/heddle/control/compile/endpoint"
	"github.com/heddle-mesh/heddle/control/compile/gate"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// defaultConnectTimeout is Istio's default of MeshConfig.connectTimeout.
const defaultConnectTimeout = 10 * time.Second

// target is an outbound cluster while it is put together.
type target struct {
	service *mesh.Service
	port    mesh.Port
	proto   mesh.Protocol
	subset  string
	labels  mesh.Labels
	rule    *mesh.Traffic
	policy  mesh.TrafficPolicy
	backend *mesh.BackendTLS // policy's TLS is of it
}

func outbound(v *view.View, name string) *clusterv3.Cluster {
	if port, host, ok := view.ParseDatagramName(name); ok {
		return datagrams(v, name, port, host)
	}
	if to, ok := gate.SharesOf(v, name); ok {
		return datagramShares(v, name, to)
	}
	port, subset, host, ok := view.ParseClusterName(name)
	bySNI := false
	if !ok {
		if port, subset, host, bySNI = view.ParseSNI(name); !bySNI {
			return nil
		}
	}
	s, ok := v.Resolve(host)
	if !ok {
		return nil
	}
	p, ok := s.Port(port)
	if !ok || p.Protocol == mesh.UDP {
		return nil
	}
	t := target{service: s, port: p, proto: v.Protocol(s, p), subset: subset, rule: v.Traffic(s)}
	if subset != "" {
		sub, ok := view.Subset(t.rule, subset)
		if !ok {
			return nil
		}
		t.labels = sub.Labels
	}
	t.policy = v.Policy(t.rule, subset, port)
	if v.Kind() == mesh.Proxyless {
		t.secured(v)
		return t.client(v, name)
	}
	if bySNI {
		return t.passed(v, name)
	}
	t.spoken(v)
	t.secured(v)
	if tls := t.policy.TLS; tls != nil && (tls.CRL != "" || len(tls.Revoked) > 0) && !v.Can(mesh.FeatureRevocation) {
		return t.denied(v, name, "this proxy cannot tell which certificates are revoked (caCrl)")
	}
	if why := t.credentials(v); why != "" {
		return t.denied(v, name, why)
	}
	if t.policy.TLS != nil && t.policy.TLS.Denied != "" {
		return t.denied(v, name, t.policy.TLS.Denied)
	}
	if t.service.Resolution == mesh.ClientNames {
		if why := t.unnamed(v); why != "" {
			return t.denied(v, name, why)
		}
	}
	if t.policy.Proxy != 0 && !t.announces(v) {
		return t.denied(v, name, "this proxy cannot send the PROXY header that the server waits for")
	}

	c := base(v, name)
	c.AltStatName = t.statName(v)
	c.Metadata = t.metadata(v)
	t.discovery(v, c)
	t.pool(c, t.budget(v))
	t.balancer(v, c)
	t.outliers(v, c)
	t.localities(v, c)
	t.utilization(v, c)
	t.protocol(v, c)
	t.security(v, c)
	return c
}

// secured has a BackendTLSPolicy take the place of what a DestinationRule says of TLS.
func (t *target) secured(v *view.View) {
	if t.backend = v.BackendTLS(t.service.ID, t.port.Number); t.backend == nil {
		return
	}
	if t.policy.TLS != nil {
		v.Notice(mesh.Problem{
			Object: t.rule.Origin, Field: "spec.trafficPolicy.tls", Code: mesh.CodeConflict,
			Message: t.backend.Origin.String() + " says how TLS is made to port " + strconv.Itoa(int(t.port.Number)) + " of the host, so this field has no effect there", Hint: "remove one of them",
		})
	}
	tls := t.backend.TLS
	if shown := v.ClientCertificate(); shown != "" {
		tls.Mode, tls.Shows = mesh.TLSMutual, shown
	}
	t.policy.TLS = &tls
}

// passed is a cluster to which the mesh's mutual TLS goes as a sidecar made it, by the server name that it gave: only endpoints that end such TLS are in it.
func (t *target) passed(v *view.View, name string) *clusterv3.Cluster {
	c := base(v, name)
	c.AltStatName = t.statName(v)
	c.Metadata = t.metadata(v)
	t.discovery(v, c)
	t.pool(c, nil)
	t.balancer(v, c)
	t.outliers(v, c)
	t.localities(v, c)
	t.utilization(v, c)
	return c
}

// denied is a cluster to which nothing may be sent: it has no endpoint, so that requests are answered with 503 and connections are closed whatever the proxy is, and it
// says why, for proxies that read it.
func (t *target) denied(v *view.View, name, why string) *clusterv3.Cluster {
	c := base(v, name)
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	c.Metadata = t.metadata(v)
	var origin mesh.Ref
	if t.rule != nil {
		origin = t.rule.Origin
	}
	if t.backend != nil {
		origin = t.backend.Origin
	}
	by := fmt.Sprintf("%s %s in namespace %s", origin.Kind, origin.Name, origin.Namespace)
	if origin.Kind == "" {
		by = "MeshConfig"
	}
	message.Append(c.Metadata, message.AppendMetadata(nil, message.DeniedKey, message.Fields{"reason": fmt.Sprintf("%s lets nothing through to %s: %s", by, t.service.ID.Host, why)}))
	return c
}

var usualTimeout = message.Frozen(message.Duration(defaultConnectTimeout))

func connectTimeout(d time.Duration) *durationpb.Duration {
	if d == defaultConnectTimeout {
		return usualTimeout
	}
	return message.Duration(d)
}

// unused are clusters that were encoded: there are as many as services, and none of them is looked at twice.
var unused = sync.Pool{New: func() any { return &clusterv3.Cluster{} }}

// Done takes back a cluster, which nobody may have or use any more.
func Done(c *clusterv3.Cluster) {
	c.Reset()
	unused.Put(c)
}

// base has what all clusters share.
func base(v *view.View, name string) *clusterv3.Cluster {
	timeout := v.Settings().ConnectTimeout
	if timeout <= 0 {
		timeout = defaultConnectTimeout
	}
	c := unused.Get().(*clusterv3.Cluster)
	c.Name, c.ConnectTimeout, c.CircuitBreakers, c.CommonLbConfig = name, connectTimeout(timeout), unbounded, &clusterv3.Cluster_CommonLbConfig{}
	if v.Kind() != mesh.Proxyless {
		c.PerConnectionBufferLimitBytes = message.SetUInt32(v.ProxyConfig().Connections.ClusterBuffer)
	}
	keepAlive(c, v.Settings().Keepalive)
	return c
}

// direct says that connections go to the address that the client dialled.
func (t *target) direct(v *view.View) bool {
	if lb := t.policy.LoadBalancer; lb != nil && lb.Algorithm == mesh.Passthrough {
		return true
	}
	if t.service.Resolution == mesh.PassthroughDest {
		return true
	}
	return t.service.Headless && v.Kind() == mesh.Sidecar
}

// byEDS is shared: who sets another type sets another specifier.
var byEDS = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}

func (t *target) discovery(v *view.View, c *clusterv3.Cluster) {
	switch {
	case t.service.Resolution == mesh.ClientNames:
		t.clientNames(v, c)
	case t.direct(v):
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST}
	case t.service.Resolution == mesh.Static:
		c.ClusterDiscoveryType = byEDS
		c.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: message.ADS(), ServiceName: c.Name}
	default:
		t.dns(v, c)
	}
}

// dns lets the proxy resolve names; the endpoints travel inside the cluster.
func (t *target) dns(v *view.View, c *clusterv3.Cluster) {
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS}
	c.DnsLookupFamily = v.Family()
	c.DnsRefreshRate = message.Duration(cmp.Or(v.Settings().DNSRefresh, time.Minute))
	// A name that cannot be resolved now may be soon: a service of the mesh that comes, a name server that comes back.
	c.DnsFailureRefreshRate = &clusterv3.Cluster_RefreshRate{BaseInterval: message.Duration(time.Second), MaxInterval: message.Duration(10 * time.Second)}
	c.RespectDnsTtl = true
	endpoints := v.Endpoints(t.service.ID)
	if len(endpoints) == 0 && !t.service.ID.Host.IsWildcard() {
		if a, err := mesh.ParseAddress(string(t.service.ID.Host)); err == nil {
			endpoints = []*mesh.Endpoint{{Address: a}}
		}
	}
	c.LoadAssignment = endpoint.Assignment(v, c.Name, endpoints, t.service, t.port, t.labels, t.policy)
	if t.service.Resolution == mesh.DNSRoundRobin {
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_LOGICAL_DNS}
		c.LoadAssignment.Endpoints = firstOnly(c.LoadAssignment.Endpoints)
	}
}

// firstOnly keeps one endpoint, which is all that a LOGICAL_DNS cluster may have.
func firstOnly(in []*endpointv3.LocalityLbEndpoints) []*endpointv3.LocalityLbEndpoints {
	if len(in) == 0 {
		return nil
	}
	in[0].LbEndpoints = in[0].LbEndpoints[:1]
	in[0].LoadBalancingWeight = in[0].LbEndpoints[0].LoadBalancingWeight
	in[0].Priority = 0
	return in[:1]
}

// Names are the clusters that a proxy has.
func Names(v *view.View) []string {
	if v.Kind() == mesh.Proxyless {
		return nil // gRPC asks by name
	}
	out := []string{view.BlackHoleCluster}
	if v.Kind() == mesh.Sidecar {
		out = append(out, view.PassthroughCluster, view.InboundPassthroughCluster)
		if v.NamesUnknown() {
			out = append(out, view.NamesCluster)
		}
		for _, in := range v.Inbound() {
			out = append(out, view.InboundName(in.Number))
		}
	}
	for s, ports := range v.Services() {
		rule := v.Traffic(s)
		for _, p := range ports {
			if p.Protocol == mesh.UDP {
				continue
			}
			out = append(out, view.ClusterName(p.Number, "", s.ID.Host))
			if rule == nil {
				continue
			}
			for _, sub := range rule.Subsets {
				out = append(out, view.ClusterName(p.Number, sub.Name, s.ID.Host))
			}
		}
	}
	out = append(out, gate.Passed(v)...)
	out = append(out, gate.DatagramClusters(v)...)
	slices.Sort(out)
	return slices.Compact(out)
}
