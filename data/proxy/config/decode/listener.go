package decode

import (
	"fmt"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	httpinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	originaldstv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	originalsrcv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_src/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	limitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/connection_limit/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	networkrbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	snidfpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"

	udpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/udp/udp_proxy/v3"
	statsv1 "istio.io/api/envoy/extensions/stats"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Envoy's defaults for listeners.
const (
	defaultInspectTimeout   = 15 * time.Second
	defaultTransportTimeout = 15 * time.Second // transport_socket_connect_timeout; Envoy itself has none
	defaultTCPIdle          = time.Hour
)

func (r *read) listener(path string, m *listenerv3.Listener) *config.Listener {
	r.compat = true
	a := r.address(join(path, "address"), m.GetAddress())
	if r.compat = false; a.host != "" {
		r.add(join(path, "address.socket_address.address"), "%q is not an IP address", a.host)
	}
	l := &config.Listener{
		Name: m.GetName(), Address: a.ip, Path: a.path, Direction: config.Direction(m.GetTrafficDirection()),
		Bind: boolean(m.GetBindToPort(), boolean(m.GetDeprecatedV1().GetBindToPort(), true)), UseOriginalDst: m.GetUseOriginalDst().GetValue(), Transparent: m.GetTransparent().GetValue(),
		IPv4Compat: m.GetAddress().GetSocketAddress().GetIpv4Compat(), AccessLogs: r.accessLogs(join(path, "access_log"), m.GetAccessLog()),
	}
	if l.Name == "" {
		l.Name = a.ip.String() + a.path
	}
	l.MaxConnections, l.BufferLimit = r.limits[l.Name], r.bufferLimit(path, m.GetPerConnectionBufferLimitBytes())
	for i, log := range m.GetAccessLog() {
		if log.GetFilter().GetResponseFlagFilter() == nil {
			r.add(at(path, "access_log", i)+".filter", "a listener logs only the connections that no filter chain took: want response_flag_filter")
		}
	}
	for i, extra := range m.GetAdditionalAddresses() {
		p := at(path, "additional_addresses", i) + ".address"
		r.compat = m.GetAddress().GetSocketAddress().GetProtocol() == corev3.SocketAddress_UDP
		more := r.address(p, extra.GetAddress())
		if r.compat = false; extra.GetAddress().GetSocketAddress().GetProtocol() != m.GetAddress().GetSocketAddress().GetProtocol() {
			r.add(p+".socket_address.protocol", "all addresses of a listener have one protocol")
		}
		if extra.GetAddress().GetSocketAddress().GetIpv4Compat() {
			r.add(p+".socket_address.ipv4_compat", "it is for the first address of a listener only")
		}
		if !more.ip.IsValid() {
			r.add(p, "want an IP address and a port")
		}
		l.Extra = append(l.Extra, more.ip)
	}
	if m.GetAddress().GetSocketAddress().GetProtocol() == corev3.SocketAddress_UDP {
		l.Datagrams = r.datagrams(path, m)
		return l
	}
	r.notDatagrams(path, m)
	l.Inspect = config.Inspect{
		OriginalDst: l.UseOriginalDst, ContinueOnTimeout: m.GetContinueOnListenerFiltersTimeout(),
		Timeout: r.duration(join(path, "listener_filters_timeout"), m.GetListenerFiltersTimeout(), defaultInspectTimeout),
	}
	for i, f := range m.GetListenerFilters() {
		r.listenerFilter(at(path, "listener_filters", i), f, &l.Inspect)
	}
	for i, c := range m.GetFilterChains() {
		l.Chains = append(l.Chains, r.chain(at(path, "filter_chains", i), c))
	}
	if c := m.GetDefaultFilterChain(); c != nil {
		l.Default = r.chain(join(path, "default_filter_chain"), c)
	}
	if len(l.Chains) == 0 && l.Default == nil {
		r.add(join(path, "filter_chains"), "a listener needs a filter chain")
	}
	r.distinct(join(path, "filter_chains"), m.GetFilterChains())
	for _, c := range l.Chains { // as Envoy does when a match needs it
		if c != nil && (c.Match.TransportProtocol == "tls" || len(c.Match.ServerNames) > 0) {
			l.Inspect.TLS = true
		}
	}
	return l
}

// distinct refuses two chains with one match, as Envoy does: only one of them could ever be taken.
func (r *read) distinct(path string, chains []*listenerv3.FilterChain) {
	seen := map[string]int{}
	for i, c := range chains {
		key := fmt.Sprintf("%v", c.GetFilterChainMatch().String())
		if first, ok := seen[key]; ok {
			r.add(fmt.Sprintf("%s[%d].filter_chain_match", path, i), "it is the same as that of filter_chains[%d]", first)
			continue
		}
		seen[key] = i
	}
}

func (r *read) listenerFilter(path string, f *listenerv3.ListenerFilter, in *config.Inspect) {
	if f.GetTypedConfig() == nil {
		r.add(path+".typed_config", "it is missing")
		return
	}
	m, err := open(f.GetTypedConfig())
	if err != nil {
		return // reported already
	}
	off := map[uint16]bool{}
	if f.GetFilterDisabled() != nil {
		r.disabled(path+".filter_disabled", f.GetFilterDisabled(), off)
	}
	switch m := m.(type) {
	case *udpv3.UdpProxyConfig: // told with the address
	case *proxyprotocolv3.ProxyProtocol:
		r.proxyHeader(path, m, in)
		if len(off) > 0 {
			r.add(path+".filter_disabled", "it is honoured for the TLS and HTTP inspectors only")
		}
	case *originaldstv3.OriginalDst:
		in.OriginalDst = true
		if in.Proxy != nil {
			r.add(path, "it would hide the destination that the PROXY header names; it must come before envoy.filters.listener.proxy_protocol")
		}
		if len(off) > 0 {
			r.add(path+".filter_disabled", "it is honoured for the TLS and HTTP inspectors only")
		}
	case *originalsrcv3.OriginalSrc:
		in.KeepSource, in.SourceMark = true, m.GetMark()
		if len(off) > 0 {
			r.add(path+".filter_disabled", "it is honoured for the TLS and HTTP inspectors only")
		}
	case *tlsinspectorv3.TlsInspector:
		in.TLS, in.NoTLSPorts = true, off
	case *httpinspectorv3.HttpInspector:
		in.HTTP, in.NoHTTPPorts = true, off
	default:
		r.add(path+".typed_config", "%s is not a listener filter that is supported", m.ProtoReflect().Descriptor().FullName())
	}
}

// disabled collects the destination ports where a filter is off; only ranges and their union are understood.
func (r *read) disabled(path string, p *listenerv3.ListenerFilterChainMatchPredicate, off map[uint16]bool) {
	if or := p.GetOrMatch(); or != nil {
		for i, rule := range or.GetRules() {
			r.disabled(at(path, "or_match.rules", i), rule, off)
		}
		return
	}
	g := p.GetDestinationPortRange()
	if g == nil || g.GetStart() < 0 || g.GetEnd() > 65536 {
		r.add(path, "want ranges of destination ports")
		return
	}
	for n := g.GetStart(); n < g.GetEnd(); n++ {
		off[uint16(n)] = true
	}
}

func (r *read) chain(path string, m *listenerv3.FilterChain) *config.Chain {
	c := &config.Chain{Name: m.GetName(), Match: r.chainMatch(join(path, "filter_chain_match"), m.GetFilterChainMatch())}
	c.TransportTimeout = r.duration(join(path, "transport_socket_connect_timeout"), m.GetTransportSocketConnectTimeout(), defaultTransportTimeout)
	if m.GetTransportSocket() != nil {
		c.TLS = r.serverTLS(join(path, "transport_socket"), m.GetTransportSocket())
	}
	if len(m.GetFilters()) == 0 {
		r.add(join(path, "filters"), "a filter chain without filters closes every connection; it needs an HTTP connection manager or a TCP proxy")
	}
	var before beforeTCP
	for i, f := range m.GetFilters() {
		r.networkFilter(at(path, "filters", i), f, c, &before, i == len(m.GetFilters())-1)
	}
	if c.TCP != nil {
		c.TCP.Metrics, c.TCP.Telemetry = before.metrics, c.TCP.Telemetry || before.metrics != nil
	}
	if before.names != nil {
		if c.TCP == nil || c.TCP.Tunnel != "" {
			r.add(at(path, "filters", len(m.GetFilters())-1)+".typed_config", "names that clients give in TLS are for a TCP proxy without a tunnel")
		} else {
			c.TCP.Forward = before.names
		}
	}
	return c
}

// beforeTCP is what filters before a TCP proxy say of it.
type beforeTCP struct {
	names   *config.NameForward
	metrics *config.Metrics
}

func (r *read) networkFilter(path string, f *listenerv3.Filter, c *config.Chain, before *beforeTCP, last bool) {
	if f.GetTypedConfig() == nil {
		r.add(path+".typed_config", "it is missing")
		return
	}
	m, err := open(f.GetTypedConfig())
	if err != nil {
		return
	}
	p := path + ".typed_config"
	terminal := true
	switch m := m.(type) {
	case *hcmv3.HttpConnectionManager:
		c.HTTP = r.manager(p, m)
	case *tcpproxyv3.TcpProxy:
		c.TCP = r.tcpProxy(p, m)
	case *snidfpv3.FilterConfig:
		terminal = false
		before.names = r.nameForward(p, m)
	case *limitv3.ConnectionLimit:
		terminal = false
		if boolean(m.GetRuntimeEnabled().GetDefaultValue(), true) {
			c.Limits = append(c.Limits, r.connectionLimit(p, m))
		}
	case *statsv1.PluginConfig:
		terminal = false
		before.metrics = r.metrics(p, m)
	case *networkrbacv3.RBAC:
		terminal = false
		c.RBAC = append(c.RBAC, &config.RBAC{Rules: r.rbacRules(p+".rules", m.GetRules())})
	default:
		r.add(p, "%s is not a network filter that is supported", m.ProtoReflect().Descriptor().FullName())
		return
	}
	if terminal != last {
		r.add(path, "an HTTP connection manager or a TCP proxy must be the last filter, and only the last")
	}
}

func (r *read) connectionLimit(path string, m *limitv3.ConnectionLimit) *config.ConnectionLimit {
	if m.GetStatPrefix() == "" {
		r.add(path+".stat_prefix", "it is empty")
	}
	if m.GetMaxConnections().GetValue() == 0 {
		r.add(path+".max_connections", "want 1 or more")
	}
	return &config.ConnectionLimit{Stat: m.GetStatPrefix(), Max: m.GetMaxConnections().GetValue(), Delay: r.duration(path+".delay", m.GetDelay(), 0)}
}

func (r *read) chainMatch(path string, m *listenerv3.FilterChainMatch) config.ChainMatch {
	out := config.ChainMatch{
		Prefixes: r.prefixes(join(path, "prefix_ranges"), m.GetPrefixRanges()), TransportProtocol: m.GetTransportProtocol(), ApplicationProtocols: m.GetApplicationProtocols(),
		DirectSourcePrefixes: r.prefixes(join(path, "direct_source_prefix_ranges"), m.GetDirectSourcePrefixRanges()), SourceType: config.SourceType(m.GetSourceType()),
		SourcePrefixes: r.prefixes(join(path, "source_prefix_ranges"), m.GetSourcePrefixRanges()),
	}
	if n := m.GetDestinationPort(); n != nil {
		out.DestinationPort = r.port(join(path, "destination_port"), n.GetValue())
	}
	for i, n := range m.GetSourcePorts() {
		out.SourcePorts = append(out.SourcePorts, r.port(at(path, "source_ports", i), n))
	}
	for i, n := range m.GetServerNames() {
		if strings.Contains(strings.TrimPrefix(n, "*."), "*") {
			r.add(at(path, "server_names", i), "%q: a wildcard may stand for the first label only", n)
		}
		out.ServerNames = append(out.ServerNames, strings.ToLower(n))
	}
	switch out.TransportProtocol {
	case "", "raw_buffer", "tls":
	default:
		r.add(join(path, "transport_protocol"), "%q can never be found", out.TransportProtocol)
	}
	return out
}

func (r *read) port(path string, n uint32) uint16 {
	if n == 0 || n > 65535 {
		r.add(path, "%d is not a port", n)
	}
	return uint16(n)
}

func (r *read) tcpProxy(path string, m *tcpproxyv3.TcpProxy) *config.TCP {
	t := &config.TCP{
		IdleTimeout: r.duration(path+".idle_timeout", m.GetIdleTimeout(), defaultTCPIdle), MaxConnectAttempts: max(number(m.GetMaxConnectAttempts(), 1), 1),
		MaxDuration: r.duration(path+".max_downstream_connection_duration", m.GetMaxDownstreamConnectionDuration(), 0), AccessLogs: r.accessLogs(path+".access_log", m.GetAccessLog()),
		Telemetry: r.d.Telemetry, HashSource: len(m.GetHashPolicy()) > 0,
	}
	if c := m.GetTunnelingConfig(); c != nil {
		t.Tunnel = c.GetHostname()
		switch rest := strings.NewReplacer(config.LocalAddress, "", config.ServerName, "").Replace(t.Tunnel); {
		case t.Tunnel == "":
			r.add(path+".tunneling_config.hostname", "it is empty")
		case strings.Contains(rest, "%"):
			r.add(path+".tunneling_config.hostname", "only %s and %s are filled in", config.LocalAddress, config.ServerName)
		}
	}
	for i, h := range m.GetHashPolicy() {
		if h.GetSourceIp() == nil {
			r.add(at(path, "hash_policy", i), "it says nothing to hash by")
		}
	}
	if name := m.GetCluster(); name != "" {
		t.Clusters = []config.WeightedName{{Name: name, Weight: 1, Match: r.subsetMatch(path+".metadata_match", m.GetMetadataMatch(), nil)}}
	}
	for i, w := range m.GetWeightedClusters().GetClusters() {
		if w.GetWeight() == 0 {
			r.add(at(path, "weighted_clusters.clusters", i)+".weight", "want 1 or more")
		}
		t.Clusters = append(t.Clusters, config.WeightedName{Name: w.GetName(), Weight: w.GetWeight(),
			Match: r.subsetMatch(at(path, "weighted_clusters.clusters", i)+".metadata_match", m.GetMetadataMatch(), w.GetMetadataMatch())})
	}
	if len(t.Clusters) == 0 {
		r.add(path, "neither cluster nor weighted_clusters is set")
	}
	return t
}
