package gateway

import (
	"fmt"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// tlsRouteFields are honoured.
var tlsRouteFields = api.Fields("parentRefs[].*", "hostnames", "rules[].name", "rules[].backendRefs[].*", "useDefaultGateways=None")

// TLSRoute gives the route of a TLSRoute and its status, with an entry for each parent that is Heddle's; no route when it is attached nowhere. Its rule has
// no matches: at each parent the server names are those that parent and route agree on.
func TLSRoute(o api.Object, in Lookup) (*mesh.Route, *condition.Status, []mesh.Problem) {
	spec, ok := o.Spec.(*gwv1.TLSRouteSpec)
	if !ok {
		return nil, nil, nil
	}
	v := &routeVisit{visit: open(o, in)}
	v.Unhonoured(o, tlsRouteFields, nil)
	r := &mesh.Route{Origin: o.Ref(), Created: o.Meta.Created}
	hosts := v.hostnames(spec.Hostnames)
	if len(spec.Hostnames) == 0 {
		v.Add(mesh.CodeInvalid, "spec.hostnames", "name the servers that clients ask for", "a TLSRoute needs a host name")
	}
	for i := range spec.Rules {
		rule := &spec.Rules[i]
		path := fmt.Sprintf("spec.rules[%d]", i)
		v.rules++
		if i > 0 {
			v.drop(path, "the rules before it take every connection")
			continue
		}
		r.TLS = append(r.TLS, mesh.TLSRule{Name: string(deref(rule.Name, "")), Hosts: hosts, Backends: v.shares(rule.BackendRefs, path+".backendRefs")})
	}
	if len(spec.Rules) == 0 {
		v.Invalid("spec.rules", "a TLSRoute needs a rule")
	}
	return v.finish(r, hosts, spec.ParentRefs)
}
