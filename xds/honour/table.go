package honour

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// honoured is the whole truth about what this proxy can do with a message. It is read only.
var honoured = honouredTable()

// fields lists the honoured fields of a message, separated by spaces.
func fields(names string, values ...check) Rule {
	r := Rule{fields: map[protoreflect.Name]bool{}, values: values}
	for _, n := range strings.Fields(names) {
		r.fields[protoreflect.Name(n)] = true
	}
	return r
}

// only allows some names of an enum's values (by their last words after the common prefix) and says why the others are not.
func only(field protoreflect.Name, reason string, numbers ...protoreflect.EnumNumber) check {
	return check{field: field, fault: func(v protoreflect.Value) string {
		for _, n := range numbers {
			if v.Enum() == n {
				return ""
			}
		}
		return reason
	}}
}

func honouredTable() map[protoreflect.FullName]Rule {
	all := map[protoreflect.FullName]Rule{}
	for _, part := range []map[protoreflect.FullName]Rule{coreTable(), listenerTable(), httpTable(), routeTable(), rbacTable(), clusterTable(), balanceTable(), healthTable(), tlsTable(), bootstrapTable(), namesTable(), overloadTable(), compressorTable(), runtimeTable()} {
		for name, r := range part {
			all[name] = r
		}
	}
	return all
}

func coreTable() map[protoreflect.FullName]Rule {
	opaque := Rule{opaque: true}
	return map[protoreflect.FullName]Rule{
		"google.protobuf.Duration": opaque, "google.protobuf.Struct": opaque, "google.protobuf.UInt32Value": opaque, "google.protobuf.UInt64Value": opaque, "google.protobuf.BoolValue": opaque, "google.protobuf.FloatValue": opaque,
		"envoy.config.core.v3.Metadata": opaque, "envoy.config.core.v3.Locality": opaque, "envoy.type.v3.Percent": opaque, "envoy.type.v3.FractionalPercent": opaque,
		"envoy.type.v3.Int64Range": opaque, "envoy.type.v3.Int32Range": opaque, "envoy.config.core.v3.CidrRange": opaque, "envoy.config.core.v3.HeaderValue": fields("key value"),
		"envoy.config.core.v3.Address":                  fields("socket_address pipe"),
		"envoy.config.core.v3.SocketAddress":            fields("protocol address port_value ipv4_compat"),
		"envoy.config.core.v3.Pipe":                     fields("path"),
		"envoy.config.core.v3.DataSource":               fields("filename inline_bytes inline_string"),
		"envoy.config.core.v3.HeaderValueOption":        fields("header append append_action keep_empty_value"),
		"envoy.config.core.v3.RuntimeFractionalPercent": fields("default_value runtime_key"), // there is no runtime layer, so the default is what counts
		"envoy.config.core.v3.RuntimeUInt32":            fields("default_value runtime_key"),
		"envoy.config.core.v3.TransportSocket":          fields("name typed_config"),
		"envoy.config.core.v3.TcpKeepalive":             fields("keepalive_probes keepalive_time keepalive_interval"),
		"envoy.config.core.v3.BindConfig":               fields("source_address extra_source_addresses"),
		"envoy.config.core.v3.ExtraSourceAddress":       fields("address"),
		"envoy.config.core.v3.ConfigSource":             fields("ads api_config_source initial_fetch_timeout resource_api_version", only("resource_api_version", "want V3", 0, 2)),
		"envoy.config.core.v3.AggregatedConfigSource":   fields(""),
		"envoy.config.core.v3.ApiConfigSource":          fields("api_type transport_api_version grpc_services set_node_on_first_message_only"),
		"envoy.config.core.v3.GrpcService":              fields("envoy_grpc google_grpc timeout initial_metadata"),
		"envoy.config.core.v3.GrpcService.EnvoyGrpc":    fields("cluster_name authority"),
		"envoy.config.core.v3.GrpcService.GoogleGrpc":   fields("target_uri stat_prefix"),
		"envoy.config.core.v3.SubstitutionFormatString": fields("text_format text_format_source json_format omit_empty_values"),
		"envoy.type.matcher.v3.StringMatcher":           fields("exact prefix suffix safe_regex contains ignore_case"),
		"envoy.type.matcher.v3.RegexMatcher":            fields("google_re2 regex"),
		"envoy.type.matcher.v3.RegexMatcher.GoogleRE2":  fields(""),
		"envoy.type.matcher.v3.RegexMatchAndSubstitute": fields("pattern substitution"),
		"envoy.type.matcher.v3.PathMatcher":             fields("path"),
		"envoy.config.core.v3.HttpProtocolOptions": fields("idle_timeout max_connection_duration max_headers_count max_stream_duration max_requests_per_connection headers_with_underscores_action",
			only("headers_with_underscores_action", "want ALLOW, REJECT_REQUEST or DROP_HEADER", 0, 1, 2)),
		"envoy.config.core.v3.Http1ProtocolOptions": fields("allow_absolute_url accept_http_10 default_host_for_http_10 enable_trailers", only1("allow_absolute_url", true, "absolute URLs are always taken")),
		"envoy.config.core.v3.Http2ProtocolOptions": fields(`hpack_table_size max_concurrent_streams initial_stream_window_size initial_connection_window_size allow_connect max_outbound_frames
			max_outbound_control_frames max_consecutive_inbound_frames_with_empty_payload max_inbound_priority_frames_per_stream max_inbound_window_update_frames_per_data_frame_sent
			override_stream_error_on_invalid_http_message connection_keepalive`,
			only1("override_stream_error_on_invalid_http_message", true, "a request that breaks the protocol ends its stream, never the connection")),
		"envoy.config.core.v3.KeepaliveSettings":                          fields("interval timeout interval_jitter connection_idle_interval"),
		"envoy.config.core.v3.UpstreamHttpProtocolOptions":                fields("auto_sni auto_san_validation"),
		"envoy.extensions.access_loggers.file.v3.FileAccessLog":           fields("path format json_format typed_json_format log_format"),
		"envoy.extensions.access_loggers.stream.v3.StdoutAccessLog":       fields("log_format"),
		"envoy.extensions.access_loggers.stream.v3.StderrAccessLog":       fields("log_format"),
		"envoy.config.accesslog.v3.AccessLog":                             fields("name filter typed_config"),
		"envoy.config.accesslog.v3.AccessLogFilter":                       fields("status_code_filter response_flag_filter and_filter or_filter duration_filter not_health_check_filter extension_filter"),
		"envoy.config.accesslog.v3.ExtensionFilter":                       fields("name typed_config"),
		"envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter": fields("expression"),
		"envoy.config.accesslog.v3.NotHealthCheckFilter":                  fields(""),
		"envoy.config.accesslog.v3.StatusCodeFilter":                      fields("comparison"),
		"envoy.config.accesslog.v3.DurationFilter":                        fields("comparison"),
		"envoy.config.accesslog.v3.ComparisonFilter":                      fields("op value"),
		"envoy.config.accesslog.v3.ResponseFlagFilter":                    fields("flags"),
		"envoy.config.accesslog.v3.AndFilter":                             fields("filters"),
		"envoy.config.accesslog.v3.OrFilter":                              fields("filters"),
	}
}

