package gateway

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// maxAncestors is the most that status.ancestors may hold.
const maxAncestors = 16

// backendTLSPolicyFields are honoured.
var backendTLSPolicyFields = api.Fields("targetRefs[].*", "validation.*")

// policyVisit is a visit with what the status of a BackendTLSPolicy says.
type policyVisit struct {
	*visit
	accepted, acceptedMessage string // why it has no effect
	resolved, resolvedMessage string // the first reference that does not hold
}

// BackendTLSPolicy gives how its targets are to be called, for each that no older policy has, and its status. Where it asks for what cannot be done, nothing
// may be sent to them. The ancestors in the status are the targets: see WithAncestors.
func BackendTLSPolicy(o api.Object, in Lookup) ([]*mesh.BackendTLS, *condition.Status, []mesh.Problem) {
	spec, ok := o.Spec.(*gwv1.BackendTLSPolicySpec)
	if !ok {
		return nil, nil, nil
	}
	v := &policyVisit{visit: open(o, in)}
	v.Unhonoured(o, backendTLSPolicyFields, nil)
	tls := v.clientTLS(spec)
	for _, f := range api.Unenforced(o) {
		v.refuse(string(gwv1.PolicyReasonInvalid), f.Path, f.Reason)
	}
	if tls.Denied = v.acceptedMessage; tls.Denied != "" {
		code, hint := mesh.CodeDenied, "correct the object"
		if v.accepted == string(gwv1.BackendTLSPolicyReasonNoValidCACertificate) { // it may yet come: no reason to refuse the policy
			code, hint = mesh.CodeNotFound, "name a ConfigMap or Secret with the key "+rootsKey
		}
		v.Add(code, "", hint, "because it cannot be enforced, nothing is sent to its targets")
	}
	var out []*mesh.BackendTLS
	reason, message := "", ""
	for i, t := range spec.TargetRefs {
		list, why, text := v.target(t, fmt.Sprintf("spec.targetRefs[%d]", i))
		if why != "" {
			reason, message = cmp.Or(reason, why), cmp.Or(message, text)
		}
		for _, b := range list {
			b.TLS = tls
			out = append(out, b)
		}
	}
	if len(out) == 0 && v.accepted == "" {
		v.accepted, v.acceptedMessage = reason, message
	}
	return out, v.ancestors(spec, v.conditions()), v.Problems()
}

// refuse notes why the policy has no effect, other than that nothing is sent.
func (v *policyVisit) refuse(reason, field, why string) {
	if v.accepted == "" {
		v.accepted, v.acceptedMessage = reason, field+": "+why
	}
}

func (v *policyVisit) clientTLS(spec *gwv1.BackendTLSPolicySpec) mesh.ClientTLS {
	const field = "spec.validation"
	t := mesh.ClientTLS{Mode: mesh.TLSSimple, SNI: strings.ToLower(string(spec.Validation.Hostname))}
	invalid := func(at, why string) {
		v.Invalid(at, "%s", why)
		v.refuse(string(gwv1.PolicyReasonInvalid), at, why)
	}
	if host, err := mesh.ParseHost(t.SNI); err != nil || host.IsWildcard() {
		invalid(field+".hostname", fmt.Sprintf("%q is not the name of a server", spec.Validation.Hostname))
	}
	for i, n := range spec.Validation.SubjectAltNames {
		at := fmt.Sprintf("%s.subjectAltNames[%d]", field, i)
		switch {
		case n.Type == gwv1.HostnameSubjectAltNameType && n.Hostname != "":
			t.SubjectAltNames = append(t.SubjectAltNames, strings.ToLower(string(n.Hostname)))
		case n.Type == gwv1.URISubjectAltNameType && strings.Contains(string(n.URI), "://"):
			t.SubjectAltNames = append(t.SubjectAltNames, string(n.URI))
		default:
			invalid(at, "the name is neither of type Hostname with a hostname nor of type URI with a uri")
		}
	}
	known := deref(spec.Validation.WellKnownCACertificates, "")
	switch {
	case known != "" && len(spec.Validation.CACertificateRefs) > 0:
		invalid(field, "caCertificateRefs and wellKnownCACertificates exclude each other")
	case known == gwv1.WellKnownCACertificatesSystem:
		t.CACertificates = "system"
	case known != "":
		invalid(field+".wellKnownCACertificates", fmt.Sprintf("%q is not known; System is", known))
	case len(spec.Validation.CACertificateRefs) == 0:
		invalid(field, "neither caCertificateRefs nor wellKnownCACertificates is given")
	default:
		t.Roots = v.roots(spec.Validation.CACertificateRefs, field+".caCertificateRefs")
	}
	return t
}

