package listener

import (
	"net/netip"
	"slices"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/route"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// What sidecars offer as ALPN inside the mesh: what is HTTP, what is opaque, and both.
var (
	meshHTTP = []string{"istio-http/1.0", "istio-http/1.1", "istio-h2"}
	meshTCP  = []string{"istio-peer-exchange", "istio"}
	meshAny  = append(append([]string{}, meshTCP...), meshHTTP...)
)

// way is one form in which a connection may arrive at a port.
type way struct {
	transport string   // tls, raw_buffer or "" for either
	alpn      []string // client's words or the http_inspector's finding
	mutual    bool     // the mesh's TLS ends here
	own       bool     // the workload's own TLS ends here
	http      bool
}

// ways follow from the mode and the protocol of the port.
func ways(v *view.View, mode mesh.MTLSMode, proto mesh.Protocol) []way {
	http, auto := proto.IsHTTP(), proto == mesh.Auto
	var out []way
	if mode != mesh.MTLSDisable {
		switch {
		case mode == mesh.MTLSStrict && auto:
			out = append(out, way{transport: "tls", alpn: meshHTTP, mutual: true, http: true}, way{transport: "tls", mutual: true})
		case mode == mesh.MTLSStrict:
			out = append(out, way{transport: "tls", mutual: true, http: http})
		case auto:
			out = append(out, way{transport: "tls", alpn: meshHTTP, mutual: true, http: true}, way{transport: "tls", alpn: meshTCP, mutual: true})
		default:
			out = append(out, way{transport: "tls", alpn: meshAny, mutual: true, http: http})
		}
	}
	if mode == mesh.MTLSStrict {
		return out
	}
	if auto {
		out = append(out, way{transport: "raw_buffer", alpn: detected(v), http: true})
	}
	out = append(out, way{transport: "raw_buffer", http: http})
	return append(out, way{transport: "tls"}) // the workload's own TLS passes as it is
}

// virtualInbound takes everything that arrives at the workload.
func virtualInbound(v *view.View) *listenerv3.Listener {
	s := v.Settings()
	l := &listenerv3.Listener{
		Name: view.VirtualInbound, TrafficDirection: corev3Inbound,
		ListenerFiltersTimeout:           message.Duration(s.DetectionTimeout),
		ContinueOnListenerFiltersTimeout: true,
		FilterChains: []*listenerv3.FilterChain{{
			Name:             "virtualInbound-blackhole",
			FilterChainMatch: &listenerv3.FilterChainMatch{DestinationPort: message.UInt32(inboundPort)},
			Filters:          filter.TCP(v, mesh.ServerSide, filter.Limits{}, filter.Share{Cluster: view.BlackHoleCluster}),
		}},
	}
	var plain, told []uint16 // ports without TLS of ours, and ports whose protocol need not be found
	for _, in := range v.Inbound() {
		if len(v.Dialled(in)) > 0 {
			continue // it has a listener of its own
		}
		p := arriving(v, in)
		l.FilterChains = append(l.FilterChains, p.chains(v)...)
		mode := v.MTLS(in.Number)
		if mode == mesh.MTLSDisable && p.proto != mesh.Auto && p.own(v) == nil {
			plain = append(plain, in.Number)
		}
		if mode == mesh.MTLSStrict || p.proto != mesh.Auto {
			told = append(told, in.Number)
		}
	}
	// An inspector waits for the client's first bytes, so it must not look where nothing is to be found: the server may be the first to speak.
	l.ListenerFilters = []*listenerv3.ListenerFilter{
		filter.OriginalDestination(), filter.Skipping(filter.TLSInspector(), plain), filter.Skipping(filter.HTTPInspector(), told),
	}
	if v.KeepsSource() {
		l.Transparent = wrapperspb.Bool(true)
		l.ListenerFilters = append([]*listenerv3.ListenerFilter{filter.OriginalSource()}, l.ListenerFilters...)
	}
	rest := arrival{name: view.VirtualInbound, cluster: view.InboundPassthroughCluster, proto: mesh.Auto}
	l.FilterChains = append(l.FilterChains, rest.chains(v)...)
	bindAny(v, l, inboundPort)
	return l
}

// arrival is a port of the workload (or, with port 0, all ports that no service names).
type arrival struct {
	port      uint16
	name      string
	cluster   string
	proto     mesh.Protocol
	operation string
	limits    filter.Limits
	listener  *mesh.IngressListener // of a Sidecar, nil for none
	origin    mesh.Ref              // the Sidecar
}

func arriving(v *view.View, in view.InboundPort) arrival {
	a := arrival{
		port: in.Number, name: view.SharedListener(in.Number), cluster: view.InboundName(in.Number),
		proto: in.Protocol(v), operation: view.HostPort(in.Host()) + "/*", listener: in.Listener, origin: in.Sidecar(),
	}
	if pool, _ := v.Pool(in); pool != nil {
		a.limits = filter.Limits{Idle: pool.TCPIdleTimeout, Life: pool.MaxConnectionDuration}
	}
	return a
}

// direct takes what arrives at one port where the proxy itself listens: callers connect to it, at the workload's address or another one (as in Istio with interception or
// capture mode NONE).
func direct(v *view.View, name string, ip netip.Addr, port uint16) *listenerv3.Listener {
	in, ok := v.InboundAt(port)
	if !ok || !slices.Contains(v.Dialled(in), ip) {
		return nil
	}
	p := arriving(v, in)
	l := &listenerv3.Listener{
		Name: name, Address: message.Socket(ip, port), TrafficDirection: corev3Inbound, FilterChains: p.chains(v),
		ListenerFiltersTimeout: message.Duration(v.Settings().DetectionTimeout), ContinueOnListenerFiltersTimeout: true,
	}
	if mode := v.MTLS(port); mode != mesh.MTLSDisable || p.proto == mesh.Auto || p.own(v) != nil {
		l.ListenerFilters = append(l.ListenerFilters, filter.TLSInspector())
		if mode != mesh.MTLSStrict && p.proto == mesh.Auto {
			l.ListenerFilters = append(l.ListenerFilters, filter.HTTPInspector())
		}
	}
	return l
}

func (a arrival) chains(v *view.View) []*listenerv3.FilterChain {
	guard := filter.GuardOf(v, a.port)
	unguarded := !guard.Empty() && !v.Can(mesh.FeatureRBAC)
	if unguarded {
		a.refused(v, guard)
	}
	denied := a.listener != nil && a.listener.Denied != ""
	list := ways(v, v.MTLS(a.port), a.proto)
	if a.own(v) != nil {
		list = terminated(a.proto)
	}
	var out []*listenerv3.FilterChain
	for _, w := range list {
		c := &listenerv3.FilterChain{
			Name:             a.chainName(w),
			FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: w.transport, ApplicationProtocols: w.alpn},
		}
		if a.port != 0 {
			c.FilterChainMatch.DestinationPort = message.UInt32(uint32(a.port))
		}
		switch {
		case w.mutual:
			c.TransportSocket = downstream(mutualContext(v))
		case w.own:
			c.TransportSocket = downstream(serverContext(v, a.listener.TLS))
		}
		switch {
		case unguarded || denied:
			c.Filters = filter.TCP(v, mesh.ServerSide, filter.Limits{}, filter.Share{Cluster: view.BlackHoleCluster})
		case w.http:
			m := a.manager(v, guard)
			m.mutual = w.mutual
			c.Filters = []*listenerv3.Filter{m.filter(v)}
		default:
			c.Filters = append(guard.TCP(), filter.TCP(v, mesh.ServerSide, a.limits, filter.Share{Cluster: a.cluster})...)
		}
		out = append(out, c)
	}
	return out
}

