package settings

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/heddle-mesh/heddle/mesh"
)

// service reads which service is reported to: HOST or NAMESPACE/HOST, with a port.
func (r *reader) service(name string, port uint32, field string) (at mesh.ServiceAt) {
	ns, host, both := strings.Cut(name, "/")
	if !both {
		ns, host = "", name
	}
	h, err := mesh.ParseHost(host)
	if err != nil || h.IsWildcard() || both && ns == "" {
		r.wrong(field+".service", "%q is not HOST or NAMESPACE/HOST of a service", name)
	}
	if port == 0 || port > 65535 {
		r.wrong(field+".port", "%d is not a port number", port)
	}
	return mesh.ServiceAt{Host: h, Namespace: mesh.Namespace(ns), Port: uint16(port)}
}

func (r *reader) otlp(x *meshconfig.MeshConfig_ExtensionProvider_OpenTelemetryTracingProvider, field string) *mesh.TraceSink {
	t := &mesh.TraceSink{At: r.service(x.GetService(), x.GetPort(), field), MaxPath: x.GetMaxTagLength(), ReadsEnv: x.GetResourceDetectors().GetEnvironment() != nil}
	if h := x.GetHttp(); h != nil {
		t.HTTP, t.Path, t.Timeout = true, "/"+strings.TrimPrefix(h.GetPath(), "/"), r.duration(h.GetTimeout(), field+".http.timeout")
		t.Headers = r.namedValues(h.GetHeaders(), field+".http.headers")
		return t
	}
	t.Timeout, t.Headers = r.duration(x.GetGrpc().GetTimeout(), field+".grpc.timeout"), r.namedValues(x.GetGrpc().GetInitialMetadata(), field+".grpc.initialMetadata")
	for i, h := range t.Headers {
		if strings.Contains(h.Value, "%") { // proxies differ in what they make of it
			r.wrong(fmt.Sprintf("%s.grpc.initialMetadata[%d].value", field, i), "it may not have a percent sign")
		}
	}
	return t
}

func (r *reader) zipkin(x *meshconfig.MeshConfig_ExtensionProvider_ZipkinTracingProvider, field string) *mesh.TraceSink {
	t := &mesh.TraceSink{At: r.service(x.GetService(), x.GetPort(), field), Zipkin: true, MaxPath: x.GetMaxTagLength(), Path: x.GetPath(), Short: x.GetEnable_64BitTraceId(),
		W3C: x.GetTraceContextOption() == meshconfig.MeshConfig_ExtensionProvider_ZipkinTracingProvider_USE_B3_WITH_W3C_PROPAGATION}
	if t.Path == "" {
		t.Path = "/api/v2/spans"
	}
	if !strings.HasPrefix(t.Path, "/") {
		r.wrong(field+".path", "%q does not begin with /", t.Path)
	}
	return t
}

func (r *reader) namedValues(list []*meshconfig.MeshConfig_ExtensionProvider_HttpHeader, field string) (out []mesh.NamedValue) {
	for i, h := range list {
		name := strings.ToLower(h.GetName())
		if name == "" || strings.ContainsAny(name, " :\r\n\x00") {
			r.wrong(fmt.Sprintf("%s[%d].name", field, i), "%q is not the name of a header", h.GetName())
		}
		if strings.ContainsAny(h.GetValue(), "\r\n\x00") {
			r.wrong(fmt.Sprintf("%s[%d].value", field, i), "it cannot be sent as a header")
		}
		if h.GetEnvName() == "" { // of others the author is told
			out = append(out, mesh.NamedValue{Name: name, Value: h.GetValue()})
		}
	}
	return out
}

// proxyTracing reads what a ProxyConfig says of tracing.
func (r *reader) proxyTracing(in *meshconfig.Tracing) (out mesh.ProxyTracing) {
	out.Sampling, out.MaxPath, out.IstioTags = in.GetSampling(), in.GetMaxPathTagLength(), choice(in.GetEnableIstioTags())
	if !(out.Sampling >= 0 && out.Sampling <= 100) {
		r.wrong("tracing.sampling", "%v is not a percentage from 0 to 100", out.Sampling)
	}
	if out.Zipkin = in.GetZipkin().GetAddress(); out.Zipkin != "" {
		host, port, err := net.SplitHostPort(out.Zipkin)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || host == "" {
			r.wrong("tracing.zipkin.address", "%q is not HOST:PORT", out.Zipkin)
		}
	}
	var tags []mesh.TraceTag
	for _, name := range slices.Sorted(maps.Keys(in.GetCustomTags())) {
		t := mesh.TraceTag{Name: name}
		switch k := in.CustomTags[name].GetType().(type) {
		case *meshconfig.Tracing_CustomTag_Literal:
			t.Value = k.Literal.GetValue()
		case *meshconfig.Tracing_CustomTag_Environment:
			t.Kind, t.Value, t.Alternative = mesh.TagVariable, k.Environment.GetName(), k.Environment.GetDefaultValue()
		case *meshconfig.Tracing_CustomTag_Header:
			t.Kind, t.Value, t.Alternative = mesh.TagHeader, k.Header.GetName(), k.Header.GetDefaultValue()
		}
		if name == "" || t.Value == "" {
			r.wrong(fmt.Sprintf("tracing.customTags[%q]", name), "it has no name, or no value")
		}
		tags = append(tags, t)
	}
	out.Tags = mesh.TagsOf(tags)
	return out
}
