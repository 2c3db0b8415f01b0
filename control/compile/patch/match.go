package patch

import (
	"cmp"
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// rawSocket is what a chain without a transport socket has.
const rawSocket = "envoy.transport_sockets.raw_buffer"

func virtual(l *listenerv3.Listener) bool {
	return l.Name == view.VirtualInbound || l.Name == view.VirtualOutbound
}

// matchesListener says whether a patch is for a listener. Ports of the virtual listeners are those of their chains, but for the listener itself.
func (r *run) matchesListener(l *listenerv3.Listener, p *mesh.Patch) bool {
	m := &p.Match
	if !r.in(p) || m.Name != "" && m.Name != l.Name {
		return false
	}
	if m.Port == 0 || p.Target != mesh.PatchListener && virtual(l) {
		return true
	}
	return l.GetAddress().GetSocketAddress().GetPortValue() == m.Port
}

// matchesChain says whether a patch is for a filter chain of a listener that it is for.
func matchesChain(l *listenerv3.Listener, c *listenerv3.FilterChain, p *mesh.Patch) bool {
	to := c.GetFilterChainMatch()
	if virtual(l) && p.Match.Port != 0 && to.GetDestinationPort().GetValue() != p.Match.Port {
		return false
	}
	m := p.Match.Chain
	if m == nil {
		return true
	}
	return (m.Name == "" || m.Name == c.Name) &&
		(m.SNI == "" || slices.Contains(to.GetServerNames(), m.SNI)) &&
		(m.Transport == "" || m.Transport == to.GetTransportProtocol()) &&
		!slices.ContainsFunc(m.Protocols, func(s string) bool { return !slices.Contains(to.GetApplicationProtocols(), s) }) &&
		(m.Port == 0 || m.Port == to.GetDestinationPort().GetValue()) &&
		(m.Socket == "" || m.Socket == cmp.Or(c.GetTransportSocket().GetName(), rawSocket))
}

// matchesRoutes says whether a patch is for a route configuration.
func (r *run) matchesRoutes(name string, p *mesh.Patch) bool {
	m := &p.Match
	if !r.in(p) || m.Name != "" && m.Name != name {
		return false
	}
	port, portName, gateway := view.RouteAt(name)
	if m.Port != 0 && m.Port != port {
		return false
	}
	if r.context != mesh.PatchGateway {
		return true
	}
	return (m.PortName == "" || m.PortName == portName) && (m.Gateway == "" || m.Gateway == gateway)
}

func matchesHost(h *routev3.VirtualHost, p *mesh.Patch) bool {
	m := p.Match.Host
	return m == nil || (m.Name == "" || m.Name == h.Name) && (m.Domain == "" || slices.Contains(h.Domains, m.Domain))
}

func matchesRoute(route *routev3.Route, p *mesh.Patch) bool {
	if p.Match.Host == nil || p.Match.Host.Route == nil {
		return true
	}
	m := p.Match.Host.Route
	if m.Name != "" && m.Name != route.Name {
		return false
	}
	switch route.Action.(type) {
	case *routev3.Route_Route:
		return m.Action == mesh.PatchAnyAction || m.Action == mesh.PatchRouteAction
	case *routev3.Route_Redirect:
		return m.Action == mesh.PatchAnyAction || m.Action == mesh.PatchRedirect
	case *routev3.Route_DirectResponse:
		return m.Action == mesh.PatchAnyAction || m.Action == mesh.PatchDirectResponse
	}
	return true
}