// called is what a message says of a call by gRPC.
func called(m protoreflect.Message) protoreflect.Message {
	return m.Get(m.Descriptor().Fields().ByName("grpc_service")).Message()
}

func withMetadata(m protoreflect.Message) string {
	call := called(m)
	if call.IsValid() && call.Get(call.Descriptor().Fields().ByName("initial_metadata")).List().Len() > 0 {
		return "the server is told of the request alone"
	}
	return ""
}

func withAuthority(m protoreflect.Message) string {
	call := called(m)
	if !call.IsValid() {
		return ""
	}
	e := call.Get(call.Descriptor().Fields().ByName("envoy_grpc")).Message()
	if e.IsValid() && e.Get(e.Descriptor().Fields().ByName("authority")).String() != "" {
		return "the server is asked for by the name of its cluster"
	}
	return ""
}

// only1 allows one value of a boolean wrapper.
func only1(field protoreflect.Name, want bool, reason string) check {
	return check{field: field, fault: func(v protoreflect.Value) string {
		m := v.Message()
		if !m.IsValid() || m.Get(m.Descriptor().Fields().ByName("value")).Bool() == want {
			return ""
		}
		return reason
	}}
}

func listenerTable() map[protoreflect.FullName]Rule {
	const l = "envoy.config.listener.v3."
	const f = "envoy.extensions.filters."
	return map[protoreflect.FullName]Rule{
		l + "Listener": fields(`name address additional_addresses stat_prefix filter_chains use_original_dst default_filter_chain metadata deprecated_v1 listener_filters listener_filters_timeout
			continue_on_listener_filters_timeout udp_listener_config transparent traffic_direction connection_balance_config reuse_port enable_reuse_port access_log bind_to_port
			per_connection_buffer_limit_bytes`),
		l + "UdpListenerConfig":                fields("downstream_socket_config").refuse("quic_options", "HTTP/3 is not spoken by this version"),
		"envoy.config.core.v3.UdpSocketConfig": fields("max_rx_datagram_size prefer_gro", only1("prefer_gro", false, "datagrams are taken as they come")),
		f + "udp.udp_proxy.v3.UdpProxyConfig": fields("stat_prefix cluster matcher idle_timeout hash_policies upstream_socket_config access_log").
			refuse("use_original_src_ip", "endpoints see the proxy's address").refuse("use_per_packet_load_balancing", "an endpoint is chosen for each session").
			refuse("proxy_access_log", "sessions are logged, each of them (access_log)"),
		f + "udp.udp_proxy.v3.UdpProxyConfig.HashPolicy":    fields("source_ip").refuse("key", "sessions are told apart by their source only"),
		f + "udp.udp_proxy.v3.Route":                        fields("cluster"),
		"xds.type.matcher.v3.Matcher":                       fields("on_no_match").refuse("matcher_list", "all datagrams go to one cluster").refuse("matcher_tree", "all datagrams go to one cluster"),
		"xds.type.matcher.v3.Matcher.OnMatch":               fields("action").refuse("matcher", "all datagrams go to one cluster"),
		"xds.core.v3.TypedExtensionConfig":                  fields("name typed_config"),
		l + "AdditionalAddress":                             fields("address"),
		l + "Listener.DeprecatedV1":                         fields("bind_to_port"),
		l + "Listener.ConnectionBalanceConfig":              fields("exact_balance"), // connections always go to the least loaded worker
		l + "Listener.ConnectionBalanceConfig.ExactBalance": fields(""),
		l + "FilterChain":                                   fields("name filter_chain_match filters metadata transport_socket transport_socket_connect_timeout"),
		l + "FilterChainMatch":                              fields("destination_port prefix_ranges direct_source_prefix_ranges source_type source_prefix_ranges source_ports server_names transport_protocol application_protocols"),
		l + "Filter":                                        fields("name typed_config"),
		l + "ListenerFilter":                                fields("name typed_config filter_disabled"),
		l + "ListenerFilterChainMatchPredicate":             fields("or_match destination_port_range"),
		l + "ListenerFilterChainMatchPredicate.MatchSet":    fields("rules"),
		f + "listener.original_dst.v3.OriginalDst":          fields(""),
		f + "listener.original_src.v3.OriginalSrc":          fields("mark").refuse("bind_port", "the client's port may be in use: the kernel chooses one"),
		f + "listener.tls_inspector.v3.TlsInspector": fields("enable_ja3_fingerprinting enable_ja4_fingerprinting initial_read_buffer_size",
			only1("enable_ja3_fingerprinting", false, "fingerprints are not computed"), only1("enable_ja4_fingerprinting", false, "fingerprints are not computed")),
		f + "listener.http_inspector.v3.HttpInspector": fields(""),
		f + "listener.proxy_protocol.v3.ProxyProtocol": fields("allow_requests_without_proxy_protocol disallowed_versions stat_prefix pass_through_tlvs").
			refuse("rules", "there is no dynamic metadata that they could write to"),
		f + "network.connection_limit.v3.ConnectionLimit": fields("stat_prefix max_connections delay runtime_enabled"),
		f + "network.rbac.v3.RBAC": fields("rules stat_prefix").refuse("enforcement_type", "connections are judged once, when they begin").
			refuse("shadow_rules", "only requests are judged by shadow rules").refuse("shadow_rules_stat_prefix", "only requests are judged by shadow rules"),
		f + "network.tcp_proxy.v3.TcpProxy":                               fields("stat_prefix cluster weighted_clusters idle_timeout access_log max_connect_attempts max_downstream_connection_duration hash_policy tunneling_config metadata_match"),
		f + "network.tcp_proxy.v3.TcpProxy.TunnelingConfig":               fields("hostname").refuse("use_post", "tunnels are asked for by CONNECT").refuse("headers_to_add", "the request has no headers of its own"),
		"envoy.type.v3.HashPolicy":                                        fields("source_ip"),
		"envoy.type.v3.HashPolicy.SourceIp":                               fields(""),
		f + "network.tcp_proxy.v3.TcpProxy.WeightedCluster":               fields("clusters"),
		f + "network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight": fields("name weight metadata_match"),
	}
}

