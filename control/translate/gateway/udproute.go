package gateway

import (
	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// UDPRoute gives the route of a UDPRoute and its status, with an entry for each parent that is Heddle's; no route when it is attached nowhere.
func UDPRoute(o api.Object, in Lookup) (*mesh.Route, *condition.Status, []mesh.Problem) {
	spec, ok := o.Spec.(*gwv1.UDPRouteSpec)
	if !ok {
		return nil, nil, nil
	}
	v, r := openRoute(o, in, l4RouteFields)
	if name, backends, ok := l4Rule(v, spec.Rules); ok {
		r.UDP = []mesh.UDPRule{{Name: name, Backends: backends}}
	}
	return v.finish(r, nil, spec.CommonRouteSpec)
}
