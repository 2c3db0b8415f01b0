package upstream

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/heddle-mesh/heddle/control/compile/gate"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// datagrams is a cluster that datagrams go to. What a DestinationRule asks for beyond balancing and bounds is about connections; where that is security, nothing is sent.
func datagrams(v *view.View, name string, port uint16, host mesh.Host) *clusterv3.Cluster {
	s, ok := v.Resolve(host)
	if !ok {
		return nil
	}
	p, ok := s.Datagrams(port)
	if !ok || v.Kind() == mesh.Proxyless {
		return nil
	}
	t := target{service: s, port: p, proto: mesh.UDP, rule: v.Traffic(s)}
	t.policy = v.Policy(t.rule, "", port)
	switch tls := t.policy.TLS; {
	case tls != nil && tls.Mode != mesh.TLSDisable:
		return t.denied(v, name, "TLS is not possible for datagrams")
	case t.policy.Proxy != 0:
		return t.denied(v, name, "a PROXY header is not possible for datagrams")
	case t.direct(v):
		v.Notice(mesh.Problem{Object: s.Origin, Code: mesh.CodeNotEnforced, Message: "datagrams go to endpoints that are known, not to where a client sent them", Hint: "give the endpoints"})
		return nil
	}
	c := base(v, name)
	c.Metadata = t.metadata(v)
	t.discovery(v, c)
	t.pool(c, nil)
	c.UpstreamConnectionOptions = nil
	t.balancer(v, c)
	t.localities(v, c)
	return c
}

// datagramShares is a cluster of several services' endpoints, those of each in a locality of their own whose weight is the service's share. How they are balanced and bounded
// is what the first service's DestinationRule says.
func datagramShares(v *view.View, name string, to gate.Datagrams) *clusterv3.Cluster {
	first := to.First()
	c := datagrams(v, name, first.Port, first.Host)
	if c == nil || c.GetType() == clusterv3.Cluster_STATIC {
		c = base(v, name)
	}
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
	c.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: message.ADS(), ServiceName: name}
	c.LoadAssignment, c.DnsRefreshRate, c.DnsFailureRefreshRate, c.RespectDnsTtl, c.DnsLookupFamily = nil, nil, nil, false, 0
	var services []*mesh.Service
	for _, d := range to.Shares {
		s, ok := v.Resolve(d.Host)
		if !ok {
			continue
		}
		services = append(services, s)
		if why := d.Refused(v); why != "" {
			v.Notice(mesh.Problem{Object: s.Origin, Code: mesh.CodeDenied, Message: "its share of datagrams is dropped: " + why, Hint: "see its DestinationRule and resolution"})
		}
	}
	c.Metadata = servicesOf(services, first.Port)
	c.CommonLbConfig.LocalityConfigSpecifier = &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig_{
		LocalityWeightedLbConfig: &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig{},
	}
	return c
}
