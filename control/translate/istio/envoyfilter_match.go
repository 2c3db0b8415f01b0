package istio

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
)

// httpManager is the filter that HTTP filters are in.
const httpManager = "envoy.filters.network.http_connection_manager"

// object reads which resources, and which parts of them, a patch is for.
func (v *visit) object(out *mesh.Patch, m *networking.EnvoyFilter_EnvoyConfigObjectMatch, path string) {
	fits := func(targets ...mesh.PatchTarget) bool { return slices.Contains(targets, out.Target) }
	switch m.GetObjectTypes().(type) {
	case *networking.EnvoyFilter_EnvoyConfigObjectMatch_Listener:
		if !fits(mesh.PatchListener, mesh.PatchListenerFilter, mesh.PatchFilterChain, mesh.PatchNetworkFilter, mesh.PatchHTTPFilter) {
			v.Invalid(path+".listener", "a listener is matched, and it is something else that is patched")
		}
		v.listenerMatch(out, m.GetListener(), path+".listener")
	case *networking.EnvoyFilter_EnvoyConfigObjectMatch_RouteConfiguration:
		if !fits(mesh.PatchRouteConfiguration, mesh.PatchVirtualHost, mesh.PatchHTTPRoute) {
			v.Invalid(path+".routeConfiguration", "a route configuration is matched, and it is something else that is patched")
		}
		v.routeMatch(out, m.GetRouteConfiguration(), path+".routeConfiguration")
	case *networking.EnvoyFilter_EnvoyConfigObjectMatch_Cluster:
		if !fits(mesh.PatchCluster) {
			v.Invalid(path+".cluster", "a cluster is matched, and it is something else that is patched")
		}
		c := m.GetCluster()
		out.Match = mesh.PatchMatch{Name: c.GetName(), Port: c.GetPortNumber(), Service: c.GetService(), Subset: c.GetSubset()}
		if out.Match.Name != "" && (out.Match.Port != 0 || out.Match.Service != "" || out.Match.Subset != "") {
			v.NotEnforced(path+".cluster", "with a name, nothing else of the match counts")
			out.Match = mesh.PatchMatch{Name: c.GetName()}
		}
	}
}

func (v *visit) listenerMatch(out *mesh.Patch, m *networking.EnvoyFilter_ListenerMatch, path string) {
	out.Match.Name, out.Match.Port, out.Match.ListenerFilter = m.GetName(), m.GetPortNumber(), m.GetListenerFilter()
	if m.GetPortName() != "" {
		v.NotEnforced(path+".portName", "ports of listeners have no names, and Istio does not look at it either; use portNumber")
	}
	if m.GetListenerFilter() != "" && out.Target != mesh.PatchListenerFilter {
		v.NotEnforced(path+".listenerFilter", "it counts for applyTo LISTENER_FILTER only")
	}
	c := m.GetFilterChain()
	if c == nil {
		return
	}
	if out.Target == mesh.PatchListener || out.Target == mesh.PatchListenerFilter {
		v.NotEnforced(path+".filterChain", "it is the listener that is patched, whatever chains it has")
		return
	}
	out.Match.Chain = &mesh.PatchChain{
		Name: c.GetName(), SNI: c.GetSni(), Transport: c.GetTransportProtocol(), Protocols: list(c.GetApplicationProtocols()), Port: c.GetDestinationPort(), Socket: c.GetTransportSocket(),
		Filter: c.GetFilter().GetName(), SubFilter: c.GetFilter().GetSubFilter().GetName(),
	}
	f, at := c.GetFilter(), path+".filterChain.filter"
	switch {
	case f == nil:
	case out.Target == mesh.PatchFilterChain:
		v.NotEnforced(at, "it is the chain that is patched, whatever filters it has")
		out.Match.Chain.Filter, out.Match.Chain.SubFilter = "", ""
	case f.GetName() == "":
		v.Invalid(at+".name", "the name of the filter is missing")
	case f.GetSubFilter() != nil && f.GetName() != httpManager:
		v.Invalid(at+".subFilter", "only %s has filters within", httpManager)
	case f.GetSubFilter() != nil && f.GetSubFilter().GetName() == "":
		v.Invalid(at+".subFilter.name", "the name of the filter is missing")
	case f.GetSubFilter() != nil && out.Target != mesh.PatchHTTPFilter:
		v.NotEnforced(at+".subFilter", "it counts for applyTo HTTP_FILTER only")
	}
}

