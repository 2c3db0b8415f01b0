package istio

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds/catalog"
	networking "istio.io/api/networking/v1alpha3"
	types "istio.io/api/type/v1beta1"
)

// mostPatches bounds an object: each patch is tried on every resource that it may be for.
const mostPatches = 256

// patchTargets are the targets with the names of their messages.
var patchTargets = map[networking.EnvoyFilter_ApplyTo]struct {
	target  mesh.PatchTarget
	message protoreflect.FullName
}{
	networking.EnvoyFilter_LISTENER:            {mesh.PatchListener, "envoy.config.listener.v3.Listener"},
	networking.EnvoyFilter_LISTENER_FILTER:     {mesh.PatchListenerFilter, "envoy.config.listener.v3.ListenerFilter"},
	networking.EnvoyFilter_FILTER_CHAIN:        {mesh.PatchFilterChain, "envoy.config.listener.v3.FilterChain"},
	networking.EnvoyFilter_NETWORK_FILTER:      {mesh.PatchNetworkFilter, "envoy.config.listener.v3.Filter"},
	networking.EnvoyFilter_HTTP_FILTER:         {mesh.PatchHTTPFilter, "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter"},
	networking.EnvoyFilter_ROUTE_CONFIGURATION: {mesh.PatchRouteConfiguration, "envoy.config.route.v3.RouteConfiguration"},
	networking.EnvoyFilter_VIRTUAL_HOST:        {mesh.PatchVirtualHost, "envoy.config.route.v3.VirtualHost"},
	networking.EnvoyFilter_HTTP_ROUTE:          {mesh.PatchHTTPRoute, "envoy.config.route.v3.Route"},
	networking.EnvoyFilter_CLUSTER:             {mesh.PatchCluster, "envoy.config.cluster.v3.Cluster"},
	networking.EnvoyFilter_EXTENSION_CONFIG:    {mesh.PatchExtension, "envoy.config.core.v3.TypedExtensionConfig"},
}

var patchOperations = map[networking.EnvoyFilter_Patch_Operation]mesh.PatchOperation{
	networking.EnvoyFilter_Patch_MERGE: mesh.PatchMerge, networking.EnvoyFilter_Patch_MERGE_AND_REPLACE_LIST: mesh.PatchMergeLists,
	networking.EnvoyFilter_Patch_ADD: mesh.PatchAdd, networking.EnvoyFilter_Patch_REMOVE: mesh.PatchRemove, networking.EnvoyFilter_Patch_REPLACE: mesh.PatchReplace,
	networking.EnvoyFilter_Patch_INSERT_BEFORE: mesh.PatchInsertBefore, networking.EnvoyFilter_Patch_INSERT_AFTER: mesh.PatchInsertAfter,
	networking.EnvoyFilter_Patch_INSERT_FIRST: mesh.PatchInsertFirst,
}

var patchContexts = map[networking.EnvoyFilter_PatchContext]mesh.PatchContext{
	networking.EnvoyFilter_ANY: mesh.PatchAnywhere, networking.EnvoyFilter_SIDECAR_INBOUND: mesh.PatchInbound,
	networking.EnvoyFilter_SIDECAR_OUTBOUND: mesh.PatchOutbound, networking.EnvoyFilter_GATEWAY: mesh.PatchGateway,
}

// EnvoyFilter gives changes to what proxies are given. A broken object has no effect; where it takes part in what protects workloads, they deny meanwhile.
func EnvoyFilter(o api.Object, in Lookup) (*mesh.EnvoyFilter, []*mesh.Denial, []mesh.Problem) {
	spec, ok := o.Spec.(*networking.EnvoyFilter)
	if !ok {
		return nil, nil, nil
	}
	v := open(o, in)
	v.Marks(o)
	f := &mesh.EnvoyFilter{Origin: o.Ref(), Created: o.Meta.Created, Priority: spec.Priority}
	selected := v.selectProxies(f, spec)
	if len(spec.ConfigPatches) > mostPatches {
		v.Invalid("spec.configPatches", "%d patches are more than the %d that are allowed", len(spec.ConfigPatches), mostPatches)
		return nil, v.guard(spec), v.Problems()
	}
	for i, p := range spec.ConfigPatches {
		if one := v.patch(p, at("spec.configPatches", i)); one != nil {
			f.Patches = append(f.Patches, one)
		}
	}
	if v.Broken() {
		return nil, v.guard(spec), v.Problems()
	}
	if !selected || len(f.Patches) == 0 {
		return nil, nil, v.Problems()
	}
	return f, nil, v.Problems()
}

// guard makes workloads deny for a broken object that says something of authentication or authorization.
func (v *visit) guard(spec *networking.EnvoyFilter) []*mesh.Denial {
	if !guards(spec) {
		return nil
	}
	v.Add(mesh.CodeDenied, "", "correct the object", "because it is not valid and takes part in authentication or authorization, the workloads in its scope refuse every request")
	return deny(v.obj, v.in, v.obj.Ref().String()+" takes part in authentication or authorization and is not valid")
}

