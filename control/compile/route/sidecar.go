package route

import (
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

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

func catchAll(v *view.View) string {
	if v.Settings().RegistryOnly {
		return blockAll
	}
	return allowAny
}

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
	return out
}

// sidecarHosts are the virtual hosts HOST:PORT of a port (route PORT), of one service (route HOST:PORT), or of all ports (the explicit proxy's route).
func sidecarHosts(v *view.View, name string) ([]string, bool) {
	var out []string
	if name == view.HTTPProxy {
		if v.Settings().HTTPProxyPort == 0 {
			return nil, false
		}
		for port := range v.PortNumbers() {
			for _, t := range requests(v.Outbound(port)) {
				out = append(out, view.HostPort(t.Service.ID.Host, port))
			}
		}
		return append(out, catchAll(v)), true
	}
	if host, port, ok := view.ParseHostPort(name); ok {
		for _, t := range v.Outbound(port).Sniffed {
			if t.Service.ID.Host == host {
				return []string{name}, true // it takes every host, so there is nothing left for another
			}
		}
		return nil, false
	}
	n, err := strconv.ParseUint(name, 10, 16)
	if err != nil {
		return nil, false
	}
	plan := v.Outbound(uint16(n))
	if len(plan.HTTP) == 0 {
		return nil, false
	}
	for _, t := range plan.HTTP {
		out = append(out, view.HostPort(t.Service.ID.Host, plan.Number))
	}
	if n == orphanPort {
		for h := range v.Orphans() {
			out = append(out, view.HostPort(h, orphanPort))
		}
	}
	return append(out, catchAll(v)), true
}

// requests are the targets that can be reached by request.
func requests(plan view.PortPlan) []view.Target { return append(plan.HTTP, plan.Sniffed...) }

func sidecarHost(v *view.View, route, name string) *routev3.VirtualHost {
	switch name {
	case allowAny:
		return virtualHost(allowAny, []string{"*"}, []*routev3.Route{passthrough(view.PassthroughCluster)})
	case blockAll:
		return virtualHost(blockAll, []string{"*"}, []*routev3.Route{{Name: blockAll, Match: routeMatch(nil), Action: direct(blocked, nil)}})
	}
	host, port, ok := view.ParseHostPort(name)
	if !ok {
		return nil
	}
	p := place{v: v, port: port}
	routes := p.rules(v.MeshRoutes(host))
	s, ok := v.Resolve(host)
	if !ok {
		if len(routes) == 0 {
			return nil
		}
		return virtualHost(name, hostDomains([]string{string(host)}, port), routes)
	}
	if len(routes) == 0 {
		routes = []*routev3.Route{p.fallback(s)}
	}
	domains := hostDomains(aliases(v, s), port)
	if _, _, single := view.ParseHostPort(route); single {
		domains = []string{"*"} // the listener is the service's own address: whatever host is asked for
	}
	return virtualHost(name, domains, routes)
}

// aliases are the names by which a client calls a service: its host, the short forms of a Kubernetes service that no other service has for a name,
// and its addresses.
func aliases(v *view.View, s *mesh.Service) []string {
	out := []string{string(s.ID.Host)}
	domain := v.Settings().ClusterDomain
	if domain == "" {
		domain = "cluster.local"
	}
	suffix := "." + string(s.ID.Namespace) + ".svc." + domain
	if name, ok := strings.CutSuffix(string(s.ID.Host), suffix); ok && name != "" {
		forms := []string{name + "." + string(s.ID.Namespace) + ".svc", name + "." + string(s.ID.Namespace)}
		if v.InNamespace(s.ID.Namespace) {
			forms = append(forms, name)
		}
		for _, f := range forms {
			if _, taken := v.Resolve(mesh.Host(f)); !taken {
				out = append(out, f)
			}
		}
		if s.Headless {
			out = append(out, "*."+string(s.ID.Host))
		}
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

// hostDomains are names with and without the port.
func hostDomains(names []string, port uint16) []string {
	out := make([]string, 0, 2*len(names))
	for _, n := range names {
		out = append(out, n)
		if n != "*" {
			out = append(out, n+":"+strconv.Itoa(int(port)))
		}
	}
	return out
}
