package kube

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// wish is a field of a Service that asks the mesh for something it does not do. What is for the network outside of the mesh alone (node ports, load
// balancers, external addresses) is none.
type wish struct {
	field, message, hint string
	asked                func(*corev1.ServiceSpec) bool
	// cel says the same in the language of the API's admission, of a Service as object.
	cel string
}

var wishes = []wish{
	{"spec.sessionAffinity", "a proxy chooses an endpoint for each request, in Istio too, so ClientIP has no effect for callers that have one", "write a DestinationRule with consistentHash.useSourceIp",
		func(s *corev1.ServiceSpec) bool { return s.SessionAffinity == corev1.ServiceAffinityClientIP },
		`has(object.spec.sessionAffinity) && object.spec.sessionAffinity == "ClientIP"`},
}

// unhonoured gives the fields of a Service that ask the mesh for something in vain.
func unhonoured(o api.Object, spec *corev1.ServiceSpec) (out []mesh.Problem) {
	for _, w := range wishes {
		if w.asked(spec) {
			out = append(out, mesh.Problem{Object: o.Ref(), Field: w.field, Code: mesh.CodeNotEnforced, Message: w.message, Hint: w.hint})
		}
	}
	return out
}

// Wishes are expressions in the language of the API's admission (CEL): a Service asks for something in vain when one of them is true.
func Wishes() []string {
	var out []string
	for _, w := range wishes {
		out = append(out, w.cel)
	}
	return out
}
