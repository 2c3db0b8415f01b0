package gateway

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// maxListeners is the most that a Gateway and its ListenerSets may have together; those of the youngest sets are left out.
const maxListeners = 1024

// listenerSetFields are honoured; TLS settings are judged by api.Unenforced.
var listenerSetFields = api.Fields("parentRef.*", "listeners[].name", "listeners[].hostname", "listeners[].port", "listeners[].protocol", "listeners[].tls.*", "listeners[].allowedRoutes.*")

// attachedSet is a ListenerSet that its Gateway allows, with its listeners as they stand among all of the Gateway's.
type attachedSet struct {
	*visit
	states []listenerState
	valid  int
}

// ListenerSet gives the listeners that a ListenerSet adds to its Gateway, and its status; nothing when the Gateway is not Heddle's. The number of attached
// routes in the status is 0: see WithRoutes.
func ListenerSet(o api.Object, in Lookup) (*mesh.Gateway, *condition.Status, []mesh.Problem) {
	spec, ok := o.Spec.(*gwv1.ListenerSetSpec)
	if !ok {
		return nil, nil, nil
	}
	v := open(o, in)
	v.Unhonoured(o, listenerSetFields, nil)
	parent, ok := setParent(o, in)
	if !ok {
		switch ref := parentOf(spec, v.ns); {
		case ref.Group != api.GroupGateway || ref.Kind != "Gateway":
			v.NotEnforced("spec.parentRef", "listeners cannot be added to a %s of group %q; name a Gateway", ref.Kind, ref.Group)
		case parent.Kind == nil:
			v.NotFound("spec.parentRef", "", "there is no Gateway %s in namespace %s", ref.Name, ref.Namespace)
		}
		return nil, nil, v.Problems()
	}
	no := func(accepted, programmed string, code mesh.Code, format string, args ...any) (*mesh.Gateway, *condition.Status, []mesh.Problem) {
		message := fmt.Sprintf(format, args...)
		v.Add(code, "spec.parentRef", "", "%s", message)
		return nil, &condition.Status{Conditions: v.setConditions(accepted, programmed, message)}, v.Problems()
	}
	gw := parent.Spec.(*gwv1.GatewaySpec)
	if !allowsSet(gw, parent, v.ns, in) {
		return no(string(gwv1.ListenerSetReasonNotAllowed), string(gwv1.ListenerSetReasonNotAllowed), mesh.CodeNotFound, "%s allows no ListenerSet of namespace %s (spec.allowedListeners)", parent.Ref(), v.ns)
	}
	of := open(parent, in)
	described := of.gateway(gw)
	if of.Broken() || described.refusal != nil {
		return no(string(gwv1.ListenerSetReasonParentNotAccepted), "ParentNotProgrammed", mesh.CodeNotFound, "%s is not accepted", parent.Ref())
	}
	owner, sets := described.gateway, attachedSets(of, described.states)
	i := slices.IndexFunc(sets, func(s attachedSet) bool { return s.obj.Ref() == o.Ref() })
	if i < 0 {
		return nil, nil, v.Problems()
	}
	s := sets[i]
	g := &mesh.Gateway{ID: setID(o.Ref()), Of: owner.ID, Origin: o.Ref(), Created: o.Meta.Created, Namespace: owner.Namespace, Selector: owner.Selector}
	status := &condition.Status{Listeners: []condition.Listener{}}
	for j := range s.states {
		l := &s.states[j]
		status.Listeners = append(status.Listeners, condition.Listener{Name: l.server.Name, SupportedKinds: l.kinds, Conditions: s.entryConditions(l)})
		if l.fault == "" {
			g.Servers = append(g.Servers, l.server)
		}
	}
	for _, p := range s.Problems() {
		v.Add(p.Code, p.Field, p.Hint, "%s", p.Message)
	}
	bad := fmt.Sprintf("%d of %d listeners are not valid; see their conditions", len(s.states)-s.valid, len(s.states))
	notValid := string(gwv1.ListenerSetReasonListenersNotValid)
	switch {
	case v.Broken():
		status.Conditions = v.setConditions(string(gwv1.ListenerSetReasonInvalid), string(gwv1.ListenerSetReasonInvalid), condition.Sentences(invalid(v.Problems())))
		return nil, status, v.Problems()
	case s.valid == 0:
		status.Conditions = v.setConditions(notValid, notValid, bad)
	case s.valid < len(s.states):
		status.Conditions = v.setConditions("", "", "")
		status.Conditions[0].Reason, status.Conditions[0].Message = notValid, bad
	default:
		status.Conditions = v.setConditions("", "", "")
	}
	return g, status, v.Problems()
}

