package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// backends reads where requests go. Without any usable one, and without a redirect, the rule answers 500 (HTTPRouteRule.backendRefs).
func (v *routeVisit) backends(r *mesh.HTTPRule, rule *gwv1.HTTPRouteRule, path string) {
	total := uint64(0)
	for i := range rule.BackendRefs {
		ref, at := &rule.BackendRefs[i], fmt.Sprintf("%s.backendRefs[%d]", path, i)
		b := v.share(&ref.BackendRef, at)
		total += uint64(b.Weight)
		v.own(&b, r, ref.Filters, at)
		r.Backends = append(r.Backends, b)
	}
	if r.Redirect != nil {
		if len(r.Backends) > 0 {
			v.Invalid(path+".backendRefs", "a rule that redirects has no backends")
		}
		return
	}
	if total == 0 {
		if len(r.Backends) == 0 {
			v.NotFound(path+".backendRefs", "", "the rule has no backend, so it answers %s", v.failure())
		}
		r.Backends, r.Direct = nil, &mesh.DirectResponse{Status: 500}
	}
}

// own reads the filters of one backend, which are those of a rule for its share of the requests.
func (v *routeVisit) own(b *mesh.Backend, rule *mesh.HTTPRule, filters []gwv1.HTTPRouteFilter, path string) {
	share := mesh.HTTPRule{}
	for i := range filters {
		v.filter(&share, &filters[i], fmt.Sprintf("%s.filters[%d]", path, i))
	}
	switch {
	case share.Redirect == nil:
	case share.Rewrite != nil:
		v.impossible(string(gwv1.RouteReasonIncompatibleFilters), path+".filters", "a backend's share cannot be redirected and rewritten at once")
	case share.CORS != nil || rule.CORS != nil:
		v.NotEnforced(path+".filters", "CORS has no effect on a share that is answered by RequestRedirect")
		share.CORS = nil
	}
	b.Headers = share.Headers
	if own := (mesh.Own{Redirect: share.Redirect, Rewrite: share.Rewrite, CORS: share.CORS, Mirrors: share.Mirrors, Auth: share.Auth}); !own.IsZero() {
		b.Own = &own
	}
}

// failure is what a rule for requests answers that cannot be honoured.
func (v *routeVisit) failure() string {
	if v.obj.Kind.Kind == "GRPCRoute" {
		return "UNAVAILABLE"
	}
	return "500"
}

// refusal says what becomes of traffic of the route's kind that has nowhere to go.
func (v *routeVisit) refusal() (traffic, refused string) {
	switch v.obj.Kind.Kind {
	case "GRPCRoute":
		return "calls", "answered with " + v.failure()
	case "TCPRoute", "TLSRoute":
		return "connections", "closed"
	case "UDPRoute":
		return "datagrams", "dropped"
	}
	return "requests", "answered with " + v.failure()
}

// share reads a reference with its weight.
func (v *routeVisit) share(ref *gwv1.BackendRef, path string) mesh.Backend {
	b, weight := v.backend(ref.BackendObjectReference, path), deref(ref.Weight, 1)
	if weight < 0 || weight > 1_000_000 {
		v.Invalid(path+".weight", "%d is not a weight from 0 to 1000000", weight)
		weight = 0
	}
	b.Weight = uint32(weight)
	return b
}

