package filter

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	uuidv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
	detectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/tracers/opentelemetry/resource_detectors/v3"
	tagv3 "github.com/envoyproxy/go-control-plane/envoy/type/tracing/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// Trace has a connection manager trace the requests of a side, as far as Telemetries and MeshConfig ask for it.
func Trace(v *view.View, side mesh.Side, c *hcmv3.HttpConnectionManager) {
	t := v.Tracing(side)
	if t == nil {
		return
	}
	if !v.Can(mesh.FeatureTracing) {
		v.Notice(mesh.Problem{Object: t.Origin, Field: t.Field, Code: mesh.CodeNotEnforced, Message: "some connected proxies cannot trace requests as it is asked for, and do not trace any", Hint: "upgrade them"})
		return
	}
	kind := "opentelemetry"
	if t.Traces.Zipkin {
		kind = "zipkin"
	}
	cluster := v.Reporting(t.Traces.At, providerField(t.Provider, kind+".service"))
	if cluster == "" {
		return
	}
	self := v.Self()
	name, config := traceProvider(t.Traces, cluster, self.Service)
	c.Tracing = &hcmv3.HttpConnectionManager_Tracing{
		ClientSampling: percent(100), RandomSampling: percent(t.Sampling), OverallSampling: percent(100), MaxPathTagLength: message.SetUInt32(t.MaxPath), NoContextPropagation: t.NoContext,
		Provider:   &tracev3.Tracing_Http{Name: name, ConfigType: &tracev3.Tracing_Http_TypedConfig{TypedConfig: message.Any(config)}},
		CustomTags: traceTags(v, t, self),
	}
	if !t.RequestID {
		c.RequestIdExtension = &hcmv3.RequestIDExtension{TypedConfig: message.Any(&uuidv3.UuidRequestIdConfig{UseRequestIdForTraceSampling: message.False()})}
	}
}

// providerField is the path of a field of a provider.
func providerField(p *mesh.Provider, field string) string {
	return "extensionProviders[" + strconv.Quote(p.Name) + "]." + field
}

// collectorTimeout is how long a collector may take where nobody says it (Istio's).
const collectorTimeout = 3 * time.Second

func percent(p float64) *typev3.Percent { return &typev3.Percent{Value: p} }

func traceProvider(t *mesh.TraceSink, cluster, service string) (name string, config proto.Message) {
	if t.Zipkin {
		z := &tracev3.ZipkinConfig{
			CollectorCluster: cluster, CollectorEndpoint: t.Path, CollectorHostname: string(t.At.Host), CollectorEndpointVersion: tracev3.ZipkinConfig_HTTP_JSON,
			TraceId_128Bit: !t.Short, SharedSpanContext: message.False(),
		}
		if t.W3C {
			z.TraceContextOption = tracev3.ZipkinConfig_USE_B3_WITH_W3C_PROPAGATION
		}
		return "envoy.tracers.zipkin", z
	}
	o := &tracev3.OpenTelemetryConfig{ServiceName: service}
	if t.HTTP {
		o.HttpService = &corev3.HttpService{HttpUri: &corev3.HttpUri{
			Uri: "http://" + string(t.At.Host) + t.Path, HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: cluster}, Timeout: message.Duration(cmp.Or(t.Timeout, collectorTimeout)),
		}}
		for _, h := range t.Headers {
			o.HttpService.RequestHeadersToAdd = append(o.HttpService.RequestHeadersToAdd, &corev3.HeaderValueOption{
				Header: &corev3.HeaderValue{Key: h.Name, Value: strings.ReplaceAll(h.Value, "%", "%%")},
			})
		}
	} else {
		o.GrpcService = reportTo(cluster, t.At)
		o.GrpcService.Timeout = message.Set(t.Timeout)
		for _, h := range t.Headers {
			o.GrpcService.InitialMetadata = append(o.GrpcService.InitialMetadata, &corev3.HeaderValue{Key: h.Name, Value: h.Value})
		}
	}
	if t.ReadsEnv {
		o.ResourceDetectors = []*corev3.TypedExtensionConfig{{Name: "envoy.tracers.opentelemetry.resource_detectors.environment", TypedConfig: message.Any(&detectorv3.EnvironmentResourceDetectorConfig{})}}
	}
	return "envoy.tracers.opentelemetry", o
}

// reportTo is a service that is called by gRPC.
func reportTo(cluster string, at mesh.ServiceAt) *corev3.GrpcService {
	return &corev3.GrpcService{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: cluster, Authority: string(at.Host)}}}
}

// traceTags are Istio's tags about the workload and those that are asked for, ordered by name.
func traceTags(v *view.View, t *view.Tracing, self view.Self) (out []*tagv3.CustomTag) {
	list := slices.Clone(t.Tags)
	if t.IstioTags {
		for _, x := range [][2]string{
			{"istio.canonical_revision", self.Revision}, {"istio.canonical_service", self.Canonical}, {"istio.mesh_id", self.Mesh}, {"istio.namespace", self.Namespace}, {"istio.cluster_id", self.Cluster},
		} {
			list = append(list, mesh.TraceTag{Name: x[0], Value: x[1]})
		}
	}
	slices.SortStableFunc(list, func(a, b mesh.TraceTag) int { return strings.Compare(a.Name, b.Name) })
	for _, x := range list {
		tag := &tagv3.CustomTag{Tag: x.Name}
		switch x.Kind {
		case mesh.TagHeader:
			tag.Type = &tagv3.CustomTag_RequestHeader{RequestHeader: &tagv3.CustomTag_Header{Name: x.Value, DefaultValue: x.Alternative}}
		case mesh.TagVariable:
			tag.Type = &tagv3.CustomTag_Environment_{Environment: &tagv3.CustomTag_Environment{Name: x.Value, DefaultValue: x.Alternative}}
		case mesh.TagFormat:
			tag.Type = &tagv3.CustomTag_Value{Value: common(v, x.Value, "customTags["+strconv.Quote(x.Name)+"]")}
		default:
			tag.Type = &tagv3.CustomTag_Literal_{Literal: &tagv3.CustomTag_Literal{Value: x.Value}}
		}
		out = append(out, tag)
	}
	return out
}