func httpTable() map[protoreflect.FullName]Rule {
	const h = "envoy.extensions.filters.network.http_connection_manager.v3."
	const f = "envoy.extensions.filters.http."
	return map[protoreflect.FullName]Rule{
		h + "HttpConnectionManager": fields(`codec_type stat_prefix rds route_config http_filters common_http_protocol_options http_protocol_options http2_protocol_options server_name
			server_header_transformation max_request_headers_kb stream_idle_timeout request_timeout request_headers_timeout drain_timeout delayed_close_timeout access_log use_remote_address
			xff_num_trusted_hops skip_xff_append append_x_forwarded_port via generate_request_id preserve_external_request_id always_set_request_id_in_response forward_client_cert_details set_current_client_cert_details
			proxy_100_continue upgrade_configs tracing request_id_extension normalize_path merge_slashes path_with_escaped_slashes_action strip_matching_host_port strip_any_host_port strip_trailing_host_dot add_user_agent`,
			only("codec_type", "HTTP/3 is not spoken by this version", 0, 1, 2), only1("add_user_agent", false, "the proxy has no name to add")),
		"stats.PluginConfig": fields("metrics tcp_reporting_duration").refuse("disable_host_header_fallback", "what a service is called is never taken from a header").refuse("definitions", "there are Istio's standard metrics alone").refuse("reporter", "waypoints are not served yet").
			refuse("rotation_interval", "series are kept").refuse("graceful_deletion_interval", "series are kept"),
		"stats.MetricConfig": fields("dimensions name tags_to_remove drop").refuse("match", "Istio does not implement it either"),
		h + "HttpConnectionManager.Tracing": fields("client_sampling random_sampling overall_sampling max_path_tag_length custom_tags provider spawn_upstream_span no_context_propagation").
			refuse("verbose", "spans have no annotations").refuse("operation", "spans are named by the route's decorator").refuse("upstream_operation", "spans of tries are named by their cluster"),
		h + "RequestIDExtension": fields("typed_config"),
		"envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig": fields("use_request_id_for_trace_sampling").
			refuse("pack_trace_reason", "a request id always tells why a request is traced"),
		"envoy.config.trace.v3.Tracing.Http": fields("name typed_config"),
		"envoy.extensions.tracers.opentelemetry.resource_detectors.v3.EnvironmentResourceDetectorConfig": fields(""),
		"envoy.config.trace.v3.OpenTelemetryConfig":                                                      fields("grpc_service http_service service_name max_cache_size resource_detectors").refuse("sampler", "the caller and the connection manager's samplings decide"),
		"envoy.config.trace.v3.ZipkinConfig": fields("collector_cluster collector_endpoint trace_id_128bit shared_span_context collector_endpoint_version collector_hostname trace_context_option",
			only("collector_endpoint_version", "spans are sent as HTTP_JSON", 1)).refuse("split_spans_for_request", "use the connection manager's spawn_upstream_span"),
		"envoy.config.core.v3.HttpService":            fields("http_uri request_headers_to_add"),
		"envoy.config.core.v3.HttpUri":                fields("uri cluster timeout"),
		"envoy.type.tracing.v3.CustomTag":             fields("tag literal request_header environment value").refuse("metadata", "metadata is not kept"),
		"envoy.type.tracing.v3.CustomTag.Literal":     fields("value"),
		"envoy.type.tracing.v3.CustomTag.Header":      fields("name default_value"),
		"envoy.type.tracing.v3.CustomTag.Environment": fields("name default_value"),
		h + "Rds":        fields("config_source route_config_name"),
		h + "HttpFilter": fields("name typed_config is_optional disabled").beside("disabled", leftToRoutes),
		h + "HttpConnectionManager.SetCurrentClientCertDetails": fields("subject cert chain dns uri"),
		h + "HttpConnectionManager.UpgradeConfig":               fields("upgrade_type enabled"),
		f + "router.v3.Router":                                  fields("dynamic_stats suppress_envoy_headers", only1("dynamic_stats", true, "statistics cannot be switched off")),
		f + "grpc_web.v3.GrpcWeb":                               fields(""),
		f + "grpc_stats.v3.FilterConfig": fields("stats_for_all_methods individual_method_stats_allowlist enable_upstream_stats replace_dots_in_grpc_service_name").
			refuse("emit_filter_state", "there is no filter state"),
		"envoy.config.core.v3.GrpcMethodList":           fields("services"),
		"envoy.config.core.v3.GrpcMethodList.Service":   fields("name method_names"),
		f + "filter_chain.v3.FilterChainConfig":         fields("").refuse("default_filter_chain", "filters for all routes stand in the connection manager"),
		f + "filter_chain.v3.FilterChainConfigPerRoute": fields("filter_chain"),
		f + "filter_chain.v3.FilterChain":               fields("filters"),
		f + "ext_authz.v3.ExtAuthz": fields("grpc_service http_service transport_api_version with_request_body allowed_headers status_on_error failure_mode_allow").
			beside("grpc_service.initial_metadata", withMetadata).beside("grpc_service.envoy_grpc.authority", withAuthority),
		f + "ext_authz.v3.BufferSettings": fields("max_request_bytes").refuse("allow_partial_message", "a body is told whole, or the request is refused").
			refuse("pack_as_bytes", "a body is told as text"),
		f + "ext_authz.v3.HttpService":            fields("server_uri path_prefix authorization_response"),
		f + "ext_authz.v3.AuthorizationResponse":  fields("allowed_upstream_headers allowed_client_headers"),
		"envoy.type.v3.HttpStatus":                fields("code"),
		"envoy.type.matcher.v3.ListStringMatcher": fields("patterns"),
		f + "stateful_session.v3.StatefulSession": fields("session_state strict").refuse("status_on_strict_destination_not_found", "a request whose endpoint is not there gets 503").
			refuse("stat_prefix", "sessions are not counted"),
		f + "stateful_session.v3.StatefulSessionPerRoute":                          fields("disabled stateful_session"),
		"envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState": fields("name"),
		"envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState": fields("cookie"),
		"envoy.type.http.v3.Cookie":                                                fields("name path attributes").refuse("ttl", "machines do not agree on the time since their start, which it counts; use the attribute Max-Age"),
		"envoy.type.http.v3.CookieAttribute":                                       fields("name value"),
		f + "cors.v3.Cors":                                                         fields(""),
		f + "cors.v3.CorsPolicy": fields(`allow_origin_string_match allow_methods allow_headers expose_headers max_age allow_credentials filter_enabled allow_private_network_access
			forward_not_matching_preflights`).refuse("shadow_enabled", "policies are enforced, never only tried"),
		f + "fault.v3.HTTPFault":                              fields("delay abort upstream_cluster headers max_active_faults"),
		f + "fault.v3.FaultAbort":                             fields("http_status grpc_status percentage"),
		"envoy.extensions.filters.common.fault.v3.FaultDelay": fields("fixed_delay percentage"),
		f + "rbac.v3.RBAC":                                    fields("rules rules_stat_prefix shadow_rules shadow_rules_stat_prefix"),
		f + "rbac.v3.RBACPerRoute":                            fields("rbac"),
	}
}