// setID names a ListenerSet as what routes attach to.
func setID(ref mesh.Ref) mesh.GatewayID {
	return mesh.GatewayID{Dialect: mesh.GatewayAPI, Namespace: ref.Namespace, Name: ref.Name, Set: true}
}

// parentOf is the object that a ListenerSet wants to attach to.
func parentOf(spec *gwv1.ListenerSetSpec, ns mesh.Namespace) mesh.Ref {
	return mesh.Ref{Group: string(deref(spec.ParentRef.Group, api.GroupGateway)), Kind: string(deref(spec.ParentRef.Kind, "Gateway")),
		Namespace: mesh.Namespace(deref(spec.ParentRef.Namespace, gwv1.Namespace(ns))), Name: string(spec.ParentRef.Name)}
}

// SetParent names the Gateway that a ListenerSet wants to add listeners to; false for other objects.
func SetParent(o api.Object) (mesh.Ref, bool) {
	spec, ok := o.Spec.(*gwv1.ListenerSetSpec)
	if !ok {
		return mesh.Ref{}, false
	}
	ref := parentOf(spec, mesh.Namespace(o.Meta.Namespace))
	return ref, ref.Group == api.GroupGateway && ref.Kind == "Gateway"
}

// setParent finds the Gateway of a ListenerSet; false when there is none, or it is not Heddle's.
func setParent(o api.Object, in Lookup) (api.Object, bool) {
	ref, ok := SetParent(o)
	if !ok {
		return api.Object{}, false
	}
	parent, ok := in.Object(ref)
	gw, isGateway := parent.Spec.(*gwv1.GatewaySpec)
	return parent, ok && isGateway && ours(string(gw.GatewayClassName), in)
}

// allowsSet says whether a Gateway takes ListenerSets of a namespace (GatewaySpec.allowedListeners): none if it does not say so.
func allowsSet(gw *gwv1.GatewaySpec, parent api.Object, ns mesh.Namespace, in Lookup) bool {
	if gw.AllowedListeners == nil || gw.AllowedListeners.Namespaces == nil {
		return false
	}
	switch n := gw.AllowedListeners.Namespaces; deref(n.From, gwv1.NamespacesFromNone) {
	case gwv1.NamespacesFromAll:
		return true
	case gwv1.NamespacesFromSame:
		return mesh.Namespace(parent.Meta.Namespace) == ns
	case gwv1.NamespacesFromSelector:
		return selects(n.Selector, ns, in)
	}
	return false
}

// selects says whether a namespace has the labels that a selector asks for.
func selects(s *metav1.LabelSelector, ns mesh.Namespace, in Lookup) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil || s == nil {
		return false
	}
	have, ok := in.NamespaceLabels(ns)
	return ok && selector.Matches(labels.Set(have))
}

