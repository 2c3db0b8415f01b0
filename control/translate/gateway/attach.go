package gateway

import (
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// routeKinds are the kinds of route that a listener takes; none where its protocol is not served.
func routeKinds(l *gwv1.Listener) []gwv1.Kind {
	switch l.Protocol {
	case gwv1.HTTPProtocolType, gwv1.HTTPSProtocolType:
		return []gwv1.Kind{"HTTPRoute", "GRPCRoute"}
	case gwv1.TLSProtocolType:
		if passes(l.TLS) {
			return []gwv1.Kind{"TLSRoute"}
		}
		return []gwv1.Kind{"TLSRoute", "TCPRoute"}
	case gwv1.TCPProtocolType:
		return []gwv1.Kind{"TCPRoute"}
	case gwv1.UDPProtocolType:
		return []gwv1.Kind{"UDPRoute"}
	}
	return nil
}

// passes says whether TLS settings ask for connections to be passed on as they are.
func passes(t *gwv1.ListenerTLSConfig) bool {
	return t != nil && deref(t.Mode, gwv1.TLSModeTerminate) == gwv1.TLSModePassthrough
}

// openRoute begins the translation of a route of which fields are honoured.
func openRoute(o api.Object, in Lookup, fields api.FieldSet) (*routeVisit, *mesh.Route) {
	v := &routeVisit{visit: open(o, in)}
	v.Unhonoured(o, fields, nil)
	return v, &mesh.Route{Origin: o.Ref(), Created: o.Meta.Created}
}

// finish attaches a route and gives its status.
func (v *routeVisit) finish(r *mesh.Route, hosts []mesh.Host, parents gwv1.CommonRouteSpec) (*mesh.Route, *condition.Status, []mesh.Problem) {
	attached := v.attach(r, hosts, parents)
	status := &condition.Status{Parents: v.parents(attached)}
	if v.Broken() || len(r.Parents) == 0 && !r.Mesh {
		return nil, status, v.Problems()
	}
	return r, status, v.Problems()
}

// allowed says whether a listener takes routes of this kind and namespace (Listener.allowedRoutes).
func (v *routeVisit) allowed(l *gwv1.Listener, gateway mesh.Namespace) bool {
	kind := gwv1.Kind(v.obj.Kind.Kind)
	if !slices.Contains(routeKinds(l), kind) {
		return false
	}
	rules := l.AllowedRoutes
	if rules == nil {
		return v.ns == gateway
	}
	if len(rules.Kinds) > 0 && !slices.ContainsFunc(rules.Kinds, func(k gwv1.RouteGroupKind) bool {
		return string(deref(k.Group, api.GroupGateway)) == api.GroupGateway && k.Kind == kind
	}) {
		return false
	}
	if rules.Namespaces == nil {
		return v.ns == gateway
	}
	switch deref(rules.Namespaces.From, gwv1.NamespacesFromSame) {
	case gwv1.NamespacesFromAll:
		return true
	case gwv1.NamespacesFromSame:
		return v.ns == gateway
	case gwv1.NamespacesFromSelector:
		return selects(rules.Namespaces.Selector, v.ns, v.in)
	}
	return false
}

// intersect gives the host names that a listener and a route agree on: of each pair the narrower one. No host names mean every host.
func intersect(listener gwv1.Hostname, route []mesh.Host) []mesh.Host {
	l := mesh.Host(strings.ToLower(strings.TrimSuffix(string(listener), ".")))
	if len(route) == 0 {
		if l == "" {
			return []mesh.Host{"*"}
		}
		return []mesh.Host{l}
	}
	var out []mesh.Host
	add := func(h mesh.Host) {
		if !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	for _, r := range route {
		switch {
		case l == "" || l.Matches(r):
			add(r)
		case r.Matches(l):
			add(l)
		}
	}
	return out
}