// list reads names that are separated by commas.
func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func (v *visit) routeMatch(out *mesh.Patch, m *networking.EnvoyFilter_RouteConfigurationMatch, path string) {
	out.Match.Name, out.Match.Port, out.Match.PortName, out.Match.Gateway = m.GetName(), m.GetPortNumber(), m.GetPortName(), m.GetGateway()
	for _, named := range [][2]string{{"portName", m.GetPortName()}, {"gateway", m.GetGateway()}} {
		if field, value := named[0], named[1]; value != "" && out.Context != mesh.PatchGateway && out.Context != mesh.PatchAnywhere {
			v.NotEnforced(path+"."+field, "it counts in the context GATEWAY only")
		}
	}
	if g := m.GetGateway(); g != "" && strings.Count(g, "/") != 1 {
		v.Invalid(path+".gateway", "%q is not NAMESPACE/NAME", g)
	}
	h := m.GetVhost()
	if h == nil {
		return
	}
	if out.Target == mesh.PatchRouteConfiguration {
		v.NotEnforced(path+".vhost", "it is the route configuration that is patched, whatever virtual hosts it has")
		return
	}
	out.Match.Host = &mesh.PatchHost{Name: h.GetName(), Domain: h.GetDomainName()}
	if r := h.GetRoute(); r != nil && out.Target == mesh.PatchVirtualHost {
		v.NotEnforced(path+".vhost.route", "it is the virtual host that is patched, whatever routes it has")
	} else if r != nil {
		out.Match.Host.Route = &mesh.PatchRoute{Name: r.GetName(), Action: mesh.PatchAction(r.GetAction())}
	}
}

// guarding are the words by which a type or a filter is known to take part in authentication, authorization or TLS. Any transport socket does: without it the one below would be spoken.
var guarding = []string{"rbac", "ext_authz", "jwt_authn", "oauth2", "basic_auth", "api_key_auth", "csrf", "transport_sockets"}

// guards says whether patches take part in authentication, authorization or TLS.
func guards(spec *networking.EnvoyFilter) bool {
	return slices.ContainsFunc(spec.GetConfigPatches(), func(p *networking.EnvoyFilter_EnvoyConfigObjectPatch) bool { return guardsOne(p.GetPatch()) })
}

// guardsOne says so of one patch: by the class that its author gives it, or by the types, filters and fields that it names.
func guardsOne(p *networking.EnvoyFilter_Patch) bool {
	if p.GetOperation() == networking.EnvoyFilter_Patch_REMOVE {
		return false
	}
	switch p.GetFilterClass() {
	case networking.EnvoyFilter_Patch_AUTHN, networking.EnvoyFilter_Patch_AUTHZ:
		return true
	}
	return guardingStruct(p.GetValue(), 0)
}

func guardingStruct(s *structpb.Struct, depth int) bool {
	for key, value := range s.GetFields() {
		switch key {
		case "@type", "type_url", "typeUrl", "type_urls", "typeUrls", "name":
			if guardingText(value) {
				return true
			}
		case "require_tls", "requireTls", "auto_san_validation", "autoSanValidation":
			return true
		}
		if guardingValue(value, depth+1) {
			return true
		}
	}
	return false
}

func guardingValue(v *structpb.Value, depth int) bool {
	if depth > 512 { // refused for its depth anyway; who writes such a thing is not trusted
		return true
	}
	if s := v.GetStructValue(); s != nil {
		return guardingStruct(s, depth)
	}
	return slices.ContainsFunc(v.GetListValue().GetValues(), func(e *structpb.Value) bool { return guardingValue(e, depth+1) })
}

func guardingText(v *structpb.Value) bool {
	if list := v.GetListValue(); list != nil {
		return slices.ContainsFunc(list.GetValues(), guardingText)
	}
	s := v.GetStringValue()
	return (strings.Contains(s, "envoy.") || strings.Contains(s, "type.googleapis.com/")) && slices.ContainsFunc(guarding, func(w string) bool { return strings.Contains(s, w) })
}
