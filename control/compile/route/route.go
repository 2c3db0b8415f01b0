// Package route compiles route configurations and virtual hosts: which request goes where.
//
// In: a View and a name. Out: a RouteConfiguration, whole or by reference to its virtual hosts (VHDS), and each virtual host. Pure and safe for concurrent use.
package route

import (
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// maxDirectResponse bounds the body of a direct response (Gateway API and VirtualService allow 1 MiB in practice).
const maxDirectResponse = 1 << 20

// Compile gives a route configuration without its virtual hosts, or nil when the proxy has none of that name. A proxy that takes virtual hosts one by one
// is told so in it; for others the hosts that come second are to be put in.
func Compile(v *view.View, name string) (*routev3.RouteConfiguration, []string) {
	hosts, ok := Hosts(v, name)
	if !ok {
		return nil, nil
	}
	out := &routev3.RouteConfiguration{
		Name: name, ValidateClusters: message.False(), MaxDirectResponseBodySizeBytes: message.UInt32(maxDirectResponse),
		IgnorePortInHostMatching: v.Kind() == mesh.Router, // clients may come by another port than the one that is written
	}
	if v.Can(mesh.FeatureVHDS) {
		out.Vhds = &routev3.Vhds{ConfigSource: &corev3.ConfigSource{
			ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
			ResourceApiVersion:    corev3.ApiVersion_V3, InitialFetchTimeout: durationpb.New(0),
		}}
		return out, nil
	}
	return out, hosts
}

// Hosts lists the virtual hosts of a route configuration, and says whether there is one.
func Hosts(v *view.View, name string) ([]string, bool) {
	if v.Kind() == mesh.Router {
		return gatewayHosts(v, name)
	}
	return sidecarHosts(v, name)
}

// Host compiles a virtual host of a route configuration, or gives nil when it has none of that name.
func Host(v *view.View, route, host string) *routev3.VirtualHost {
	if v.Kind() == mesh.Router {
		return gatewayHost(v, route, host)
	}
	return sidecarHost(v, route, host)
}

// Names are the route configurations that a proxy's listeners refer to.
func Names(v *view.View) []string {
	switch v.Kind() {
	case mesh.Router:
		return gatewayNames(v)
	case mesh.Proxyless:
		return nil // gRPC asks by name
	}
	return sidecarNames(v)
}

func virtualHost(v *view.View, name string, domains []string, routes []*routev3.Route) *routev3.VirtualHost {
	h := unused.Get().(*routev3.VirtualHost)
	h.Name, h.Domains, h.Routes, h.IncludeRequestAttemptCount = name, domains, routes, !v.ProxyConfig().NoAttemptCount
	return h
}

// unused are virtual hosts that were encoded: there are as many as hosts, and none of them is looked at twice.
var unused = sync.Pool{New: func() any { return &routev3.VirtualHost{} }}

// Done takes back a virtual host, which nobody may have or use any more. Its domains stay as they are.
func Done(h *routev3.VirtualHost) {
	h.Reset()
	unused.Put(h)
}
