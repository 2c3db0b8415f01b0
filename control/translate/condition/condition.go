// Package condition says in the words of each dialect how an object fares: status conditions as plain values, for whoever writes them into the object.
//
// In: an object's problems, or what a translation found out about parents and listeners. Out: a Status whose JSON form is that of the object's status
// field, but for lastTransitionTime, which the writer knows. Pure; safe for concurrent use.
package condition

import (
	"fmt"
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
)

// Controller is the name under which Heddle writes the status of Gateway API objects (GatewayClass.spec.controllerName).
const Controller = "heddle.dev/gateway-controller"

// Class is the name of the GatewayClass that is Heddle's even when no such object exists.
const Class = "heddle"

// Condition is metav1.Condition without the time of its last change.
type Condition struct {
	Type               string `json:"type"`
	Status             string `json:"status"` // True, False
	Reason             string `json:"reason"`
	Message            string `json:"message"`
	ObservedGeneration int64  `json:"observedGeneration,omitempty"`
}

// RouteKind is gwv1.RouteGroupKind.
type RouteKind struct {
	Group string `json:"group"`
	Kind  string `json:"kind"`
}

// Listener is gwv1.ListenerStatus.
type Listener struct {
	Name           string      `json:"name"`
	SupportedKinds []RouteKind `json:"supportedKinds"`
	AttachedRoutes int32       `json:"attachedRoutes"`
	Conditions     []Condition `json:"conditions"`
}

// ParentRef is gwv1.ParentReference as the route gave it; the zero value of a field means that it was not given.
type ParentRef struct {
	Group       *string `json:"group,omitempty"`
	Kind        *string `json:"kind,omitempty"`
	Namespace   *string `json:"namespace,omitempty"`
	Name        string  `json:"name"`
	SectionName *string `json:"sectionName,omitempty"`
	Port        *int32  `json:"port,omitempty"`
}

// Parent is gwv1.RouteParentStatus.
type Parent struct {
	ParentRef  ParentRef   `json:"parentRef"`
	Controller string      `json:"controllerName"`
	Conditions []Condition `json:"conditions"`
}

// Ancestor is gwv1.PolicyAncestorStatus.
type Ancestor struct {
	AncestorRef ParentRef   `json:"ancestorRef"`
	Controller  string      `json:"controllerName"`
	Conditions  []Condition `json:"conditions"`
}

// Address is gwv1.GatewayStatusAddress, or the ServiceEntryAddress of Istio's API.
type Address struct {
	Type  string `json:"type,omitempty"` // IPAddress, Hostname
	Value string `json:"value"`
	Host  string `json:"host,omitempty"` // of a ServiceEntry
}

// Feature is gwv1.SupportedFeature.
type Feature struct {
	Name string `json:"name"`
}

// Status is what an object's status field should say. Which parts are given depends on the kind; parts that are nil are not Heddle's to write.
type Status struct {
	ObservedGeneration int64       `json:"observedGeneration,omitempty"` // Istio's kinds
	Conditions         []Condition `json:"conditions,omitempty"`
	Listeners          []Listener  `json:"listeners,omitempty"`            // Gateway of the Gateway API
	Addresses          []Address   `json:"addresses,omitempty"`            // Gateway of the Gateway API, ServiceEntry
	Assigned           bool        `json:"-"`                              // the addresses are all that a ServiceEntry has, none included
	ListenerSets       *int32      `json:"attachedListenerSets,omitempty"` // Gateway of the Gateway API, where it allows any
	Parents            []Parent    `json:"parents,omitempty"`              // its routes: those entries that have Heddle's controller name
	Ancestors          []Ancestor  `json:"ancestors,omitempty"`            // BackendTLSPolicy: those entries that have Heddle's controller name
	Features           []Feature   `json:"supportedFeatures,omitempty"`    // GatewayClass
	LoadBalancer       *Balancer   `json:"loadBalancer,omitempty"`         // Ingress
}

// Balancer is where an Ingress is reached.
type Balancer struct {
	Ingress []BalancerAddress `json:"ingress"`
}

