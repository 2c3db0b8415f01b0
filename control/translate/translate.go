// Package translate gives what users wrote its meaning, in either dialect.
//
// In: one decoded object, what decoding said about it, and a Lookup for the rest of the mesh. Out: nouns of package mesh and Problems. It is pure: the same
// object and the same answers give the same result, so that results may be kept as long as the answers stand.
package translate

import (
	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/control/translate/gateway"
	"github.com/heddle-mesh/heddle/control/translate/istio"
	"github.com/heddle-mesh/heddle/control/translate/note"
	"github.com/heddle-mesh/heddle/mesh"
	"maps"
	"slices"
)

// Lookup answers what translations of both dialects ask about the rest of the mesh.
type Lookup interface {
	istio.Lookup
	gateway.Lookup
}

// Result is what one object means. Most fields are empty.
type Result struct {
	Route         *mesh.Route
	Traffic       *mesh.Traffic
	Gateway       *mesh.Gateway
	Entry         *istio.Entry   // ServiceEntry
	Workload      *mesh.Workload // WorkloadEntry
	Endpoint      *mesh.Endpoint // WorkloadEntry, for services that select it
	Sidecar       *mesh.SidecarScope
	PeerAuthn     *mesh.PeerAuthn
	Authorization *mesh.Authorization
	Filter        *mesh.EnvoyFilter
	Telemetry     *mesh.Telemetry
	Denials       []*mesh.Denial
	BackendTLS    []*mesh.BackendTLS // BackendTLSPolicy
	More          []*mesh.Route      // Ingress, one for each host
	Problems      []mesh.Problem     // those of decoding first
	// Elsewhere are problems of other objects that this one includes.
	Elsewhere []mesh.Problem
	// Status is what the object's status should say; nil when it is not Heddle's to write (core kinds, other controllers' objects, ReferenceGrants). That
	// of a Gateway lacks the number of attached routes: see gateway.WithRoutes. Problems that are found later (HostConflicts) are not in it.
	Status *condition.Status
}

// Broken says whether the object has no effect, so that the last good one should stand in for it. A security object is never replaced so: it denies.
func (r Result) Broken() bool { return !api.Valid(r.Problems) }

// Object translates one object. decoding are the problems that api.Decode gave for it; with a fatal one among them nothing is translated, and an object of
// a security kind makes its workloads deny.
func Object(o api.Object, decoding []api.Problem, in Lookup) Result {
	var r Result
	if o.Kind == nil {
		return Result{Problems: decoding}
	}
	if !api.Valid(decoding) {
		decoding = append(decoding[:len(decoding):len(decoding)], alsoBroken(o, decoding, in)...)
		r.Status = Status(o, decoding)
		reason := o.Ref().String() + " cannot be read: " + first(decoding)
		r.Denials = append(istio.Deny(o, in, reason), gateway.Deny(o, in, reason)...)
		if o.Kind.Gateway() {
			r.Status = gateway.Refused(o, in, condition.Sentences(decoding))
		}
		r.Problems = decoding
		if len(r.Denials) > 0 {
			r.Problems = append(decoding[:len(decoding):len(decoding)], mesh.Problem{Object: o.Ref(), Code: mesh.CodeDenied,
				Message: "because it cannot be read, the workloads in its scope refuse every request", Hint: "correct the object"})
			if o.Kind.Istio() {
				r.Status = Status(o, r.Problems)
			}
		}
		return r
	}
	var problems []mesh.Problem
	switch {
	case o.Kind.Istio():
		problems, r.Elsewhere = apart(o.Ref(), r.istio(o, in))
		r.Status = Status(o, append(decoding[:len(decoding):len(decoding)], problems...))
	case o.Kind.Gateway():
		problems = r.gateway(o, in)
	case o.Kind.Group == api.GroupIngress:
		r.Gateway, r.More, r.Status, problems = istio.Ingress(o, in)
	}
	r.Problems = append(decoding[:len(decoding):len(decoding)], problems...)
	return r
}

// alsoBroken gives what more is wrong with an object that decoding refuses, so that its owner hears of all at once.
func alsoBroken(o api.Object, decoding []api.Problem, in Lookup) (out []mesh.Problem) {
	if !o.Read {
		return nil
	}
	for _, p := range Object(o, nil, in).Problems {
		said := slices.ContainsFunc(decoding, func(d api.Problem) bool { return note.Under(d.Field, p.Field) })
		if p.Code.Fatal() && !said {
			out = append(out, p)
		}
	}
	return out
}