func routeTable() map[protoreflect.FullName]Rule {
	const r = "envoy.config.route.v3."
	const edits = " request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove "
	return map[protoreflect.FullName]Rule{
		r + "RouteConfiguration": fields(edits+"name virtual_hosts vhds most_specific_header_mutations_wins validate_clusters max_direct_response_body_size_bytes ignore_port_in_host_matching metadata",
			only1("validate_clusters", false, "routes are taken before their clusters are known")),
		r + "Vhds": fields("config_source"),
		r + "VirtualHost": fields(edits+"name domains routes require_tls typed_per_filter_config include_request_attempt_count include_attempt_count_in_response retry_policy hedge_policy metadata request_body_buffer_limit per_request_buffer_limit_bytes",
			only("require_tls", "only NONE and ALL are supported", 0, 2)),
		r + "Route":                            fields(edits + "name stat_prefix match route redirect direct_response metadata decorator typed_per_filter_config request_body_buffer_limit per_request_buffer_limit_bytes"),
		r + "RouteMatch":                       fields("prefix path safe_regex connect_matcher path_separated_prefix case_sensitive runtime_fraction headers query_parameters grpc"),
		r + "RouteMatch.ConnectMatcher":        fields(""),
		r + "RouteMatch.GrpcRouteMatchOptions": fields(""),
		r + "HeaderMatcher":                    fields("name exact_match safe_regex_match range_match present_match prefix_match suffix_match contains_match string_match invert_match treat_missing_header_as_empty"),
		r + "QueryParameterMatcher":            fields("name string_match present_match"),
		r + "RouteAction": fields(`cluster cluster_header weighted_clusters cluster_not_found_response_code prefix_rewrite regex_rewrite host_rewrite_literal auto_host_rewrite append_x_forwarded_host
			timeout idle_timeout retry_policy request_mirror_policies hash_policy metadata_match priority max_grpc_timeout upgrade_configs max_stream_duration hedge_policy`,
			only("priority", "want DEFAULT or HIGH", 0, 1)),
		r + "RouteAction.UpgradeConfig":                   fields("upgrade_type enabled connect_config"),
		r + "RouteAction.UpgradeConfig.ConnectConfig":     fields("").refuse("allow_post", "only a CONNECT is ended here"),
		r + "RouteAction.MaxStreamDuration":               fields("max_stream_duration grpc_timeout_header_max"),
		r + "RouteAction.RequestMirrorPolicy":             fields("cluster runtime_fraction disable_shadow_host_suffix_append"),
		r + "RouteAction.HashPolicy":                      fields("header cookie connection_properties query_parameter terminal"),
		r + "RouteAction.HashPolicy.Header":               fields("header_name"),
		r + "RouteAction.HashPolicy.Cookie":               fields("name ttl path attributes"),
		r + "RouteAction.HashPolicy.CookieAttribute":      fields("name value"),
		r + "RouteAction.HashPolicy.ConnectionProperties": fields("source_ip"),
		r + "RouteAction.HashPolicy.QueryParameter":       fields("name"),
		r + "WeightedCluster":                             fields("clusters total_weight"),
		r + "WeightedCluster.ClusterWeight":               fields(edits + "name weight typed_per_filter_config host_rewrite_literal metadata_match"),
		r + "RedirectAction":                              fields("https_redirect scheme_redirect host_redirect port_redirect path_redirect prefix_rewrite regex_rewrite response_code strip_query"),
		r + "DirectResponseAction":                        fields("status body"),
		r + "Decorator":                                   fields("operation propagate"),
		r + "RetryPolicy": fields(`retry_on num_retries per_try_timeout per_try_idle_timeout retry_priority retry_host_predicate host_selection_retry_max_attempts retriable_status_codes retry_back_off
			rate_limited_retry_back_off retriable_headers retriable_request_headers`),
		r + "HedgePolicy": fields("hedge_on_per_try_timeout").refuse("initial_requests", "Envoy does not look at it").refuse("additional_request_chance", "Envoy does not look at it"),
		"envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate":       fields(""),
		"envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig":        fields("metadata_match"),
		r + "RetryPolicy.RateLimitedRetryBackOff":                                         fields("reset_headers max_interval"),
		r + "RetryPolicy.ResetHeader":                                                     fields("name format"),
		r + "RetryPolicy.RetryBackOff":                                                    fields("base_interval max_interval"),
		r + "RetryPolicy.RetryPriority":                                                   fields("name typed_config"),
		r + "RetryPolicy.RetryHostPredicate":                                              fields("name typed_config"),
		r + "FilterConfig":                                                                fields("config is_optional"),
		"envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate":            fields(""),
		"envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig": fields("update_frequency"),
	}
}

