package gateway

import (
	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// tlsRouteFields are honoured.
var tlsRouteFields = l4RouteFields.Union(api.Fields("hostnames"))

// TLSRoute gives the route of a TLSRoute and its status, with an entry for each parent that is Heddle's; no route when it is attached nowhere. Its rule has
// no matches: at each parent the server names are those that parent and route agree on.
func TLSRoute(o api.Object, in Lookup) (*mesh.Route, *condition.Status, []mesh.Problem) {
	spec, ok := o.Spec.(*gwv1.TLSRouteSpec)
	if !ok {
		return nil, nil, nil
	}
	v, r := openRoute(o, in, tlsRouteFields)
	hosts := v.hostnames(spec.Hostnames)
	if len(spec.Hostnames) == 0 {
		v.Add(mesh.CodeInvalid, "spec.hostnames", "name the servers that clients ask for", "a TLSRoute needs a host name")
	}
	if name, backends, ok := l4Rule(v, spec.Rules); ok {
		r.TLS = []mesh.TLSRule{{Name: name, Hosts: hosts, Backends: backends}}
	}
	return v.finish(r, hosts, spec.CommonRouteSpec)
}
