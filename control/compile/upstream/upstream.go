// Package upstream compiles clusters: what is called and how.
//
// In: a View and the cluster's name. Out: a Cluster with its discovery, balancing, bounds, outlier detection and transport. Pure and safe for concurrent use.
package upstream

import (
	"net/netip"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// The sources from which a sidecar calls its own workload, so that the capture rules do not take the call for one from outside (Istio's addresses).
var (
	inboundSource4 = netip.MustParseAddr("127.0.0.6")
	inboundSource6 = netip.MustParseAddr("::6")
)

// Compile gives a cluster, or nil when the proxy has none of that name.
func Compile(v *view.View, name string) *clusterv3.Cluster {
	switch name {
	case view.BlackHoleCluster:
		c := base(v, name)
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
		c.CircuitBreakers = nil
		return c
	case view.PassthroughCluster:
		return unknown(v, name)
	case view.NamesCluster:
		return unknownNames(v, name)
	case view.InboundPassthroughCluster:
		c := unknown(v, name)
		c.UpstreamBindConfig = ownSource(v)
		return c
	}
	if port, ok := view.ParseInboundName(name); ok {
		return inbound(v, name, port)
	}
	return outbound(v, name)
}

// dialled goes where the client wanted to go.
func dialled(v *view.View, name string) *clusterv3.Cluster {
	c := base(v, name)
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_ORIGINAL_DST}
	c.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
	return c
}

// unknown is what no service is known for, which goes where the client wanted to go, in its version of HTTP.
func unknown(v *view.View, name string) *clusterv3.Cluster {
	c := dialled(v, name)
	t := target{proto: mesh.Auto, policy: mesh.TrafficPolicy{Pool: v.Settings().Baseline.Pool}}
	t.pool(c, nil)
	t.protocol(v, c)
	return c
}

// ownSource is where the application is called from: the sidecar's own loopback address, or (nil) the client's.
func ownSource(v *view.View) *corev3.BindConfig {
	if v.KeepsSource() {
		return nil
	}
	at := func(ip netip.Addr) *corev3.SocketAddress {
		return &corev3.SocketAddress{Address: ip.String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 0}}
	}
	switch four, six := v.HasIPv4(), v.HasIPv6(); {
	case four && six:
		return &corev3.BindConfig{SourceAddress: at(inboundSource4), ExtraSourceAddresses: []*corev3.ExtraSourceAddress{{Address: at(inboundSource6)}}}
	case six:
		return &corev3.BindConfig{SourceAddress: at(inboundSource6)}
	}
	return &corev3.BindConfig{SourceAddress: at(inboundSource4)}
}

// inbound is a port of the proxy's own workload: the address that the caller dialled or, where nothing is captured, a loopback address.
func inbound(v *view.View, name string, port uint16) *clusterv3.Cluster {
	in, ok := v.InboundAt(port)
	if !ok {
		return nil
	}
	var services []*mesh.Service
	for _, t := range in.Targets {
		services = append(services, t.Service)
	}
	if sc := in.Sidecar(); len(services) == 0 {
		services = []*mesh.Service{{ID: mesh.ServiceID{Namespace: sc.Namespace, Host: mesh.Host(sc.Name + "." + string(sc.Namespace))}, ShortName: sc.Name}}
	}
	c := dialled(v, name)
	pool, origin := v.Pool(in)
	t := target{proto: in.Protocol(v), rule: &mesh.Traffic{Origin: origin}, policy: mesh.TrafficPolicy{Pool: pool}}
	if pool != nil && pool.Version == mesh.VersionOfClient && t.proto.IsHTTP() {
		t.proto = mesh.Auto
	}
	t.pool(c, nil)
	t.protocol(v, c)
	c.Metadata = servicesOf(services, 0)
	c.AltStatName = inboundStat(v, in)
	workload(v, c, in)
	return c
}

// workload says where the application listens: at what the caller dialled, at the same address and another port, or at an address that only the proxy reaches.
func workload(v *view.View, c *clusterv3.Cluster, in view.InboundPort) {
	var at *corev3.Address
	captured := len(v.Dialled(in)) == 0
	switch l := in.Listener; {
	case l != nil && !l.Endpoint.IsZero():
		at = message.At(l.Endpoint, l.EndpointPort)
		if own := l.Endpoint.Kind() == mesh.AddrIP && l.Endpoint.IP().IsUnspecified(); own && captured {
			c.LbConfig = &clusterv3.Cluster_OriginalDstLbConfig_{OriginalDstLbConfig: &clusterv3.Cluster_OriginalDstLbConfig{UpstreamPortOverride: message.UInt32(uint32(l.EndpointPort))}}
		} else {
			captured = false
			if own && len(v.OwnAddresses()) > 0 {
				at = message.Socket(v.OwnAddresses()[0], l.EndpointPort)
			}
		}
	case captured && v.Settings().LocalInbound:
		captured = false
		at = message.Socket(v.Application(in.Number).Addr(), in.Number)
		if !v.HasIPv4() {
			at = message.Socket(netip.IPv6Loopback(), in.Number)
		}
	case !captured:
		at = message.Socket(v.Application(in.Number).Addr(), v.Application(in.Number).Port())
	}
	if captured {
		c.UpstreamBindConfig = ownSource(v)
		c.CleanupInterval = message.Duration(time.Minute)
		return
	}
	c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
	c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
	c.LoadAssignment = &endpointv3.ClusterLoadAssignment{ClusterName: c.Name, Endpoints: []*endpointv3.LocalityLbEndpoints{{
		LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: at}}}},
	}}}
}
