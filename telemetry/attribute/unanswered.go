package attribute

import (
	"maps"
	"slices"
	"strings"
)

// Unanswered are the attributes, as ROOT.NAME, that heddle-proxy does not know where it filters access logs.
var Unanswered = strings.Fields(`connection.dns_san_local_certificate connection.dns_san_peer_certificate connection.sha256_peer_certificate_digest connection.subject_local_certificate
	connection.transport_failure_reason response.backend_latency upstream.cx_pool_ready_duration upstream.dns_san_local_certificate upstream.dns_san_peer_certificate upstream.locality
	upstream.sha256_peer_certificate_digest upstream.subject_local_certificate upstream.subject_peer_certificate upstream.uri_san_local_certificate xds.cluster_metadata xds.filter_chain_name
	xds.listener_direction xds.listener_metadata xds.node xds.route_metadata xds.upstream_host_locality_metadata xds.upstream_host_metadata xds.virtual_host_metadata`)

// Known are all attributes by their roots.
func Known() map[string][]string { return maps.Clone(known) }

// Unanswered are the attributes that the expression names and heddle-proxy does not know where it filters access logs.
func (e *Expression) Unanswered() (out []string) {
	for _, name := range e.uses {
		if slices.Contains(Unanswered, name) {
			out = append(out, name)
		}
	}
	return out
}