// BalancerAddress is one address or name.
type BalancerAddress struct {
	IP       string `json:"ip,omitempty"`
	Hostname string `json:"hostname,omitempty"`
}

// The types of condition of Istio's kinds. Accepted: the object is used as far as Enforced says. Enforced: all that it says is in effect.
const (
	Accepted = "Accepted"
	Enforced = "Enforced"
)

// CoreEnforced is Enforced on objects of Kubernetes' own kinds, whose conditions belong to many: it is written only when there is something to say.
const CoreEnforced = "heddle.dev/Enforced"

// Core gives the one condition of an object of Kubernetes' own kinds from its problems.
func Core(problems []mesh.Problem) Status {
	c := Istio(0, nil).Conditions[1]
	if len(problems) > 0 {
		c.Status, c.Reason, c.Message = "False", string(problems[0].Code), Sentences(problems)
	}
	c.Type = CoreEnforced
	return Status{Conditions: []Condition{c}}
}

// Istio gives the status of an object of the Istio dialect from its problems.
func Istio(generation int64, problems []mesh.Problem) Status {
	accepted := Condition{Type: Accepted, Status: "True", Reason: "Accepted", Message: "the object is valid", ObservedGeneration: generation}
	enforced := Condition{Type: Enforced, Status: "True", Reason: "Enforced", Message: "all of the object is in effect", ObservedGeneration: generation}
	if fatal := pick(problems, true); len(fatal) > 0 {
		accepted.Status, accepted.Reason, accepted.Message = "False", string(fatal[0].Code), Sentences(fatal)
		enforced.Status, enforced.Reason, enforced.Message = "False", string(fatal[0].Code), "the object is not valid, so the last valid one counts, if there was one"
		if denied := withCode(problems, mesh.CodeDenied); len(denied) > 0 {
			enforced.Reason, enforced.Message = string(mesh.CodeDenied), Sentences(denied)
		}
	} else if rest := without(pick(problems, false), mesh.CodeMerged); len(rest) > 0 {
		if denied := withCode(rest, mesh.CodeDenied); len(denied) > 0 {
			rest = append(denied, without(rest, mesh.CodeDenied)...)
		}
		enforced.Status, enforced.Reason, enforced.Message = "False", string(rest[0].Code), Sentences(rest)
	} else if merged := withCode(problems, mesh.CodeMerged); len(merged) > 0 {
		enforced.Reason, enforced.Message = string(mesh.CodeMerged), Sentences(merged)
	}
	return Status{ObservedGeneration: generation, Conditions: []Condition{accepted, enforced}}
}

func pick(problems []mesh.Problem, fatal bool) (out []mesh.Problem) {
	for _, p := range problems {
		if p.Code.Fatal() == fatal {
			out = append(out, p)
		}
	}
	return out
}

func withCode(problems []mesh.Problem, c mesh.Code) (out []mesh.Problem) {
	for _, p := range problems {
		if p.Code == c {
			out = append(out, p)
		}
	}
	return out
}

func without(problems []mesh.Problem, c mesh.Code) (out []mesh.Problem) {
	for _, p := range problems {
		if p.Code != c {
			out = append(out, p)
		}
	}
	return out
}

// maxMessage is the longest message that Kubernetes accepts (metav1.Condition: 32,768); less than a thousand characters is what anybody reads.
const maxMessage = 1000

// Sentences joins problems into one message, each with its field and next step.
func Sentences(problems []mesh.Problem) string {
	var b strings.Builder
	for i, p := range problems {
		var s strings.Builder
		if i > 0 {
			s.WriteString(". ")
		}
		if p.Field != "" {
			s.WriteString(p.Field + ": ")
		}
		s.WriteString(p.Message)
		if p.Hint != "" {
			s.WriteString("; " + p.Hint)
		}
		if b.Len()+s.Len() > maxMessage && i > 0 {
			fmt.Fprintf(&b, ". And %d more", len(problems)-i)
			break
		}
		text := s.String()
		if len(text) > maxMessage {
			text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
		}
		b.WriteString(text)
	}
	return b.String()
}
