package filter

import (
	corev3 "github.com/cncf/xds/go/xds/core/v3"
	matcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	udpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/udp/udp_proxy/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
)

// UDP passes datagrams on to a cluster: those of a client keep to one endpoint, those of one source address too when source is set.
func UDP(cluster string, source bool) *listenerv3.ListenerFilter {
	c := &udpv3.UdpProxyConfig{StatPrefix: cluster, RouteSpecifier: &udpv3.UdpProxyConfig_Matcher{Matcher: &matcherv3.Matcher{
		OnNoMatch: &matcherv3.Matcher_OnMatch{OnMatch: &matcherv3.Matcher_OnMatch_Action{
			Action: &corev3.TypedExtensionConfig{Name: "route", TypedConfig: message.Any(&udpv3.Route{Cluster: cluster})},
		}},
	}}}
	if source {
		c.HashPolicies = []*udpv3.UdpProxyConfig_HashPolicy{{PolicySpecifier: &udpv3.UdpProxyConfig_HashPolicy_SourceIp{SourceIp: true}}}
	}
	return inspector("envoy.filters.udp_listener.udp_proxy", c)
}
