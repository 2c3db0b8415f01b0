package gateway

import (
	"fmt"
	"slices"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// httpRouteFields are honoured. Filters that are not are judged by the rule, which answers 500 then.
var httpRouteFields = api.Fields("parentRefs[].*", "hostnames", "rules[].name", "rules[].matches[].*", "rules[].filters[].*", "rules[].backendRefs[].*",
	"rules[].timeouts.*", "rules[].retry.*", "rules[].sessionPersistence.*", "useDefaultGateways=None|All")

// HTTPRoute gives the route of an HTTPRoute and its status, with an entry for each parent that is Heddle's; no route when it is attached nowhere.
// Rules keep their order: which match is tried first depends on all routes of a host, so whoever joins them orders them (HTTPRouteRule.matches).
func HTTPRoute(o api.Object, in Lookup) (*mesh.Route, *condition.Status, []mesh.Problem) {
	spec, ok := o.Spec.(*gwv1.HTTPRouteSpec)
	if !ok {
		return nil, nil, nil
	}
	v, r := openRoute(o, in, httpRouteFields)
	hosts := v.hostnames(spec.Hostnames)
	for i := range spec.Rules {
		r.HTTP = append(r.HTTP, v.rule(&spec.Rules[i], fmt.Sprintf("spec.rules[%d]", i)))
	}
	if len(spec.Rules) == 0 { // the schema's default: one rule that matches everything and has no backend
		r.HTTP = append(r.HTTP, v.rule(&gwv1.HTTPRouteRule{}, "spec.rules"))
	}
	return v.finish(r, hosts, spec.CommonRouteSpec)
}

// routeVisit is a visit with what the status of a route says of all parents.
type routeVisit struct {
	*visit
	unresolved, unresolvedMessage   string // the first reference that does not hold
	unsupported, unsupportedMessage string // the first value that is not possible; such rules answer 500
	rules, badRules                 int
}

func (v *routeVisit) hostnames(list []gwv1.Hostname) []mesh.Host {
	var out []mesh.Host
	for i, s := range list {
		h, err := mesh.ParseHost(string(s))
		if err != nil || h == "*" {
			v.Invalid(fmt.Sprintf("spec.hostnames[%d]", i), "%q is not a host name", s)
			continue
		}
		out = append(out, h)
	}
	return out
}

// attachment is what became of one parent reference.
type attachment struct {
	ref             gwv1.ParentReference
	reason, message string
}

// attach joins the route with each parent that is Heddle's.
func (v *routeVisit) attach(r *mesh.Route, hosts []mesh.Host, c gwv1.CommonRouteSpec) []attachment {
	var out []attachment
	parents := withDefaults(c, v.obj.Meta.Namespace, v.in)
	if len(parents) == 0 {
		hint := "name a Gateway or a Service"
		if c.UseDefaultGateways == gwv1.GatewayDefaultScopeAll {
			hint = "give a Gateway the defaultScope All"
		}
		v.Add(mesh.CodeNotFound, "spec.parentRefs", hint, "the route has no parent, so it has no effect")
	}
	for i, ref := range parents {
		path := parentPath(i, len(c.ParentRefs), fmt.Sprintf("spec.parentRefs[%d]", i))
		group, kind := string(deref(ref.Group, api.GroupGateway)), string(deref(ref.Kind, "Gateway"))
		a := attachment{ref: ref}
		switch {
		case group == api.GroupGateway && (kind == "Gateway" || kind == "ListenerSet"):
			if !v.attachGateway(r, hosts, &a, path) {
				continue
			}
		case group == "" && kind == "Service", group == api.GroupNetworking && kind == "ServiceEntry":
			v.attachService(r, &a, kind)
		default:
			v.NotEnforced(path+".kind", "a route cannot attach to a %s", kind)
			continue
		}
		if a.reason != "" {
			code := mesh.CodeNotFound
			if a.reason == string(gwv1.RouteReasonUnsupportedValue) {
				code = mesh.CodeNotEnforced
			}
			v.Add(code, path, "", "%s", a.message)
		}
		out = append(out, a)
	}
	return out
}

// attachGateway joins the route with listeners of a Gateway or ListenerSet. It returns false when that is not there or not Heddle's, so that no status is due.
func (v *routeVisit) attachGateway(r *mesh.Route, hosts []mesh.Host, a *attachment, path string) bool {
	ns, kind := mesh.Namespace(deref(a.ref.Namespace, gwv1.Namespace(v.ns))), string(deref(a.ref.Kind, "Gateway"))
	o, ok := v.in.Object(mesh.Ref{Group: api.GroupGateway, Kind: kind, Namespace: ns, Name: string(a.ref.Name)})
	if !ok {
		v.NotFound(path+".name", "", "there is no %s %s in namespace %s", kind, a.ref.Name, ns)
		return false
	}
	id := mesh.GatewayID{Dialect: mesh.GatewayAPI, Namespace: ns, Name: string(a.ref.Name)}
	owner, listeners := id, []gwv1.Listener(nil)
	switch spec := o.Spec.(type) {
	case *gwv1.GatewaySpec:
		if !ours(string(spec.GatewayClassName), v.in) {
			return false
		}
		listeners = spec.Listeners
	case *gwv1.ListenerSetSpec:
		parent, mine := setParent(o, v.in)
		if !mine {
			return false
		}
		id, listeners = setID(o.Ref()), entries(spec)
		owner = mesh.GatewayID{Dialect: mesh.GatewayAPI, Namespace: parent.Ref().Namespace, Name: parent.Meta.Name}
		if !allowsSet(parent.Spec.(*gwv1.GatewaySpec), parent, ns, v.in) {
			a.reason, a.message = string(gwv1.RouteReasonNoMatchingParent), fmt.Sprintf("%s takes no listeners of %s", parent.Ref(), o.Ref())
			return true
		}
	default:
		return false
	}
	matching, allowed, attached := 0, 0, 0
	for i := range listeners {
		l := &listeners[i]
		if a.ref.SectionName != nil && *a.ref.SectionName != l.Name || a.ref.Port != nil && *a.ref.Port != l.Port {
			continue
		}
		matching++
		if !v.allowed(l, ns) {
			continue
		}
		allowed++
		common := intersect(deref(l.Hostname, ""), hosts)
		if len(common) == 0 {
			continue
		}
		attached++
		if !slices.ContainsFunc(r.Parents, func(p mesh.Parent) bool { return p.Gateway == id && p.Listener == string(l.Name) }) {
			r.Parents = append(r.Parents, mesh.Parent{Gateway: id, Of: owner, Listener: string(l.Name), Hosts: common})
		}
		for _, h := range common {
			if !slices.Contains(r.Hosts, h) {
				r.Hosts = append(r.Hosts, h)
			}
		}
	}
	switch {
	case attached > 0:
		if !slices.Contains(r.Gateways, id) {
			r.Gateways = append(r.Gateways, id)
		}
	case matching == 0:
		a.reason, a.message = string(gwv1.RouteReasonNoMatchingParent), fmt.Sprintf("%s %s/%s has no listener of that name and port", kind, ns, a.ref.Name)
	case allowed == 0:
		a.reason, a.message = string(gwv1.RouteReasonNotAllowedByListeners), fmt.Sprintf("no listener of %s %s/%s allows %ss of namespace %s", kind, ns, a.ref.Name, v.obj.Kind.Kind, v.ns)
	default:
		a.reason, a.message = string(gwv1.RouteReasonNoMatchingListenerHostname), fmt.Sprintf("no host name of the route is one of a listener of %s %s/%s", kind, ns, a.ref.Name)
	}
	return true
}

// parents gives the conditions of each attachment.
func (v *routeVisit) parents(list []attachment) []condition.Parent {
	out := []condition.Parent{}
	for _, a := range list {
		accepted := v.cond(string(gwv1.RouteConditionAccepted), true, string(gwv1.RouteReasonAccepted), "the route is attached")
		switch {
		case a.reason != "":
			accepted = v.cond(string(gwv1.RouteConditionAccepted), false, a.reason, a.message)
		case v.Broken():
			accepted = v.cond(string(gwv1.RouteConditionAccepted), false, string(gwv1.RouteReasonUnsupportedValue), condition.Sentences(invalid(v.Problems())))
		case v.unsupported != "" && v.badRules == v.rules:
			accepted = v.cond(string(gwv1.RouteConditionAccepted), false, v.unsupported, v.unsupportedMessage)
		}
		resolved := v.cond(string(gwv1.RouteConditionResolvedRefs), true, string(gwv1.RouteReasonResolvedRefs), "what the route refers to exists")
		if v.unresolved != "" {
			resolved = v.cond(string(gwv1.RouteConditionResolvedRefs), false, v.unresolved, v.unresolvedMessage)
		}
		p := condition.Parent{ParentRef: parentRef(a.ref), Controller: condition.Controller, Conditions: []condition.Condition{accepted, resolved}}
		if a.reason == "" && v.unsupported != "" && v.badRules < v.rules {
			p.Conditions = append(p.Conditions, v.cond(string(gwv1.RouteConditionPartiallyInvalid), true, v.unsupported, "Dropped Rule: "+v.unsupportedMessage))
		}
		out = append(out, p)
	}
	return out
}

func invalid(problems []mesh.Problem) []mesh.Problem {
	return slices.DeleteFunc(slices.Clone(problems), func(p mesh.Problem) bool { return !p.Code.Fatal() })
}

func parentRef(r gwv1.ParentReference) condition.ParentRef {
	text := func(s string, given bool) *string {
		if !given {
			return nil
		}
		return &s
	}
	return condition.ParentRef{Group: text(string(deref(r.Group, "")), r.Group != nil), Kind: text(string(deref(r.Kind, "")), r.Kind != nil),
		Namespace: text(string(deref(r.Namespace, "")), r.Namespace != nil), Name: string(r.Name),
		SectionName: text(string(deref(r.SectionName, "")), r.SectionName != nil), Port: r.Port}
}
