package gateway

import (
	"fmt"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// udpRouteFields are honoured.
var udpRouteFields = api.Fields("parentRefs[].*", "rules[].name", "rules[].backendRefs[].*", "useDefaultGateways=None")

// UDPRoute gives the route of a UDPRoute and its status, with an entry for each parent that is Heddle's; no route when it is attached nowhere.
func UDPRoute(o api.Object, in Lookup) (*mesh.Route, *condition.Status, []mesh.Problem) {
	spec, ok := o.Spec.(*gwv1.UDPRouteSpec)
	if !ok {
		return nil, nil, nil
	}
	v := &routeVisit{visit: open(o, in)}
	v.Unhonoured(o, udpRouteFields, nil)
	r := &mesh.Route{Origin: o.Ref(), Created: o.Meta.Created}
	for i := range spec.Rules {
		rule := &spec.Rules[i]
		path := fmt.Sprintf("spec.rules[%d]", i)
		v.rules++
		if i > 0 { // nothing in a datagram is matched, so the first rule takes them all
			v.drop(path, "the rules before it take every datagram")
			continue
		}
		u := mesh.UDPRule{Name: string(deref(rule.Name, ""))}
		if u.Backends, ok = v.datagrams(rule.BackendRefs, path+".backendRefs"); ok {
			r.UDP = append(r.UDP, u)
		}
	}
	if len(spec.Rules) == 0 {
		v.Invalid("spec.rules", "a UDPRoute needs a rule")
	}
	attached := v.attach(r, nil, spec.ParentRefs)
	status := &condition.Status{Parents: v.parents(attached)}
	if v.Broken() || len(r.Parents) == 0 && !r.Mesh || len(r.UDP) == 0 {
		return nil, status, v.Problems()
	}
	return r, status, v.Problems()
}

// datagrams reads where datagrams go: to one backend, because a proxy's listener for UDP knows one cluster. A rule that asks for shares among several has no
// effect, as one backend must not be given what was meant for others.
func (v *routeVisit) datagrams(refs []gwv1.BackendRef, path string) (out []mesh.Backend, ok bool) {
	for i, ref := range refs {
		at := fmt.Sprintf("%s[%d]", path, i)
		b := v.backend(ref.BackendObjectReference, at)
		weight := deref(ref.Weight, 1)
		if weight < 0 || weight > 1_000_000 {
			v.Invalid(at+".weight", "%d is not a weight from 0 to 1000000", weight)
		}
		if b.Weight = uint32(weight); weight > 0 {
			out = append(out, b)
		}
	}
	if len(out) > 1 {
		v.drop(path, "datagrams go to one backend; shares among several are not possible")
		return nil, false
	}
	if len(out) == 0 {
		v.NotFound(path, "", "the rule has no backend, so datagrams are dropped")
	}
	return out, true
}

// drop notes that a rule has no effect.
func (v *routeVisit) drop(path, why string) {
	v.NotEnforced(path, "%s", why)
	v.badRules++
	if v.unsupported == "" {
		v.unsupported, v.unsupportedMessage = string(gwv1.RouteReasonUnsupportedValue), path+": "+why
	}
}
