package decode

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/heddle-mesh/heddle/data/proxy/accesslog"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/xds/honour"
)

func TestTheTableNamesRealFields(t *testing.T) {
	for name, r := range honour.Messages() {
		mt, err := protoregistry.GlobalTypes.FindMessageByName(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for f := range r.Fields() {
			if mt.Descriptor().Fields().ByName(f) == nil {
				t.Errorf("%s has no field %s", name, f)
			}
		}
	}
}

// TestEveryFieldBelowIsInTheTable: a message that a honoured field leads to must be in the table, or the field can never be used.
func TestEveryFieldBelowIsInTheTable(t *testing.T) {
	for name, r := range honour.Messages() {
		mt, err := protoregistry.GlobalTypes.FindMessageByName(name)
		if err != nil {
			continue
		}
		for f := range r.Fields() {
			d := mt.Descriptor().Fields().ByName(f)
			if d == nil {
				continue
			}
			m := d.Message()
			if d.IsMap() {
				m = d.MapValue().Message()
			}
			if m == nil || m.FullName() == "google.protobuf.Any" {
				continue
			}
			if _, ok := honour.RuleOf(m.FullName()); !ok {
				t.Errorf("%s.%s leads to %s, which is not in the table", name, f, m.FullName())
			}
		}
	}
}

func plain(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("testdata/plain.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPlainBootstrap(t *testing.T) {
	b, err := (&Decoder{}).Bootstrap([]byte(plain(t)))
	if err != nil {
		t.Fatal(err)
	}
	if b.Admin != "127.0.0.1:15000" || b.Node.GetId() != "front" || b.ADS != nil {
		t.Errorf("admin %q node %v ads %v", b.Admin, b.Node, b.ADS)
	}
	h := b.Listeners[0].Chains[0].HTTP
	host := h.Inline.Hosts[0]
	if len(h.Filters) != 2 || !h.Filters[0].RBAC.Rules.Deny || h.Filters[1].Fault == nil || h.ServerName != "envoy" || !h.GenerateRequestID || h.StreamIdleTimeout != 5*time.Minute {
		t.Errorf("manager %+v", h)
	}
	if e := host.Headers.Request[0]; e.Name != "x-a" || e.Format == nil || e.Action != config.OverwriteOrAdd {
		t.Errorf("edit %+v", e)
	}
	old, teapot, all := host.Routes[0], host.Routes[1], host.Routes[2]
	if old.Redirect.Code != 302 || old.Match.Headers[0].String.Value != "q" || !old.Match.Headers[0].Invert || !old.Match.Query[0].Present {
		t.Errorf("route %+v", old)
	}
	if teapot.Direct.Status != 418 || teapot.Match.Regex.MatchString("/r/12/x") || !teapot.Match.Regex.MatchString("/r/12") {
		t.Errorf("route %+v", teapot)
	}
	if f := all.Forward; f.TotalWeight != 100 || f.Timeout != 3*time.Second || f.Retry.Attempts != 2 || f.Retry.On != config.RetryConnectFailure|config.Retry5xx|config.RetryRetriableStatusCodes ||
		!f.Retry.PreviousHosts || f.Retry.BackoffMax != 250*time.Millisecond || all.Match.Share != 500_000 || all.PerFilter.Fault.AbortShare != 1000 {
		t.Errorf("route %+v %+v", all, all.Forward)
	}
	keep := h.AccessLogs[0].Log.(*accesslog.Log).Keep
	if !keep(&accesslog.Record{Code: 404, Flags: "NR"}) || keep(&accesslog.Record{Code: 404, Flags: "UH"}) || keep(&accesslog.Record{Code: 200, Flags: "NR"}) {
		t.Error("the access log's filter is wrong")
	}
	a, c := b.Clusters[0], b.Clusters[1]
	if a.Policy != config.LeastRequest || a.Thresholds[0].Connections != 7 || a.Thresholds[1].Connections != 1024 || a.Outlier.Consecutive5xx != 3 || a.Endpoints.Localities[0].Endpoints[0].Weight != 3 ||
		a.Endpoints.Localities[0].Endpoints[1].Path != "/run/x.sock" {
		t.Errorf("cluster %+v", a)
	}
	if e := c.Endpoints.Localities[0].Endpoints[0]; e.Host != "localhost" || e.Port != 9000 {
		t.Errorf("endpoint %+v", e)
	}
}

func TestWhatIsNotHonouredIsNamedWithItsPath(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"stat_prefix: front", "stat_prefix: front\n          tracing: {verbose: true}", "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.tracing.verbose: spans have no annotations"},
		{"stat_prefix: front", "stat_prefix: front\n          tracing: {random_sampling: {value: 101}}", "typed_config.tracing.random_sampling: 101 is not a percentage from 0 to 100"},
		{"stat_prefix: front", "stat_prefix: front\n          tracing: {custom_tags: [{tag: a, metadata: {}}]}", "typed_config.tracing.custom_tags[0].metadata: metadata is not kept"},
		{"stat_prefix: front", "stat_prefix: front\n          codec_type: HTTP3", "filters[0].typed_config.codec_type: HTTP/3 is not spoken"},
		{"stat_prefix: front", "stat_prefiks: front", "filters[0].typed_config.stat_prefiks: envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager has no such field"},
		{"timeout: 3s", "timeout: 3s\n                  cors: {}", "routes[2].route.cors: the field is not supported"},
		{"timeout: 3s", "timeout: -3s", "routes[2].route.timeout: "},
		{"lb_policy: LEAST_REQUEST", "lb_policy: LOAD_BALANCING_POLICY_CONFIG", "static_resources.clusters[0].lb_policy: with load_balancing_policy leave it out"},
		{"lb_policy: LEAST_REQUEST", "lb_policy: MAGLEV\n    maglev_lb_config: {table_size: 1000}", "static_resources.clusters[0].maglev_lb_config.table_size: 1000 is not prime"},
		{"lb_policy: LEAST_REQUEST", "lb_policy: RING_HASH\n    ring_hash_lb_config: {hash_function: MURMUR_HASH_2}", "ring_hash_lb_config.hash_function: only XX_HASH"},
		{"lb_policy: LEAST_REQUEST", "lb_policy: RING_HASH\n    ring_hash_lb_config: {minimum_ring_size: 10, maximum_ring_size: 5}", "minimum_ring_size: 10 is above maximum_ring_size 5"},
		{"timeout: 3s", "timeout: 3s\n                  hash_policy: [{filter_state: {key: x}}]", "route.hash_policy[0].filter_state: the field is not supported"},
		{"timeout: 3s", "timeout: 3s\n                  hash_policy: [{connection_properties: {}}]", "route.hash_policy[0]: it says nothing to hash by"},
		{"lb_policy: LEAST_REQUEST", "per_connection_buffer_limit_bytes: 0", "static_resources.clusters[0].per_connection_buffer_limit_bytes: want 1 or more"},
		{"lb_policy: LEAST_REQUEST", "http2_protocol_options: {initial_stream_window_size: 5}", "static_resources.clusters[0].http2_protocol_options.initial_stream_window_size: want 65535"},
		{"enforcing_success_rate: 0", "detect_degraded_hosts: true", "static_resources.clusters[0].outlier_detection.detect_degraded_hosts: only active"},
		{`domains: ["*"]`, `domains: ["*", "*"]`, "virtual_hosts[0].domains[1]: \"*\" belongs to"},
		{`domains: ["*"]`, `domains: ["a*b"]`, "virtual_hosts[0].domains[0]: \"a*b\": a wildcard"},
		{"/r/[0-9]+", "/r/[0-9+", "routes[1].match.safe_regex.regex: error parsing regexp"},
		{"%RESPONSE_CODE%", "%NOPE%", "access_log[0].typed_config.log_format.json_format: access log format: code: %NOPE%"},
		{"filters.http.router.v3.Router", "filters.http.lua.v3.Lua", "http_filters[2].typed_config: envoy.extensions.filters.http.lua.v3.Lua is not supported"},
		{"key: X-A", `key: ":path"`, "request_headers_to_add[0].header.key: the header \":path\" cannot be edited"},
		{"retry_on: \"", "retry_on: \"sometimes,", "retry_policy.retry_on: \"sometimes\" is unknown"},
		{"type: STATIC", "type: EDS\n    eds_cluster_config: {eds_config: {path_config_source: {path: /x}}}", "clusters[0].eds_cluster_config.eds_config.path_config_source: the field is not supported"},
		{"admin:", "stats_flush_interval: 1s\nadmin:", "stats_flush_interval: the field is not supported"},
		{"admin:", "overload_manager: {buffer_factory_config: {}}\nadmin:", "overload_manager.buffer_factory_config: the field is not supported"},
		{"connect_timeout: 0.25s", "connect_timeout: soon", "parse bootstrap"},
		{"static_resources:", "static_resources: [", "parse bootstrap"},
	} {
		text := strings.Replace(plain(t), c.old, c.new, 1)
		if text == plain(t) {
			t.Fatalf("%q is not in the file", c.old)
		}
		_, err := (&Decoder{}).Bootstrap([]byte(text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s → %s:\n got %v\nwant %s", c.old, c.new, err, c.want)
		}
	}
}

// TestDatagramListenersHaveNoConnections: what is about connections is refused there, and not taken and ignored.
func TestDatagramListenersHaveNoConnections(t *testing.T) {
	l := &listenerv3.Listener{Name: "x", PerConnectionBufferLimitBytes: wrapperspb.UInt32(4096), Transparent: wrapperspb.Bool(true), Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
		SocketAddress: &corev3.SocketAddress{Protocol: corev3.SocketAddress_UDP, Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 53}}}}}
	_, err := (&Decoder{}).Listener("", l)
	for _, field := range []string{"per_connection_buffer_limit_bytes", "transparent"} {
		if want := field + ": a UDP listener has no connections that it could be about"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// TestListenersOfCapturedDatagrams: one takes them in, at all addresses; the others stand for where they were sent to.
func TestListenersOfCapturedDatagrams(t *testing.T) {
	for _, x := range []struct{ with, want string }{
		{`"address": {"socketAddress": {"protocol": "UDP", "address": "0.0.0.0", "portValue": 15001}}, "useOriginalDst": true, "udpListenerConfig": {"downstreamSocketConfig": {"maxRxDatagramSize": "65535"}}`, ""},
		{`"address": {"socketAddress": {"protocol": "UDP", "address": "10.0.0.1", "portValue": 53}}, "bindToPort": false`, ""},
		{`"address": {"socketAddress": {"protocol": "UDP", "address": "10.0.0.1", "portValue": 15001}}, "useOriginalDst": true`, "use_original_dst: 10.0.0.1: captured datagrams are taken in"},
		{`"address": {"socketAddress": {"protocol": "UDP", "address": "::", "portValue": 15001}}, "useOriginalDst": true, "bindToPort": false`, "bind_to_port: ::: captured datagrams are told apart"},
		{`"address": {"socketAddress": {"protocol": "UDP", "address": "0.0.0.0", "portValue": 53}}, "bindToPort": false`, "bind_to_port: 0.0.0.0: captured datagrams are told apart"},
	} {
		l := &listenerv3.Listener{}
		text := `{"name": "l", ` + x.with + `, "listenerFilters": [{"name": "u", "typedConfig": ` + inAny("envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig", `{"statPrefix": "s", "cluster": "c"}`) + `}]}`
		if err := protojson.Unmarshal([]byte(text), l); err != nil {
			t.Fatal(err)
		}
		got, err := (&Decoder{}).Listener("", l)
		if x.want != "" && (err == nil || !strings.Contains(err.Error(), x.want)) || x.want == "" && err != nil {
			t.Errorf("%s: error %v, want %q", x.with, err, x.want)
		}
		if x.want == "" && (got.Bind != got.UseOriginalDst || got.Datagrams == nil) {
			t.Errorf("%+v", got)
		}
	}
}

func TestUnknownWireFields(t *testing.T) {
	l := &listenerv3.Listener{Name: "x"}
	l.ProtoReflect().SetUnknown(protoreflect.RawFields{0xfa, 0x7f, 1, 'a'})
	_, err := (&Decoder{}).Listener("", l)
	if err == nil || !strings.Contains(err.Error(), "does not know") {
		t.Errorf("error %v", err)
	}
}

const istioCluster = `{"name": "outbound|80||web", "type": "EDS", "edsClusterConfig": {"edsConfig": {"ads": {}, "initialFetchTimeout": "0s", "resourceApiVersion": "V3"}, "serviceName": "outbound|80||web"},
 "connectTimeout": "10s", "lbPolicy": "LEAST_REQUEST", "commonLbConfig": {"healthyPanicThreshold": {}},
 "circuitBreakers": {"thresholds": [{"maxConnections": 4294967295, "maxPendingRequests": 4294967295, "maxRequests": 4294967295, "maxRetries": 4294967295, "trackRemaining": true}]},
 "metadata": {"filterMetadata": {"istio": {"services": [{"host": "web.shop.svc.cluster.local", "name": "web", "namespace": "shop"}], "default_original_port": 80}}},
 "upstreamBindConfig": {"sourceAddress": {"address": "127.0.0.6", "portValue": 0}, "extraSourceAddresses": [{"address": {"address": "::6", "portValue": 0}}]},
 "typedExtensionProtocolOptions": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
   "commonHttpProtocolOptions": {"idleTimeout": "30s"}, "useDownstreamProtocolConfig": {"httpProtocolOptions": {}, "http2ProtocolOptions": {}}}},
 "transportSocketMatches": [{"name": "tlsMode-istio", "match": {"tlsMode": "istio"}, "transportSocket": {"name": "envoy.transport_sockets.tls", "typedConfig": {
   "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "sni": "outbound_.80_._.web", "commonTlsContext": {
     "tlsParams": {"tlsMinimumProtocolVersion": "TLSv1_2", "tlsMaximumProtocolVersion": "TLSv1_3"}, "alpnProtocols": ["istio-http/1.1", "istio", "http/1.1"],
     "tlsCertificateSdsSecretConfigs": [{"name": "default", "sdsConfig": {"ads": {}}}],
     "combinedValidationContext": {"defaultValidationContext": {"matchTypedSubjectAltNames": [{"sanType": "URI", "matcher": {"exact": "spiffe://cluster.local/ns/shop/sa/web"}}]},
       "validationContextSdsSecretConfig": {"name": "ROOTCA", "sdsConfig": {"ads": {}}}}}}}},
  {"name": "tlsMode-disabled", "match": {}, "transportSocket": {"name": "raw", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}}]}`

func TestIstiosCluster(t *testing.T) {
	m := &clusterv3.Cluster{}
	if err := protojson.Unmarshal([]byte(istioCluster), m); err != nil {
		t.Fatal(err)
	}
	c, err := (&Decoder{Identity: true}).Cluster("", m)
	if err != nil {
		t.Fatal(err)
	}
	tls := c.Matches[0].TLS
	if c.Matches[0].Labels["tlsMode"] != "istio" || !tls.Certificates[0].Local || !tls.Roots.Local || tls.SANs[0].Match.Value != "spiffe://cluster.local/ns/shop/sa/web" || c.Matches[1].TLS != nil {
		t.Errorf("matches %+v", c.Matches)
	}
	if c.Panic != 0 || c.IdleTimeout != 30*time.Second || c.Bind.String() != "127.0.0.6" || c.BindOther.String() != "::6" || c.Telemetry.ServiceNamespace != "shop" || c.Endpoints != nil {
		t.Errorf("cluster %+v", c)
	}
	if c, err = (&Decoder{}).Cluster("", m); err != nil || c.Matches[0].TLS.Roots.Local {
		t.Errorf("without an identity of its own the names come over ADS: %+v, %v", c, err)
	}
}

func TestADSBootstrap(t *testing.T) {
	file := `{"node": {"id": "x"}, "dynamic_resources": {"ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]},
	 "lds_config": {"ads": {}, "resource_api_version": "V3"}, "cds_config": {"ads": {}}},
	 "static_resources": {"clusters": [{"name": "xds", "type": "STATIC", "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions":
	  {"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}},
	  "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 15010}}}}]}]}}]}}`
	b, err := (&Decoder{}).Bootstrap([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if b.ADS.Target != "127.0.0.1:15010" || b.ADS.StateOfTheWorld || !b.ADS.Clusters || len(b.Clusters) != 0 {
		t.Errorf("%+v", b.ADS)
	}
	_, err = (&Decoder{}).Bootstrap([]byte(strings.Replace(file, `"cluster_name": "xds"}}]`, `"cluster_name": "nowhere"}}]`, 1)))
	if err == nil || !strings.Contains(err.Error(), `the cluster "nowhere" is not among`) {
		t.Errorf("error %v", err)
	}
}

func FuzzBootstrap(f *testing.F) {
	f.Add([]byte(plain(f)))
	f.Add([]byte(`{"static_resources": {"listeners": [{"filter_chains": [{"filters": [{"typed_config": {"@type": "x"}}]}]}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := (&Decoder{}).Bootstrap(b)
		var list Problems
		if errors.As(err, &list) && len(list) == 0 {
			t.Fatal("an error without a problem")
		}
		if err == nil && out == nil {
			t.Fatal("nothing and no error")
		}
	})
}

// FuzzResources decodes bytes as each resource; a message that is accepted must survive being encoded again.
func FuzzResources(f *testing.F) {
	m := &clusterv3.Cluster{}
	if err := protojson.Unmarshal([]byte(istioCluster), m); err != nil {
		f.Fatal(err)
	}
	b, _ := proto.Marshal(m)
	f.Add(byte(1), b)
	boot, err := ParseBootstrap([]byte(plain(f)))
	if err != nil {
		f.Fatal(err)
	}
	l, _ := proto.Marshal(boot.GetStaticResources().GetListeners()[0])
	f.Add(byte(0), l)
	d := &Decoder{Identity: true, Telemetry: true}
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		switch kind % 3 {
		case 0:
			m := &listenerv3.Listener{}
			if proto.Unmarshal(b, m) == nil {
				if l, err := d.Listener("", m); err == nil && len(l.Chains) == 0 && l.Default == nil {
					t.Fatal("a listener without a chain was accepted")
				}
			}
		case 1:
			m := &clusterv3.Cluster{}
			if proto.Unmarshal(b, m) == nil {
				if c, err := d.Cluster("", m); err == nil && c.Name == "" {
					t.Fatal("a cluster without a name was accepted")
				}
			}
		case 2:
			m := &routev3.RouteConfiguration{}
			if proto.Unmarshal(b, m) == nil {
				_, _ = d.RouteTable("", m)
			}
		}
	})
}

// TestCORSIsInherited: what the policy of a weighted cluster does not say, that of its route does, and then that of the virtual host.
func TestCORSIsInherited(t *testing.T) {
	policy := func(body string) string {
		return `"typedPerFilterConfig": {"envoy.filters.http.cors": ` + inAny("envoy.extensions.filters.http.cors.v3.CorsPolicy", body) + `}`
	}
	m := new(routev3.VirtualHost)
	if err := protojson.Unmarshal([]byte(`{"name": "h", "domains": ["*"], `+policy(`{"maxAge": "5", "allowMethods": "GET", "allowCredentials": true, "allowOriginStringMatch": [{"exact": "a"}]}`)+`, "routes": [
		{"match": {"prefix": "/"}, `+policy(`{"maxAge": "6", "allowCredentials": false}`)+`, "route": {"weightedClusters": {"clusters": [{"name": "c", "weight": 1, `+policy(`{"allowMethods": "PUT"}`)+`}]}}}]}`), m); err != nil {
		t.Fatal(err)
	}
	h, err := new(Decoder).VirtualHost("h", m)
	if err != nil {
		t.Fatal(err)
	}
	route := h.Routes[0].PerFilter.CORS
	weighted := h.Routes[0].Forward.Weighted[0].PerFilter.CORS
	if route.MaxAge != "6" || route.Methods != "GET" || *route.Credentials || len(route.Origins) != 1 {
		t.Errorf("the route's is %+v", route)
	}
	if weighted.MaxAge != "6" || weighted.Methods != "PUT" || *weighted.Credentials || len(weighted.Origins) != 1 {
		t.Errorf("the weighted cluster's is %+v", weighted)
	}
}
