package listener

import (
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/control/compile/gate"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// datagrams is the listener for the datagrams of a gateway's port. No policy can be enforced on a datagram, so a port that one protects drops them all.
func datagrams(v *view.View, name string, number uint16) *listenerv3.Listener {
	p, ok := gate.At(v, number)
	if !ok || len(p.UDP) == 0 || !v.Can(mesh.FeatureUDP) {
		return nil
	}
	l := &listenerv3.Listener{Name: name, TrafficDirection: corev3.TrafficDirection_OUTBOUND}
	bindAny(v, l, number)
	overUDP(l.Address)
	for _, a := range l.AdditionalAddresses {
		overUDP(a.Address)
	}
	to := p.Datagram(v)
	if guard := filter.GuardOf(v, number); !guard.Empty() {
		unguarded(v, guard)
		to = gate.Datagram{}
	}
	h := v.Hash(to.Host, "", to.Port)
	l.ListenerFilters = []*listenerv3.ListenerFilter{filter.UDP(to.Cluster(), h != nil && h.SourceIP)}
	return l
}

func overUDP(a *corev3.Address) { a.GetSocketAddress().Protocol = corev3.SocketAddress_UDP }

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
