package decode

import (
	"math"
	"net/url"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	uuidv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
	detectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/tracers/opentelemetry/resource_detectors/v3"
	tagv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

const (
	defaultPathTag   = 256  // bytes of a path in a tag
	defaultSpanCache = 1024 // spans that wait for OTLP
	zipkinTimeout    = 5 * time.Second
)

func (r *read) tracing(path string, m *hcmv3.HttpConnectionManager_Tracing) *config.Tracing {
	if m == nil {
		return nil
	}
	t := &config.Tracing{Client: r.sampling(path+".client_sampling", m.GetClientSampling()), Random: r.sampling(path+".random_sampling", m.GetRandomSampling()), Overall: r.sampling(path+".overall_sampling", m.GetOverallSampling()),
		MaxPath: int(number(m.GetMaxPathTagLength(), defaultPathTag)), SpawnUpstream: m.GetSpawnUpstreamSpan().GetValue(), NoContext: m.GetNoContextPropagation()}
	for i, tag := range m.GetCustomTags() {
		t.Tags = append(t.Tags, r.customTag(at(path, "custom_tags", i), tag))
	}
	if p := m.GetProvider(); p != nil {
		t.Provider = r.traceProvider(path+".provider", p)
	}
	return t
}

// requestIDs reads what request ids are for.
func (r *read) requestIDs(path string, m *hcmv3.RequestIDExtension, h *config.HTTP) {
	if m == nil {
		return
	}
	if m.GetTypedConfig() == nil {
		r.add(path+".typed_config", "it is missing")
		return
	}
	inner, err := open(m.GetTypedConfig())
	if err != nil {
		return // reported by honour
	}
	c, ok := inner.(*uuidv3.UuidRequestIdConfig)
	if !ok {
		r.add(path+".typed_config", "%s is not a form of request ids that is supported", inner.ProtoReflect().Descriptor().FullName())
		return
	}
	h.AnyID = !boolean(c.GetUseRequestIdForTraceSampling(), true)
}

// sampling is a share of ten thousand, all of them if it is not said.
func (r *read) sampling(path string, p *typev3.Percent) uint32 {
	if p == nil {
		return 10_000
	}
	v := p.GetValue()
	if !(v >= 0 && v <= 100) {
		r.add(path, "%v is not a percentage from 0 to 100", v)
		return 0
	}
	return uint32(math.Round(v * 100))
}

func (r *read) customTag(path string, m *tagv3.CustomTag) config.TraceTag {
	t := config.TraceTag{Name: m.GetTag()}
	if t.Name == "" {
		r.add(path+".tag", "it is empty")
	}
	switch k := m.GetType().(type) {
	case *tagv3.CustomTag_Literal_:
		t.Value = k.Literal.GetValue()
	case *tagv3.CustomTag_RequestHeader:
		t.Header, t.Value = strings.ToLower(k.RequestHeader.GetName()), k.RequestHeader.GetDefaultValue()
		if t.Header == "" {
			r.add(path+".request_header.name", "it is empty")
		}
	case *tagv3.CustomTag_Environment_:
		if t.Value = k.Environment.GetDefaultValue(); r.d.Env != nil {
			if v, ok := r.d.Env(k.Environment.GetName()); ok {
				t.Value = v
			}
		}
	case *tagv3.CustomTag_Value:
		t.Format = r.textFormat(path+".value", k.Value, true)
	default:
		r.add(path, "none of literal, request_header, environment and value is set")
	}
	return t
}

func (r *read) traceProvider(path string, m *tracev3.Tracing_Http) *config.TraceProvider {
	if m.GetTypedConfig() == nil {
		r.add(path+".typed_config", "it is missing")
		return nil
	}
	inner, err := open(m.GetTypedConfig())
	if err != nil {
		return nil // reported by honour
	}
	path += ".typed_config"
	switch c := inner.(type) {
	case *tracev3.OpenTelemetryConfig:
		return r.openTelemetry(path, c)
	case *tracev3.ZipkinConfig:
		return r.zipkin(path, c)
	}
	r.add(path, "%s is not a tracer that is supported", inner.ProtoReflect().Descriptor().FullName())
	return nil
}

func (r *read) openTelemetry(path string, m *tracev3.OpenTelemetryConfig) *config.TraceProvider {
	p := &config.TraceProvider{Service: m.GetServiceName(), MaxHeld: int(number(m.GetMaxCacheSize(), defaultSpanCache))}
	switch g, h := m.GetGrpcService(), m.GetHttpService(); {
	case (g == nil) == (h == nil):
		r.add(path, "exactly one of grpc_service and http_service must be set")
	case g != nil:
		p.GRPC, p.Cluster, p.Timeout = true, g.GetEnvoyGrpc().GetClusterName(), r.duration(path+".grpc_service.timeout", g.GetTimeout(), 0)
		if p.Cluster == "" {
			r.add(path+".grpc_service.envoy_grpc.cluster_name", "it is empty")
		}
		p.Host = g.GetEnvoyGrpc().GetAuthority()
		p.Headers = r.metadata(path+".grpc_service", g.GetInitialMetadata())
	default:
		u := h.GetHttpUri()
		p.Cluster, p.Timeout = u.GetCluster(), r.duration(path+".http_service.http_uri.timeout", u.GetTimeout(), 0)
		to, err := url.Parse(u.GetUri())
		if err != nil || to.Host == "" {
			r.add(path+".http_service.http_uri.uri", "%q is not a URL such as http://collector:4318/v1/traces", u.GetUri())
			break
		}
		if p.Host, p.Path = to.Host, to.EscapedPath(); p.Path == "" {
			p.Path = "/"
		}
		if p.Cluster == "" {
			r.add(path+".http_service.http_uri.cluster", "it is empty")
		}
		for i, x := range h.GetRequestHeadersToAdd() {
			to := at(path, "http_service.request_headers_to_add", i)
			r.nothingButHeader(to, x)
			p.Headers = append(p.Headers, config.TraceHeader{Name: strings.ToLower(x.GetHeader().GetKey()), Value: r.fixed(to+".header.value", x.GetHeader().GetValue())})
		}
	}
	for i, x := range m.GetResourceDetectors() {
		if x.GetTypedConfig() == nil {
			r.add(at(path, "resource_detectors", i)+".typed_config", "it is missing")
			continue
		}
		inner, err := open(x.GetTypedConfig())
		if err != nil {
			continue // reported by honour
		}
		if _, ok := inner.(*detectorv3.EnvironmentResourceDetectorConfig); !ok {
			r.add(at(path, "resource_detectors", i)+".typed_config", "only the environment is looked at")
			continue
		}
		p.Resource = append(p.Resource, r.resourceAttributes()...)
	}
	return p
}

// resourceAttributes reads OTEL_RESOURCE_ATTRIBUTES: KEY=VALUE,KEY=VALUE (OpenTelemetry, "Resource SDK").
func (r *read) resourceAttributes() (out []config.TraceHeader) {
	if r.d.Env == nil {
		return nil
	}
	text, _ := r.d.Env("OTEL_RESOURCE_ATTRIBUTES")
	for pair := range strings.SplitSeq(text, ",") {
		if k, v, ok := strings.Cut(pair, "="); ok && k != "" {
			out = append(out, config.TraceHeader{Name: strings.TrimSpace(k), Value: strings.TrimSpace(v)})
		}
	}
	return out
}

// metadata reads the headers of calls by gRPC.
func (r *read) metadata(path string, list []*corev3.HeaderValue) (out []config.TraceHeader) {
	for i, x := range list {
		if strings.Contains(x.GetValue(), "%") {
			r.add(at(path, "initial_metadata", i)+".value", "want a value without %%")
		}
		out = append(out, config.TraceHeader{Name: strings.ToLower(x.GetKey()), Value: x.GetValue()})
	}
	return out
}

// fixed reads a value that may have no operators; %% is a percent sign.
func (r *read) fixed(path, s string) string {
	out := strings.ReplaceAll(s, "%%", "%")
	if s == "" || strings.Count(s, "%") != 2*strings.Count(out, "%") {
		r.add(path, "want a fixed value")
	}
	return out
}

// nothingButHeader refuses what a header of our own requests cannot be: there is no other of its name.
func (r *read) nothingButHeader(path string, x *corev3.HeaderValueOption) {
	for field, set := range map[string]bool{"append": x.GetAppend() != nil, "append_action": x.GetAppendAction() != 0, "keep_empty_value": x.GetKeepEmptyValue()} {
		if set {
			r.add(path+"."+field, "the header is added to requests of the proxy's own, which have no other of its name")
		}
	}
}

func (r *read) zipkin(path string, m *tracev3.ZipkinConfig) *config.TraceProvider {
	p := &config.TraceProvider{Zipkin: true, Cluster: m.GetCollectorCluster(), Path: m.GetCollectorEndpoint(), Host: m.GetCollectorHostname(), Timeout: zipkinTimeout,
		LongIDs: m.GetTraceId_128Bit(), SharedIDs: boolean(m.GetSharedSpanContext(), true), W3C: m.GetTraceContextOption() == tracev3.ZipkinConfig_USE_B3_WITH_W3C_PROPAGATION}
	if p.Cluster == "" {
		r.add(path+".collector_cluster", "it is empty")
	}
	if !strings.HasPrefix(p.Path, "/") {
		r.add(path+".collector_endpoint", "%q is not a path such as /api/v2/spans", p.Path)
	}
	return p
}
