package filter

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	namesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/dynamic_forward_proxy/v3"
	dfpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/dynamic_forward_proxy/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	snidfpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3"

	"github.com/heddle-mesh/heddle/mesh"
)

// ClientNames is what clusters and filters share that look up the names clients give for a service, in Istio's name.
func ClientNames(host mesh.Host, family clusterv3.Cluster_DnsLookupFamily) *namesv3.DnsCacheConfig {
	return &namesv3.DnsCacheConfig{Name: string(host) + "_dfp_dns_cache", DnsLookupFamily: family}
}

// Lookup looks up the host of requests to a service.
func Lookup(names *namesv3.DnsCacheConfig) *hcmv3.HttpFilter {
	return http("envoy.filters.http.dynamic_forward_proxy", &dfpv3.FilterConfig{ImplementationSpecifier: &dfpv3.FilterConfig_DnsCacheConfig{DnsCacheConfig: names}})
}

// lookupSNI looks up the server name of connections, to be called at a port.
func lookupSNI(names *namesv3.DnsCacheConfig, port uint16) *listenerv3.Filter {
	return network("envoy.filters.network.sni_dynamic_forward_proxy", &snidfpv3.FilterConfig{
		DnsCacheConfig: names, PortSpecifier: &snidfpv3.FilterConfig_PortValue{PortValue: uint32(port)},
	})
}
