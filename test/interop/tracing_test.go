package interop_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// tracingFile has listeners whose spans go by OTLP over gRPC, by OTLP over HTTP, and to Zipkin, with what the protocols and the API of Envoy let one choose.
const tracingFile = `
node: {id: node-1, cluster: cluster-1, locality: {zone: zone-1}}
static_resources:
  listeners:
  - {name: grpc, traffic_direction: INBOUND, address: {socket_address: {address: 127.0.0.1, port_value: ${GRPC}}}, filter_chains: [{filters: [{name: hcm, typed_config: &hcm {"@type": &type type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: grpc,
       http_filters: &filters [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}],
       route_config: &routes {name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [
         {match: {prefix: /decorated}, decorator: {operation: "reviews.default:80/*"}, route: {cluster: app}},
         {match: {prefix: /silent}, decorator: {operation: "silent", propagate: false}, route: {cluster: app}},
         {match: {prefix: /retried}, route: {cluster: app, retry_policy: {retry_on: 5xx, num_retries: 1}}},
         {match: {prefix: /direct}, direct_response: {status: 204}}, {match: {prefix: /nowhere}, route: {cluster: nowhere}}, {match: {prefix: /refused}, route: {cluster: refused, retry_policy: {retry_on: connect-failure, num_retries: 1}}}, {match: {prefix: /}, route: {cluster: app}}]}]},
       tracing: {max_path_tag_length: 20, custom_tags: [{tag: fixed, literal: {value: one}}, {tag: asked, request_header: {name: x-asked, default_value: nothing}}, {tag: unasked, request_header: {name: x-asked}}, {tag: home, environment: {name: TRACING_TEST_UNSET, default_value: none}}],
         provider: {name: otel, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig, service_name: shop, grpc_service: {envoy_grpc: {cluster_name: collector}, timeout: 1s}}}}}}]}]}
  - {name: http, traffic_direction: OUTBOUND, address: {socket_address: {address: 127.0.0.1, port_value: ${OTLPHTTP}}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": *type, stat_prefix: http, http_filters: *filters, route_config: *routes,
       tracing: {client_sampling: {value: 100}, random_sampling: {value: 0}, overall_sampling: {value: 100}, provider: {name: otel, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig, service_name: web, http_service: {
         http_uri: {uri: "http://collector.test/v1/traces", cluster: receiver, timeout: 1s}, request_headers_to_add: [{header: {key: x-key, value: secret}}]}}}}}}]}]}
  - {name: upstream, address: {socket_address: {address: 127.0.0.1, port_value: ${UPSTREAM}}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": *type, stat_prefix: upstream, http_filters: *filters, route_config: *routes,
       tracing: {spawn_upstream_span: true, provider: {name: otel, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig, service_name: shop, grpc_service: {envoy_grpc: {cluster_name: collector}, timeout: 1s}}}}}}]}]}
  - {name: zipkin, traffic_direction: OUTBOUND, address: {socket_address: {address: 127.0.0.1, port_value: ${ZIPKIN}}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": *type, stat_prefix: zipkin, http_filters: *filters, route_config: *routes,
       tracing: {provider: {name: zipkin, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.ZipkinConfig, collector_cluster: receiver, collector_hostname: zipkin.test, collector_endpoint: /api/v2/spans, collector_endpoint_version: HTTP_JSON, trace_id_128bit: true, shared_span_context: false}}}}}]}]}
  - {name: shared, traffic_direction: INBOUND, address: {socket_address: {address: 127.0.0.1, port_value: ${SHARED}}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": *type, stat_prefix: shared, http_filters: *filters, route_config: *routes,
       tracing: {provider: {name: zipkin, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.ZipkinConfig, collector_cluster: receiver, collector_endpoint: /api/v2/spans, collector_endpoint_version: HTTP_JSON}}}}}]}]}
  - {name: plain, address: {socket_address: {address: 127.0.0.1, port_value: ${PLAIN}}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": *type, stat_prefix: plain, use_remote_address: true, preserve_external_request_id: true, http_filters: *filters, route_config: *routes, tracing: {random_sampling: {value: 0}}}}]}]}
  - {name: w3c, traffic_direction: OUTBOUND, address: {socket_address: {address: 127.0.0.1, port_value: ${W3C}}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": *type, stat_prefix: w3c, http_filters: *filters, route_config: *routes,
       tracing: {custom_tags: [{tag: made, value: "%PROTOCOL% of %REQ(x-asked)%"}, {tag: absent, value: "%REQ(x-asked)%"}], provider: {name: zipkin, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.ZipkinConfig, collector_cluster: receiver, collector_hostname: zipkin.test, collector_endpoint: /api/v2/spans, collector_endpoint_version: HTTP_JSON, trace_id_128bit: true, shared_span_context: false, trace_context_option: USE_B3_WITH_W3C_PROPAGATION}}}}}]}]}
  - {name: quiet, traffic_direction: OUTBOUND, address: {socket_address: {address: 127.0.0.1, port_value: ${QUIET}}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": *type, stat_prefix: quiet, http_filters: *filters, route_config: *routes,
       request_id_extension: {typed_config: {"@type": type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig, use_request_id_for_trace_sampling: false}},
       tracing: {random_sampling: {value: 0}, no_context_propagation: true, provider: {name: otel, typed_config: {"@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig, service_name: shop,
         grpc_service: {envoy_grpc: {cluster_name: collector, authority: collector.test}, timeout: 1s, initial_metadata: [{key: x-key, value: "half"}]},
         resource_detectors: [{name: e, typed_config: {"@type": type.googleapis.com/envoy.extensions.tracers.opentelemetry.resource_detectors.v3.EnvironmentResourceDetectorConfig}}]}}}}}]}]}
  clusters:
  - {name: app, type: STATIC, load_assignment: {cluster_name: app, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${APP}}}}}]}]}}
  - {name: refused, alt_stat_name: other, type: STATIC, load_assignment: {cluster_name: refused, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${REFUSED}}}}}]}]}}
  - {name: nowhere, type: STATIC, load_assignment: {cluster_name: nowhere}}
  - {name: collector, type: STATIC, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}},
     load_assignment: {cluster_name: collector, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${COLLECTOR}}}}}]}]}}
  - {name: receiver, type: STATIC, load_assignment: {cluster_name: receiver, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${RECEIVER}}}}}]}]}}
`

