package gateway

import (
	"fmt"
	"maps"
	"slices"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/control/translate/note"
	"github.com/heddle-mesh/heddle/mesh"
	"k8s.io/apimachinery/pkg/util/validation"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// nameLabel selects the proxies that serve a Gateway.
const nameLabel = "gateway.networking.k8s.io/gateway-name"

// gatewayFields are honoured; TLS settings are judged by api.Unenforced.
var (
	gatewayPaths = []string{"gatewayClassName", "listeners[].name", "listeners[].hostname", "listeners[].port", "listeners[].protocol", "listeners[].tls.*",
		"listeners[].allowedRoutes.*", "tls.*", "addresses.*", "defaultScope=None|All", "allowedListeners.*"}
	gatewayFields = api.Fields(gatewayPaths...)
	// deployedFields are honoured where workloads are made for the gateway.
	deployedFields = api.Fields(append(gatewayPaths, "infrastructure.labels", "infrastructure.labels.*", "infrastructure.annotations", "infrastructure.annotations.*", "infrastructure.parametersRef", "infrastructure.parametersRef.*")...)
)

// Gateway gives the listeners of a Gateway and its status; nothing when its class belongs to another controller. The number of attached routes in the
// status is 0: see WithRoutes. Listeners that are not valid are not among the servers; one whose TLS settings cannot be enforced denies.
func Gateway(o api.Object, in Lookup) (*mesh.Gateway, *condition.Status, []mesh.Problem) {
	spec, ok := o.Spec.(*gwv1.GatewaySpec)
	if !ok || !ours(string(spec.GatewayClassName), in) {
		return nil, nil, nil
	}
	v := open(o, in)
	d := v.gateway(spec)
	status := &condition.Status{}
	if spec.AllowedListeners != nil {
		status.ListenerSets = new(int32)
		for _, s := range attachedSets(v, d.states) {
			if s.valid > 0 && !s.Broken() && d.refusal == nil {
				*status.ListenerSets++
			}
		}
	}
	valid := 0
	for i := range d.states {
		s := &d.states[i]
		status.Listeners = append(status.Listeners, condition.Listener{Name: s.server.Name, SupportedKinds: s.kinds, Conditions: v.listenerConditions(s, d.refusal)})
		if s.fault == "" && s.server.Denied == "" {
			valid++
		}
	}
	status.Conditions = slices.Concat(v.gatewayConditions(valid, len(d.states), d.refusal), v.lenient(spec), v.references(spec, d), v.defaulted())
	if d.unusable != "" {
		notProgrammed(status, string(gwv1.GatewayReasonAddressNotUsable), d.unusable)
		pending(status)
	}
	if v.Broken() {
		return nil, status, v.Problems()
	}
	return d.gateway, status, v.Problems()
}

// description is what a Gateway says.
type description struct {
	gateway  *mesh.Gateway
	states   []listenerState
	refusal  *condition.Condition // why it listens nowhere, or nil
	unusable string               // why its address is not, or ""
	// why the reference to the certificate for backends does not hold, or ""
	unresolved, unresolvedMessage string
}

func (v *visit) gateway(spec *gwv1.GatewaySpec) (d description) {
	written, fields := v.obj, gatewayFields
	asked, service, wrong := v.addresses(spec)
	made := service == "" && v.in.Settings().Injects // workloads, for it (control/deploy)
	if made {
		written.Meta.Labels, written.Meta.Annotations = without(v.obj.Meta.Labels, "istio.io/rev"), without(v.obj.Meta.Annotations, "networking.istio.io/service-type", nameMark, accountMark)
		fields = deployedFields
	}
	v.Unhonoured(written, fields, nil)
	name := v.obj.Meta.Name
	g := &mesh.Gateway{ID: mesh.GatewayID{Dialect: mesh.GatewayAPI, Namespace: v.ns, Name: name}, Origin: v.obj.Ref(), Created: v.obj.Meta.Created,
		Namespace: v.ns, Selector: mesh.Labels{nameLabel: name}, Addresses: asked}
	d.gateway, d.states = g, v.listeners(spec.Listeners, v, nil)
	d.unresolved, d.unresolvedMessage = v.shown(g, spec)
	if made {
		g.WorkloadName, g.Account = v.nameOf(nameMark), v.nameOf(accountMark)
	}
	overlays, fault := v.parameters(spec, made)
	g.Overlays = overlays
	if d.refusal = v.refused(wrong, fault); d.refusal != nil {
		g.Refused = true
		return d
	}
	if service != "" {
		d.unusable = v.bind(g, service)
	}
	for i := range d.states {
		if s := &d.states[i]; s.fault == "" {
			g.Servers = append(g.Servers, s.server)
		}
	}
	return d
}

func without(m map[string]string, keys ...string) map[string]string {
	m = maps.Clone(m)
	for _, key := range keys {
		delete(m, key)
	}
	return m
}

// Annotations with the names of what is made for a gateway.
const (
	nameMark    = "gateway.istio.io/name-override"
	accountMark = "gateway.istio.io/service-account"
)

// nameOf reads such an annotation; one that no Service can have counts for nothing.
func (v *visit) nameOf(mark string) string {
	name, ok := v.obj.Meta.Annotations[mark]
	if ok && len(validation.IsDNS1035Label(name)) > 0 {
		v.Add(mesh.CodeNotEnforced, fmt.Sprintf("metadata.annotations[%q]", mark), "write up to 63 small letters, digits and hyphens, a letter first", "%.64q is no name for a Service, so NAME-CLASS counts", name)
		return ""
	}
	return name
}

// refused judges what concerns all listeners, given the faults of addresses and parameters; it gives the condition that refuses the gateway, or nil. A refused gateway listens nowhere.
func (v *visit) refused(addresses, parameters string) *condition.Condition {
	refuse := func(reason gwv1.GatewayConditionReason, format string, args ...any) *condition.Condition {
		c := v.cond(string(gwv1.GatewayConditionAccepted), false, string(reason), fmt.Sprintf(format, args...))
		return &c
	}
	var denied *condition.Condition
	for _, f := range api.Unenforced(v.obj) {
		if note.Under(f.Path, "spec.tls") {
			v.Add(mesh.CodeDenied, f.Path, "remove the field", "%s, so the gateway accepts no connection", f.Reason)
			denied = refuse(gwv1.GatewayReasonInvalid, "%s: %s", f.Path, f.Reason)
		}
	}
	switch {
	case v.Broken():
		return refuse(gwv1.GatewayReasonInvalid, "%s", condition.Sentences(v.Problems()))
	case denied != nil:
		return denied
	case addresses != "":
		return refuse(gwv1.GatewayReasonUnsupportedAddress, "%s", addresses)
	case parameters != "":
		return refuse(gwv1.GatewayReasonInvalidParameters, "%s", parameters)
	}
	return nil
}

func (v *visit) gatewayConditions(valid, all int, refusal *condition.Condition) []condition.Condition {
	accepted, programmed := string(gwv1.GatewayConditionAccepted), string(gwv1.GatewayConditionProgrammed)
	bad := fmt.Sprintf("%d of %d listeners are not valid; see their conditions", all-valid, all)
	switch {
	case refusal != nil:
		return []condition.Condition{*refusal, v.cond(programmed, false, string(gwv1.GatewayReasonInvalid), refusal.Message)}
	case all == 0:
		return []condition.Condition{v.cond(accepted, true, string(gwv1.GatewayReasonAccepted), "the gateway is valid"),
			v.cond(programmed, false, string(gwv1.GatewayReasonNoResources), "the gateway has no listener")}
	case valid == 0:
		return []condition.Condition{v.cond(accepted, false, string(gwv1.GatewayReasonListenersNotValid), bad),
			v.cond(programmed, false, string(gwv1.GatewayReasonInvalid), bad)}
	case valid < all:
		return []condition.Condition{v.cond(accepted, true, string(gwv1.GatewayReasonListenersNotValid), bad),
			v.cond(programmed, true, string(gwv1.GatewayReasonProgrammed), "the valid listeners are served")}
	}
	return []condition.Condition{v.cond(accepted, true, string(gwv1.GatewayReasonAccepted), "the gateway is valid"),
		v.cond(programmed, true, string(gwv1.GatewayReasonProgrammed), "the listeners are served by the gateway's proxies")}
}
