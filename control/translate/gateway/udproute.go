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
		r.UDP = append(r.UDP, mesh.UDPRule{Name: string(deref(rule.Name, "")), Backends: v.shares(rule.BackendRefs, path+".backendRefs")})
	}
	if len(spec.Rules) == 0 {
		v.Invalid("spec.rules", "a UDPRoute needs a rule")
	}
	return v.finish(r, nil, spec.ParentRefs)
}

// drop notes that a rule has no effect.
func (v *routeVisit) drop(path, why string) {
	v.NotEnforced(path, "%s", why)
	v.badRules++
	if v.unsupported == "" {
		v.unsupported, v.unsupportedMessage = string(gwv1.RouteReasonUnsupportedValue), path+": "+why
	}
}
