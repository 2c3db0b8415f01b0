package patch

import (
	"net/http"
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// matching are the patches for a route configuration, or for a part of it.
func matching(v *view.View, config string, patches []*mesh.Patch) (*run, []*mesh.Patch) {
	if len(patches) == 0 {
		return nil, nil
	}
	r := &run{v: v, context: mesh.PatchOutbound}
	if v.Kind() == mesh.Router {
		r.context = mesh.PatchGateway
	}
	return r, slices.DeleteFunc(patches, func(p *mesh.Patch) bool { return !r.matchesRoutes(config, p) })
}

// Routes is a route configuration, without its virtual hosts, with the patches that are for it.
func Routes(v *view.View, config *routev3.RouteConfiguration) *routev3.RouteConfiguration {
	r, patches := matching(v, config.Name, v.Patches(view.Routes, config.Name))
	return r.configuration(config, patches)
}

func (r *run) configuration(config *routev3.RouteConfiguration, patches []*mesh.Patch) *routev3.RouteConfiguration {
	out, _ := apply(r, config, only(patches, mesh.PatchRouteConfiguration), r.configurations())
	return out
}

func (r *run) configurations() kind[*routev3.RouteConfiguration] {
	return kind[*routev3.RouteConfiguration]{
		change: func(m *routev3.RouteConfiguration, p *mesh.Patch) (outcome, error) {
			from := value[routev3.RouteConfiguration](p)
			if from.Name != "" && from.Name != m.Name {
				return changed, errRenamed
			}
			return changed, r.mergeValue(p, m, from)
		},
		shut: func(*routev3.RouteConfiguration, *mesh.Patch) func(*routev3.RouteConfiguration) {
			return func(*routev3.RouteConfiguration) {} // its virtual hosts are shut
		},
	}
}

// shuts says whether a patch of a route configuration guards and is left out.
func (r *run) shuts(config string, p *mesh.Patch) bool {
	if p.Target != mesh.PatchRouteConfiguration || !p.Guards {
		return false
	}
	if len(unhonoured(r.v, p)) > 0 {
		return true
	}
	k, m := (&run{v: r.v, context: r.context}).configurations(), &routev3.RouteConfiguration{Name: config}
	_, err := k.change(m, p)
	return err != nil || k.valid(m) != nil
}

// Hosts are the names of the virtual hosts of a route configuration, with those that patches add.
func Hosts(v *view.View, config string, have []string) []string {
	_, patches := matching(v, config, v.Patches(view.Routes, config))
	for _, p := range patches {
		if p.Target == mesh.PatchVirtualHost && adds(p) && !slices.Contains(have, p.Names) {
			have = append(have, p.Names)
		}
	}
	return have
}

// Host is a virtual host of a route configuration with the patches that are for it; nil when there is none. h is what was compiled under the name, nil for nothing.
func Host(v *view.View, config, name string, h *routev3.VirtualHost) *routev3.VirtualHost {
	r, patches := matching(v, config, v.HostPatches(config, name))
	return r.host(config, name, h, patches)
}

func (r *run) host(config, name string, h *routev3.VirtualHost, patches []*mesh.Patch) *routev3.VirtualHost {
	if len(patches) == 0 {
		return h
	}
	h = r.patched(name, h, patches)
	for _, p := range patches {
		if h != nil && r.shuts(config, p) {
			closeHost(h, p)
		}
	}
	return h
}

func (r *run) patched(name string, h *routev3.VirtualHost, patches []*mesh.Patch) *routev3.VirtualHost {
	if h == nil {
		mine := slices.DeleteFunc(only(patches, mesh.PatchVirtualHost), func(p *mesh.Patch) bool { return p.Names != name })
		return added(r, mine, value[routev3.VirtualHost])
	}
	for _, p := range patches {
		if p.Target == mesh.PatchVirtualHost && adds(p) && p.Names == h.Name {
			taken(r.v, p, "virtual host")
		}
	}
	order := append(only(patches, mesh.PatchVirtualHost), routesInOrder(patches)...)
	out, ok := apply(r, h, order, kind[*routev3.VirtualHost]{change: r.changeHost, shut: shutHost})
	if !ok {
		return nil
	}
	return out
}

// routesInOrder are the patches of routes: those that change what is there come before those that add.
func routesInOrder(patches []*mesh.Patch) []*mesh.Patch {
	out := only(patches, mesh.PatchHTTPRoute)
	slices.SortStableFunc(out, func(a, b *mesh.Patch) int {
		changes := func(p *mesh.Patch) int {
			if merges(p) || p.Operation == mesh.PatchRemove {
				return 0
			}
			return 1
		}
		return changes(a) - changes(b)
	})
	return out
}

func (r *run) changeHost(h *routev3.VirtualHost, p *mesh.Patch) (outcome, error) {
	if adds(p) && p.Target == mesh.PatchVirtualHost || !matchesHost(h, p) {
		return missed, nil
	}
	if p.Target == mesh.PatchHTTPRoute {
		return r.changeRoutes(h, p)
	}
	switch p.Operation {
	case mesh.PatchRemove:
		return removed, nil
	case mesh.PatchReplace:
		name := h.Name
		proto.Reset(h)
		proto.Merge(h, value[routev3.VirtualHost](p))
		h.Name = name // what refers to the host, refers to it by this
		return changed, r.grow(p)
	}
	from := value[routev3.VirtualHost](p)
	if from.Name != "" && from.Name != h.Name {
		return changed, errRenamed
	}
	return changed, r.mergeValue(p, h, from)
}

func (r *run) changeRoutes(h *routev3.VirtualHost, p *mesh.Patch) (outcome, error) {
	selective := p.Match.Host != nil && p.Match.Host.Route != nil
	selects := func(x *routev3.Route) bool { return matchesRoute(x, p) }
	switch {
	case merges(p):
		what := missed
		for _, x := range h.Routes {
			if !selects(x) {
				continue
			}
			what = changed
			if err := r.mergeValue(p, x, value[routev3.Route](p)); err != nil {
				return what, err
			}
		}
		return what, nil
	case p.Operation == mesh.PatchRemove: // without a match of routes, all of them, as in Istio
		before := len(h.Routes)
		h.Routes = slices.DeleteFunc(h.Routes, selects)
		return some(len(h.Routes) < before), nil
	case p.Operation == mesh.PatchInsertFirst && selective && !slices.ContainsFunc(h.Routes, selects):
		return missed, nil
	}
	o := ordered[*routev3.Route]{list: h.Routes, selects: selects, selective: selective, end: len(h.Routes)}
	out, what, err := edit(o, p, func() (*routev3.Route, error) { return value[routev3.Route](p), r.grow(p) })
	h.Routes = out
	return what, err
}

// shutHost closes a virtual host that a patch matches.
func shutHost(h *routev3.VirtualHost, p *mesh.Patch) (again func(*routev3.VirtualHost)) {
	if adds(p) && p.Target == mesh.PatchVirtualHost || !matchesHost(h, p) {
		return func(*routev3.VirtualHost) {}
	}
	closeHost(h, p)
	return func(h *routev3.VirtualHost) { closeHost(h, p) }
}

// closeHost has a virtual host deny every request.
func closeHost(h *routev3.VirtualHost, p *mesh.Patch) {
	name, domains := h.Name, h.Domains
	proto.Reset(h)
	h.Name, h.Domains = name, domains
	h.Routes = []*routev3.Route{{
		Name:   "denied[" + p.Origin.String() + "]: " + p.Path + " cannot be honoured",
		Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: http.StatusForbidden}},
	}}
}

