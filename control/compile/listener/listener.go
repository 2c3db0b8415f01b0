// Package listener compiles listeners: what is accepted, how it is told apart, and which filters it goes through.
//
// In: a View and the listener's name. Out: a Listener. Pure and safe for concurrent use.
package listener

import (
	"net/netip"
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/control/compile/gate"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// The ports to which captured traffic goes (Istio's).
const (
	outboundPort = 15001
	inboundPort  = 15006
)

var (
	any4 = netip.IPv4Unspecified()
	any6 = netip.IPv6Unspecified()
)

// Compile gives a listener, or nil when the proxy has none of that name.
func Compile(v *view.View, name string) *listenerv3.Listener {
	out := compile(v, name)
	if out == nil || v.Kind() == mesh.Proxyless || out.UdpListenerConfig != nil {
		return out
	}
	out.PerConnectionBufferLimitBytes = message.SetUInt32(v.ProxyConfig().Connections.ListenerBuffer)
	return out
}

func compile(v *view.View, name string) *listenerv3.Listener {
	switch v.Kind() {
	case mesh.Router:
		if ip, port, ok := view.ParseDatagramListener(name); ok && ip == any4 {
			return datagrams(v, name, port)
		}
		return gatewayListener(v, name)
	case mesh.Proxyless:
		return grpcListener(v, name)
	}
	switch name {
	case view.VirtualOutbound:
		return virtualOutbound(v)
	case view.VirtualInbound:
		return virtualInbound(v)
	case view.VirtualOutboundUDP:
		return virtualOutboundUDP(v)
	}
	if ip, port, ok := view.ParseDatagramListener(name); ok {
		return captured(v, name, ip, port)
	}
	if l := egress(v, name); l != nil {
		return l
	}
	ip, port, ok := view.ParseListenerName(name)
	if !ok {
		return nil
	}
	if port == v.Settings().HTTPProxyPort && ip == v.Loopback() {
		return explicitProxy(v, name, ip, port)
	}
	if in, ok := v.DialledAt(port); ok && slices.Contains(v.Dialled(in), ip) {
		return direct(v, name, ip, port)
	}
	if !v.Captured() {
		return nil
	}
	if ip == any4 {
		return shared(v, name, port)
	}
	return addressed(v, name, ip, port)
}

// Names are the listeners that a proxy has, ordered.
func Names(v *view.View) []string {
	var out []string
	if v.Kind() == mesh.Router {
		for _, p := range gate.Ports(v) {
			if p.Connects() {
				out = append(out, p.Listener())
			}
			switch {
			case len(p.UDP) == 0:
			case v.Can(mesh.FeatureUDP):
				out = append(out, view.DatagramListener(p.Number))
			default:
				undelivered(v, p)
			}
		}
		slices.Sort(out)
		return out
	}
	if v.Kind() == mesh.Proxyless {
		return nil // gRPC asks by name
	}
	if v.Captured() {
		out = append(out, view.VirtualOutbound, view.VirtualInbound)
		if v.Can(mesh.FeatureUDPCapture) {
			out = append(out, view.VirtualOutboundUDP)
		}
		for port := range v.PortNumbers() {
			for _, t := range v.Datagrams(port) {
				for _, a := range v.Addresses(t.Service) {
					out = append(out, view.DatagramListenerAt(a, port))
				}
			}
			plan := v.Outbound(port)
			if plan.Own != nil {
				continue
			}
			if plan.Shared() {
				out = append(out, view.SharedListener(port))
			}
			for _, t := range slices.Concat(plan.TCP, plan.Sniffed) {
				for _, a := range v.Addresses(t.Service) {
					out = append(out, view.ListenerName(a, port))
				}
			}
		}
	}
	out = append(out, egressNames(v)...)
	for _, in := range v.DialledPorts() {
		for _, a := range v.Dialled(in) {
			out = append(out, view.ListenerName(a, in.Number))
		}
	}
	if port := v.Settings().HTTPProxyPort; port != 0 {
		out = append(out, view.ListenerName(v.Loopback(), port))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// bindAny binds all addresses of the families that the proxy has.
func bindAny(v *view.View, l *listenerv3.Listener, port uint16) {
	switch four, six := v.HasIPv4(), v.HasIPv6(); {
	case four && six:
		l.Address = message.Socket(any4, port)
		l.AdditionalAddresses = []*listenerv3.AdditionalAddress{{Address: message.Socket(any6, port)}}
	case six:
		l.Address = message.Socket(any6, port)
	default:
		l.Address = message.Socket(any4, port)
	}
}

// virtualOutbound takes everything that leaves the workload and hands it to the listener of its destination; what none takes goes where it wanted.
func virtualOutbound(v *view.View) *listenerv3.Listener {
	rest, _ := v.Unknown()
	l := &listenerv3.Listener{Name: view.VirtualOutbound, UseOriginalDst: message.True(), FilterChains: []*listenerv3.FilterChain{
		{
			Name:             "virtualOutbound-blackhole", // a connection to the port itself would come back for ever
			FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: message.UInt32(outboundPort)},
			Filters:          filter.TCP(v, mesh.ClientSide, filter.Limits{}, filter.Share{Cluster: view.BlackHoleCluster}),
		},
		{Name: "virtualOutbound-catchall-tcp", Filters: filter.TCP(v, mesh.ClientSide, filter.Limits{}, filter.Share{Cluster: rest})},
	}}
	return outboundListener(v, l, outboundPort, true)
}

// outboundListener finishes a listener for traffic that leaves; all but virtualOutbound get their connections from that one.
func outboundListener(v *view.View, l *listenerv3.Listener, port uint16, bound bool) *listenerv3.Listener {
	l.TrafficDirection = corev3Outbound
	if l.Address == nil {
		bindAny(v, l, port)
	}
	if !bound {
		l.BindToPort = message.False()
	}
	return l
}
