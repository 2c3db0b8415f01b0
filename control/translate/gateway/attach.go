package gateway

import (
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// routeKind is the kind of route that a listener of a protocol takes; none where the protocol is not served.
func routeKind(p gwv1.ProtocolType) gwv1.Kind {
	switch p {
	case gwv1.HTTPProtocolType, gwv1.HTTPSProtocolType:
		return "HTTPRoute"
	case gwv1.UDPProtocolType:
		return "UDPRoute"
	}
	return ""
}

// allowed says whether a listener takes routes of this kind and namespace (Listener.allowedRoutes).
func (v *routeVisit) allowed(l *gwv1.Listener, gateway mesh.Namespace) bool {
	kind := gwv1.Kind(v.obj.Kind.Kind)
	if routeKind(l.Protocol) != kind {
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
		return v.selected(rules.Namespaces.Selector)
	}
	return false
}

func (v *routeVisit) selected(s *metav1.LabelSelector) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil || s == nil {
		return false
	}
	have, ok := v.in.NamespaceLabels(v.ns)
	return ok && selector.Matches(labels.Set(have))
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
