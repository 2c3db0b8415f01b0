package gateway

import (
	"fmt"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// l4RouteFields are honoured of routes for connections and datagrams.
var l4RouteFields = api.Fields("parentRefs[].*", "rules[].name", "rules[].backendRefs[].*", "useDefaultGateways=None|All")

// l4Rule reads where a route for connections or datagrams leads. Its rules match nothing, so the first one takes everything; without any the object is broken.
func l4Rule[R gwv1.TCPRouteRule | gwv1.TLSRouteRule | gwv1.UDPRouteRule](v *routeVisit, rules []R) (name string, backends []mesh.Backend, ok bool) {
	traffic, _ := v.refusal()
	for i, r := range rules {
		rule, path := gwv1.TCPRouteRule(r), fmt.Sprintf("spec.rules[%d]", i)
		v.rules++
		if i > 0 {
			v.drop(path, "the rules before it take all "+traffic)
			continue
		}
		name, backends = string(deref(rule.Name, "")), v.shares(rule.BackendRefs, path+".backendRefs")
	}
	if len(rules) == 0 {
		v.Invalid("spec.rules", "a %s needs a rule", v.obj.Kind.Kind)
	}
	return name, backends, len(rules) > 0
}

// shares gives each backend its share of connections or datagrams. A backend that does not hold keeps its share, which is refused.
func (v *routeVisit) shares(refs []gwv1.BackendRef, path string) (out []mesh.Backend) {
	for i := range refs {
		if b := v.share(&refs[i], fmt.Sprintf("%s[%d]", path, i)); b.Weight > 0 {
			out = append(out, b)
		}
	}
	if len(out) == 0 {
		traffic, refused := v.refusal()
		v.NotFound(path, "", "the rule has no backend, so %s are %s", traffic, refused)
		out = append(out, mesh.Backend{Weight: 1, Invalid: "the rule has no backend"})
	}
	return out
}

// drop notes that a rule has no effect.
func (v *routeVisit) drop(path, why string) {
	v.NotEnforced(path, "%s", why)
	v.badRules++
	if v.unsupported == "" {
		v.unsupported, v.unsupportedMessage = string(gwv1.RouteReasonUnsupportedValue), path+": "+why
	}
}