// selectProxies reads which proxies are meant; false says that none can be.
func (v *visit) selectProxies(f *mesh.EnvoyFilter, spec *networking.EnvoyFilter) bool {
	if labels := spec.GetWorkloadSelector().GetLabels(); len(labels) > 0 {
		f.Selectors = []mesh.Labels{labels}
	}
	if spec.WorkloadSelector != nil && len(spec.TargetRefs) > 0 {
		v.Invalid("spec.targetRefs", "only one of workloadSelector and targetRefs may be given")
	}
	for i, t := range spec.TargetRefs {
		path := at("spec.targetRefs", i)
		labels := v.target(t, path)
		if labels != nil {
			f.Gateways = true
			f.Selectors = append(f.Selectors, labels)
		}
	}
	return len(spec.TargetRefs) == 0 || len(f.Selectors) > 0
}

// target gives the labels of the proxies behind a reference, nil when there can be none.
func (v *visit) target(t *types.PolicyTargetReference, path string) mesh.Labels {
	if ns := t.GetNamespace(); ns != "" && mesh.Namespace(ns) != v.ns {
		v.Invalid(path+".namespace", "an object of another namespace cannot be referred to")
		return nil
	}
	if t.GetName() == "" {
		v.Invalid(path+".name", "the name is missing")
		return nil
	}
	switch t.GetGroup() + "/" + t.GetKind() {
	case api.GroupGateway + "/Gateway":
		return mesh.Labels{"gateway.networking.k8s.io/gateway-name": t.GetName()}
	case api.GroupGateway + "/GatewayClass":
		if v.ns != rootNamespace(v.in) {
			v.NotEnforced(path, "a GatewayClass can be referred to in the root namespace (%s) only", rootNamespace(v.in))
			return nil
		}
		return mesh.Labels{"gateway.networking.k8s.io/gateway-class-name": t.GetName()}
	case "/Service", "core/Service", api.GroupNetworking + "/ServiceEntry":
		v.NotEnforced(path, "what is said of services counts at waypoints, and there are none in this mesh")
		return nil
	}
	v.Invalid(path+".kind", "%s of group %q cannot be referred to: want a Gateway, GatewayClass, Service or ServiceEntry", t.GetKind(), t.GetGroup())
	return nil
}

// patch reads one patch; nil when it has no effect.
func (v *visit) patch(p *networking.EnvoyFilter_EnvoyConfigObjectPatch, path string) *mesh.Patch {
	to, known := patchTargets[p.GetApplyTo()]
	switch {
	case p.GetApplyTo() == networking.EnvoyFilter_BOOTSTRAP:
		v.Add(mesh.CodeNotEnforced, path+".applyTo", "change the agent's flags, or what the configuration can say", "a bootstrap is made beside the proxy before there is any configuration, so it is not patched; Istio has dropped it, too")
		return nil
	case !known:
		v.Invalid(path+".applyTo", "it is missing: want LISTENER, HTTP_FILTER, CLUSTER or another of the kinds")
		return nil
	case p.GetPatch() == nil:
		v.Invalid(path+".patch", "it is missing")
		return nil
	}
	out := &mesh.Patch{Origin: v.obj.Ref(), Path: path, Target: to.target, Operation: patchOperations[p.Patch.Operation], Class: mesh.PatchClass(p.Patch.FilterClass)}
	if !v.operates(out, p, path) || !v.context(out, p.GetMatch(), path+".match") {
		return nil
	}
	v.proxies(out, p.GetMatch().GetProxy(), path+".match.proxy")
	v.object(out, p.GetMatch(), path+".match")
	v.patchValue(out, p.Patch, to.message, path+".patch.value")
	out.Guards = guardsOne(p.Patch)
	out.ID = patchID(out, p)
	return out
}

// patchID is a hash of the patch and its place.
func patchID(out *mesh.Patch, p proto.Message) string {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
	if err != nil { // strings that are not UTF-8 are refused when objects are read
		b = []byte(err.Error())
	}
	sum := sha256.Sum256(append([]byte(out.Origin.String()+"\x00"+out.Path+"\x00"), b...))
	return hex.EncodeToString(sum[:8])
}

// context reads the side of the traffic; false says that nothing of it exists.
func (v *visit) context(out *mesh.Patch, m *networking.EnvoyFilter_EnvoyConfigObjectMatch, path string) bool {
	waypoint := m.GetContext() == networking.EnvoyFilter_WAYPOINT
	if w := m.GetWaypoint(); (w != nil) != waypoint {
		if w != nil {
			v.Invalid(path+".waypoint", "it is for the context WAYPOINT only")
		} else if m.GetObjectTypes() != nil {
			v.Invalid(path, "in the context WAYPOINT only waypoint can be matched")
		}
	}
	if waypoint {
		v.NotEnforced(path+".context", "there are no waypoint proxies in this mesh, so nothing is patched")
		w := m.GetWaypoint()
		for _, f := range []struct {
			name string
			said bool
		}{
			{"portNumber", w.GetPortNumber() != 0}, {"route.name", w.GetRoute().GetName() != ""}, {"filter.name", w.GetFilter().GetName() != ""},
			{"filter.subFilter.name", w.GetFilter().GetSubFilter().GetName() != ""},
		} {
			if f.said {
				v.NotEnforced(path+".waypoint."+f.name, "there are no waypoint proxies in this mesh")
			}
		}
		return false
	}
	context, known := patchContexts[m.GetContext()]
	if !known {
		v.Invalid(path+".context", "%d is not a context", m.GetContext())
	}
	out.Context = context
	return true
}

