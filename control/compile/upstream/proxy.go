package upstream

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	proxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	rawv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// announces says whether the proxy can begin connections with a PROXY header. The owner of the rule is told of those that cannot.
func (t *target) announces(v *view.View) bool {
	if v.Can(mesh.FeatureProxyProtocol) {
		return true
	}
	v.Notice(mesh.Problem{
		Object: t.origin(), Field: "spec.trafficPolicy.proxyProtocol", Code: mesh.CodeNotEnforced,
		Message: "some connected proxies cannot send a PROXY header: they reach nothing at " + string(t.service.ID.Host), Hint: "upgrade them, or leave them out with a workloadSelector",
	})
	return false
}

// announced puts a PROXY header in front of a transport, if the rule asks for one (DestinationRule.trafficPolicy.proxyProtocol).
func (t *target) announced(inner *corev3.TransportSocket) *corev3.TransportSocket {
	if t.policy.Proxy == 0 {
		return inner
	}
	version := corev3.ProxyProtocolConfig_V1
	if t.policy.Proxy == 2 {
		version = corev3.ProxyProtocolConfig_V2
	}
	return &corev3.TransportSocket{Name: "envoy.transport_sockets.upstream_proxy_protocol", ConfigType: &corev3.TransportSocket_TypedConfig{
		TypedConfig: message.Any(&proxyv3.ProxyProtocolUpstreamTransport{Config: &corev3.ProxyProtocolConfig{Version: version}, TransportSocket: inner}),
	}}
}

// raw is a transport without anything, frozen.
var raw = message.Frozen(&corev3.TransportSocket{
	Name: "envoy.transport_sockets.raw_buffer", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: message.Any(&rawv3.RawBuffer{})},
})
