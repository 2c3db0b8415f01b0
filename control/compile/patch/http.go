package patch

import (
	"fmt"
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/mesh"
)

// The names of filters that others are placed by.
const (
	managerType = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
	routerType  = "envoy.extensions.filters.http.router.v3.Router"
	rbacName    = "envoy.filters.http.rbac"
	jwtName     = "envoy.filters.http.jwt_authn"
)

// manager is the HTTP connection manager in a filter, nil when it is another filter.
func manager(f *listenerv3.Filter) *hcmv3.HttpConnectionManager {
	if f.GetTypedConfig().MessageName() != managerType {
		return nil
	}
	m := &hcmv3.HttpConnectionManager{}
	if f.GetTypedConfig().UnmarshalTo(m) != nil {
		return nil
	}
	return m
}

func setManager(f *listenerv3.Filter, m *hcmv3.HttpConnectionManager) {
	f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: message.Any(m)}
}

// httpFilters changes the filters for requests of a chain.
func (r *run) httpFilters(c *listenerv3.FilterChain, p *mesh.Patch, name string) (outcome, error) {
	what := missed
	for _, f := range c.Filters {
		if name != "" && f.Name != name {
			continue
		}
		m := manager(f)
		if m == nil {
			continue
		}
		edited, err := r.requestFilters(m, p)
		if what = max(what, edited); err != nil {
			return what, err
		}
		if edited != missed {
			setManager(f, m)
		}
	}
	return what, nil
}

func (r *run) requestFilters(m *hcmv3.HttpConnectionManager, p *mesh.Patch) (outcome, error) {
	name := ""
	if p.Match.Chain != nil {
		name = p.Match.Chain.SubFilter
	}
	selects := func(f *hcmv3.HttpFilter) bool { return f.Name == name }
	if merges(p) {
		i := slices.IndexFunc(m.HttpFilters, selects)
		if name == "" || i < 0 || m.HttpFilters[i].GetTypedConfig() == nil {
			return missed, nil
		}
		for _, f := range m.HttpFilters {
			if selects(f) {
				if err := r.mergeValue(p, f, value[hcmv3.HttpFilter](p)); err != nil {
					return changed, err
				}
			}
		}
		return changed, nil
	}
	o := ordered[*hcmv3.HttpFilter]{list: m.HttpFilters, selects: selects, selective: name != "", end: place(m.HttpFilters, p.Class)}
	out, what, err := edit(o, p, func() (*hcmv3.HttpFilter, error) { return value[hcmv3.HttpFilter](p), r.grow(p) })
	m.HttpFilters = out
	return what, err
}

// place is where a filter of a class is added: before the router, or behind the filters that authenticate or authorize. Those that authenticate come first.
func place(filters []*hcmv3.HttpFilter, class mesh.PatchClass) int {
	behind := func(names ...string) int {
		at := 0
		for i, f := range filters {
			if slices.Contains(names, f.Name) {
				at = i + 1
			}
		}
		return at
	}
	switch class {
	case mesh.PatchAfterAuthn:
		return behind(jwtName)
	case mesh.PatchAfterAuthz:
		return behind(jwtName, rbacName)
	}
	if n := len(filters); n > 0 && router(filters[n-1]) {
		return n - 1
	}
	return len(filters)
}

func router(f *hcmv3.HttpFilter) bool { return f.GetTypedConfig().MessageName() == routerType }

// checkHTTP says what Envoy refuses of the filters for requests.
func checkHTTP(f *listenerv3.Filter) error {
	m := manager(f)
	if m == nil {
		return nil
	}
	for i, h := range m.HttpFilters {
		if last := i == len(m.HttpFilters)-1; router(h) && !last {
			return fmt.Errorf("the router must be the last HTTP filter, and %s follows it", m.HttpFilters[i+1].Name)
		}
	}
	if len(m.HttpFilters) == 0 {
		return fmt.Errorf("%s has no HTTP filter left, and requests need a router", f.Name)
	}
	return nil
}

// denyRequests has a chain deny every request in the place of a patch, and says whether it takes requests at all.
func denyRequests(c *listenerv3.FilterChain, p *mesh.Patch) (done bool) {
	for _, f := range c.Filters {
		m := manager(f)
		if m == nil {
			continue
		}
		everything := &rbacv3.Policy{
			Permissions: []*rbacv3.Permission{{Rule: &rbacv3.Permission_Any{Any: true}}}, Principals: []*rbacv3.Principal{{Identifier: &rbacv3.Principal_Any{Any: true}}},
		}
		deny := &httprbacv3.RBAC{Rules: &rbacv3.RBAC{Action: rbacv3.RBAC_DENY, Policies: map[string]*rbacv3.Policy{
			"denied[" + p.Origin.String() + "]: " + p.Path + " cannot be honoured": everything,
		}}}
		m.HttpFilters = append([]*hcmv3.HttpFilter{{Name: rbacName, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: message.Any(deny)}}}, m.HttpFilters...)
		setManager(f, m)
		done = true
	}
	return done
}

func setInline(m *hcmv3.HttpConnectionManager, config *routev3.RouteConfiguration) {
	m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: config}
}