// proxies reads what narrows the proxies.
func (v *visit) proxies(out *mesh.Patch, m *networking.EnvoyFilter_ProxyMatch, path string) {
	if s := m.GetProxyVersion(); s != "" {
		if v.Regexp(s, path+".proxyVersion"); !v.Broken() {
			out.Version = regexp.MustCompile(s)
		}
	}
	out.Metadata = m.GetMetadata()
}

// patchValue reads the value as the target's message.
func (v *visit) patchValue(out *mesh.Patch, p *networking.EnvoyFilter_Patch, name protoreflect.FullName, path string) {
	if out.Operation == mesh.PatchRemove {
		if p.Value != nil {
			v.NotEnforced(path, "what is removed needs no value, so it is not looked at")
		}
		return
	}
	if p.Value == nil {
		v.Invalid(path, "it is missing; only REMOVE needs none")
		return
	}
	m, problems := catalog.Read(name, p.Value.AsMap())
	for _, x := range problems {
		code := mesh.CodeInvalid
		if x.Unknown {
			code = mesh.CodeUnknownField
		}
		v.Add(code, strings.TrimSuffix(path+"."+x.Path, "."), "", "%s", x.Reason)
	}
	if len(problems) > 0 {
		return
	}
	if f := m.ProtoReflect().Descriptor().Fields().ByName("name"); f != nil {
		out.Names = m.ProtoReflect().Get(f).String()
	}
	whole := out.Operation != mesh.PatchMerge && out.Operation != mesh.PatchMergeLists
	if whole {
		if err := catalog.Validate(m); err != nil {
			v.Add(mesh.CodeInvalid, path, "", "Envoy would refuse it: %s", err)
			return
		}
	}
	if needed := out.Target != mesh.PatchFilterChain && out.Target != mesh.PatchHTTPRoute; whole && needed && (out.Names == "" || len(out.Names) > 255) {
		v.Invalid(path+".name", "what is added needs a name of at most 255 characters")
	}
	if out.Target == mesh.PatchVirtualHost && whole && strings.Contains(out.Names, "/") {
		v.Invalid(path+".name", "the name of a virtual host must not have a slash")
	}
	if f := m.ProtoReflect().Descriptor().Fields().ByName("virtual_hosts"); f != nil && m.ProtoReflect().Has(f) {
		v.Invalid(path+".virtual_hosts", "virtual hosts are patched with applyTo VIRTUAL_HOST")
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		v.Invalid(path, "%s", err)
		return
	}
	out.Value = b
}

// operates checks what is done against what it is done to; false says that it has no effect.
func (v *visit) operates(out *mesh.Patch, p *networking.EnvoyFilter_EnvoyConfigObjectPatch, path string) bool {
	what, to := p.Patch.Operation, p.ApplyTo
	if out.Operation == 0 {
		v.Invalid(path+".patch.operation", "it is missing: want MERGE, ADD, REMOVE or another of the operations")
		return true
	}
	if c := p.Patch.FilterClass; c != networking.EnvoyFilter_Patch_UNSPECIFIED && (out.Target != mesh.PatchHTTPFilter || out.Operation != mesh.PatchAdd) {
		v.NotEnforced(path+".patch.filterClass", "it places filters that are added (applyTo HTTP_FILTER, operation ADD), so here it has no effect")
		out.Class = mesh.PatchUnplaced
	}
	filters := out.Target == mesh.PatchNetworkFilter || out.Target == mesh.PatchHTTPFilter || out.Target == mesh.PatchListenerFilter
	vain := false
	switch out.Operation {
	case mesh.PatchInsertBefore, mesh.PatchInsertAfter, mesh.PatchInsertFirst:
		if !filters && out.Target != mesh.PatchHTTPRoute { // where there is no order, as in Istio
			out.Operation = mesh.PatchAdd
		}
		vain = out.Target == mesh.PatchRouteConfiguration
	case mesh.PatchAdd, mesh.PatchRemove:
		vain = out.Target == mesh.PatchRouteConfiguration || out.Target == mesh.PatchExtension && out.Operation == mesh.PatchRemove
	case mesh.PatchReplace:
		vain = !filters && out.Target != mesh.PatchVirtualHost && out.Target != mesh.PatchExtension
	case mesh.PatchMerge, mesh.PatchMergeLists:
		vain = out.Target == mesh.PatchExtension || out.Target == mesh.PatchListenerFilter
	}
	if vain {
		v.NotEnforced(path+".patch.operation", "%s has no effect on %s", what, to)
	}
	return !vain
}