// roots joins the certificates of all references that hold.
func (v *policyVisit) roots(refs []gwv1.LocalObjectReference, path string) (out []byte) {
	for i, r := range refs {
		at := fmt.Sprintf("%s[%d]", path, i)
		pem, reason, why := v.authority(r)
		if reason == "" {
			out = append(append(out, strings.TrimSpace(string(pem))...), '\n')
			continue
		}
		v.NotFound(at, "", "%s", why)
		if v.resolved == "" {
			v.resolved, v.resolvedMessage = string(reason), at+": "+why
		}
	}
	if len(out) == 0 {
		v.refuse(string(gwv1.BackendTLSPolicyReasonNoValidCACertificate), path, "there is no valid certificate of an authority")
	}
	return out
}

// authority reads the certificates of an authority from the key ca.crt of a ConfigMap or Secret.
func (v *policyVisit) authority(r gwv1.LocalObjectReference) (pem []byte, reason gwv1.PolicyConditionReason, why string) {
	if r.Group != "" || r.Kind != "ConfigMap" && r.Kind != "Secret" {
		return nil, gwv1.BackendTLSPolicyReasonInvalidKind, fmt.Sprintf("certificates of an authority cannot be of kind %s%s; use a ConfigMap or Secret with the key ca.crt", r.Kind, inGroup(string(r.Group)))
	}
	o, ok := v.in.Object(mesh.Ref{Kind: string(r.Kind), Namespace: v.ns, Name: string(r.Name)})
	if !ok {
		return nil, gwv1.BackendTLSPolicyReasonInvalidCACertificateRef, fmt.Sprintf("there is no %s %s in namespace %s", r.Kind, r.Name, v.ns)
	}
	if pem = rootsOf(o); pem == nil {
		return nil, gwv1.BackendTLSPolicyReasonInvalidCACertificateRef, fmt.Sprintf("%s %s/%s holds no certificate under %s", r.Kind, v.ns, r.Name, rootsKey)
	}
	return pem, "", ""
}

// target finds a Service or ServiceEntry, and says why the policy does not count for it.
func (v *policyVisit) target(t gwv1.LocalPolicyTargetReferenceWithSectionName, path string) (out []*mesh.BackendTLS, reason, why string) {
	no := func(reason gwv1.PolicyConditionReason, code mesh.Code, format string, args ...any) ([]*mesh.BackendTLS, string, string) {
		message := fmt.Sprintf(format, args...)
		v.Add(code, path, "", "%s", message)
		return nil, string(reason), path + ": " + message
	}
	hosts, ok := targetHosts(t.LocalPolicyTargetReference, v.ns, v.in)
	if !ok {
		return no(gwv1.PolicyReasonInvalid, mesh.CodeNotEnforced, "a policy cannot be about a %s%s; name a Service or ServiceEntry", t.Kind, inGroup(string(t.Group)))
	}
	for _, other := range v.in.BackendTLSPolicies(v.ns) {
		if older(other, v.obj) && targets(other, t) {
			return no(gwv1.PolicyReasonConflicted, mesh.CodeConflict, "%s is about %s %s too and is older, so this policy has no effect for it", other.Ref(), t.Kind, t.Name)
		}
	}
	section := string(deref(t.SectionName, ""))
	found := false
	for _, host := range hosts {
		svc, ok := v.in.Service(host, v.ns)
		if !ok || svc.ID != (mesh.ServiceID{Namespace: v.ns, Host: host}) {
			continue
		}
		found = true
		b := &mesh.BackendTLS{Origin: v.obj.Ref(), Service: svc.ID}
		if section != "" {
			i := slices.IndexFunc(svc.Ports, func(p mesh.Port) bool { return p.Name == section && p.Protocol != mesh.UDP })
			if i < 0 {
				continue
			}
			b.Port = svc.Ports[i].Number
		}
		out = append(out, b)
	}
	switch {
	case !found:
		return no(gwv1.PolicyReasonTargetNotFound, mesh.CodeNotFound, "there is no %s %s in namespace %s", t.Kind, t.Name, v.ns)
	case len(out) == 0:
		return no(gwv1.PolicyReasonTargetNotFound, mesh.CodeNotFound, "%s %s has no port named %s", t.Kind, t.Name, section)
	}
	return out, "", ""
}

