package honour

import "google.golang.org/protobuf/reflect/protoreflect"

// namesTable is of names that clients give, which are looked up while they wait.
func namesTable() map[protoreflect.FullName]Rule {
	const d = "envoy.extensions.common.dynamic_forward_proxy.v3."
	return map[protoreflect.FullName]Rule{
		"envoy.config.cluster.v3.Cluster.CustomClusterType": fields("name typed_config"),
		d + "DnsCacheConfig": fields("name dns_lookup_family dns_refresh_rate dns_min_refresh_rate host_ttl max_hosts dns_query_timeout dns_cache_circuit_breaker").
			refuse("typed_dns_resolver_config", "names are looked up as the workload's are").refuse("key_value_config", "what is known is not kept").
			refuse("preresolve_hostnames", "names are looked up when they are asked for"),
		d + "DnsCacheCircuitBreakers": fields("max_pending_requests"),
		"envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig": fields("dns_cache_config allow_insecure_cluster_options").
			refuse("sub_clusters_config", "all names share the cluster").refuse("allow_dynamic_host_from_filter_state", "there is no filter state").
			refuse("allow_coalesced_connections", "a connection is for the name that it was made for"),
		"envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig": fields("dns_cache_config").
			refuse("sub_cluster_config", "all names share the cluster").refuse("allow_dynamic_host_from_filter_state", "there is no filter state").
			refuse("save_upstream_address", "there is no filter state"),
		"envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig": fields("dns_cache_config port_value").
			refuse("save_upstream_address", "there is no filter state"),
	}
}
