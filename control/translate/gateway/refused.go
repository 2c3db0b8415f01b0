package gateway

import (
	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Deny makes the workloads that a BackendTLSPolicy which cannot be read is about refuse all requests: those behind its Services, or all of the namespace
// where that is not known. Other kinds give nothing.
func Deny(o api.Object, in Lookup, reason string) []*mesh.Denial {
	spec, ok := o.Spec.(*gwv1.BackendTLSPolicySpec)
	if !ok {
		return nil
	}
	ns := mesh.Namespace(o.Meta.Namespace)
	if len(spec.TargetRefs) == 0 {
		return []*mesh.Denial{{Origin: o.Ref(), Scope: mesh.Scope{Namespace: ns}, Reason: reason}}
	}
	var out []*mesh.Denial
	for _, t := range spec.TargetRefs {
		scope := mesh.Scope{Namespace: ns}
		if svc, ok := in.Service(serviceHost(string(t.Name), ns, in), ns); ok && t.Kind == "Service" && len(svc.Selector) > 0 {
			scope.Selector = svc.Selector
		}
		out = append(out, &mesh.Denial{Origin: o.Ref(), Scope: scope, Reason: reason})
	}
	return out
}

// Refused is the status of an object that has no effect as a whole, because it cannot be read; nil when it is not Heddle's to say.
func Refused(o api.Object, in Lookup, message string) *condition.Status {
	v := open(o, in)
	no := func(reason string) []condition.Condition {
		return []condition.Condition{v.cond("Accepted", false, reason, message)}
	}
	switch s := o.Spec.(type) {
	case *gwv1.GatewayClassSpec:
		if string(s.ControllerName) == condition.Controller {
			return &condition.Status{Conditions: no(string(gwv1.GatewayClassReasonUnsupported))}
		}
	case *gwv1.GatewaySpec:
		if ours(string(s.GatewayClassName), in) {
			return &condition.Status{Conditions: append(no(string(gwv1.GatewayReasonInvalid)),
				v.cond(string(gwv1.GatewayConditionProgrammed), false, string(gwv1.GatewayReasonInvalid), message))}
		}
	case *gwv1.ListenerSetSpec:
		if _, mine := setParent(o, in); mine {
			return &condition.Status{Conditions: append(no(string(gwv1.ListenerSetReasonNotAllowed)),
				v.cond(string(gwv1.ListenerSetConditionProgrammed), false, string(gwv1.ListenerSetReasonNotAllowed), message))}
		}
	case *gwv1.BackendTLSPolicySpec:
		return v.ancestors(s, no(string(gwv1.PolicyReasonInvalid)))
	default:
		status := &condition.Status{}
		for _, ref := range routeParents(o.Spec, o.Meta.Namespace, in) {
			if v.atOurs(ref) {
				status.Parents = append(status.Parents, condition.Parent{ParentRef: parentRef(ref), Controller: condition.Controller, Conditions: no(string(gwv1.RouteReasonUnsupportedValue))})
			}
		}
		if len(status.Parents) > 0 {
			return status
		}
	}
	return nil
}

// ancestors gives a policy's status: its Services stand for the ancestors, as no Gateway takes part.
func (v *visit) ancestors(s *gwv1.BackendTLSPolicySpec, conditions []condition.Condition) *condition.Status {
	status := &condition.Status{}
	for _, t := range s.TargetRefs {
		group, kind := string(t.Group), string(t.Kind)
		status.Ancestors = append(status.Ancestors, condition.Ancestor{
			AncestorRef: condition.ParentRef{Group: &group, Kind: &kind, Name: string(t.Name)}, Controller: condition.Controller, Conditions: conditions})
	}
	return status
}

// atOurs says whether a parent is Heddle's: a Gateway or ListenerSet, or what sidecars call.
func (v *visit) atOurs(ref gwv1.ParentReference) bool {
	group, kind := string(deref(ref.Group, api.GroupGateway)), string(deref(ref.Kind, "Gateway"))
	if group != api.GroupGateway {
		return group == "" && kind == "Service" || group == api.GroupNetworking && kind == "ServiceEntry"
	}
	ns := mesh.Namespace(deref(ref.Namespace, gwv1.Namespace(v.ns)))
	o, ok := v.in.Object(mesh.Ref{Group: group, Kind: kind, Namespace: ns, Name: string(ref.Name)})
	if kind == "ListenerSet" {
		_, ok = setParent(o, v.in)
		return ok
	}
	spec, isGateway := o.Spec.(*gwv1.GatewaySpec)
	return ok && isGateway && ours(string(spec.GatewayClassName), v.in)
}

// routeParents gives the parents of a route of any kind.
func routeParents(spec any, from string, in Lookup) []gwv1.ParentReference {
	switch s := spec.(type) {
	case *gwv1.HTTPRouteSpec:
		return withDefaults(s.CommonRouteSpec, from, in)
	case *gwv1.GRPCRouteSpec:
		return withDefaults(s.CommonRouteSpec, from, in)
	case *gwv1.TLSRouteSpec:
		return withDefaults(s.CommonRouteSpec, from, in)
	case *gwv1.TCPRouteSpec:
		return withDefaults(s.CommonRouteSpec, from, in)
	case *gwv1.UDPRouteSpec:
		return withDefaults(s.CommonRouteSpec, from, in)
	}
	return nil
}