// receivers are the servers that spans are sent to.
type receivers struct {
	mu    sync.Mutex
	spans []string
}

func (r *receivers) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spans = append(r.spans, line)
}

// take gives the spans that have come, in no particular order.
func (r *receivers) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.spans
	r.spans = nil
	return out
}

func (r *receivers) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.spans)
}

// collector is the OTLP service. Its request has the same form as TracesData, and its answer is empty.
var collector = grpc.ServiceDesc{ServiceName: "opentelemetry.proto.collector.trace.v1.TraceService", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{MethodName: "Export",
	Handler: func(r any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var m tracepb.TracesData
		if err := decode(&m); err != nil {
			return nil, err
		}
		md, _ := metadata.FromIncomingContext(ctx)
		if key := md.Get("x-key"); len(key) > 0 {
			r.(*receivers).add(fmt.Sprintf("called as %v with %v", md.Get(":authority"), key))
		}
		r.(*receivers).export(&m)
		return &tracepb.TracesData{}, nil
	}}}}

func (r *receivers) export(req *tracepb.TracesData) {
	for _, rs := range req.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				r.add(fmt.Sprintf("otlp resource %s: %q %s id %x of %x in %x state %q flags %d status %v %q timed %t [%s]", service(rs.GetResource().GetAttributes()), s.GetName(), s.GetKind(), s.GetSpanId(),
					s.GetParentSpanId(), s.GetTraceId(), s.GetTraceState(), s.GetFlags(), s.GetStatus().GetCode(), s.GetStatus().GetMessage(), s.GetEndTimeUnixNano() >= s.GetStartTimeUnixNano() && s.GetStartTimeUnixNano() > 1e18, attributes(s.GetAttributes())))
			}
		}
	}
}

// service is the name of a service: what made the spans says so beside it.
func service(list []*commonpb.KeyValue) (name string) {
	slices.SortFunc(list, func(a, b *commonpb.KeyValue) int { return cmp.Compare(a.GetKey(), b.GetKey()) })
	for _, kv := range list {
		if kv.GetKey() == "service.name" || kv.GetKey() == "shop.floor" {
			name += kv.GetValue().GetStringValue() + " "
		}
	}
	return name
}

