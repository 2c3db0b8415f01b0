package agent

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/heddle-mesh/heddle/data/proxy/announce"
)

type object = map[string]any

// solSocket and soMark are SOL_SOCKET and SO_MARK of Linux (asm-generic/socket.h).
const solSocket, soMark = 1, 36

// bootstrap is Envoy's first configuration: everything else comes over the agent's socket. Envoy waits for listeners and clusters without limit, so that it is never
// ready without them.
func bootstrap(o Options, resolver netip.AddrPort) ([]byte, error) {
	source := object{"ads": object{}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
	node, err := node(o)
	if err != nil {
		return nil, err
	}
	b := object{
		"node":  node,
		"admin": object{"address": object{"pipe": object{"path": o.envoySocket(), "mode": 0o600}}},
		"dynamic_resources": object{
			"ads_config": object{
				"api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
				"grpc_services": []any{object{"envoy_grpc": object{"cluster_name": "xds-grpc", "retry_policy": object{
					"retry_back_off": object{"base_interval": "0.1s", "max_interval": "2s"}, // the control plane is back soon, and the agent is near
				}}}},
			},
			"cds_config": source, "lds_config": source,
		},
		"static_resources":          object{"clusters": []any{localCluster("xds-grpc", o.socket()), localCluster("sds-grpc", o.socket())}},
		"typed_dns_resolver_config": names(resolver),
		"layered_runtime": object{"layers": []any{
			// RE2's limit is for untrusted expressions; these come from the mesh's own configuration.
			object{"name": "static", "static_layer": object{"re2.max_program_size.error_level": 32768}},
			object{"name": "admin", "admin_layer": object{}},
		}},
	}
	manager := object{}
	if o.Workload.SelfDiscovery {
		manager["local_cluster_name"] = announce.LocalCluster
		static := b["static_resources"].(object)
		static["clusters"] = append(static["clusters"].([]any), object{"name": announce.LocalCluster, "type": "EDS", "eds_cluster_config": object{"eds_config": object{"ads": object{}, "resource_api_version": "V3"}}})
	}
	if o.Mark != 0 {
		// A cluster's own bind configuration replaces the source address here, but not these options.
		manager["upstream_bind_config"] = object{"socket_options": []any{object{
			"description": "SO_MARK: capture leaves the proxy's own connections alone", "level": solSocket, "name": soMark, "int_value": o.Mark, "state": "STATE_PREBIND",
		}}}
	}
	if len(manager) > 0 {
		b["cluster_manager"] = manager
	}
	out, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write Envoy's bootstrap: %w", err)
	}
	return out, nil
}

// names has Envoy ask the agent, once: the agent is near, and knows for how long the name servers behind it are tried. By itself c-ares asks a silent name server
// for more than a minute, and a new cluster's acknowledgement waits for the answer.
func names(resolver netip.AddrPort) object {
	return object{"name": "envoy.network.dns_resolver.cares", "typed_config": object{
		"@type":                 "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
		"resolvers":             []any{object{"socket_address": object{"address": resolver.Addr().String(), "port_value": resolver.Port()}}},
		"dns_resolver_options":  object{"no_default_search_domain": true},
		"query_timeout_seconds": int(dnsPatience.Seconds()), "query_tries": 1,
	}}
}

// node is the workload's, but for what Envoy says of itself.
func node(o Options) (json.RawMessage, error) {
	n, err := o.Workload.Node()
	if err != nil {
		return nil, err
	}
	n.UserAgentName, n.UserAgentVersionType = "", nil
	delete(n.GetMetadata().GetFields(), "HEDDLE_FEATURES")
	n.Metadata.Fields[metaEntries] = structpb.NewStringValue("true")
	b, err := protojson.Marshal(n)
	if err != nil {
		return nil, fmt.Errorf("write Envoy's bootstrap: %w", err)
	}
	return b, nil
}

// localCluster speaks gRPC with the agent.
func localCluster(name, socket string) object {
	const options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	return object{
		"name": name, "type": "STATIC", "connect_timeout": "1s",
		"typed_extension_protocol_options": object{options: object{
			"@type": "type.googleapis.com/" + options, "explicit_http_config": object{"http2_protocol_options": object{}},
		}},
		"circuit_breakers": object{"thresholds": []any{object{"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000}}},
		"load_assignment": object{"cluster_name": name, "endpoints": []any{object{"lb_endpoints": []any{object{
			"endpoint": object{"address": object{"pipe": object{"path": socket}}},
		}}}}},
	}
}