// apart divides problems into those of an object and others.
func apart(ref mesh.Ref, problems []mesh.Problem) (own, others []mesh.Problem) {
	for _, p := range problems {
		if p.Object == ref {
			own = append(own, p)
		} else {
			others = append(others, p)
		}
	}
	return own, others
}

func first(problems []api.Problem) string {
	for _, p := range problems {
		if p.Code.Fatal() {
			return p.Field + ": " + p.Message
		}
	}
	return ""
}

func (r *Result) istio(o api.Object, in Lookup) (problems []mesh.Problem) {
	switch o.Kind.Kind {
	case "VirtualService":
		r.Route, problems = istio.VirtualService(o, in)
	case "DestinationRule":
		r.Traffic, problems = istio.DestinationRule(o, in)
	case "Gateway":
		r.Gateway, problems = istio.Gateway(o, in)
	case "ServiceEntry":
		r.Entry, problems = istio.ServiceEntry(o, in)
	case "WorkloadEntry":
		r.Workload, r.Endpoint, problems = istio.WorkloadEntry(o, in)
	case "WorkloadGroup":
		problems = istio.WorkloadGroup(o, in)
	case "Sidecar":
		r.Sidecar, problems = istio.Sidecar(o, in)
	case "PeerAuthentication":
		r.PeerAuthn, r.Denials, problems = istio.PeerAuthentication(o, in)
	case "AuthorizationPolicy":
		r.Authorization, r.Denials, problems = istio.AuthorizationPolicy(o, in)
	case "EnvoyFilter":
		r.Filter, r.Denials, problems = istio.EnvoyFilter(o, in)
	case "Telemetry":
		r.Telemetry, problems = istio.Telemetry(o, in)
	case "ProxyConfig":
		problems = istio.ProxyConfig(o, in)
	default:
		r.Denials, problems = istio.Unhandled(o, in)
	}
	return problems
}

func (r *Result) gateway(o api.Object, in Lookup) (problems []mesh.Problem) {
	switch o.Kind.Kind {
	case "Gateway":
		r.Gateway, r.Status, problems = gateway.Gateway(o, in)
	case "HTTPRoute":
		r.Route, r.Status, problems = gateway.HTTPRoute(o, in)
	case "GRPCRoute":
		r.Route, r.Status, problems = gateway.GRPCRoute(o, in)
	case "TLSRoute":
		r.Route, r.Status, problems = gateway.TLSRoute(o, in)
	case "TCPRoute":
		r.Route, r.Status, problems = gateway.TCPRoute(o, in)
	case "UDPRoute":
		r.Route, r.Status, problems = gateway.UDPRoute(o, in)
	case "GatewayClass":
		r.Status, problems = gateway.GatewayClass(o, in)
	case "ListenerSet":
		r.Gateway, r.Status, problems = gateway.ListenerSet(o, in)
	case "BackendTLSPolicy":
		r.BackendTLS, r.Status, problems = gateway.BackendTLSPolicy(o, in)
	case "ReferenceGrant":
		problems = gateway.ReferenceGrant(o)
	}
	return problems
}

// Status gives the status of an object of the Istio dialect from all its problems, those that were found later included; nil for other objects.
func Status(o api.Object, problems []mesh.Problem) *condition.Status {
	if o.Kind == nil || !o.Kind.Istio() {
		return nil
	}
	s := condition.Istio(o.Meta.Generation, problems)
	return &s
}

// Marks gives the labels and annotations of the mesh's domains that are not honoured on an object, for core kinds, which Object says nothing of.
func Marks(o api.Object, s *mesh.Settings) []mesh.Problem {
	p := note.For(o)
	if s.Injects && o.Kind.Kind == "Namespace" {
		o.Meta.Labels = maps.Clone(o.Meta.Labels)
		maps.DeleteFunc(o.Meta.Labels, func(key, _ string) bool { return key == "istio-injection" || key == "istio.io/rev" })
	}
	p.Marks(o)
	return append(p.Problems(), istio.NamespaceDistribution(o)...)
}