func rbacTable() map[protoreflect.FullName]Rule {
	const r = "envoy.config.rbac.v3."
	return map[protoreflect.FullName]Rule{
		r + "RBAC":                              fields("action policies"),
		r + "Policy":                            fields("permissions principals"),
		r + "Permission":                        fields("and_rules or_rules any header url_path destination_ip destination_port destination_port_range metadata not_rule requested_server_name"),
		r + "Permission.Set":                    fields("rules"),
		r + "Principal":                         fields("and_ids or_ids any authenticated source_ip direct_remote_ip remote_ip header url_path metadata not_id"),
		r + "Principal.Set":                     fields("ids"),
		r + "Principal.Authenticated":           fields("principal_name"),
		"envoy.type.matcher.v3.MetadataMatcher": {opaque: true}, // there is no dynamic metadata, so every matcher looks at nothing
	}
}

func clusterTable() map[protoreflect.FullName]Rule {
	const c, e, u = "envoy.config.cluster.v3.", "envoy.config.endpoint.v3.", "envoy.extensions.upstreams.http.v3."
	return map[protoreflect.FullName]Rule{
		c + "Cluster": fields(`name alt_stat_name type cluster_type eds_cluster_config connect_timeout lb_policy load_assignment max_requests_per_connection circuit_breakers upstream_http_protocol_options
			common_http_protocol_options http_protocol_options http2_protocol_options typed_extension_protocol_options dns_refresh_rate dns_failure_refresh_rate respect_dns_ttl dns_lookup_family outlier_detection
			cleanup_interval upstream_bind_config original_dst_lb_config least_request_lb_config round_robin_lb_config ring_hash_lb_config maglev_lb_config common_lb_config transport_socket transport_socket_matches metadata
			upstream_connection_options health_checks ignore_health_on_host_removal load_balancing_policy lb_subset_config per_connection_buffer_limit_bytes`,
			only("lb_policy", "with load_balancing_policy leave it out", 0, 1, 2, 3, 5, 6)).
			refuse("close_connections_on_host_health_failure", "connections to an endpoint that fails live until their requests have ended"),
		c + "Cluster.LbSubsetConfig": fields("fallback_policy default_subset subset_selectors locality_weight_aware scale_locality_weight panic_mode_any list_as_any metadata_fallback_policy",
			only("fallback_policy", "it is unknown", 0, 1, 2), only("metadata_fallback_policy", "it is unknown", 0, 1)),
		c + "Cluster.LbSubsetConfig.LbSubsetSelector": fields("keys single_host_per_subset fallback_policy fallback_keys_subset", only("fallback_policy", "it is unknown", 0, 1, 2, 3, 4)),
		c + "Cluster.RefreshRate":                     fields("base_interval max_interval"),
		c + "Cluster.EdsClusterConfig":                fields("eds_config service_name"),
		c + "Cluster.TransportSocketMatch":            fields("name match transport_socket"),
		c + "Cluster.OriginalDstLbConfig":             fields("use_http_header http_header_name upstream_port_override").refuse("metadata_key", "there is no dynamic metadata"),
		c + "Cluster.LeastRequestLbConfig":            fields("choice_count slow_start_config active_request_bias"),
		c + "Cluster.RoundRobinLbConfig":              fields("slow_start_config"),
		c + "Cluster.RingHashLbConfig":                fields("minimum_ring_size maximum_ring_size").refuse("hash_function", "only XX_HASH is supported"),
		c + "Cluster.MaglevLbConfig":                  fields("table_size"),
		c + "Cluster.SlowStartConfig":                 fields("slow_start_window aggression min_weight_percent"),
		c + "Cluster.CommonLbConfig": fields("healthy_panic_threshold locality_weighted_lb_config zone_aware_lb_config consistent_hashing_lb_config ignore_new_hosts_until_first_hc update_merge_window",
			check{"update_merge_window", atOnce}),
		c + "Cluster.CommonLbConfig.LocalityWeightedLbConfig":  fields(""),
		c + "Cluster.CommonLbConfig.ZoneAwareLbConfig":         fields("routing_enabled min_cluster_size fail_traffic_on_panic"),
		c + "Cluster.CommonLbConfig.ConsistentHashingLbConfig": fields("use_hostname_for_hashing hash_balance_factor"),
		c + "CircuitBreakers":                                  fields("thresholds"),
		c + "CircuitBreakers.Thresholds":                       fields("priority max_connections max_pending_requests max_requests max_retries retry_budget track_remaining"),
		c + "CircuitBreakers.Thresholds.RetryBudget":           fields("budget_percent min_retry_concurrency budget_interval"),
		c + "UpstreamConnectionOptions":                        fields("tcp_keepalive"),
		c + "OutlierDetection": fields(`consecutive_5xx interval base_ejection_time max_ejection_percent enforcing_consecutive_5xx enforcing_success_rate success_rate_minimum_hosts
			success_rate_request_volume success_rate_stdev_factor consecutive_gateway_failure enforcing_consecutive_gateway_failure split_external_local_origin_errors
			consecutive_local_origin_failure enforcing_consecutive_local_origin_failure enforcing_local_origin_success_rate failure_percentage_threshold enforcing_failure_percentage
			enforcing_failure_percentage_local_origin failure_percentage_minimum_hosts failure_percentage_request_volume max_ejection_time max_ejection_time_jitter
			successful_active_health_check_uneject_host always_eject_one_host`).
			refuse("monitors", "Envoy does not look at it").
			refuse("detect_degraded_hosts", "only active health checks tell that an endpoint is degraded"),
		e + "ClusterLoadAssignment":                              fields("cluster_name endpoints policy"),
		e + "ClusterLoadAssignment.Policy":                       fields("overprovisioning_factor"),
		e + "LocalityLbEndpoints":                                fields("locality metadata lb_endpoints load_balancing_weight priority"),
		e + "LbEndpoint":                                         fields("endpoint health_status metadata load_balancing_weight"),
		e + "Endpoint":                                           fields("address hostname health_check_config"),
		e + "Endpoint.HealthCheckConfig":                         fields("port_value hostname address disable_active_health_check"),
		u + "HttpProtocolOptions":                                fields("common_http_protocol_options upstream_http_protocol_options explicit_http_config use_downstream_protocol_config outlier_detection"),
		u + "HttpProtocolOptions.OutlierDetection":               fields("error_matcher"),
		"envoy.config.common.matcher.v3.MatchPredicate":          fields("or_match http_response_headers_match"),
		"envoy.config.common.matcher.v3.MatchPredicate.MatchSet": fields("rules"),
		"envoy.config.common.matcher.v3.HttpHeadersMatch":        fields("headers"),
		u + "HttpProtocolOptions.ExplicitHttpConfig":             fields("http_protocol_options http2_protocol_options"),
		u + "HttpProtocolOptions.UseDownstreamHttpConfig":        fields("http_protocol_options http2_protocol_options"),
	}
}

