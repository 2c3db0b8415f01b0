package upstream

import (
	"cmp"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// spoken lets the rule change which version of HTTP goes to the service, and else the mesh; a port of another protocol stays what it is, and for the mesh also one that says none.
func (t *target) spoken(v *view.View) {
	if !t.proto.IsHTTP() && t.proto != mesh.Auto {
		return
	}
	said := mesh.VersionOfPort
	if p := t.policy.Pool; p != nil {
		said = p.Version
	}
	switch {
	case said == mesh.VersionTwo, said == mesh.VersionOfPort && t.proto.IsHTTP() && v.Settings().UpgradeHTTP && v.Can(mesh.FeatureHTTP2):
		t.proto = mesh.HTTP2
	case said == mesh.VersionOfClient:
		t.proto = mesh.Auto
	}
}

const httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// httpVersion is the version of HTTP that goes upstream.
type httpVersion int

const (
	one httpVersion = iota
	two
	clients // the version in which the client asks
)

// plainHTTP are the encoded options of clusters of which no more than the version is said, and introducingHTTP with the filters that tell servers who calls.
var (
	plainHTTP       = [...][]byte{one: httpEntry(one.options()), two: httpEntry(two.options()), clients: httpEntry(clients.options())}
	introducingHTTP = [...][]byte{one: httpEntry(introducing(one.options())), two: httpEntry(introducing(two.options())), clients: httpEntry(introducing(clients.options()))}
)

func introducing(o *httpv3.HttpProtocolOptions) *httpv3.HttpProtocolOptions {
	o.HttpFilters = filter.Introducing()
	return o
}

// protocol says which HTTP version goes upstream, and what else is to be said of it.
func (t *target) protocol(v *view.View, c *clusterv3.Cluster) {
	if !t.proto.IsHTTP() && t.proto != mesh.Auto {
		return
	}
	said, introduces := version(v, t.towards(v)), t.meshed(v, c) && v.Can(mesh.FeatureEntries)
	if asked, _ := t.provedBy(); t.policy.Pool == nil && t.policy.Outlier == nil && !asked {
		if introduces {
			message.Append(c, introducingHTTP[said])
		} else {
			message.Append(c, plainHTTP[said])
		}
		return
	}
	o := said.options()
	if introduces {
		o = introducing(o)
	}
	t.errors(v, o)
	if p := t.policy.Pool; p != nil {
		idle := cmp.Or(p.HTTPIdleTimeout, p.TCPIdleTimeout)
		if idle > 0 || p.MaxConnectionDuration > 0 || p.MaxRequestsPerConnection > 0 {
			o.CommonHttpProtocolOptions = &corev3.HttpProtocolOptions{
				IdleTimeout: message.Set(idle), MaxConnectionDuration: message.Set(p.MaxConnectionDuration), MaxRequestsPerConnection: message.SetUInt32(p.MaxRequestsPerConnection),
			}
		}
		t.frames(v, o, p)
	}
	t.provesNames(o)
	message.Append(c, httpEntry(o))
}

// httpEntry is the encoded field of a cluster that holds its options of HTTP.
func httpEntry(o *httpv3.HttpProtocolOptions) []byte {
	return encoded(&clusterv3.Cluster{TypedExtensionProtocolOptions: map[string]*anypb.Any{httpOptions: message.Any(o)}})
}

// frames bounds the connections of HTTP/2, where there may be some.
func (t *target) frames(v *view.View, o *httpv3.HttpProtocolOptions, p *mesh.ConnectionPool) {
	h2 := o.GetExplicitHttpConfig().GetHttp2ProtocolOptions()
	if h2 == nil {
		h2 = o.GetUseDownstreamProtocolConfig().GetHttp2ProtocolOptions()
	}
	if h2 == nil {
		return
	}
	if p.MaxStreams > 0 && t.upstream(v, "connectionPool.http.maxConcurrentStreams", "send as many requests at once as the server allows") {
		h2.MaxConcurrentStreams = message.UInt32(p.MaxStreams)
	}
	if p.AliveInterval > 0 && t.upstream(v, "connectionPool.http.http2KeepAlive", "send no PING") {
		h2.ConnectionKeepalive = &corev3.KeepaliveSettings{Interval: message.Duration(p.AliveInterval), Timeout: message.Duration(p.AliveTimeout)}
	}
}

// upstream says whether the proxy can do what a field asks for; the owner of the rule is told of those that cannot, and what they do instead.
func (t *target) upstream(v *view.View, field, instead string) bool {
	if v.Can(mesh.FeatureUpstream) {
		return true
	}
	v.Notice(mesh.Problem{Object: t.origin(), Field: "spec.trafficPolicy." + field, Code: mesh.CodeNotEnforced, Message: "some connected proxies cannot do this: they " + instead, Hint: "upgrade them"})
	return false
}

// towards is the protocol of the service as the proxy must take it. The clients of a gateway negotiate with the gateway, and what they speak says nothing of a service that declares
// nothing, so it is asked in HTTP/1.1 unless the rule says otherwise, as in Istio.
func (t *target) towards(v *view.View) mesh.Protocol {
	if p := t.policy.Pool; t.proto == mesh.Auto && v.Kind() == mesh.Router && (p == nil || p.Version != mesh.VersionOfClient) {
		return mesh.HTTP
	}
	return t.proto
}

// version is fixed where the port says so; else it is the client's, where the proxy can do both.
func version(v *view.View, p mesh.Protocol) httpVersion {
	switch {
	case p == mesh.HTTP2 || p == mesh.GRPC:
		return two
	case p == mesh.Auto && v.Can(mesh.FeatureHTTP2):
		return clients
	}
	return one
}

func (h httpVersion) options() *httpv3.HttpProtocolOptions {
	h1, h2 := &corev3.Http1ProtocolOptions{}, &corev3.Http2ProtocolOptions{}
	explicit := &httpv3.HttpProtocolOptions_ExplicitHttpConfig{}
	switch h {
	case clients:
		return &httpv3.HttpProtocolOptions{UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_UseDownstreamProtocolConfig{
			UseDownstreamProtocolConfig: &httpv3.HttpProtocolOptions_UseDownstreamHttpConfig{HttpProtocolOptions: h1, Http2ProtocolOptions: h2},
		}}
	case two:
		explicit.ProtocolConfig = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: h2}
	default:
		explicit.ProtocolConfig = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{HttpProtocolOptions: h1}
	}
	return &httpv3.HttpProtocolOptions{UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: explicit}}
}
