package istio

import (
	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
	extensions "istio.io/api/extensions/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	types "istio.io/api/type/v1beta1"
)

// scopeOf says which workloads an object of a security kind is about. In the root namespace it is about those of every namespace.
func scopeOf(o api.Object, in Lookup) []mesh.Scope {
	ns := mesh.Namespace(o.Meta.Namespace)
	if ns == rootNamespace(in) {
		ns = ""
	}
	selector, targets := aims(o.Spec)
	if len(targets) == 0 {
		return []mesh.Scope{{Namespace: ns, Selector: selector}}
	}
	var scopes []mesh.Scope
	for _, t := range targets {
		scopes = append(scopes, targetScope(t, mesh.Namespace(o.Meta.Namespace), ns, in))
	}
	return scopes
}

// aims gives the selector and the target references of a security object.
func aims(spec any) (mesh.Labels, []*types.PolicyTargetReference) {
	with := func(list []*types.PolicyTargetReference, one *types.PolicyTargetReference) []*types.PolicyTargetReference {
		if one != nil {
			return append(list[:len(list):len(list)], one)
		}
		return list
	}
	switch s := spec.(type) {
	case *security.PeerAuthentication:
		return s.GetSelector().GetMatchLabels(), nil
	case *security.AuthorizationPolicy:
		return s.GetSelector().GetMatchLabels(), with(s.TargetRefs, s.TargetRef)
	case *security.RequestAuthentication:
		return s.GetSelector().GetMatchLabels(), with(s.TargetRefs, s.TargetRef)
	case *extensions.WasmPlugin:
		return s.GetSelector().GetMatchLabels(), with(s.TargetRefs, s.TargetRef)
	case *extensions.TrafficExtension:
		return s.GetSelector().GetMatchLabels(), s.TargetRefs
	case *networking.EnvoyFilter:
		return s.GetWorkloadSelector().GetLabels(), s.TargetRefs
	}
	return nil, nil
}

// targetScope is as narrow as can be told for sure: a Gateway's proxies, or the workloads that a Service selects; otherwise the whole namespace.
func targetScope(t *types.PolicyTargetReference, own, scope mesh.Namespace, in Lookup) mesh.Scope {
	switch {
	case t.GetKind() == "Gateway" && t.GetGroup() == api.GroupGateway:
		return mesh.Scope{Namespace: own, Selector: mesh.Labels{"gateway.networking.k8s.io/gateway-name": t.GetName()}}
	case t.GetKind() == "Service" && t.GetGroup() == "":
		host, err := resolve(t.GetName(), own, in)
		if svc, ok := in.Service(host, own); err == nil && ok && len(svc.Selector) > 0 {
			return mesh.Scope{Namespace: own, Selector: svc.Selector}
		}
	}
	return mesh.Scope{Namespace: scope}
}

// deny makes every workload in the object's scope refuse all requests.
func deny(o api.Object, in Lookup, reason string) []*mesh.Denial {
	var out []*mesh.Denial
	for _, s := range scopeOf(o, in) {
		out = append(out, &mesh.Denial{Origin: o.Ref(), Scope: s, Reason: reason})
	}
	return out
}

// unread says that nothing of an EnvoyFilter was understood, so that it may say anything.
func unread(f *networking.EnvoyFilter) bool { return emptyMessage(f) }

// Deny is what becomes of a security object that could not be decoded: what it should protect refuses all requests, as far as its scope is known. An EnvoyFilter is one where
// it takes part in authentication or authorization.
func Deny(o api.Object, in Lookup, reason string) []*mesh.Denial {
	if o.Kind == nil || !o.Kind.Istio() {
		return nil
	}
	if f, ok := o.Spec.(*networking.EnvoyFilter); ok && !unread(f) && !guards(f) || !ok && !o.Kind.Security {
		return nil
	}
	return deny(o, in, reason)
}
