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
	// Sniffed services have a listener for each of their addresses, with the protocol found on the wire; their route is HOST:PORT. Those that are known by their address are among them.
	Sniffed []Target
	// TCP services have a listener for each of their addresses.
	TCP []Target
	// Own is a Sidecar's listener that takes in all of them (HTTP or TCP) at an address of its own, nil for none.
	Own *mesh.EgressListener
}

// OwnAddress is where the own listener stands.
func (p PortPlan) OwnAddress(v *View) netip.Addr { return v.bound(p.Own) }

// OwnDialled says that the own listener is dialled: nothing is captured for it.
func (p PortPlan) OwnDialled(v *View) bool { return p.Own.Capture == mesh.CaptureNone || !v.Captured() }

// Shared says whether there is a listener 0.0.0.0_PORT.
func (p PortPlan) Shared() bool { return p.Own == nil && len(p.HTTP)+len(p.Opaque) > 0 }

// Outbound plans one port number.
func (v *View) Outbound(port uint16) PortPlan {
	plan := PortPlan{Number: port}
	var given *mesh.EgressListener // says the protocol
	if sc := v.Scope(); !sc.Open() {
		if e := sc.At(port); e != nil && e.Port != 0 {
			given = e
		}
	}
	for s, p := range v.WithPort(port) {
		if given != nil && p.Protocol != mesh.UDP {
			p.Protocol = given.Protocol
		}
		t := Target{s, p}
		if given != nil && given.Own() {
			if plan.own(v, t) {
				plan.Own = given
			}
			continue
		}
		switch addressed := len(v.Addresses(s)) > 0; v.Protocol(s, p) {
		case mesh.UDP:
		case mesh.Auto:
			if addressed {
				plan.Sniffed = append(plan.Sniffed, t)
			} else {
				plan.HTTP = append(plan.HTTP, t)
			}
		case mesh.HTTP, mesh.HTTP2, mesh.GRPC, mesh.GRPCWeb:
			if v.ByAddress(t) {
				plan.Sniffed = append(plan.Sniffed, t)
			} else {
				plan.HTTP = append(plan.HTTP, t)
			}
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

// ByAddress says whether requests to a Service are known by the address that they go to, whatever host they name: where a route of the Gateway API has the Service for a parent. Others are known by
// their host, as in Istio.
func (v *View) ByAddress(t Target) bool {
	if !v.shape().calls || t.Service.Origin.Kind != "Service" || t.Service.Headless || len(v.Addresses(t.Service)) == 0 {
		return false
	}
	calls, _ := read(v, mesh.OfCalled, v.s.Called, t.Service.ID.Host)
	return slices.ContainsFunc(calls, func(c mesh.Call) bool {
		return (c.Port == 0 || c.Port == t.Port.Number) && (c.From == "" || v.InNamespace(c.From))
	})
}

// own puts a service behind the listener that takes in everything but datagrams.
func (p *PortPlan) own(v *View, t Target) bool {
	switch proto := v.Protocol(t.Service, t.Port); {
	case proto == mesh.UDP:
		return false
	case proto.IsHTTP():
		p.HTTP = append(p.HTTP, t)
	default:
		p.TCP = append(p.TCP, t)
	}
	return true
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
	switch {
	case s.Headless:
		var out []netip.Addr
		for _, e := range v.Endpoints(s.ID) {
			if e.Address.Kind() == mesh.AddrIP && v.dials(e.Address.IP()) {
				out = append(out, e.Address.IP())
			}
		}
		return out
	case s.AutoAddress && !v.CapturesDNS():
		return nil
	case !slices.ContainsFunc(s.Addresses, func(a netip.Addr) bool { return a.Is4In6() || !v.dials(a) }):
		return s.Addresses[:len(s.Addresses):len(s.Addresses)]
	}
	out := make([]netip.Addr, 0, len(s.Addresses))
	for _, a := range s.Addresses {
		if a = a.Unmap(); v.dials(a) {
			out = append(out, a)
		}
	}
	return out
}

// dials says whether the proxy has the family of an address.
func (v *View) dials(a netip.Addr) bool {
	return a.Is4() && v.HasIPv4() || a.Is6() && v.HasIPv6()
}

// InboundPort is a port that the proxy's workload listens on, with the services that it serves there, ordered by host.
type InboundPort struct {
	Number  uint16
	Targets []Target // where a Sidecar names the port, perhaps none
	// Listener is what the workload's Sidecar says of the port, nil for nothing.
	Listener *mesh.IngressListener
	sidecar  *mesh.SidecarScope
}

// Protocol is how the proxy must treat what arrives.
func (in InboundPort) Protocol(v *View) mesh.Protocol {
	if in.Listener == nil {
		return v.Protocol(in.Targets[0].Service, in.Targets[0].Port)
	}
	p := mesh.Port{Name: in.Listener.Name, Number: in.Number, Protocol: in.Listener.Protocol}
	return v.Protocol(&mesh.Service{Origin: in.sidecar.Origin}, p)
}

// Host is the name of what is called at the port, and Port its number there.
func (in InboundPort) Host() (mesh.Host, uint16) {
	if len(in.Targets) > 0 {
		return in.Targets[0].Service.ID.Host, in.Targets[0].Port.Number
	}
	return mesh.Host(in.sidecar.Origin.Name + "." + string(in.sidecar.Origin.Namespace)), in.Number
}

// Pool bounds what arrives: by the workload's Sidecar, else by the DestinationRule for the service, else by the mesh's default.
func (v *View) Pool(in InboundPort) (*mesh.ConnectionPool, mesh.Ref) {
	if sc := v.arrival(); sc != nil {
		if i := slices.IndexFunc(sc.Ingress, func(l mesh.IngressListener) bool { return l.Port == in.Number && l.Pool != nil }); i >= 0 {
			return sc.Ingress[i].Pool, sc.Origin
		}
		if sc.Pool != nil {
			return sc.Pool, sc.Origin
		}
	}
	if len(in.Targets) > 0 {
		t := in.Targets[0]
		if rule := v.ownTraffic(t.Service); rule != nil {
			if p := Policy(rule, "", t.Port.Number).Pool; p != nil {
				return p, rule.Origin
			}
		}
	}
	return v.Settings().Baseline.Pool, MeshDefault
}

// MeshDefault is what is told of MeshConfig.defaultTrafficPolicy.
var MeshDefault = mesh.Ref{Kind: "MeshConfig", Name: "defaultTrafficPolicy"}

// Dialled says whether the proxy itself listens at the port, at which addresses.
func (v *View) Dialled(in InboundPort) []netip.Addr {
	switch l := in.Listener; {
	case l == nil && v.Captured(), l != nil && l.Capture == mesh.CaptureRedirect, l != nil && l.Capture == mesh.CaptureDefault && v.Captured():
		return nil
	case l != nil && l.Bind.IsValid():
		return []netip.Addr{l.Bind}
	}
	return v.OwnAddresses()
}

// DialledPorts are the inbound ports at which the proxy itself listens.
func (v *View) DialledPorts() []InboundPort {
	if sc := v.arrival(); v.Captured() && (sc == nil || !slices.ContainsFunc(sc.Ingress, func(l mesh.IngressListener) bool { return l.Capture == mesh.CaptureNone })) {
		return nil // so that listeners for what leaves do not depend on what the workload serves
	}
	return slices.DeleteFunc(v.Inbound(), func(in InboundPort) bool { return len(v.Dialled(in)) == 0 })
}

// DialledAt is one of the DialledPorts.
func (v *View) DialledAt(port uint16) (InboundPort, bool) {
	all := v.DialledPorts()
	i := slices.IndexFunc(all, func(in InboundPort) bool { return in.Number == port })
	if i < 0 {
		return InboundPort{}, false
	}
	return all[i], true
}

// Sidecar is the one that says something of the port.
func (in InboundPort) Sidecar() mesh.Ref {
	if in.sidecar == nil {
		return mesh.Ref{}
	}
	return in.sidecar.Origin
}

// Inbound are the ports of the proxy's workload, ordered: those that its Sidecar names, or else those of its services.
func (v *View) Inbound() []InboundPort {
	all := v.servedPorts()
	sc := v.arrival()
	if sc == nil || len(sc.Ingress) == 0 {
		return all
	}
	var out []InboundPort
	for i := range sc.Ingress {
		in := InboundPort{Number: sc.Ingress[i].Port, Listener: &sc.Ingress[i], sidecar: sc}
		if j := slices.IndexFunc(all, func(p InboundPort) bool { return p.Number == in.Number }); j >= 0 {
			in.Targets = all[j].Targets
		}
		out = append(out, in)
	}
	slices.SortFunc(out, func(a, b InboundPort) int { return int(a.Number) - int(b.Number) })
	return out
}

func (v *View) servedPorts() []InboundPort {
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
