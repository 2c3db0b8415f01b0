package route

import (
	"cmp"
	"iter"
	"slices"
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// The virtual hosts for what no other knows, in Istio's names.
const (
	allowAny = "allow_any"
	blockAll = "block_all"
	// orphanPort is where routes for hosts that no service defines are put in effect.
	orphanPort = 80
	// blocked is what a request to an unknown host is answered with under REGISTRY_ONLY.
	blocked = 502
)

// catchAll is what becomes of requests to unknown hosts. A request to the explicit proxy, or to a listener that is dialled, has no destination of its own that it could go to.
func (r sidecarRoute) catchAll(v *view.View) string {
	if _, closed := v.UnknownRequests(); closed || r.all || r.host == "" && v.OnlyDialled(r.port) {
		return blockAll
	}
	return allowAny
}

// unknownHost is what the explicit proxy answers.
const unknownHost = "this host and port are no service of the mesh, and the mesh's HTTP proxy leads to nothing else; call others without it (NO_PROXY)\n"

func sidecarNames(v *view.View) []string {
	var out []string
	for port := range v.PortNumbers() {
		plan := v.Outbound(port)
		if len(plan.HTTP) > 0 {
			out = append(out, strconv.Itoa(int(port)))
		}
		for _, t := range plan.Sniffed {
			out = append(out, view.HostPort(t.Service.ID.Host, port))
		}
	}
	if v.Settings().HTTPProxyPort != 0 {
		out = append(out, view.HTTPProxy)
	}
	for _, f := range v.Fronts() {
		if f.Proxy || f.Protocol.IsHTTP() {
			out = append(out, f.Route())
		}
	}
	return out
}

// sidecarHosts are the virtual hosts HOST:PORT of a port (route PORT), of one service (route HOST:PORT), or of all ports (the explicit proxy's route).
func sidecarHosts(v *view.View, name string) ([]string, bool) {
	r, ok := parseRoute(v, name)
	if !ok {
		return nil, false
	}
	if r.host != "" {
		return []string{name}, true // it takes every host, so there is nothing left for another
	}
	var out []string
	for port := range r.ports(v) {
		if r.front != nil {
			for s, p := range v.Everywhere(port) {
				if r.front.Imports(s.ID) && routed(v, s, p) {
					out = append(out, view.HostPort(s.ID.Host, port))
				}
			}
			continue
		}
		plan := v.Outbound(port)
		targets := plan.HTTP
		if r.all {
			targets = requests(plan)
		} else if len(targets) == 0 {
			return nil, false
		}
		for _, t := range targets {
			out = append(out, view.HostPort(t.Service.ID.Host, port))
		}
		if port == orphanPort {
			for h := range v.Orphans() {
				out = append(out, view.HostPort(h, port))
			}
		}
	}
	return append(out, r.catchAll(v)), true
}

// sidecarRoute is what the name of a route says.
type sidecarRoute struct {
	port uint16
	host mesh.Host // of the only service; "" for all of the port
	all  bool      // every port
	// front is a Sidecar's listener for whatever it imports, nil for none.
	front *view.Front
}

func parseRoute(v *view.View, name string) (r sidecarRoute, ok bool) {
	if name == view.HTTPProxy {
		r.all = true
		return r, v.Settings().HTTPProxyPort != 0
	}
	if r.front = v.FrontOf(name); r.front != nil {
		r.all = true
		return r, true
	}
	if host, port, ok := view.ParseHostPort(name); ok {
		r.host, r.port = host, port
		t, ok := target(v, host, port)
		return r, ok && t.single(v)
	}
	r.port, ok = view.ParsePort(name)
	return r, ok
}

// routed says whether requests to a port of a service are routed.
func routed(v *view.View, s *mesh.Service, p mesh.Port) bool {
	proto := v.Protocol(s, p)
	return proto == mesh.Auto || proto.IsHTTP()
}

func (r sidecarRoute) ports(v *view.View) iter.Seq[uint16] {
	if r.all {
		return v.PortNumbers()
	}
	return func(yield func(uint16) bool) { yield(r.port) }
}

// placed is a service at a port, and whether it has listeners of its own there.
type placed struct {
	service *mesh.Service
	sniffed bool
}

// single says whether the service has a route configuration of its own. A gRPC client has one for each target.
func (p placed) single(v *view.View) bool { return p.sniffed || v.Kind() == mesh.Proxyless }

// target finds the service behind a virtual host, if requests to it are routed at all.
func target(v *view.View, host mesh.Host, port uint16) (placed, bool) {
	s, ok := v.Resolve(host)
	if !ok {
		return placed{}, false
	}
	taken := v.Takes(s.ID, port)
	p, ok := s.Port(port)
	if !ok || !taken.OK {
		return placed{}, false
	}
	if taken.Given {
		p.Protocol = taken.Protocol
	}
	if v.Kind() == mesh.Proxyless && v.Protocol(s, p) == mesh.TCP { // who asks speaks gRPC, whatever the port is called
		p.Protocol = mesh.GRPC
	}
	proto := v.Protocol(s, p)
	own := proto == mesh.Auto && len(v.Addresses(s)) > 0 || proto.IsHTTP() && v.ByAddress(view.Target{Service: s, Port: p})
	return placed{service: s, sniffed: own}, routed(v, s, p)
}

// fronted finds the service behind a virtual host of a front.
func (r sidecarRoute) fronted(v *view.View, host mesh.Host, port uint16) (placed, bool) {
	s, ok := v.Resolve(host)
	if !ok || !r.front.Imports(s.ID) {
		return placed{}, false
	}
	p, ok := s.Port(port)
	return placed{service: s}, ok && routed(v, s, p)
}

// requests are the targets that can be reached by request.
func requests(plan view.PortPlan) []view.Target { return append(plan.HTTP, plan.Sniffed...) }

func sidecarHost(v *view.View, route, name string) *routev3.VirtualHost {
	r, ok := parseRoute(v, route)
	if !ok {
		return nil
	}
	if name == allowAny || name == blockAll {
		if r.host != "" || name != r.catchAll(v) {
			return nil
		}
		if name == allowAny {
			to, _ := v.UnknownRequests()
			return virtualHost(v, name, []string{"*"}, []*routev3.Route{passthrough(to)})
		}
		var body []byte
		if r.all {
			body = []byte(unknownHost)
		}
		return virtualHost(v, name, []string{"*"}, []*routev3.Route{{Name: name, Match: routeMatch(nil), Action: direct(blocked, body)}})
	}
	host, port, ok := view.ParseHostPort(name)
	if !ok || !r.all && port != r.port || r.host != "" && host != r.host {
		return nil
	}
	p := place{v: v, port: port}
	if _, service := v.Resolve(host); !service && r.host == "" && port == orphanPort {
		if routes := p.rules(host, v.MeshRoutes(host, port)); len(routes) > 0 {
			return virtualHost(v, name, r.domains([]string{string(host)}, port), routes)
		}
		return nil
	}
	t, ok := target(v, host, port)
	if r.front != nil {
		t, ok = r.fronted(v, host, port)
	}
	if !ok || !r.all && t.single(v) != (r.host != "") {
		return nil
	}
	routes := p.rules(host, v.MeshRoutes(host, port))
	domains := []string{"*"} // of a listener at the service's own address: whatever host is asked for
	if r.host == "" {
		domains = r.domains(aliases(v, t.service), port)
	}
	h := virtualHost(v, name, domains, routes)
	if len(routes) == 0 {
		p.serve(h, t.service)
	}
	return h
}

// aliases are the names by which a client calls a service: its host, the short forms of a Kubernetes service that no other service has for a name,
// and its addresses.
func aliases(v *view.View, s *mesh.Service) []string {
	out := forms(v, s.ID, s.Headless)
	for _, id := range v.Aliases(s) {
		out = append(out, forms(v, id, s.Headless)...)
	}
	if !s.Headless {
		for _, a := range v.Addresses(s) {
			if a.Is6() {
				out = append(out, "["+a.String()+"]")
			} else {
				out = append(out, a.String())
			}
		}
	}
	return out
}

// forms are the host of a service and the short ones that no other service has for a name.
func forms(v *view.View, id mesh.ServiceID, headless bool) []string {
	out := []string{string(id.Host)}
	host := string(id.Host)
	service, ok := strings.CutSuffix(host, cmp.Or(v.Settings().ClusterDomain, "cluster.local"))
	service, ok2 := strings.CutSuffix(service, ".svc.")
	name, ok3 := strings.CutSuffix(service, string(id.Namespace))
	name, ok4 := strings.CutSuffix(name, ".")
	if !ok || !ok2 || !ok3 || !ok4 || name == "" {
		return out
	}
	short := append(make([]string, 0, 6), host[:len(service)+len(".svc")], service)
	if v.InNamespace(id.Namespace) {
		short = append(short, name)
	}
	if headless { // its pods have names below each form: web-0.web
		wide := []string{"*." + string(id.Host)}
		for _, f := range short {
			wide = append(wide, "*."+f)
		}
		short = append(short, wide...)
	}
	for _, f := range short {
		if !v.Taken(mesh.Host(f)) {
			out = append(out, f)
		}
	}
	return out
}

// domains are what a virtual host of the route answers to. A name without a port means port 80 to the explicit proxy, which serves all ports.
func (r sidecarRoute) domains(names []string, port uint16) []string {
	all := hostDomains(names, port)
	if !r.all || port == orphanPort {
		return all
	}
	return slices.DeleteFunc(all, func(d string) bool { return slices.Contains(names, d) })
}

// hostDomains are names with and without the port.
func hostDomains(names []string, port uint16) []string {
	out := make([]string, 0, 2*len(names))
	for i, with := range message.Affixed("", names, ":"+strconv.Itoa(int(port))) {
		if out = append(out, names[i]); names[i] != "*" {
			out = append(out, with)
		}
	}
	return out
}