// inboundRoutes changes the routes that are part of an inbound listener.
func inboundRoutes(r *run, l *listenerv3.Listener) *listenerv3.Listener {
	all := r.v.Patches(view.Routes, "")
	if len(all) == 0 {
		return l
	}
	for _, c := range chains(l) {
		for _, f := range c.Filters {
			m := manager(f)
			config := m.GetRouteConfig()
			if config == nil {
				continue
			}
			patches := slices.DeleteFunc(slices.Clone(all), func(p *mesh.Patch) bool { return !r.matchesRoutes(config.Name, p) })
			if len(patches) == 0 {
				continue
			}
			config = r.configuration(config, patches)
			var hosts []*routev3.VirtualHost
			for _, h := range config.VirtualHosts {
				if h = r.host(config.Name, h.Name, h, patches); h != nil {
					hosts = append(hosts, h)
				}
			}
			for _, p := range patches {
				if p.Target == mesh.PatchVirtualHost && adds(p) && !slices.ContainsFunc(hosts, func(h *routev3.VirtualHost) bool { return h.Name == p.Names }) {
					if h := r.host(config.Name, p.Names, nil, patches); h != nil {
						hosts = append(hosts, h)
					}
				}
			}
			config.VirtualHosts = hosts
			setInline(m, config)
			setManager(f, m)
		}
	}
	return l
}
