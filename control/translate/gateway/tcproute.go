package gateway

import (
	"fmt"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// tcpRouteFields are honoured.
var tcpRouteFields = api.Fields("parentRefs[].*", "rules[].name", "rules[].backendRefs[].*", "useDefaultGateways=None")

// TCPRoute gives the route of a TCPRoute and its status, with an entry for each parent that is Heddle's; no route when it is attached nowhere.
func TCPRoute(o api.Object, in Lookup) (*mesh.Route, *condition.Status, []mesh.Problem) {
	spec, ok := o.Spec.(*gwv1.TCPRouteSpec)
	if !ok {
		return nil, nil, nil
	}
	v := &routeVisit{visit: open(o, in)}
	v.Unhonoured(o, tcpRouteFields, nil)
	r := &mesh.Route{Origin: o.Ref(), Created: o.Meta.Created}
	for i := range spec.Rules {
		rule := &spec.Rules[i]
		path := fmt.Sprintf("spec.rules[%d]", i)
		v.rules++
		if i > 0 { // nothing of a connection is matched, so the first rule takes them all
			v.drop(path, "the rules before it take every connection")
			continue
		}
		r.TCP = append(r.TCP, mesh.TCPRule{Name: string(deref(rule.Name, "")), Backends: v.shares(rule.BackendRefs, path+".backendRefs")})
	}
	if len(spec.Rules) == 0 {
		v.Invalid("spec.rules", "a TCPRoute needs a rule")
	}
	return v.finish(r, nil, spec.ParentRefs)
}

// shares reads where connections or datagrams go, each backend with its share of them. A backend that does not hold keeps its share, which is refused.
func (v *routeVisit) shares(refs []gwv1.BackendRef, path string) (out []mesh.Backend) {
	for i, ref := range refs {
		at := fmt.Sprintf("%s[%d]", path, i)
		b := v.backend(ref.BackendObjectReference, at)
		weight := deref(ref.Weight, 1)
		if weight < 0 || weight > 1_000_000 {
			v.Invalid(at+".weight", "%d is not a weight from 0 to 1000000", weight)
			weight = 0
		}
		if b.Weight = uint32(weight); weight > 0 {
			out = append(out, b)
		}
	}
	if len(out) == 0 {
		v.NotFound(path, "", "the rule has no backend, so %s", v.refused())
		out = append(out, mesh.Backend{Weight: 1, Invalid: "the rule has no backend"})
	}
	return out
}

// refused says what becomes of traffic that has nowhere to go.
func (v *routeVisit) refused() string {
	if v.obj.Kind.Kind == "UDPRoute" {
		return "datagrams are dropped"
	}
	return "connections are closed"
}
