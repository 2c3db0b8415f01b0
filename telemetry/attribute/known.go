package attribute

// known are the attributes by their roots, in the order of Envoy's page.
var known = map[string][]string{
	"request": {
		"path", "url_path", "host", "scheme", "method", "headers", "referer", "useragent", "time", "id", "protocol", "query", "duration", "size", "total_size",
	},
	"response":    {"code", "code_details", "flags", "grpc_status", "headers", "trailers", "size", "total_size", "backend_latency"},
	"source":      {"address", "port"},
	"destination": {"address", "port"},
	"connection": {
		"id", "mtls", "requested_server_name", "tls_version", "subject_local_certificate", "subject_peer_certificate", "dns_san_local_certificate", "dns_san_peer_certificate",
		"uri_san_local_certificate", "uri_san_peer_certificate", "sha256_peer_certificate_digest", "transport_failure_reason", "termination_details",
	},
	"upstream": {
		"address", "port", "tls_version", "subject_local_certificate", "subject_peer_certificate", "dns_san_local_certificate", "dns_san_peer_certificate",
		"uri_san_local_certificate", "uri_san_peer_certificate", "sha256_peer_certificate_digest", "local_address", "transport_failure_reason", "request_attempt_count",
		"cx_pool_ready_duration", "locality",
	},
	"xds": {
		"node", "cluster_name", "cluster_metadata", "listener_direction", "listener_metadata", "route_name", "route_metadata", "virtual_host_name", "virtual_host_metadata",
		"upstream_host_metadata", "upstream_host_locality_metadata", "filter_chain_name",
	},
}
