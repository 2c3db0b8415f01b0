package istio

import (
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
)

// sidecarFields are honoured; the TLS settings are judged by api.Unenforced, and of connection pools those of a DestinationRule.
var sidecarFields = func() api.FieldSet {
	all := []string{"workloadSelector.labels", "egress[].hosts", "egress[].port.number", "egress[].port.targetPort", "ingress[].port.targetPort", "egress[].port.protocol", "egress[].port.name", "egress[].bind", "egress[].captureMode",
		"outboundTrafficPolicy.mode=REGISTRY_ONLY|ALLOW_ANY", "outboundTrafficPolicy.egressProxy.*",
		"ingress[].port.number", "ingress[].port.protocol", "ingress[].port.name", "ingress[].bind", "ingress[].captureMode", "ingress[].defaultEndpoint", "ingress[].tls.*"}
	for _, f := range policyFields {
		if rest, ok := strings.CutPrefix(f, "connectionPool."); ok {
			all = append(all, "ingress[].connectionPool."+rest, "inboundConnectionPool."+rest)
		}
	}
	return api.Fields(all...)
}()

// Sidecar gives what a Sidecar says of the proxies that it is for, or nil when the object is broken.
func Sidecar(o api.Object, in Lookup) (*mesh.SidecarScope, []mesh.Problem) {
	spec, ok := o.Spec.(*networking.Sidecar)
	if !ok {
		return nil, nil
	}
	v := open(o, in)
	v.check(sidecarFields, nil)
	s := &mesh.SidecarScope{Origin: o.Ref(), Created: o.Meta.Created, Selector: spec.GetWorkloadSelector().GetLabels()}
	if emptyMessage(spec) {
		v.Add(mesh.CodeInvalid, "spec", "give egress, ingress or outboundTrafficPolicy", "the object says nothing")
	}
	for i, e := range spec.Egress {
		v.egress(s, e, at("spec.egress", i))
	}
	denials := map[string]string{}
	for _, f := range api.Unenforced(o) {
		v.Add(mesh.CodeDenied, f.Path, "", "%s, so the port accepts no connection", f.Reason)
		denials[f.Path] = f.Reason
	}
	for i, l := range spec.Ingress {
		v.ingress(s, l, denials, at("spec.ingress", i))
	}
	s.Pool = v.inboundPool(spec.InboundConnectionPool, "spec.inboundConnectionPool")
	s.Outbound = v.outboundPolicy(spec.OutboundTrafficPolicy, "spec.outboundTrafficPolicy")
	if v.Broken() {
		return nil, v.Problems()
	}
	return s, v.Problems()
}

// inboundPool reads the bounds of what goes to the workload itself.
func (v *visit) inboundPool(x *networking.ConnectionPoolSettings, path string) *mesh.ConnectionPool {
	if p := x.GetHttp().GetH2UpgradePolicy(); p != networking.ConnectionPoolSettings_HTTPSettings_DEFAULT {
		v.NotEnforced(path+".http.h2UpgradePolicy", "a workload is asked in the version of HTTP that its port's protocol says, so %s has no effect there (nor in Istio)", p)
	}
	return v.pool(x, path)
}

func (v *visit) outboundPolicy(x *networking.OutboundTrafficPolicy, path string) *mesh.OutboundPolicy {
	if x == nil {
		return nil
	}
	out := &mesh.OutboundPolicy{RegistryOnly: x.Mode == networking.OutboundTrafficPolicy_REGISTRY_ONLY}
	to := x.EgressProxy
	if to == nil {
		return out
	}
	path += ".egressProxy"
	if out.RegistryOnly {
		v.Add(mesh.CodeInvalid, path, "set mode: ALLOW_ANY", "with REGISTRY_ONLY nothing leaves that an egress proxy could take")
	}
	b := v.backend(to, path)
	if to.Port == nil {
		v.Invalid(path+".port", "the port is missing")
	}
	out.Proxy = &b
	return out
}

// SidecarConflicts tells of several Sidecars of one namespace for the same workloads: the oldest counts. Every object is told. list are those of one namespace, in any order.
func SidecarConflicts(list []*mesh.SidecarScope) []mesh.Problem {
	list = slices.SortedFunc(slices.Values(list), mesh.CompareSidecars)
	return rivals(list, func(s *mesh.SidecarScope) []string { return []string{labelKey(s.Selector)} }, func(s *mesh.SidecarScope) mesh.Ref { return s.Origin },
		"spec.workloadSelector", "is for the same workloads", "give each workload one Sidecar", "this object has")
}