func attributes(list []*commonpb.KeyValue) string {
	var out []string
	for _, kv := range list {
		out = append(out, kv.GetKey()+"="+fmt.Sprint(kv.GetValue().GetStringValue()))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// ServeHTTP takes OTLP over HTTP and Zipkin's JSON.
func (r *receivers) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	if req.URL.Path == "/v1/traces" {
		var m tracepb.TracesData
		if err := proto.Unmarshal(body, &m); err != nil || req.Header.Get("Content-Type") != "application/x-protobuf" || req.Header.Get("X-Key") != "secret" || req.Host != "collector.test" {
			r.add(fmt.Sprintf("broken: %v %v %s", err, req.Header, req.Host))
		}
		r.export(&m)
		return
	}
	var spans []struct {
		ID, TraceID, ParentID, Name, Kind string
		Timestamp, Duration               int64
		Shared                            bool
		LocalEndpoint                     map[string]any
		Tags                              map[string]string
	}
	if err := json.Unmarshal(body, &spans); err != nil {
		r.add("broken: " + err.Error() + " " + string(body))
	}
	for _, s := range spans {
		var tags []string
		for k, v := range s.Tags {
			tags = append(tags, k+"="+v)
		}
		slices.Sort(tags)
		r.add(fmt.Sprintf("zipkin %s %s %s to %s: %q %s id %s of %s in %s shared %t timed %t local %v [%s]", req.Method, req.Header.Get("Content-Type"), req.URL.Path, req.Host, s.Name, s.Kind, s.ID, cmp.Or(s.ParentID, "nothing"), s.TraceID, s.Shared, s.Timestamp > 1e15 && s.Duration > 0, s.LocalEndpoint["serviceName"], strings.Join(tags, " ")))
	}
}

var (
	hexID = regexp.MustCompile(`\b[0-9a-f]{32}\b|\b[0-9a-f]{16}\b`)
	uuid  = regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-(.)[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
)

// renamed gives the ids that are not known short names in the order of their first use, and leaves of a request id what it tells.
func renamed(lines []string, known string) []string {
	names := map[string]string{}
	for i, l := range lines {
		l = uuid.ReplaceAllString(l, "(request id $1)")
		lines[i] = hexID.ReplaceAllStringFunc(l, func(id string) string {
			if strings.Contains(known, id) || strings.Trim(id, "0") == "" {
				return id
			}
			if names[id] == "" {
				names[id] = fmt.Sprintf("id%d/%d", len(names), len(id))
			}
			return names[id]
		})
	}
	return lines
}

// traced are the headers that have to do with tracing.
var traced = []string{"Traceparent", "Tracestate", "B3", "X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Flags", "X-Request-Id", "X-Envoy-Decorator-Operation", "X-Client-Trace-Id"}

func tracingHeaders(h http.Header) string {
	var out []string
	for _, n := range traced {
		if v := h.Values(n); len(v) > 0 && (n != "Tracestate" || v[0] != "") { // Envoy sends an empty tracestate
			out = append(out, n+"="+strings.Join(v, "|"))
		}
	}
	return strings.Join(out, " ")
}

const (
	w3cParent  = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	w3cQuiet   = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	b3Multi    = "x-b3-traceid: 463ac35c9f6413ad48485a3953bb6124\nx-b3-spanid: a2fb4a1d1a96d312\nx-b3-parentspanid: 0020000000000001"
	sampledID  = "x-request-id: 12345678-1234-9234-8234-123456789abc"
	plainID    = "x-request-id: 12345678-1234-4234-8234-123456789abc"
	forcedTag  = "x-envoy-force-trace: true"
	clientsTag = "x-client-trace-id: mine"
)

// TestTracing sends the same requests to both data planes, and compares what the upstream is told, what the client is told and which spans come to real receivers.
func TestTracing(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "shop.floor=3, other=x")
	rec := &receivers{}
	l, err := net.Listen("tcp", loopbacks)
	must(t, err)
	server := grpc.NewServer()
	server.RegisterService(&collector, rec)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	receiver := httptest.NewServer(rec)
	t.Cleanup(receiver.Close)
	var mu sync.Mutex
	var seen []string
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, "upstream "+tracingHeaders(r.Header))
		mu.Unlock()
		if op := r.URL.Query().Get("op"); op != "" {
			w.Header().Set("x-envoy-decorator-operation", op)
		}
		if strings.Contains(r.URL.RawQuery, "500") {
			w.WriteHeader(500)
		} else if strings.Contains(r.URL.RawQuery, "404") {
			w.WriteHeader(404)
		}
	}))
	t.Cleanup(app.Close)
	_, collectorPort, _ := net.SplitHostPort(l.Addr().String())
	_, receiverPort, _ := net.SplitHostPort(receiver.Listener.Addr().String())
	_, appPort, _ := net.SplitHostPort(app.Listener.Addr().String())
	onFiles(t, tracingFile, map[string]string{"COLLECTOR": collectorPort, "RECEIVER": receiverPort, "APP": appPort}, func(p *filed) (out []string) {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		ask := func(to, path, headers string, spans int) {
			rec.take()
			req, err := http.NewRequest(http.MethodGet, "http://"+p.at(to)+path, nil)
			must(t, err)
			req.Host = "shop.test"
			req.Header.Set("User-Agent", "tester")
			for line := range strings.Lines(headers) {
				k, v, _ := strings.Cut(strings.TrimSpace(line), ": ")
				req.Header.Add(k, v)
			}
			resp, err := client.Do(req)
			must(t, err)
			resp.Body.Close()
			p.until("the spans have come", func() bool { return rec.count() >= spans })
			mu.Lock()
			lines := append([]string{fmt.Sprintf("%s %s %q -> %d %s", to, path, headers, resp.StatusCode, tracingHeaders(resp.Header))}, seen...)
			seen = nil
			mu.Unlock()
			got := rec.take()
			slices.SortFunc(got, func(a, b string) int {
				return cmp.Compare(hexID.ReplaceAllString(a, ""), hexID.ReplaceAllString(b, ""))
			})
			out = append(out, renamed(append(lines, got...), headers)...)
		}
		for _, to := range []string{"GRPC", "ZIPKIN", "SHARED"} {
			for _, path := range []string{"/", "/a/path/that/is/rather/long?with=query", "/?500", "/?404", "/decorated", "/decorated?op=theirs", "/silent", "/direct", "/nowhere"} {
				ask(to, path, "", 1)
			}
			for _, headers := range []string{plainID, sampledID, forcedTag, clientsTag, "x-asked: yes", "x-envoy-decorator-operation: caller"} {
				ask(to, "/decorated", headers, 1)
			}
		}
		for _, headers := range []string{w3cParent, w3cParent + "\ntracestate: a=b,c=d"} {
			ask("GRPC", "/", headers, 1)
		}
		for _, headers := range []string{b3Multi, b3Multi + "\nx-b3-sampled: 1", b3Multi + "\nx-b3-flags: 1"} {
			ask("ZIPKIN", "/", headers, 1)
			ask("SHARED", "/", headers, 1)
		}
		ask("ZIPKIN", "/", b3Multi+"\nx-b3-sampled: 0", 0)
		ask("ZIPKIN", "/", "b3: 463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1-0020000000000001", 1)
		ask("ZIPKIN", "/", "b3: 463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-0", 0)
		ask("ZIPKIN", "/", "b3: 0", 0)
		ask("ZIPKIN", "/", w3cParent, 1)
		ask("GRPC", "/", w3cQuiet, 0)
		ask("GRPC", "/", "traceparent: nonsense", 0)
		ask("UPSTREAM", "/decorated", "", 2)
		ask("UPSTREAM", "/retried?500", "", 3)
		ask("UPSTREAM", "/refused", "", 3)
		ask("UPSTREAM", "/nowhere", "", 1)
		ask("UPSTREAM", "/", w3cQuiet, 0)
		ask("OTLPHTTP", "/", "", 0)
		ask("OTLPHTTP", "/decorated", forcedTag, 0)
		ask("OTLPHTTP", "/decorated?op=theirs", clientsTag, 1)
		ask("OTLPHTTP", "/", sampledID, 1)
		for _, headers := range []string{"", "x-asked: yes", w3cParent, b3Multi, b3Multi + "\n" + w3cParent} {
			ask("W3C", "/", headers, 1)
		}
		ask("W3C", "/", w3cQuiet, 0)
		for _, headers := range []string{"", plainID, w3cParent, forcedTag} {
			ask("QUIET", "/decorated", headers, 1)
		}
		ask("QUIET", "/", w3cQuiet, 0)
		ask("PLAIN", "/decorated", "", 0)
		ask("PLAIN", "/decorated", sampledID, 0)
		ask("PLAIN", "/decorated", plainID, 0)
		return out
	})
}
