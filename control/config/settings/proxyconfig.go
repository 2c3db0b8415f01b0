package settings

import (
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// Proxy reads what a ProxyConfig says about connections and headers. The first mistake is an error that names the field below it.
func Proxy(in *meshconfig.ProxyConfig) (out mesh.ProxyConfig, err error) {
	r := reader{}
	t, h := in.GetGatewayTopology(), in.GetProxyHeaders()
	out.ProxyProtocol, out.TrustedProxies = t.GetProxyProtocol() != nil, t.GetNumTrustedProxies()
	out.EdgeCertificates, out.InboundCertificates = certificates[t.GetForwardClientCertDetails()], certificates[h.GetForwardedClientCert()]
	d := h.GetSetCurrentClientCertDetails()
	out.Certificate = mesh.CertificateDetails{Subject: choice(d.GetSubject()), Cert: choice(d.GetCert()), Chain: choice(d.GetChain()), DNS: choice(d.GetDns()), URI: choice(d.GetUri())}
	out.ServerName, out.KeepServer = h.GetServer().GetValue(), h.GetServer().GetDisabled().GetValue()
	if strings.ContainsAny(out.ServerName, "\r\n\x00") {
		r.wrong("proxyHeaders.server.value", "it cannot be sent as a header")
	}
	out.NoRequestID, out.NoAttemptCount = h.GetRequestId().GetDisabled().GetValue(), h.GetAttemptCount().GetDisabled().GetValue()
	out.NoDebugHeaders = h.GetEnvoyDebugHeaders().GetDisabled().GetValue()
	out.ForwardedHost, out.ForwardedPort = h.GetXForwardedHost().GetEnabled().GetValue(), h.GetXForwardedPort().GetEnabled().GetValue()
	out.Tracing = r.proxyTracing(in.GetTracing())
	if c := in.GetConnectionSettings(); c != nil {
		out.Connections = r.connections(c)
	}
	return out, r.err
}

var certificates = map[meshconfig.ForwardClientCertDetails]mesh.ForwardCertificates{
	meshconfig.ForwardClientCertDetails_SANITIZE: mesh.CertificatesSanitize, meshconfig.ForwardClientCertDetails_FORWARD_ONLY: mesh.CertificatesForwardOnly,
	meshconfig.ForwardClientCertDetails_APPEND_FORWARD: mesh.CertificatesAppend, meshconfig.ForwardClientCertDetails_SANITIZE_SET: mesh.CertificatesSanitizeSet,
	meshconfig.ForwardClientCertDetails_ALWAYS_FORWARD_ONLY: mesh.CertificatesAlwaysForward,
}

var underscores = map[meshconfig.ProxyConfig_ConnectionSettings_HeadersWithUnderscoresAction]mesh.Underscores{
	meshconfig.ProxyConfig_ConnectionSettings_HEADERS_WITH_UNDERSCORES_REJECT_REQUEST: mesh.RejectUnderscores,
	meshconfig.ProxyConfig_ConnectionSettings_HEADERS_WITH_UNDERSCORES_DROP_HEADER:    mesh.DropUnderscores,
}

var escapedSlashes = map[meshconfig.ProxyConfig_ConnectionSettings_PathWithEscapedSlashesAction]mesh.EscapedSlashes{
	meshconfig.ProxyConfig_ConnectionSettings_KEEP_UNCHANGED: mesh.KeepEscapedSlashes, meshconfig.ProxyConfig_ConnectionSettings_REJECT_REQUEST: mesh.RejectEscapedSlashes,
	meshconfig.ProxyConfig_ConnectionSettings_UNESCAPE_AND_REDIRECT: mesh.RedirectEscapedSlashes, meshconfig.ProxyConfig_ConnectionSettings_UNESCAPE_AND_FORWARD: mesh.ForwardEscapedSlashes,
}

func choice(b *wrapperspb.BoolValue) mesh.Choice {
	if b == nil {
		return mesh.Unsaid
	}
	return mesh.ChoiceOf(b.GetValue())
}

// edge are the defaults of the profile EDGE, which are Envoy's advice for proxies at the edge of a network.
var edge = mesh.Connections{
	ListenerBuffer: 32 << 10, ClusterBuffer: 32 << 10, Idle: time.Hour, Request: 5 * time.Minute, StreamIdle: 5 * time.Minute, Streams: 100, StreamWindow: 64 << 10, Window: 1 << 20,
	Underscores: mesh.RejectUnderscores, MergeSlashes: mesh.Yes, EscapedSlashes: mesh.RedirectEscapedSlashes,
}

func (r *reader) connections(in *meshconfig.ProxyConfig_ConnectionSettings) (out mesh.Connections) {
	if in.GetProfile() == meshconfig.ProxyConfig_ConnectionSettings_EDGE {
		out = edge
	}
	const least = 1<<16 - 1 // RFC 9113 section 6.9.2
	r.number(&out.ListenerBuffer, in.GetListenerPerConnectionBufferLimitBytes(), "listenerPerConnectionBufferLimitBytes", 1)
	r.number(&out.ClusterBuffer, in.GetClusterPerConnectionBufferLimitBytes(), "clusterPerConnectionBufferLimitBytes", 1)
	r.set(&out.Idle, in.GetHttpIdleTimeout(), "httpIdleTimeout")
	r.set(&out.Life, in.GetHttpMaxConnectionDuration(), "httpMaxConnectionDuration")
	r.set(&out.Drain, in.GetHttpDrainTimeout(), "httpDrainTimeout")
	r.set(&out.Request, in.GetHttpRequestTimeout(), "httpRequestTimeout")
	r.set(&out.RequestHeaders, in.GetHttpRequestHeadersTimeout(), "httpRequestHeadersTimeout")
	r.set(&out.StreamIdle, in.GetHttpStreamIdleTimeout(), "httpStreamIdleTimeout")
	r.set(&out.StreamLife, in.GetHttpMaxStreamDuration(), "httpMaxStreamDuration")
	r.number(&out.Streams, in.GetHttpMaxConcurrentStreams(), "httpMaxConcurrentStreams", 1)
	r.number(&out.StreamWindow, in.GetHttp2InitialStreamWindowSize(), "http2InitialStreamWindowSize", least)
	r.number(&out.Window, in.GetHttp2InitialConnectionWindowSize(), "http2InitialConnectionWindowSize", least)
	if a := in.GetHttpHeadersWithUnderscoresAction(); a != 0 {
		out.Underscores = underscores[a]
	}
	if c := choice(in.GetHttpMergeSlashes()); c != mesh.Unsaid {
		out.MergeSlashes = c
	}
	if a := in.GetHttpPathWithEscapedSlashesAction(); a != 0 {
		out.EscapedSlashes = escapedSlashes[a]
	}
	return out
}

func (r *reader) number(to *uint32, n *wrapperspb.Int32Value, field string, least int32) {
	if n == nil {
		return
	}
	if n.GetValue() < least {
		r.wrong("connectionSettings."+field, "want %d to %d", least, math.MaxInt32)
	}
	*to = uint32(n.GetValue())
}

func (r *reader) set(to *time.Duration, d *durationpb.Duration, field string) {
	if d != nil {
		*to = r.duration(d, "connectionSettings."+field)
	}
}

// OwnProxy reads the ProxyConfig of one proxy from YAML or JSON, and whether the proxy asks its workload for its health. Fields that this version does not know are left out: an
// agent may be newer.
func OwnProxy(raw []byte) (out *mesh.ProxyConfig, probed bool, err error) {
	text, err := yaml.YAMLToJSON(raw)
	if err != nil {
		return nil, false, err
	}
	in := &meshconfig.ProxyConfig{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, in); err != nil {
		return nil, false, err
	}
	config, err := Proxy(in)
	if err != nil {
		return nil, false, err
	}
	return &config, in.GetReadinessProbe() != nil, nil
}

// ProxyFields are the fields of ProxyConfig that Proxy reads.
var ProxyFields = api.Fields("tracing.sampling", "tracing.maxPathTagLength", "tracing.enableIstioTags", "tracing.customTags[].*", "tracing.zipkin.address", "gatewayTopology.proxyProtocol", "gatewayTopology.numTrustedProxies", "gatewayTopology.forwardClientCertDetails",
	"proxyHeaders.forwardedClientCert", "proxyHeaders.setCurrentClientCertDetails.*", "proxyHeaders.requestId.*", "proxyHeaders.server.*", "proxyHeaders.attemptCount.*",
	"proxyHeaders.envoyDebugHeaders.*", "proxyHeaders.xForwardedHost.*", "proxyHeaders.xForwardedPort.*",
	"connectionSettings.profile", "connectionSettings.listenerPerConnectionBufferLimitBytes", "connectionSettings.clusterPerConnectionBufferLimitBytes",
	"connectionSettings.httpIdleTimeout", "connectionSettings.httpMaxConnectionDuration", "connectionSettings.httpDrainTimeout", "connectionSettings.httpRequestTimeout",
	"connectionSettings.httpRequestHeadersTimeout", "connectionSettings.httpStreamIdleTimeout", "connectionSettings.httpMaxStreamDuration",
	"connectionSettings.httpMaxConcurrentStreams", "connectionSettings.http2InitialStreamWindowSize", "connectionSettings.http2InitialConnectionWindowSize",
	"connectionSettings.httpHeadersWithUnderscoresAction", "connectionSettings.httpMergeSlashes", "connectionSettings.httpPathWithEscapedSlashesAction")