// backend judges a reference. One that does not hold stays, and answers 500, or drops datagrams.
func (v *routeVisit) backend(ref gwv1.BackendObjectReference, path string) mesh.Backend {
	ns := mesh.Namespace(deref(ref.Namespace, gwv1.Namespace(v.ns)))
	b := mesh.Backend{Weight: 1}
	kind := v.obj.Kind.Kind
	fail := func(reason gwv1.RouteConditionReason, format string, args ...any) mesh.Backend {
		b.Invalid = fmt.Sprintf(format, args...)
		traffic, refused := v.refusal()
		v.NotFound(path, "", "%s; its share of %s is %s", b.Invalid, traffic, refused)
		if v.unresolved == "" {
			v.unresolved, v.unresolvedMessage = string(reason), path+": "+b.Invalid
		}
		return b
	}
	what, group := string(deref(ref.Kind, "Service")), string(deref(ref.Group, ""))
	owner := ns
	switch {
	case group == "" && what == "Service":
		b.Host = serviceHost(string(ref.Name), ns, v.in)
	case group == api.GroupNetworking && what == "Hostname": // whoever sees the host may call it, as Istio has it
		if ref.Namespace != nil {
			v.Invalid(path+".namespace", "a Hostname is of no namespace")
		}
		b.Host, owner = mesh.Host(strings.ToLower(string(ref.Name))), ""
	case group == api.GroupNetworking && what == "ServiceEntry":
		hosts := entryHosts(string(ref.Name), ns, v.in)
		if len(hosts) == 1 {
			b.Host = hosts[0]
		} else if len(hosts) > 1 {
			return fail(gwv1.RouteReasonInvalidKind, "ServiceEntry %s/%s has several hosts; name one with kind Hostname", ns, ref.Name)
		}
	default:
		return fail(gwv1.RouteReasonInvalidKind, "a backend of kind %s%s is not possible", what, inGroup(group))
	}
	if ref.Port == nil || *ref.Port < 1 || *ref.Port > 65535 {
		v.Invalid(path+".port", "a %s as backend needs a port from 1 to 65535", what)
		return mesh.Backend{Weight: 1}
	}
	b.Port = uint16(*ref.Port)
	if owner != "" && v.guarded() && !granted(kind, v.ns, group, what, string(ref.Name), ns, v.in) {
		return fail(gwv1.RouteReasonRefNotPermitted, "no ReferenceGrant in namespace %s lets %ss of namespace %s use %s %s", ns, kind, v.ns, what, ref.Name)
	}
	from := owner
	if from == "" {
		from = v.ns
	}
	svc, ok := v.in.Service(b.Host, from)
	switch {
	case owner == "" && (!ok || svc.ID.Host != b.Host):
		return fail(gwv1.RouteReasonBackendNotFound, "namespace %s sees no service with the host %s", v.ns, ref.Name)
	case owner != "" && (!ok || svc.ID != (mesh.ServiceID{Namespace: ns, Host: b.Host})):
		return fail(gwv1.RouteReasonBackendNotFound, "there is no %s %s in namespace %s", what, ref.Name, ns)
	}
	name := fmt.Sprintf("%s %s/%s", what, ns, ref.Name)
	if owner == "" {
		name = fmt.Sprintf("%s %s", what, ref.Name)
	}
	b.Service = svc.ID
	port, ok := svc.Port(b.Port)
	datagrams, also := svc.Datagrams(b.Port)
	switch {
	case !ok:
		return fail(gwv1.RouteReasonBackendNotFound, "%s has no port %d", name, b.Port)
	case kind == "UDPRoute" && !also:
		return fail(gwv1.RouteReasonUnsupportedProtocol, "port %d of %s is not for UDP", b.Port, name)
	case kind != "UDPRoute" && port == datagrams:
		return fail(gwv1.RouteReasonUnsupportedProtocol, "port %d of %s is for UDP only", b.Port, name)
	}
	return b
}

// guarded says whether the namespaces of backends must grant that the route leads there: through a gateway a route would make them reachable for others. A route that only Services have as
// parents concerns callers in the mesh, who reach them anyway, as in Istio.
func (v *routeVisit) guarded() bool {
	parents := routeParents(v.obj.Spec, v.obj.Meta.Namespace, v.in)
	return len(parents) == 0 || slices.ContainsFunc(parents, func(p gwv1.ParentReference) bool { return string(deref(p.Kind, "Gateway")) != "Service" })
}

// inGroup names the API group of a kind, if it has one.
func inGroup(group string) string {
	if group == "" {
		return ""
	}
	return " of group " + group
}
