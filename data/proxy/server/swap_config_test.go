package server

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	faultcommonv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/fault/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	inspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	networkrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/xds"
)

// kinds are what clients ask for: the routes of every version match them by the first segment of the path.
var kinds = []string{"plain", "plain", "retry", "split", "mirror", "direct", "none"}

var (
	httpListeners = []string{"rds", "inline", "detect", "secure"}
	clusterNames  = []string{"a", "b", "c", "d"}
	// origins are where servers of HTTP are; the last two refuse and keep silent. repeaters are those of TCP.
	origins   = []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80", "10.0.0.5:80", "10.0.0.6:80"}
	repeaters = []string{"10.0.1.1:90", "10.0.1.2:90"}
)

// at is the address of a listener.
func at(listener string) loop.Address {
	port := map[string]int{"rds": 8001, "inline": 8002, "detect": 8003, "tcp": 8004, "secure": 8005, "back": 8006}[listener]
	return loop.TCP(netip.MustParseAddrPort(fmt.Sprintf("10.9.0.2:%d", port)))
}

// plane is a control plane that changes the configuration of one proxy at random.
type plane struct {
	server      *Server
	r           *rand.Rand
	version     int
	h2          bool // clusters are asked in HTTP/2, because another proxy is behind them
	behind      bool // of another proxy: its headers have names of their own
	listens     []string
	to          []string // addresses of endpoints
	refuse      func(error)
	certificate *tlsv3.TlsCertificate
	later       func(func()) // runs something at a random moment to come
	inForce     seen
	removed     map[string]int // the version that each listener had when it was last removed
}

// seen is what is in force: the versions of the route configuration and of each listener.
type seen struct {
	route int
	via   map[string]int
}

func (p *plane) seen() seen { return seen{p.inForce.route, maps.Clone(p.inForce.via)} }

func packed(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(err)
	}
	return a
}

// send hands a resource over in its encoded form; what is refused is told.
func (p *plane) send(url, name string, m proto.Message) bool {
	x, err := xds.New(xds.Name{TypeURL: url, Name: name}, m)
	if err != nil {
		panic(err)
	}
	if err := p.server.live.OnResponse(url, []*xds.Resource{x}, nil); err != nil {
		p.refuse(err)
		return false
	}
	return true
}

func (p *plane) remove(url, name string) {
	if err := p.server.live.OnResponse(url, nil, []string{name}); err != nil {
		p.refuse(err)
	}
}

// Subscribe and Unsubscribe implement live.Subscriber: everything is sent unasked.
func (p *plane) Subscribe(string, ...string) {}

// Unsubscribe implements live.Subscriber.
func (p *plane) Unsubscribe(string, ...string) {}

// first sends a whole configuration.
func (p *plane) first() {
	p.server.live.Follow(p, true, xds.Cluster, xds.Listener)
	for _, c := range p.clusters() {
		p.cluster(c)
		p.endpoints(c)
	}
	for _, l := range p.listens {
		p.listener(l)
	}
	p.routes()
}

func (p *plane) clusters() []string {
	if len(p.listens) == 1 {
		return clusterNames
	}
	return append(append([]string(nil), clusterNames...), "tcp")
}

// change makes one change at random.
func (p *plane) change() {
	c := p.clusters()[p.r.IntN(len(p.clusters()))]
	l := p.listens[p.r.IntN(len(p.listens))]
	switch p.r.IntN(11) {
	case 0, 1:
		p.endpoints(c)
	case 2:
		p.cluster(c) // warming, until its endpoints are there again
		p.later(func() { p.endpoints(c) })
	case 3, 4:
		p.routes()
	case 5, 6:
		p.listener(l)
	case 7:
		p.remove(xds.Listener, l)
		p.removed[l] = p.inForce.via[l]
		p.later(func() { p.listener(l) })
	case 8:
		p.remove(xds.Cluster, c)
		p.later(func() { p.cluster(c); p.endpoints(c) })
	case 9:
		p.remove(xds.Endpoints, c)
		p.later(func() { p.endpoints(c) })
	case 10: // refused, and nothing changes
		bad := &listenerv3.Listener{Name: l, Address: address(at(l))}
		x, _ := xds.New(xds.Name{TypeURL: xds.Listener, Name: l}, bad)
		if p.server.live.OnResponse(xds.Listener, []*xds.Resource{x}, nil) == nil {
			p.refuse(fmt.Errorf("a listener without a filter chain was taken"))
		}
	}
}

// clear takes everything away.
func (p *plane) clear() {
	for _, l := range p.listens {
		p.remove(xds.Listener, l)
	}
	p.remove(xds.Route, "r")
	for _, c := range p.clusters() {
		p.remove(xds.Cluster, c)
	}
}

func address(a loop.Address) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: a.Addr().String(), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(a.Port())},
	}}}
}

