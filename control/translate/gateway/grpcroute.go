package gateway

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// grpcRouteFields are honoured. Filters that are not are judged by the rule, which answers UNAVAILABLE then.
var grpcRouteFields = api.Fields("parentRefs[].*", "hostnames", "rules[].name", "rules[].matches[].*", "rules[].filters[].*", "rules[].backendRefs[].*",
	"rules[].sessionPersistence.*", "useDefaultGateways=None|All")

// unavailable is what HTTP says for gRPC's UNAVAILABLE (the mapping of statuses in gRPC over HTTP/2).
const unavailable = 503

// GRPCRoute gives the route of a GRPCRoute and its status, with an entry for each parent that is Heddle's; no route when it is attached nowhere. Calls are
// requests to /SERVICE/METHOD.
func GRPCRoute(o api.Object, in Lookup) (*mesh.Route, *condition.Status, []mesh.Problem) {
	spec, ok := o.Spec.(*gwv1.GRPCRouteSpec)
	if !ok {
		return nil, nil, nil
	}
	v, r := openRoute(o, in, grpcRouteFields)
	hosts := v.hostnames(spec.Hostnames)
	for i := range spec.Rules {
		r.HTTP = append(r.HTTP, v.callRule(&spec.Rules[i], fmt.Sprintf("spec.rules[%d]", i)))
	}
	if len(spec.Rules) == 0 { // the schema's default: one rule that matches everything and has no backend
		r.HTTP = append(r.HTTP, v.callRule(&gwv1.GRPCRouteRule{}, "spec.rules"))
	}
	return v.finish(r, hosts, spec.CommonRouteSpec)
}

// callRule is a rule of an HTTPRoute with other matches: filters and backends say the same there.
func (v *routeVisit) callRule(r *gwv1.GRPCRouteRule, path string) mesh.HTTPRule {
	like := gwv1.HTTPRouteRule{Name: r.Name, Filters: httpFilters(r.Filters), SessionPersistence: r.SessionPersistence}
	for _, b := range r.BackendRefs {
		like.BackendRefs = append(like.BackendRefs, gwv1.HTTPBackendRef{BackendRef: b.BackendRef, Filters: httpFilters(b.Filters)})
	}
	rule := v.rule(&like, path)
	if rule.Direct != nil {
		rule.Direct.Status = unavailable
	}
	rule.Matches = nil
	for i := range r.Matches {
		rule.Matches = append(rule.Matches, v.call(&r.Matches[i], fmt.Sprintf("%s.matches[%d]", path, i)))
	}
	if len(r.Matches) == 0 {
		rule.Matches = []mesh.HTTPMatch{{}}
	}
	return rule
}

func httpFilters(list []gwv1.GRPCRouteFilter) (out []gwv1.HTTPRouteFilter) {
	for _, f := range list {
		out = append(out, gwv1.HTTPRouteFilter{Type: gwv1.HTTPRouteFilterType(f.Type), RequestHeaderModifier: f.RequestHeaderModifier,
			ResponseHeaderModifier: f.ResponseHeaderModifier, RequestMirror: f.RequestMirror, ExtensionRef: f.ExtensionRef})
	}
	return out
}

func (v *routeVisit) call(m *gwv1.GRPCRouteMatch, path string) (out mesh.HTTPMatch) {
	if m.Method != nil {
		v.method(&out, m.Method, path+".method")
	}
	for i, h := range m.Headers {
		out.Headers = v.named(out.Headers, strings.ToLower(string(h.Name)), string(deref(h.Type, gwv1.GRPCHeaderMatchExact)), h.Value, fmt.Sprintf("%s.headers[%d]", path, i))
	}
	sortNamed(out.Headers)
	return out
}

// The forms of names that are compared exactly (GRPCMethodMatch).
var (
	serviceForm = regexp.MustCompile(`^(?i)\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*$`)
	methodForm  = regexp.MustCompile(`^[A-Za-z_][A-Za-z_0-9]*$`)
)

// method puts a condition on the path. What is not given matches any one segment of it.
func (v *routeVisit) method(out *mesh.HTTPMatch, m *gwv1.GRPCMethodMatch, path string) {
	service, method := deref(m.Service, ""), deref(m.Method, "")
	if service == "" && method == "" {
		v.Invalid(path, "neither service nor method is given")
		return
	}
	out.Call = [2]int{len(service), len(method)}
	const any = "[^/]+"
	switch deref(m.Type, gwv1.GRPCMethodMatchExact) {
	case gwv1.GRPCMethodMatchExact:
		if service != "" && !serviceForm.MatchString(service) {
			v.Invalid(path+".service", "%q is not the name of a service", service)
		}
		if method != "" && !methodForm.MatchString(method) {
			v.Invalid(path+".method", "%q is not the name of a method", method)
		}
		switch {
		case service == "":
			out.Path = mesh.StringMatch{Kind: mesh.MatchRegex, Value: "/" + any + "/" + regexp.QuoteMeta(method)}
		case method == "":
			out.Path = mesh.StringMatch{Kind: mesh.MatchPrefix, Value: "/" + service + "/"}
		default:
			out.Path = mesh.StringMatch{Kind: mesh.MatchExact, Value: "/" + service + "/" + method}
		}
	case gwv1.GRPCMethodMatchRegularExpression:
		part := func(s, field string) string {
			if s == "" {
				return any
			}
			v.regex(s, path+field)
			return "(?:" + s + ")"
		}
		out.Path = mesh.StringMatch{Kind: mesh.MatchRegex, Value: "/" + part(service, ".service") + "/" + part(method, ".method")}
	default:
		v.Invalid(path+".type", "%q is not a type of match", *m.Type)
	}
}
