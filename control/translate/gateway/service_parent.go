package gateway

import (
	"fmt"
	"slices"

	"github.com/heddle-mesh/heddle/mesh"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// attachService makes the route one for sidecars that call a Service, or the hosts of a ServiceEntry (GAMMA). What belongs to another namespace is routed
// only for callers in the route's own.
func (v *routeVisit) attachService(r *mesh.Route, a *attachment, kind string) {
	ns := mesh.Namespace(deref(a.ref.Namespace, gwv1.Namespace(v.ns)))
	refuse := func(format string, args ...any) {
		a.reason, a.message = string(gwv1.RouteReasonNoMatchingParent), fmt.Sprintf(format, args...)
	}
	hosts := []mesh.Host{serviceHost(string(a.ref.Name), ns, v.in)}
	if kind == "ServiceEntry" {
		hosts = entryHosts(string(a.ref.Name), ns, v.in)
	}
	call := mesh.Call{}
	if ns != v.ns {
		call.From = v.ns
	}
	found := false
	for _, host := range hosts {
		svc, ok := v.in.Service(host, v.ns)
		if !ok || svc.ID != (mesh.ServiceID{Namespace: ns, Host: host}) {
			continue
		}
		found = true
		ports := slices.DeleteFunc(slices.Clone(svc.Ports), func(p mesh.Port) bool {
			return a.ref.Port != nil && int32(p.Number) != *a.ref.Port || a.ref.SectionName != nil && p.Name != string(*a.ref.SectionName)
		})
		suited := slices.DeleteFunc(slices.Clone(ports), func(p mesh.Port) bool { return !v.suits(p) })
		switch {
		case len(ports) == 0:
			refuse("%s %s/%s has no port of that name and number", kind, ns, a.ref.Name)
			return
		case len(suited) == 0:
			refuse("no port of %s %s/%s that the route is for has a protocol which %ss are for", kind, ns, a.ref.Name, v.obj.Kind.Kind)
			return
		}
		call.Host, call.Port = host, 0
		if a.ref.Port != nil || a.ref.SectionName != nil {
			call.Port = suited[0].Number
		}
		r.Mesh = true
		if !slices.Contains(r.Calls, call) {
			r.Calls = append(r.Calls, call)
		}
		if !slices.Contains(r.Hosts, host) {
			r.Hosts = append(r.Hosts, host)
		}
	}
	if !found {
		refuse("there is no %s %s in namespace %s", kind, a.ref.Name, ns)
	}
}

// suits says whether what is sent to a port can be routed by routes of the kind.
func (v *routeVisit) suits(p mesh.Port) bool {
	switch v.obj.Kind.Kind {
	case "UDPRoute":
		return p.Protocol == mesh.UDP
	case "TCPRoute":
		return p.Protocol != mesh.UDP && !p.Protocol.IsHTTP()
	case "TLSRoute":
		return p.Protocol == mesh.TLS || p.Protocol == mesh.HTTPS
	}
	return p.Protocol == mesh.Auto || p.Protocol.IsHTTP()
}