func (p *plane) endpoints(name string) {
	list := p.to
	if name == "tcp" {
		list = repeaters
	}
	locality := &endpointv3.LocalityLbEndpoints{}
	for _, a := range list {
		if p.r.IntN(2) == 0 || len(list) == 1 {
			locality.LbEndpoints = append(locality.LbEndpoints, &endpointv3.LbEndpoint{
				HostIdentifier:      &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address(loop.TCP(netip.MustParseAddrPort(a)))}},
				LoadBalancingWeight: wrapperspb.UInt32(uint32(1 + p.r.IntN(3))),
			})
		}
	}
	p.send(xds.Endpoints, name, &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{locality}})
}

func (p *plane) cluster(name string) {
	c := &clusterv3.Cluster{
		Name: name, ConnectTimeout: durationpb.New(500 * time.Millisecond), ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads()},
		LbPolicy:         []clusterv3.Cluster_LbPolicy{clusterv3.Cluster_ROUND_ROBIN, clusterv3.Cluster_LEAST_REQUEST, clusterv3.Cluster_RANDOM, clusterv3.Cluster_MAGLEV}[p.r.IntN(4)],
	}
	options := &httpv3.HttpProtocolOptions{
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: durationpb.New(time.Duration(1+p.r.IntN(3)) * time.Second)},
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{HttpProtocolOptions: &corev3.Http1ProtocolOptions{}},
		}},
	}
	if p.h2 && name != "tcp" && p.r.IntN(3) > 0 {
		options.GetExplicitHttpConfig().ProtocolConfig = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: &corev3.Http2ProtocolOptions{}}
	}
	if p.r.IntN(3) == 0 {
		options.CommonHttpProtocolOptions.MaxRequestsPerConnection = wrapperspb.UInt32(uint32(1 + p.r.IntN(4)))
	}
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": packed(options)}
	if p.r.IntN(4) == 0 {
		c.CircuitBreakers = &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
			MaxConnections: wrapperspb.UInt32(2), MaxPendingRequests: wrapperspb.UInt32(2), MaxRequests: wrapperspb.UInt32(4), MaxRetries: wrapperspb.UInt32(1),
		}}}
	}
	if p.r.IntN(3) == 0 {
		c.OutlierDetection = &clusterv3.OutlierDetection{Consecutive_5Xx: wrapperspb.UInt32(2), MaxEjectionPercent: wrapperspb.UInt32(60), BaseEjectionTime: durationpb.New(2 * time.Second)}
	}
	p.send(xds.Cluster, name, c)
}

func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}, ResourceApiVersion: corev3.ApiVersion_V3, InitialFetchTimeout: durationpb.New(0)}
}

// mark sets a header of requests and responses to a version.
func (p *plane) mark(name, value string) []*corev3.HeaderValueOption {
	if p.behind {
		name = "x-back-" + name
	} else {
		name = "x-" + name
	}
	return []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: name, Value: value}, AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD}}
}

// routes sends a new version of the route configuration.
func (p *plane) routes() {
	p.version++
	if p.send(xds.Route, "r", p.table("r")) {
		p.inForce.route = p.version
	}
}

// table is a version of a route configuration: it says in every request and every answer which it is, twice.
func (p *plane) table(name string) *routev3.RouteConfiguration {
	version := fmt.Sprintf("%s.%d", name, p.version)
	seconds := func(n int) *durationpb.Duration { return durationpb.New(time.Duration(1+p.r.IntN(n)) * time.Second) }
	forward := func(edit func(*routev3.RouteAction)) *routev3.Route_Route {
		r := &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: clusterNames[p.r.IntN(len(clusterNames))]}, Timeout: seconds(3)}
		edit(r)
		return &routev3.Route_Route{Route: r}
	}
	host := &routev3.VirtualHost{Name: "all", Domains: []string{"*"}}
	add := func(kind string, r *routev3.Route) {
		r.Match = &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/" + kind}}
		r.RequestHeadersToAdd, r.ResponseHeadersToAdd = p.mark("route", version), p.mark("route", version)
		host.Routes = append(host.Routes, r)
	}
	add("plain", &routev3.Route{Action: forward(func(*routev3.RouteAction) {})})
	add("retry", &routev3.Route{Action: forward(func(r *routev3.RouteAction) {
		r.RetryPolicy = &routev3.RetryPolicy{RetryOn: "5xx", NumRetries: wrapperspb.UInt32(uint32(1 + p.r.IntN(3))), PerTryTimeout: durationpb.New(700 * time.Millisecond)}
	})})
	add("split", &routev3.Route{Action: forward(func(r *routev3.RouteAction) {
		r.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: &routev3.WeightedCluster{Clusters: []*routev3.WeightedCluster_ClusterWeight{
			{Name: "a", Weight: wrapperspb.UInt32(uint32(1 + p.r.IntN(9)))}, {Name: "c", Weight: wrapperspb.UInt32(uint32(1 + p.r.IntN(9)))},
		}}}
	})})
	add("mirror", &routev3.Route{Action: forward(func(r *routev3.RouteAction) {
		r.RequestMirrorPolicies = []*routev3.RouteAction_RequestMirrorPolicy{{Cluster: "d"}}
	})})
	add("direct", &routev3.Route{Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
		Status: 200, Body: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "direct " + version}},
	}}})
	return &routev3.RouteConfiguration{
		Name: name, VirtualHosts: []*routev3.VirtualHost{host}, RequestHeadersToAdd: p.mark("table", version), ResponseHeadersToAdd: p.mark("table", version),
	}
}