// targetHosts are the hosts of a Service or ServiceEntry; false for other kinds.
func targetHosts(t gwv1.LocalPolicyTargetReference, ns mesh.Namespace, in Objects) ([]mesh.Host, bool) {
	switch {
	case t.Group == "" && t.Kind == "Service":
		return []mesh.Host{serviceHost(string(t.Name), ns, in)}, true
	case t.Group == api.GroupNetworking && t.Kind == "ServiceEntry":
		return entryHosts(string(t.Name), ns, in), true
	}
	return nil, false
}

// older orders policies: by age, then by name.
func older(a, b api.Object) bool {
	return cmp.Or(a.Meta.Created.Compare(b.Meta.Created), cmp.Compare(a.Meta.Name, b.Meta.Name)) < 0
}

// targets says whether a policy is about a target.
func targets(o api.Object, t gwv1.LocalPolicyTargetReferenceWithSectionName) bool {
	spec, ok := o.Spec.(*gwv1.BackendTLSPolicySpec)
	return ok && slices.ContainsFunc(spec.TargetRefs, func(x gwv1.LocalPolicyTargetReferenceWithSectionName) bool {
		return x.LocalPolicyTargetReference == t.LocalPolicyTargetReference && deref(x.SectionName, "") == deref(t.SectionName, "")
	})
}

func (v *policyVisit) conditions() []condition.Condition {
	accepted := v.cond(string(gwv1.PolicyConditionAccepted), true, string(gwv1.PolicyReasonAccepted), "connections to the targets are made as the policy says")
	if v.accepted != "" {
		accepted = v.cond(string(gwv1.PolicyConditionAccepted), false, v.accepted, v.acceptedMessage)
	}
	resolved := v.cond(string(gwv1.BackendTLSPolicyConditionResolvedRefs), true, string(gwv1.BackendTLSPolicyReasonResolvedRefs), "what the policy refers to exists")
	if v.resolved != "" {
		resolved = v.cond(string(gwv1.BackendTLSPolicyConditionResolvedRefs), false, v.resolved, v.resolvedMessage)
	}
	return []condition.Condition{accepted, resolved}
}

// WithAncestors puts the Gateways whose routes lead to a policy's targets in the place of the targets; without any the targets stay.
func WithAncestors(s condition.Status, o api.Object, routes iter.Seq[*mesh.Route], in Objects) condition.Status {
	spec, ok := o.Spec.(*gwv1.BackendTLSPolicySpec)
	if !ok || len(s.Ancestors) == 0 {
		return s
	}
	ns := mesh.Namespace(o.Meta.Namespace)
	var hosts []mesh.Host
	for _, t := range spec.TargetRefs {
		list, _ := targetHosts(t.LocalPolicyTargetReference, ns, in)
		hosts = append(hosts, list...)
	}
	var gateways []mesh.GatewayID
	for r := range routes {
		if r.Backed(func(b *mesh.Backend) bool { return b.Service.Namespace == ns && slices.Contains(hosts, b.Service.Host) }) {
			for _, p := range r.Parents {
				gateways = append(gateways, p.Of)
			}
		}
	}
	slices.SortFunc(gateways, mesh.CompareGatewayID)
	gateways = slices.Compact(gateways)
	if len(gateways) == 0 {
		return s
	}
	conditions := s.Ancestors[0].Conditions
	s.Ancestors = nil
	group, kind := api.GroupGateway, "Gateway"
	for _, g := range gateways[:min(len(gateways), maxAncestors)] {
		namespace := string(g.Namespace)
		s.Ancestors = append(s.Ancestors, condition.Ancestor{
			AncestorRef: condition.ParentRef{Group: &group, Kind: &kind, Namespace: &namespace, Name: g.Name}, Controller: condition.Controller, Conditions: conditions})
	}
	return s
}
