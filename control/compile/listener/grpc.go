package listener

import (
	"net/netip"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/route"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// grpcServed is what a gRPC server asks for, followed by the address that it listens on (server_listener_resource_name_template of Istio's bootstraps).
const grpcServed = "xds.istio.io/grpc/lds/inbound/"

// grpcListener is what a gRPC client asks for under its target's name HOST:PORT (gRFC A27): no address, only where its routes are.
func grpcListener(v *view.View, name string) *listenerv3.Listener {
	if at, ok := strings.CutPrefix(name, grpcServed); ok {
		return grpcServer(v, name, at)
	}
	host, port, ok := route.Target(v, name)
	if !ok {
		return nil
	}
	filters := []*hcmv3.HttpFilter{filter.Router(false)}
	if v.Can(mesh.FeatureFault) {
		filters = append([]*hcmv3.HttpFilter{filter.Fault()}, filters...)
	}
	return &listenerv3.Listener{Name: name, ApiListener: &listenerv3.ApiListener{ApiListener: message.Any(&hcmv3.HttpConnectionManager{
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{ConfigSource: message.ADS(), RouteConfigName: view.HostPort(host, port)}},
		HttpFilters:    filters,
	})}}
}

// grpcServer is what a gRPC server takes at an address (gRFC A36): one chain for all connections, with what guards the port (gRFC A41) and, where the mesh's mutual TLS is
// asked for, keys and roots that its bootstrap names (gRFC A29).
func grpcServer(v *view.View, name, at string) *listenerv3.Listener {
	bound, err := netip.ParseAddrPort(at)
	if err != nil {
		return nil
	}
	guard := filter.GuardOf(v, bound.Port())
	if !guard.Empty() && !v.Can(mesh.FeatureRBAC) {
		(arrival{port: bound.Port()}).refused(v, guard)
		return nil // the server does not serve
	}
	mutual, prefix := grpcMutual(v, bound.Port()), "inbound"
	if mutual { // the two differ before the transport is looked at: grpc-js-xds 1.14 falls over a transport that comes or goes
		prefix = "inbound_mtls"
	}
	chain := &listenerv3.FilterChain{Name: "inbound", Filters: []*listenerv3.Filter{filter.Manager(&hcmv3.HttpConnectionManager{
		StatPrefix: prefix,
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{
			Name: "inbound", VirtualHosts: []*routev3.VirtualHost{{Name: "inbound", Domains: []string{"*"}, Routes: []*routev3.Route{{
				Name: "default", Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
				Action: &routev3.Route_NonForwardingAction{NonForwardingAction: &routev3.NonForwardingAction{}},
			}}}},
		}},
		HttpFilters: append(guard.GRPC(), filter.Router(false)),
	})}}
	if mutual {
		chain.TransportSocket = downstream(grpcContext())
	}
	return &listenerv3.Listener{
		Name: name, Address: message.Socket(bound.Addr(), bound.Port()), TrafficDirection: corev3Inbound, FilterChains: []*listenerv3.FilterChain{chain},
	}
}

// grpcMutual says whether a port takes the mesh's mutual TLS. gRPC cannot tell it from plain text, so where both are allowed the label decides by which clients with sidecars
// know which of the two to use (Istio's rule).
func grpcMutual(v *view.View, port uint16) bool {
	switch v.MTLS(port) {
	case mesh.MTLSStrict:
		return true
	case mesh.MTLSPermissive:
		return v.LabelIs("security.istio.io/tlsMode", "istio")
	}
	return false
}

// grpcContext is the server side of mutual TLS with certificate providers.
func grpcContext() *tlsv3.DownstreamTlsContext {
	return &tlsv3.DownstreamTlsContext{
		RequireClientCertificate: message.True(),
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsCertificateProviderInstance: message.Provider("default"),
			ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{
				ValidationContext: &tlsv3.CertificateValidationContext{CaCertificateProviderInstance: message.Provider("ROOTCA")},
			},
		},
	}
}
