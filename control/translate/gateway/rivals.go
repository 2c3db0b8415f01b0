package gateway

import (
	"fmt"
	"slices"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// reasonConflicted is why a route is not accepted although its parent would take it: the Gateway API has no word for it.
const reasonConflicted = "Conflicted"

// RouteConflicts tells the routes that lose a listener of a Gateway or ListenerSet to an older one of another kind (mesh.Outranked). routes are those attached there, oldest first.
func RouteConflicts(id mesh.GatewayID, routes []*mesh.Route) (out []mesh.Problem) {
	var listeners []string
	for _, r := range routes {
		if r.Origin.Kind != "GRPCRoute" { // one of each kind must be there
			continue
		}
		for _, p := range r.Parents {
			if p.Gateway == id && !slices.Contains(listeners, p.Listener) {
				listeners = append(listeners, p.Listener)
			}
		}
	}
	for _, listener := range listeners {
		outranked := mesh.Outranked(id, listener, routes)
		for _, r := range routes {
			if winner := outranked[r]; winner != nil {
				out = append(out, mesh.Problem{Object: r.Origin, Field: "spec.parentRefs", Code: mesh.CodeConflict, Message: lost(id, listener, winner), Hint: "give them hosts of their own"})
			}
		}
	}
	return out
}

func lost(id mesh.GatewayID, listener string, winner *mesh.Route) string {
	return fmt.Sprintf("%s goes before this route, is of another kind and has hosts of it at listener %s of %s/%s, so this route has no effect there", winner.Origin, listener, id.Namespace, id.Name)
}

// WithRivals says of the status of a route which of its parents do not accept it, because routes of another kind have all listeners there that it would have. at gives the routes attached
// to a Gateway or ListenerSet, oldest first.
func WithRivals(s condition.Status, o api.Object, r *mesh.Route, at func(mesh.GatewayID) []*mesh.Route, in Objects) condition.Status {
	if r == nil || o.Kind.Kind != "HTTPRoute" && o.Kind.Kind != "GRPCRoute" {
		return s
	}
	s.Parents = slices.Clone(s.Parents)
	for i := range s.Parents {
		ref := s.Parents[i].ParentRef
		kind := deref(ref.Kind, "Gateway")
		if deref(ref.Group, api.GroupGateway) != api.GroupGateway {
			continue
		}
		id := mesh.GatewayID{Dialect: mesh.GatewayAPI, Namespace: mesh.Namespace(deref(ref.Namespace, o.Meta.Namespace)), Name: ref.Name, Set: kind == "ListenerSet"}
		message, free := "", false
		for _, p := range r.Parents {
			if p.Gateway != id || ref.SectionName != nil && *ref.SectionName != p.Listener || ref.Port != nil && !listensAt(id, p.Listener, *ref.Port, in) {
				continue
			}
			if winner := mesh.Outranked(id, p.Listener, at(id))[r]; winner == nil {
				free = true
			} else {
				message = lost(id, p.Listener, winner)
			}
		}
		if message != "" && !free {
			refuse(&s.Parents[i], message)
		}
	}
	return s
}

func refuse(p *condition.Parent, message string) {
	p.Conditions = slices.Clone(p.Conditions)
	for i := range p.Conditions {
		if c := &p.Conditions[i]; c.Type == string(gwv1.RouteConditionAccepted) && c.Status == "True" {
			c.Status, c.Reason, c.Message = "False", reasonConflicted, message
		}
	}
}

// listensAt says whether a listener of a Gateway or ListenerSet has a port.
func listensAt(id mesh.GatewayID, listener string, port int32, in Objects) bool {
	kind := "Gateway"
	if id.Set {
		kind = "ListenerSet"
	}
	o, _ := in.Object(mesh.Ref{Group: api.GroupGateway, Kind: kind, Namespace: id.Namespace, Name: id.Name})
	var list []gwv1.Listener
	switch spec := o.Spec.(type) {
	case *gwv1.GatewaySpec:
		list = spec.Listeners
	case *gwv1.ListenerSetSpec:
		list = entries(spec)
	}
	return slices.ContainsFunc(list, func(l gwv1.Listener) bool { return string(l.Name) == listener && l.Port == port })
}
