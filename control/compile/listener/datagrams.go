package listener

import (
	"net/netip"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/control/compile/gate"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// datagrams is the listener for the datagrams of a gateway's port. No policy can be enforced on a datagram, so a port that one protects drops them all.
func datagrams(v *view.View, name string, number uint16) *listenerv3.Listener {
	p, ok := gate.At(v, netip.Addr{}, number)
	if !ok || len(p.UDP) == 0 || !v.Can(mesh.FeatureUDP) {
		return nil
	}
	l := &listenerv3.Listener{Name: name, TrafficDirection: corev3.TrafficDirection_OUTBOUND}
	bindAny(v, l, number)
	overUDP(l.Address)
	for _, a := range l.AdditionalAddresses {
		overUDP(a.Address)
	}
	to := p.Datagrams(v)
	if guard := filter.GuardOf(v, number); !guard.Empty() {
		unguarded(v, guard)
		to = gate.Datagrams{}
	}
	first := to.First()
	h := v.Hash(first.Host, "", first.Port)
	l.ListenerFilters = []*listenerv3.ListenerFilter{filter.UDP(to.Cluster(), h != nil && h.SourceIP)}
	return l
}

func overUDP(a *corev3.Address) { a.GetSocketAddress().Protocol = corev3.SocketAddress_UDP }

// virtualOutboundUDP takes in the datagrams that leave the workload, and hands them to the listener of their destination.
func virtualOutboundUDP(v *view.View) *listenerv3.Listener {
	if !v.Captured() || !v.Can(mesh.FeatureUDPCapture) {
		return nil
	}
	l := &listenerv3.Listener{Name: view.VirtualOutboundUDP, UseOriginalDst: message.True(), UdpListenerConfig: filter.AnyLength()}
	l.ListenerFilters = []*listenerv3.ListenerFilter{filter.CapturedUDP(v, view.BlackHoleCluster, false)}
	outboundListener(v, l, outboundPort, true)
	overUDP(l.Address)
	for _, a := range l.AdditionalAddresses {
		overUDP(a.Address)
	}
	return l
}

// captured is the listener of the datagrams to one address of a service.
func captured(v *view.View, name string, ip netip.Addr, port uint16) *listenerv3.Listener {
	targets := v.Datagrams(port)
	i := slices.IndexFunc(targets, func(t view.Target) bool { return slices.Contains(v.Addresses(t.Service), ip) })
	if i < 0 {
		return nil
	}
	to := gate.Captured(v, targets[i])
	first := to.First()
	h := v.Hash(first.Host, "", first.Port)
	l := &listenerv3.Listener{Name: name, Address: message.Socket(ip, port), UdpListenerConfig: filter.AnyLength()}
	l.ListenerFilters = []*listenerv3.ListenerFilter{filter.CapturedUDP(v, to.Cluster(), h != nil && h.SourceIP)}
	overUDP(l.Address)
	return outboundListener(v, l, port, false)
}

// unguarded tells the authors of policies that datagrams are dropped because of them.
func unguarded(v *view.View, g filter.Guard) {
	for _, p := range slices.Concat(g.Deny, g.Allow) {
		v.Notice(mesh.Problem{
			Object: p.Origin, Code: mesh.CodeDenied,
			Message: "a gateway in its scope has a listener for UDP, where no policy can be enforced: it drops every datagram", Hint: "serve UDP at a gateway of its own, outside the policy's scope",
		})
	}
}

// undelivered tells the owners of a port's servers for UDP that some proxies do not serve them.
func undelivered(v *view.View, p gate.Port) {
	for _, s := range p.UDP {
		v.Notice(mesh.Problem{
			Object: s.Gateway.Origin, Field: "spec.listeners", Code: mesh.CodeNotEnforced,
			Message: "some connected gateways cannot take datagrams: they do not listen for them", Hint: "upgrade them",
		})
	}
}
