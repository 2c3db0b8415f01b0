// Package gate merges the Gateways that a proxy serves into what each of its ports must do; listeners and routes are both compiled from that.
//
// In: a View of a gateway proxy. Out: Ports, ordered by number, oldest Gateway first within each. Pure and safe for concurrent use.
package gate

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// Server is one server of a Gateway.
type Server struct {
	Gateway *mesh.Gateway
	mesh.Server
	// Route is the name of its route configuration: http.PORT is shared by the plain servers of a port, a terminating server has its own.
	Route string
	// Siblings are the hosts of the other listeners of the same Gateway and port that read requests.
	Siblings []mesh.Host
}

// Port is what a port of the proxy must do. Number is the port that the workload listens on; a Service in front of it may map another one to it.
type Port struct {
	Number uint16
	Bind   netip.Addr // the only address that it listens on; invalid for all
	Plain  []Server   // HTTP
	TLS    []Server   // TLS that ends here: HTTP inside, or TCP
	TCP    []Server
	UDP    []Server // the port's datagrams; what else is said of it is about connections
	// Refused servers must not serve; connections that would be theirs are closed.
	Refused []Server
}

// Ports are the ports that the proxy serves.
func Ports(v *view.View) []Port {
	target, datagrams := targets(v), v.InboundDatagrams()
	type place struct {
		number uint16
		bind   netip.Addr
	}
	ports := map[place]*Port{}
	for _, g := range v.Gateways() {
		v.From(g.Origin)
		for _, s := range g.Servers {
			n, mapped := s.Port, target
			if s.Protocol == mesh.UDP {
				mapped = datagrams
			}
			if t, ok := mapped[n]; ok {
				n = t
			}
			bind, _ := netip.ParseAddr(s.Bind)
			p := ports[place{n, bind}]
			if p == nil {
				p = &Port{Number: n, Bind: bind}
				ports[place{n, bind}] = p
			}
			p.add(g, s)
		}
	}
	out := make([]Port, 0, len(ports))
	for _, p := range ports {
		meet(p.Plain)
		meet(p.TLS)
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b Port) int { return cmp.Or(cmp.Compare(a.Number, b.Number), a.Bind.Compare(b.Bind)) })
	return out
}

func (p *Port) add(g *mesh.Gateway, s mesh.Server) {
	server := Server{Gateway: g, Server: s, Route: "http." + strconv.Itoa(int(p.Number))}
	if p.Bind.IsValid() {
		server.Route += "." + p.Bind.String()
	}
	switch {
	case s.Protocol == mesh.UDP:
		p.UDP = append(p.UDP, server)
	case s.Denied != "":
		p.Refused = append(p.Refused, server)
	case s.TLS != nil:
		server.Route = "https." + strconv.Itoa(int(s.Port)) + "." + s.Name + "." + g.ID.Name + "." + string(g.ID.Namespace)
		p.TLS = append(p.TLS, server)
	case s.Protocol.IsHTTP():
		p.Plain = append(p.Plain, server)
	case s.Protocol == mesh.HTTPS:
		server.Denied = "protocol HTTPS needs tls settings"
		p.Refused = append(p.Refused, server)
	default:
		p.TCP = append(p.TCP, server)
	}
}

// Connects says whether the port takes connections, besides datagrams.
func (p Port) Connects() bool { return len(p.Plain)+len(p.TLS)+len(p.TCP)+len(p.Refused) > 0 }

// targets maps the ports of the Services in front of the proxy to the ports that it listens on.
func targets(v *view.View) map[uint16]uint16 {
	out := map[uint16]uint16{}
	for _, in := range v.Inbound() {
		for _, t := range in.Targets {
			if _, ok := out[t.Port.Number]; !ok {
				out[t.Port.Number] = in.Number
			}
		}
	}
	return out
}

// Listener is the name of the port's listener.
func (p Port) Listener() string {
	if p.Bind.IsValid() {
		return view.ListenerName(p.Bind, p.Number)
	}
	return view.SharedListener(p.Number)
}

// At is one of the Ports; bind is unspecified for one that listens on all addresses.
func At(v *view.View, bind netip.Addr, number uint16) (Port, bool) {
	if bind.IsUnspecified() {
		bind = netip.Addr{}
	}
	for _, p := range Ports(v) {
		if p.Number == number && p.Bind == bind {
			return p, true
		}
	}
	return Port{}, false
}

// Routed is a route at a server with the hosts for which it counts there.
type Routed struct {
	Route *mesh.Route
	Hosts []mesh.Host
}

// Routes are the routes in effect at a server, oldest first.
func (s Server) Routes(v *view.View) []Routed {
	var out []Routed
	routes := v.GateRoutes(s.Gateway.ID)
	outranked := mesh.Outranked(s.Gateway.ID, s.Name, routes)
	for _, r := range routes {
		if outranked[r] != nil {
			continue
		}
		if hosts := s.hosts(r); len(hosts) > 0 {
			v.From(r.Origin)
			out = append(out, Routed{Route: r, Hosts: hosts})
		}
	}
	return out
}

// hosts are those that the route and the server share. A Gateway API route has settled it with its listener already.
func (s Server) hosts(r *mesh.Route) []mesh.Host {
	var out []mesh.Host
	for _, p := range r.Parents {
		if p.Gateway == s.Gateway.ID && (p.Listener == "" || p.Listener == s.Name) {
			out = append(out, p.Hosts...)
		}
	}
	if len(r.Parents) > 0 {
		return slices.DeleteFunc(out, s.Yields)
	}
	for _, own := range s.Hosts {
		ns := own.Namespace
		if ns == "." {
			ns = s.Gateway.ID.Namespace
		}
		if ns != "" && ns != "*" && ns != r.Origin.Namespace {
			continue
		}
		for _, h := range r.Hosts {
			switch {
			case own.Host.Matches(h):
				out = append(out, h)
			case h.Matches(own.Host):
				out = append(out, own.Host)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ServerNames are the SNI values of a terminating server; none means any.
func (s Server) ServerNames() []string {
	var out []string
	for _, h := range s.Hosts {
		if h.Host == "*" {
			return nil
		}
		out = append(out, strings.ToLower(string(h.Host)))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