func balanceTable() map[protoreflect.FullName]Rule {
	const c, p = "envoy.config.cluster.v3.LoadBalancingPolicy", "envoy.extensions.load_balancing_policies."
	return map[protoreflect.FullName]Rule{
		c:             fields("policies"),
		c + ".Policy": fields("typed_extension_config"),
		"envoy.config.core.v3.TypedExtensionConfig": fields("name typed_config"),
		"envoy.config.core.v3.RuntimeDouble":        fields("default_value runtime_key"),
		p + "round_robin.v3.RoundRobin":             fields("slow_start_config locality_lb_config"),
		p + "least_request.v3.LeastRequest":         fields("choice_count active_request_bias slow_start_config locality_lb_config enable_full_scan selection_method"),
		p + "random.v3.Random":                      fields("locality_lb_config"),
		p + "ring_hash.v3.RingHash": fields("hash_function minimum_ring_size maximum_ring_size locality_weighted_lb_config consistent_hashing_lb_config",
			only("hash_function", "only XX_HASH is supported", 0, 1)),
		p + "peak_ewma.v3alpha.PeakEwma": fields("decay_time default_rtt").
			refuse("aggregation_interval", "what one worker measures all see at once").refuse("max_samples_per_host", "no samples are kept").
			refuse("penalty_value", "default_rtt stands for what was not measured"),
		p + "client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin": fields("enable_oob_load_report blackout_period weight_expiration_period weight_update_period error_utilization_penalty metric_names_for_computing_utilization slow_start_config",
			only1("enable_oob_load_report", false, "endpoints tell their load with their answers")).
			refuse("oob_reporting_period", "endpoints tell their load with their answers").refuse("oob_reporting_config", "endpoints tell their load with their answers"),
		p + "subset.v3.Subset": fields("fallback_policy default_subset subset_selectors locality_weight_aware scale_locality_weight panic_mode_any list_as_any metadata_fallback_policy subset_lb_policy",
			only("fallback_policy", "it is unknown", 0, 1, 2), only("metadata_fallback_policy", "it is unknown", 0, 1)),
		p + "subset.v3.Subset.LbSubsetSelector":                   fields("keys single_host_per_subset fallback_policy fallback_keys_subset", only("fallback_policy", "it is unknown", 0, 1, 2, 3, 4)),
		p + "maglev.v3.Maglev":                                    fields("table_size locality_weighted_lb_config consistent_hashing_lb_config"),
		p + "common.v3.ConsistentHashingLbConfig":                 fields("use_hostname_for_hashing hash_balance_factor").refuse("hash_policy", "routes say what is hashed"),
		p + "wrr_locality.v3.WrrLocality":                         fields("endpoint_picking_policy"),
		p + "cluster_provided.v3.ClusterProvided":                 fields(""),
		p + "common.v3.SlowStartConfig":                           fields("slow_start_window aggression min_weight_percent"),
		p + "common.v3.LocalityLbConfig":                          fields("locality_weighted_lb_config zone_aware_lb_config"),
		p + "common.v3.LocalityLbConfig.ZoneAwareLbConfig":        fields("routing_enabled min_cluster_size fail_traffic_on_panic"),
		p + "common.v3.LocalityLbConfig.LocalityWeightedLbConfig": fields(""),
	}
}