// attachedSets are the ListenerSets that a Gateway allows, the oldest first. Of two listeners that exclude each other the Gateway's goes before those of sets,
// and that of an older set before that of a younger one.
func attachedSets(gateway *visit, own []listenerState) (out []attachedSet) {
	parent, in := gateway.obj, gateway.in
	var sets []api.Object
	for _, o := range in.ListenerSets(parent.Ref()) {
		if allowsSet(parent.Spec.(*gwv1.GatewaySpec), parent, mesh.Namespace(o.Meta.Namespace), in) {
			sets = append(sets, o)
		}
	}
	if len(sets) == 0 {
		return nil
	}
	slices.SortFunc(sets, func(a, b api.Object) int {
		return cmp.Or(a.Meta.Created.Compare(b.Meta.Created), cmp.Compare(a.Meta.Namespace, b.Meta.Namespace), cmp.Compare(a.Meta.Name, b.Meta.Name))
	})
	taken := slices.DeleteFunc(slices.Clone(own), func(l listenerState) bool { return l.fault != "" })
	for _, o := range sets {
		s := attachedSet{visit: open(o, in)}
		s.states = s.listeners(entries(o.Spec.(*gwv1.ListenerSetSpec)), gateway, taken)
		for i := range s.states {
			l := &s.states[i]
			if l.fault == "" && len(taken) >= maxListeners {
				l.accepted, l.acceptedMessage = string(gwv1.ListenerEntryReasonTooManyListeners), fmt.Sprintf("the Gateway has %d listeners already", maxListeners)
				l.fault = l.accepted
				s.Add(mesh.CodeConflict, fmt.Sprintf("spec.listeners[%d]", i), "", "%s", l.acceptedMessage)
			}
			if l.fault == "" {
				taken = append(taken, *l)
				if l.server.Denied == "" {
					s.valid++
				}
			}
		}
		out = append(out, s)
	}
	return out
}

// settle refuses a listener that an earlier one excludes. What the earlier one is stays untold: it may be another's.
func (v *visit) settle(l *listenerState, taken []listenerState, path string) {
	for i := range taken {
		if reason, what := excludes(&taken[i], l); reason != "" {
			l.conflict, l.conflictMessage = reason, fmt.Sprintf("a listener of the Gateway, or of an older ListenerSet, has port %d %s", l.server.Port, what)
			l.settled = true
			v.Add(mesh.CodeConflict, path, "use another port or host name", "%s, so this one is not served", l.conflictMessage)
			return
		}
	}
}

func entries(spec *gwv1.ListenerSetSpec) (out []gwv1.Listener) {
	for _, e := range spec.Listeners {
		out = append(out, gwv1.Listener(e))
	}
	return out
}

// entryConditions are those of a Gateway's listener; only that a conflict is why one is not programmed, too.
func (s *attachedSet) entryConditions(l *listenerState) []condition.Condition {
	out := s.listenerConditions(l, nil)
	for i := range out {
		if c := &out[i]; c.Type == string(gwv1.ListenerEntryConditionProgrammed) && l.conflict != "" {
			c.Reason, c.Message = l.conflict, l.conflictMessage
		}
	}
	return out
}

// setConditions are those of the whole set; "" for a reason when all is well.
func (v *visit) setConditions(accepted, programmed, message string) []condition.Condition {
	one := func(kind gwv1.ListenerSetConditionType, reason string, well gwv1.ListenerSetConditionReason, wellMessage string) condition.Condition {
		if reason == "" {
			return v.cond(string(kind), true, string(well), wellMessage)
		}
		return v.cond(string(kind), false, reason, message)
	}
	return []condition.Condition{
		one(gwv1.ListenerSetConditionAccepted, accepted, gwv1.ListenerSetReasonAccepted, "the listeners are part of the Gateway"),
		one(gwv1.ListenerSetConditionProgrammed, programmed, gwv1.ListenerSetReasonProgrammed, "the valid listeners are served by the Gateway's proxies"),
	}
}

// WithParent says of the status of a ListenerSet that nothing serves it, when its Gateway's status says so.
func WithParent(s, parent condition.Status) condition.Status {
	i := slices.IndexFunc(parent.Conditions, func(c condition.Condition) bool { return c.Type == string(gwv1.GatewayConditionProgrammed) })
	if i < 0 || parent.Conditions[i].Status == "True" || parent.Conditions[i].Reason == string(gwv1.GatewayReasonInvalid) || parent.Conditions[i].Reason == string(gwv1.GatewayReasonNoResources) {
		return s
	}
	notProgrammed(&s, "ParentNotProgrammed", parent.Conditions[i].Message)
	pending(&s)
	return s
}