// refused tells the authors of policies that a proxy which cannot enforce them closes every connection.
func (a arrival) refused(v *view.View, g filter.Guard) {
	for _, p := range append(append([]*mesh.Authorization{}, g.Deny...), g.Allow...) {
		v.Notice(mesh.Problem{
			Object: p.Origin, Code: mesh.CodeDenied,
			Message: "some connected proxies cannot enforce authorization policies; they close every connection to the port",
			Hint:    "use a build of the proxy that announces rbac",
		})
	}
}

func (a arrival) chainName(w way) string {
	switch {
	case a.port != 0:
		return a.name
	case w.http:
		return "virtualInbound-catchall-http"
	}
	return "virtualInbound"
}

func (a arrival) manager(v *view.View, g filter.Guard) *manager {
	vhost := "inbound|http|0"
	if a.port != 0 {
		vhost = "inbound|http|" + strconv.Itoa(int(a.port))
	}
	return &manager{
		statPrefix: "inbound_0.0.0.0_" + strconv.Itoa(int(a.port)), inbound: true, guard: g,
		inline: ownRoute(a.cluster, vhost, a.cluster, a.operation, route.Again(v.Settings().InboundRetry)),
	}
}

func downstream(ctx *tlsv3.DownstreamTlsContext) *corev3.TransportSocket {
	return &corev3.TransportSocket{Name: "envoy.transport_sockets.tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: message.Any(ctx)}}
}

// mutualContext is the server side of the mesh's mutual TLS: any client of the mesh, known by the roots; who may do what is for authorization.
func mutualContext(v *view.View) *tlsv3.DownstreamTlsContext {
	local := message.LocalSecrets(v.Can(mesh.FeatureSecretSocket))
	alpn := []string{"h2", "http/1.1"}
	if !v.Can(mesh.FeatureHTTP2) {
		alpn = alpn[1:]
	}
	return &tlsv3.DownstreamTlsContext{
		RequireClientCertificate: message.True(),
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsParams:                      message.TLSParams(v.Settings().MeshTLS),
			AlpnProtocols:                  alpn,
			TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{{Name: "default", SdsConfig: local}},
			ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
				CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
					DefaultValidationContext:         &tlsv3.CertificateValidationContext{},
					ValidationContextSdsSecretConfig: &tlsv3.SdsSecretConfig{Name: "ROOTCA", SdsConfig: local},
				},
			},
		},
	}
}