func healthTable() map[protoreflect.FullName]Rule {
	const h = "envoy.config.core.v3.HealthCheck"
	return map[protoreflect.FullName]Rule{
		h: fields(`name timeout interval initial_jitter interval_jitter interval_jitter_percent unhealthy_threshold healthy_threshold reuse_connection http_health_check tcp_health_check
			grpc_health_check no_traffic_interval no_traffic_healthy_interval unhealthy_interval unhealthy_edge_interval healthy_edge_interval always_log_health_check_failures
			always_log_health_check_success tls_options transport_socket_match_criteria`).
			refuse("alt_port", "Envoy does not look at it; the port of checks is health_check_config.port_value of each endpoint").
			refuse("event_log_path", "events of health checks are written to the proxy's own log").
			refuse("event_logger", "events of health checks are written to the proxy's own log"),
		h + ".TlsOptions": fields("alpn_protocols"),
		h + ".Payload":    fields("text binary"),
		h + ".HttpHealthCheck": fields(`host path send receive response_buffer_size request_headers_to_add request_headers_to_remove expected_statuses retriable_statuses codec_client_type
			service_name_matcher method`, only("codec_client_type", "HTTP/3 is not spoken by this version", 0, 1)).
			refuse("use_alpn_protocol", "the version of HTTP is codec_client_type's"),
		h + ".TcpHealthCheck":  fields("send receive"),
		h + ".GrpcHealthCheck": fields("service_name authority initial_metadata"),
	}
}

func tlsTable() map[protoreflect.FullName]Rule {
	const t = "envoy.extensions.transport_sockets.tls.v3."
	return map[protoreflect.FullName]Rule{
		"envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer":                          fields(""),
		"envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport": fields("config transport_socket"),
		"envoy.config.core.v3.ProxyProtocolConfig":                                            fields("version pass_through_tlvs added_tlvs"),
		"envoy.config.core.v3.ProxyProtocolPassThroughTLVs":                                   fields("match_type tlv_type", only("match_type", "want INCLUDE_ALL or INCLUDE", 0, 1)),
		"envoy.config.core.v3.TlvEntry":                                                       fields("type value").refuse("format_string", "the header is sent before there is anything to format"),
		t + "DownstreamTlsContext":                                                            fields("common_tls_context require_client_certificate disable_stateless_session_resumption disable_stateful_session_resumption"),
		t + "UpstreamTlsContext":                                                              fields("common_tls_context sni"),
		t + "CommonTlsContext": fields(`tls_params tls_certificates tls_certificate_sds_secret_configs validation_context validation_context_sds_secret_config combined_validation_context
			alpn_protocols`),
		t + "CommonTlsContext.CombinedCertificateValidationContext": fields("default_validation_context validation_context_sds_secret_config"),
		t + "TlsParameters":                fields("tls_minimum_protocol_version tls_maximum_protocol_version cipher_suites ecdh_curves"), // which of them is preferred, crypto/tls decides
		t + "TlsCertificate":               fields("certificate_chain private_key"),
		t + "SdsSecretConfig":              fields("name sds_config"),
		t + "CertificateValidationContext": fields("trusted_ca match_typed_subject_alt_names match_subject_alt_names verify_certificate_spki verify_certificate_hash trust_chain_verification crl only_verify_leaf_cert_crl"),
		t + "SubjectAltNameMatcher":        fields("san_type matcher", only("san_type", "other names of a certificate are not read", 1, 2, 3, 4)),
		t + "Secret":                       fields("name tls_certificate validation_context"),
	}
}

