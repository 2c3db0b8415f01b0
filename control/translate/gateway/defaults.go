package gateway

import (
	"slices"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// conditionDefault is the condition that a default Gateway has (GEP-3793).
const conditionDefault = "DefaultGateway"

// IsDefault says whether an object is a Gateway that takes the routes that ask for a default one. Whether it is Heddle's is to be seen.
func IsDefault(o api.Object) bool {
	spec, ok := o.Spec.(*gwv1.GatewaySpec)
	return ok && spec.DefaultScope == gwv1.GatewayDefaultScopeAll
}

// defaulted is the condition of a default Gateway.
func (v *visit) defaulted() []condition.Condition {
	if !IsDefault(v.obj) {
		return nil
	}
	return []condition.Condition{v.cond(conditionDefault, true, conditionDefault, "the gateway has default scope All, so routes with useDefaultGateways All are attached to it")}
}

// withDefaults are the parents of a route: those that it names, and the default Gateways, where it asks for these.
func withDefaults(c gwv1.CommonRouteSpec, from string, in Lookup) []gwv1.ParentReference {
	if c.UseDefaultGateways != gwv1.GatewayDefaultScopeAll {
		return c.ParentRefs
	}
	out := slices.Clone(c.ParentRefs)
	for _, ref := range in.DefaultGateways() {
		o, _ := in.Object(ref)
		if spec, ok := o.Spec.(*gwv1.GatewaySpec); !ok || !ours(string(spec.GatewayClassName), in) {
			continue
		}
		ns := gwv1.Namespace(ref.Namespace)
		if slices.ContainsFunc(c.ParentRefs, func(p gwv1.ParentReference) bool {
			return string(p.Name) == ref.Name && deref(p.Namespace, gwv1.Namespace(from)) == ns && deref(p.Kind, "Gateway") == "Gateway" && p.SectionName == nil && p.Port == nil
		}) {
			continue
		}
		out = append(out, gwv1.ParentReference{Namespace: &ns, Name: gwv1.ObjectName(ref.Name)})
	}
	return out
}

// parentPath is where a route says that it has a parent.
func parentPath(i, named int, path string) string {
	if i >= named {
		return "spec.useDefaultGateways"
	}
	return path
}
