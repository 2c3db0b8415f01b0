// Package filter compiles the filters of listeners and routes, one feature in each file.
//
// In: nouns of the mesh. Out: Envoy's filter configuration. Pure and safe for concurrent use.
package filter

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	httpinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	originalsrcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_src/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/mesh"
)

// The names that Envoy and Istio give to filters.
const (
	corsName        = "envoy.filters.http.cors"
	faultName       = "envoy.filters.http.fault"
	httpRBACName    = "envoy.filters.http.rbac"
	networkRBACName = "envoy.filters.network.rbac"
)

func http(name string, config proto.Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: message.Any(config)}}
}

func network(name string, config proto.Message) *listenerv3.Filter {
	return &listenerv3.Filter{Name: name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: message.Any(config)}}
}

// Manager is an HTTP connection manager.
func Manager(m *hcmv3.HttpConnectionManager) *listenerv3.Filter {
	return network("envoy.filters.network.http_connection_manager", m)
}

// Router is the last HTTP filter; quiet leaves out the x-envoy-* headers.
func Router(quiet bool) *hcmv3.HttpFilter {
	return http("envoy.filters.http.router", &routerv3.Router{SuppressEnvoyHeaders: quiet})
}

// Fault is the filter that routes configure with PerRoute.
func Fault() *hcmv3.HttpFilter { return http(faultName, &faultv3.HTTPFault{}) }

// CORS is the filter that routes configure with PerRoute.
func CORS() *hcmv3.HttpFilter { return http(corsName, &corsv3.Cors{}) }

// PerRoute is what a rule configures of the filters, by their names.
func PerRoute(rule *mesh.HTTPRule, can func(mesh.Feature) bool) map[string]*anypb.Any {
	out := map[string]*anypb.Any{}
	if f := faultOverride(rule.Fault); f != nil {
		out[faultName] = message.Any(f)
	}
	if rule.CORS != nil && can(mesh.FeatureCORS) {
		out[corsName] = message.Any(corsPolicy(rule.CORS))
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// OriginalDestination restores the address that the client dialled.
func OriginalDestination() *listenerv3.ListenerFilter {
	return inspector("envoy.filters.listener.original_dst", &originaldstv3.OriginalDst{})
}

// OriginalSource has the application called from the client's address, with the mark by which capture leads the answer back (Istio's).
func OriginalSource() *listenerv3.ListenerFilter {
	return inspector("envoy.filters.listener.original_src", &originalsrcv3.OriginalSrc{Mark: 1337})
}

// TLSInspector reads SNI and ALPN from a client's first bytes.
func TLSInspector() *listenerv3.ListenerFilter {
	return inspector("envoy.filters.listener.tls_inspector", &tlsinspectorv3.TlsInspector{})
}

// HTTPInspector recognises HTTP by a client's first bytes.
func HTTPInspector() *listenerv3.ListenerFilter {
	return inspector("envoy.filters.listener.http_inspector", &httpinspectorv3.HttpInspector{})
}

// ProxyHeader reads the PROXY header with which a connection begins, and takes the client's address from it.
func ProxyHeader() *listenerv3.ListenerFilter {
	return inspector("envoy.filters.listener.proxy_protocol", &proxyprotocolv3.ProxyProtocol{})
}

// Skipping switches a listener filter off for connections to some ports, in order; for none it is as it was.
func Skipping(f *listenerv3.ListenerFilter, ports []uint16) *listenerv3.ListenerFilter {
	var rules []*listenerv3.ListenerFilterChainMatchPredicate
	for _, p := range ports {
		rules = append(rules, &listenerv3.ListenerFilterChainMatchPredicate{Rule: &listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange{
			DestinationPortRange: &typev3.Int32Range{Start: int32(p), End: int32(p) + 1},
		}})
	}
	switch len(rules) {
	case 0:
	case 1:
		f.FilterDisabled = rules[0]
	default:
		f.FilterDisabled = &listenerv3.ListenerFilterChainMatchPredicate{Rule: &listenerv3.ListenerFilterChainMatchPredicate_OrMatch{
			OrMatch: &listenerv3.ListenerFilterChainMatchPredicate_MatchSet{Rules: rules},
		}}
	}
	return f
}

func inspector(name string, config proto.Message) *listenerv3.ListenerFilter {
	return &listenerv3.ListenerFilter{Name: name, ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: message.Any(config)}}
}
