package filter

import (
	xdsv3 "github.com/cncf/xds/go/xds/core/v3"
	matcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	udpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/udp/udp_proxy/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// longest is the longest datagram that a workload can send or get.
const longest = 65535

// UDP passes datagrams on to a cluster: those of a client keep to one endpoint, those of one source address too when source is set.
func UDP(cluster string, source bool) *listenerv3.ListenerFilter {
	return inspector("envoy.filters.udp_listener.udp_proxy", udpProxy(cluster, source))
}

// CapturedUDP passes on what a workload sends, whatever its length, and logs the sessions.
func CapturedUDP(v *view.View, cluster string, source bool) *listenerv3.ListenerFilter {
	c := udpProxy(cluster, source)
	c.AccessLog, c.UpstreamSocketConfig = AccessLog(v, mesh.ClientSide), &corev3.UdpSocketConfig{MaxRxDatagramSize: message.UInt64(longest)}
	return inspector("envoy.filters.udp_listener.udp_proxy", c)
}

// AnyLength lets a listener take whatever a workload sends.
func AnyLength() *listenerv3.UdpListenerConfig {
	return &listenerv3.UdpListenerConfig{DownstreamSocketConfig: &corev3.UdpSocketConfig{MaxRxDatagramSize: message.UInt64(longest)}}
}

func udpProxy(cluster string, source bool) *udpv3.UdpProxyConfig {
	c := &udpv3.UdpProxyConfig{StatPrefix: cluster, RouteSpecifier: &udpv3.UdpProxyConfig_Matcher{Matcher: &matcherv3.Matcher{
		OnNoMatch: &matcherv3.Matcher_OnMatch{OnMatch: &matcherv3.Matcher_OnMatch_Action{
			Action: &xdsv3.TypedExtensionConfig{Name: "route", TypedConfig: message.Any(&udpv3.Route{Cluster: cluster})},
		}},
	}}}
	if source {
		c.HashPolicies = []*udpv3.UdpProxyConfig_HashPolicy{{PolicySpecifier: &udpv3.UdpProxyConfig_HashPolicy_SourceIp{SourceIp: true}}}
	}
	return c
}
