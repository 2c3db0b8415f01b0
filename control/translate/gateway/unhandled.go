package gateway

import (
	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// unhandled says what follows from a kind that nothing reads yet.
var unhandled = map[string]string{
	"GRPCRoute":        "its calls are not routed by it; an HTTPRoute with paths /SERVICE/METHOD does",
	"TLSRoute":         "its connections are not routed",
	"TCPRoute":         "its connections are not routed",
	"UDPRoute":         "its datagrams are not routed",
	"ListenerSet":      "its listeners are not served; write them into the Gateway",
	"BackendTLSPolicy": "TLS towards backends is not made by it",
}

// Unhandled answers an object of a kind that nothing reads yet with one Problem. A BackendTLSPolicy would have protected what is sent to its Services, so
// the workloads behind them deny instead of taking plain text.
func Unhandled(o api.Object, in Lookup) ([]*mesh.Denial, []mesh.Problem) {
	v := open(o, in)
	v.NotEnforced("", "%s is not honoured yet: %s", o.Kind.Kind, unhandled[o.Kind.Kind])
	spec, ok := o.Spec.(*gwv1.BackendTLSPolicySpec)
	if !ok {
		return nil, v.Problems()
	}
	v.Add(mesh.CodeDenied, "", "remove the object", "because it cannot be enforced, the workloads behind its targets refuse every request")
	var out []*mesh.Denial
	for _, t := range spec.TargetRefs {
		scope := mesh.Scope{Namespace: v.ns}
		if svc, ok := in.Service(serviceHost(string(t.Name), v.ns, in), v.ns); ok && t.Kind == "Service" && len(svc.Selector) > 0 {
			scope.Selector = svc.Selector
		}
		out = append(out, &mesh.Denial{Origin: o.Ref(), Scope: scope, Reason: o.Ref().String() + ": TLS towards backends by BackendTLSPolicy is not enforced yet"})
	}
	return out, v.Problems()
}