func bootstrapTable() map[protoreflect.FullName]Rule {
	const b = "envoy.config.bootstrap.v3."
	return map[protoreflect.FullName]Rule{
		b + "Bootstrap":                  fields("node static_resources dynamic_resources admin overload_manager layered_runtime cluster_manager"),
		b + "ClusterManager":             fields("local_cluster_name"),
		b + "Bootstrap.StaticResources":  fields("listeners clusters secrets"),
		b + "Bootstrap.DynamicResources": fields("lds_config cds_config ads_config"),
		b + "Admin":                      fields("address access_log_path", check{"access_log_path", devNull}),
		"envoy.config.core.v3.Node":      fields("id cluster metadata locality"),
	}
}

// atOnce allows a duration of 0 only.
func atOnce(v protoreflect.Value) string {
	if d, ok := v.Message().Interface().(*durationpb.Duration); ok && (d.GetSeconds() != 0 || d.GetNanos() != 0) {
		return "what is learnt of endpoints is in force at once; want 0s, or leave it out"
	}
	return ""
}

// devNull allows the deprecated path only where it asks for nothing.
func devNull(v protoreflect.Value) string {
	if s := v.String(); s != "" && s != "/dev/null" {
		return "the admin port writes no access log; only /dev/null is allowed"
	}
	return ""
}

func compressorTable() map[protoreflect.FullName]Rule {
	const c, e, own = "envoy.extensions.filters.http.compressor.v3.", "envoy.extensions.compression.", "its memory is its own affair"
	old := func(r Rule) Rule {
		for _, f := range []protoreflect.Name{"content_length", "content_type", "disable_on_etag_header", "remove_accept_encoding_header", "runtime_enabled"} {
			r = r.refuse(f, "it is of the old form; use response_direction_config")
		}
		return r
	}
	return map[protoreflect.FullName]Rule{
		c + "Compressor":                       old(fields("compressor_library request_direction_config response_direction_config choose_first")),
		c + "Compressor.CommonDirectionConfig": fields("enabled min_content_length content_type content_type_matcher"),
		c + "Compressor.ResponseDirectionConfig": fields(`common_config disable_on_etag_header weaken_etag_on_compress remove_accept_encoding_header
			uncompressible_response_codes`),
		c + "Compressor.RequestDirectionConfig":     fields("common_config"),
		c + "CompressorPerRoute":                    fields("disabled overrides"),
		c + "CompressorOverrides":                   fields("response_direction_config"),
		c + "ResponseDirectionOverrides":            fields("remove_accept_encoding_header"),
		"envoy.config.core.v3.RuntimeFeatureFlag":   fields("default_value runtime_key"), // there is no runtime layer, so the default is what counts
		"envoy.config.core.v3.TypedExtensionConfig": fields("name typed_config"),
		e + "gzip.compressor.v3.Gzip": fields("compression_level").refuse("compression_strategy", "only the default strategy is supported").
			refuse("window_bits", "the window always has 15 bits").refuse("memory_level", own).refuse("chunk_size", own),
		e + "brotli.compressor.v3.Brotli": fields("quality window_bits").refuse("chunk_size", own),
		e + "zstd.compressor.v3.Zstd":     fields("compression_level enable_checksum").refuse("chunk_size", own),
	}
}

func overloadTable() map[protoreflect.FullName]Rule {
	const o, m = "envoy.config.overload.v3.", "envoy.extensions.resource_monitors."
	return map[protoreflect.FullName]Rule{
		o + "OverloadManager":               fields("refresh_interval resource_monitors actions"),
		o + "ResourceMonitor":               fields("name typed_config"),
		o + "OverloadAction":                fields("name triggers").refuse("typed_config", "the actions that are supported have no configuration"),
		o + "Trigger":                       fields("name threshold scaled"),
		o + "ThresholdTrigger":              fields("value"),
		o + "ScaledTrigger":                 fields("scaling_threshold saturation_threshold"),
		m + "fixed_heap.v3.FixedHeapConfig": fields("max_heap_size_bytes"),
		m + "downstream_connections.v3.DownstreamConnectionsConfig": fields("max_active_downstream_connections"),
	}
}

func runtimeTable() map[protoreflect.FullName]Rule {
	const b = "envoy.config.bootstrap.v3."
	const disk = "only static layers are read"
	return map[protoreflect.FullName]Rule{
		b + "LayeredRuntime": fields("layers"),
		b + "RuntimeLayer": fields("name static_layer").refuse("disk_layer", disk).refuse("rtds_layer", disk).
			refuse("admin_layer", "nothing can be changed by the admin port"),
	}
}
