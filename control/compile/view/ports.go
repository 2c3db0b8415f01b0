package view

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"github.com/heddle-mesh/heddle/mesh"
)

// Target is a service at one of its ports.
type Target struct {
	Service *mesh.Service
	Port    mesh.Port
}

// PortPlan says how connections to one port number leave a sidecar: which services share the listener for all addresses, and which have listeners of their own.
type PortPlan struct {
	Number uint16
	// HTTP services share listener 0.0.0.0_PORT and route PORT.
	HTTP []Target
	// Opaque services share listener 0.0.0.0_PORT too, told apart by SNI or by the destination's prefix; one with neither takes what is left.
	Opaque []Target
	// Sniffed services have a listener for each of their addresses, with the protocol found on the wire; their route is HOST:PORT.
	Sniffed []Target
	// TCP services have a listener for each of their addresses.
	TCP []Target
}

// Shared says whether there is a listener 0.0.0.0_PORT.
func (p PortPlan) Shared() bool { return len(p.HTTP)+len(p.Opaque) > 0 }

// Outbound plans one port number.
func (v *View) Outbound(port uint16) PortPlan {
	plan := PortPlan{Number: port}
	for s, p := range v.WithPort(port) {
		t := Target{s, p}
		switch addressed := len(v.Addresses(s)) > 0; v.Protocol(s, p) {
		case mesh.UDP:
		case mesh.Auto:
			if addressed {
				plan.Sniffed = append(plan.Sniffed, t)
			} else {
				plan.HTTP = append(plan.HTTP, t)
			}
		case mesh.HTTP, mesh.HTTP2, mesh.GRPC, mesh.GRPCWeb:
			plan.HTTP = append(plan.HTTP, t)
		default:
			if addressed {
				plan.TCP = append(plan.TCP, t)
			} else if !s.Headless {
				plan.Opaque = append(plan.Opaque, t)
			}
		}
	}
	return plan
}

// Datagrams are the services whose datagrams to a port leave the workload through its proxy: those with addresses of their own that a Service's or ServiceEntry's endpoints
// stand behind. What is sent to an endpoint itself, or to wherever the client likes, is left alone.
func (v *View) Datagrams(port uint16) (out []Target) {
	if v.Kind() != mesh.Sidecar || !v.Captured() || !v.Can(mesh.FeatureUDPCapture) {
		return nil
	}
	for s := range v.WithPort(port) {
		p, ok := s.Datagrams(port)
		if !ok || s.Headless || s.Resolution == mesh.PassthroughDest || len(v.Addresses(s)) == 0 {
			continue
		}
		if lb := Policy(v.Traffic(s), "", port).LoadBalancer; lb != nil && lb.Algorithm == mesh.Passthrough {
			continue
		}
		out = append(out, Target{s, p})
	}
	return out
}

// Protocol is how the proxy must treat a port: one that cannot do HTTP/2 passes it as TCP, and the owner of the service is told.
func (v *View) Protocol(s *mesh.Service, p mesh.Port) mesh.Protocol {
	if (p.Protocol == mesh.HTTP2 || p.Protocol == mesh.GRPC) && !v.Can(mesh.FeatureHTTP2) {
		v.Notice(mesh.Problem{
			Object: s.Origin, Field: "spec.ports", Code: mesh.CodeNotEnforced,
			Message: "port " + strconv.Itoa(int(p.Number)) + " speaks HTTP/2, which some connected proxies cannot do: they pass it as TCP, without routing by request",
			Hint:    "expect connection-level balancing on this port, or put a stock Envoy in front of its clients",
		})
		return mesh.TCP
	}
	if p.Protocol == mesh.GRPCWeb {
		return mesh.HTTP
	}
	return p.Protocol
}

// Addresses are what clients dial to reach a service: its own addresses; given ones only where names are resolved by the proxy; for a headless
// service the addresses of its endpoints. Families that the proxy does not have are left out.
func (v *View) Addresses(s *mesh.Service) []netip.Addr {
	var out []netip.Addr
	add := func(a netip.Addr) {
		if a.Is4() && v.HasIPv4() || a.Is6() && v.HasIPv6() {
			out = append(out, a)
		}
	}
	switch {
	case s.Headless:
		for _, e := range v.Endpoints(s.ID) {
			if e.Address.Kind() == mesh.AddrIP {
				add(e.Address.IP())
			}
		}
	case s.AutoAddress && !v.CapturesDNS():
	default:
		for _, a := range s.Addresses {
			add(a.Unmap())
		}
	}
	return out
}

// InboundPort is a port that the proxy's workload listens on, with the services that it serves there, ordered by host.
type InboundPort struct {
	Number  uint16
	Targets []Target
}

// Inbound are the ports of the proxy's workload, ordered.
func (v *View) Inbound() []InboundPort {
	byNumber := map[uint16][]Target{}
	for _, ws := range v.Served() {
		s, ok := v.Service(ws.Service)
		if !ok {
			continue
		}
		for _, p := range s.Ports {
			if n, ok := ws.Ports[p.Name]; ok && p.Protocol != mesh.UDP {
				byNumber[n] = append(byNumber[n], Target{s, p})
			}
		}
	}
	out := make([]InboundPort, 0, len(byNumber))
	for _, n := range slices.Sorted(maps.Keys(byNumber)) {
		targets := byNumber[n]
		slices.SortStableFunc(targets, func(a, b Target) int { return mesh.CompareServiceID(a.Service.ID, b.Service.ID) })
		out = append(out, InboundPort{Number: n, Targets: targets})
	}
	return out
}

// InboundDatagrams maps the ports for datagrams of the services that the workload serves to those that it listens on.
func (v *View) InboundDatagrams() map[uint16]uint16 {
	out := map[uint16]uint16{}
	for _, ws := range v.Served() {
		s, ok := v.Service(ws.Service)
		if !ok {
			continue
		}
		for _, p := range s.Ports {
			if _, taken := out[p.Number]; taken || p.Protocol != mesh.UDP {
				continue
			}
			if n, ok := ws.Ports[p.Name]; ok {
				out[p.Number] = n
			}
		}
	}
	return out
}

// InboundAt is one of the Inbound ports.
func (v *View) InboundAt(port uint16) (InboundPort, bool) {
	for _, in := range v.Inbound() {
		if in.Number == port {
			return in, true
		}
	}
	return InboundPort{}, false
}
