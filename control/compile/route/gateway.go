package route

import (
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/heddle-mesh/heddle/control/compile/gate"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// at is a gateway's route configuration: the servers that share it.
type at struct {
	port    uint16
	servers []gate.Server
}

func gatewayNames(v *view.View) []string {
	var out []string
	for _, p := range gate.Ports(v) {
		for _, s := range slices.Concat(p.Plain, p.TLS) {
			if s.Protocol.IsHTTP() || s.Protocol == mesh.HTTPS {
				out = append(out, s.Route)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func gatewayAt(v *view.View, name string) (at, bool) {
	for _, p := range gate.Ports(v) {
		found := at{}
		for _, s := range slices.Concat(p.Plain, p.TLS) {
			if s.Route == name && (s.Protocol.IsHTTP() || s.Protocol == mesh.HTTPS) {
				found.port = s.Port
				found.servers = append(found.servers, s)
			}
		}
		if len(found.servers) > 0 {
			return found, true
		}
	}
	return at{}, false
}

// gatewayHosts are the virtual hosts HOST:PORT for each host that a route has at one of the servers, or that a server only redirects; and those that keep requests from
// the routes of others.
func gatewayHosts(v *view.View, name string) ([]string, bool) {
	a, ok := gatewayAt(v, name)
	if !ok {
		return nil, false
	}
	var out []string
	for _, s := range a.servers {
		if s.HTTPSRedirect {
			for _, h := range s.Hosts {
				out = append(out, view.HostPort(h.Host, a.port))
			}
			continue
		}
		for _, r := range s.Routes(v) {
			for _, h := range r.Hosts {
				out = append(out, view.HostPort(h, a.port))
			}
		}
		for _, h := range append(s.Shadows(), misdirected(s)...) {
			out = append(out, view.HostPort(h, a.port))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), true
}

func gatewayHost(v *view.View, name, resource string) *routev3.VirtualHost {
	a, ok := gatewayAt(v, name)
	if !ok {
		return nil
	}
	host, _, ok := view.ParseHostPort(resource)
	if !ok {
		return nil
	}
	domains := []string{string(host)}
	only := string(host)
	if strings.Contains(only, "*") {
		only = ""
	}
	var routes []*routev3.Route
	for _, s := range a.servers {
		if s.HTTPSRedirect && slices.ContainsFunc(s.Hosts, func(h mesh.ServerHost) bool { return h.Host == host }) {
			return virtualHost(v, resource, domains, []*routev3.Route{toHTTPS()})
		}
	}
	for _, s := range a.servers {
		if slices.Contains(misdirected(s), host) {
			return virtualHost(v, resource, domains, []*routev3.Route{{Name: "misdirected", Match: routeMatch(nil), Action: direct(421, nil)}})
		}
	}
	byGateway := map[mesh.GatewayID]bool{}
	for _, s := range a.servers {
		if byGateway[s.Gateway.ID] {
			continue // the listeners of one gateway that share a port have the same routes for a host
		}
		var here []*mesh.Route
		for _, r := range s.Routes(v) {
			if slices.Contains(r.Hosts, host) {
				here = append(here, r.Route)
			}
		}
		if len(here) > 0 {
			byGateway[s.Gateway.ID] = true
			routes = append(routes, place{v: v, port: a.port, gateway: &s.Gateway.ID, tls: s.TLS != nil, host: only}.rules("", here)...)
		}
	}
	if len(routes) == 0 && !slices.ContainsFunc(a.servers, func(s gate.Server) bool { return slices.Contains(s.Shadows(), host) }) {
		return nil
	}
	return virtualHost(v, resource, domains, routes)
}

// misdirected are the hosts of others that a client may ask a server for whose certificate names both, over a connection that it has already (RFC 9110 section 15.5.20).
func misdirected(s gate.Server) []mesh.Host {
	if s.TLS == nil {
		return nil
	}
	return s.Siblings
}

func toHTTPS() *routev3.Route {
	return &routev3.Route{Name: "https-redirect", Match: routeMatch(nil), Action: &routev3.Route_Redirect{Redirect: &routev3.RedirectAction{
		SchemeRewriteSpecifier: &routev3.RedirectAction_HttpsRedirect{HttpsRedirect: true},
	}}}
}