// listener sends a new version of a listener.
func (p *plane) listener(name string) {
	p.version++
	l := &listenerv3.Listener{Name: name, Address: address(at(name)), BindToPort: wrapperspb.Bool(false)}
	http := func() *listenerv3.FilterChain {
		return &listenerv3.FilterChain{Filters: []*listenerv3.Filter{filterOf(p.manager(name))}}
	}
	switch name {
	case "tcp":
		l.FilterChains = []*listenerv3.FilterChain{p.tcp()}
	case "detect":
		l.ListenerFilters = []*listenerv3.ListenerFilter{{Name: "h", ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: packed(&inspectorv3.HttpInspector{})}}}
		l.ListenerFiltersTimeout, l.ContinueOnListenerFiltersTimeout = durationpb.New(300*time.Millisecond), true
		chain := http()
		chain.FilterChainMatch = &listenerv3.FilterChainMatch{ApplicationProtocols: []string{"http/1.1", "http/1.0", "h2c"}[:1+p.r.IntN(3)]}
		l.FilterChains, l.DefaultFilterChain = []*listenerv3.FilterChain{chain}, p.tcp()
	case "secure":
		chain := http()
		chain.TransportSocket = &corev3.TransportSocket{Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(&tlsv3.DownstreamTlsContext{
			CommonTlsContext: &tlsv3.CommonTlsContext{TlsCertificates: []*tlsv3.TlsCertificate{p.certificate}},
		})}}
		l.FilterChains = []*listenerv3.FilterChain{chain}
	default:
		l.FilterChains = []*listenerv3.FilterChain{http()}
	}
	if p.send(xds.Listener, name, l) {
		p.inForce.via[name] = p.version
	}
}

func filterOf(m proto.Message) *listenerv3.Filter {
	return &listenerv3.Filter{Name: "f", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(m)}}
}

func (p *plane) tcp() *listenerv3.FilterChain {
	chain := &listenerv3.FilterChain{}
	if p.r.IntN(5) == 0 { // open connections that are not allowed any more are closed
		all := &rbacv3.Policy{Permissions: []*rbacv3.Permission{{Rule: &rbacv3.Permission_Any{Any: true}}}, Principals: []*rbacv3.Principal{{Identifier: &rbacv3.Principal_Any{Any: true}}}}
		chain.Filters = append(chain.Filters, filterOf(&networkrbacv3.RBAC{StatPrefix: "x", Rules: &rbacv3.RBAC{Action: rbacv3.RBAC_DENY, Policies: map[string]*rbacv3.Policy{"all": all}}}))
	}
	chain.Filters = append(chain.Filters, filterOf(&tcpv3.TcpProxy{
		StatPrefix: "x", ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: "tcp"}, IdleTimeout: durationpb.New(4 * time.Second), MaxConnectAttempts: wrapperspb.UInt32(uint32(1 + p.r.IntN(3))),
	}))
	return chain
}

// manager says in the header via, on the way there and on the way back, which version it is.
func (p *plane) manager(name string) *hcmv3.HttpConnectionManager {
	m := &hcmv3.HttpConnectionManager{
		StatPrefix: name, Via: fmt.Sprintf("%s.%d", name, p.version), StreamIdleTimeout: durationpb.New(4 * time.Second), RequestTimeout: durationpb.New(5 * time.Second),
		DrainTimeout:              durationpb.New(time.Duration(p.r.IntN(2)) * time.Second),
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: durationpb.New(time.Duration(1+p.r.IntN(4)) * time.Second)},
		RouteSpecifier:            &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: "r", ConfigSource: ads()}},
	}
	if name == "inline" {
		m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: p.table(name)}
	}
	if p.r.IntN(4) == 0 {
		m.CommonHttpProtocolOptions.MaxRequestsPerConnection = wrapperspb.UInt32(uint32(1 + p.r.IntN(5)))
	}
	if p.r.IntN(3) == 0 { // requests wait inside a filter while the configuration changes
		m.HttpFilters = append(m.HttpFilters, httpFilter(&faultv3.HTTPFault{Delay: &faultcommonv3.FaultDelay{
			FaultDelaySecifier: &faultcommonv3.FaultDelay_FixedDelay{FixedDelay: durationpb.New(time.Duration(p.r.IntN(400)) * time.Millisecond)}, Percentage: &typev3.FractionalPercent{Numerator: 50},
		}}))
	}
	m.HttpFilters = append(m.HttpFilters, httpFilter(&routerv3.Router{}))
	return m
}

func httpFilter(m proto.Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: "f", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(m)}}
}
