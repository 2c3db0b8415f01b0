package decode

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	udpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/udp/udp_proxy/v3"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Envoy's defaults for UDP.
const (
	defaultDatagram    = 1500
	maxDatagram        = 65535
	defaultSessionIdle = time.Minute
)

// datagrams reads a listener whose protocol is UDP: it has one filter, which is the whole of it.
func (r *read) datagrams(path string, m *listenerv3.Listener) *config.Datagrams {
	for field, set := range map[string]bool{
		"filter_chains": len(m.GetFilterChains()) > 0, "default_filter_chain": m.GetDefaultFilterChain() != nil, "access_log": len(m.GetAccessLog()) > 0, "transparent": m.GetTransparent() != nil,
		"listener_filters_timeout":             m.GetListenerFiltersTimeout() != nil,
		"continue_on_listener_filters_timeout": m.GetContinueOnListenerFiltersTimeout(), "per_connection_buffer_limit_bytes": m.GetPerConnectionBufferLimitBytes() != nil, "deprecated_v1": m.GetDeprecatedV1() != nil,
	} {
		if set {
			r.add(join(path, field), "a UDP listener has no connections that it could be about")
		}
	}
	r.captured(path, m)
	if len(m.GetFilterChains()) > 0 || m.GetDefaultFilterChain() != nil {
		r.add(join(path, "address.socket_address.protocol"), "filter chains are for TCP")
	}
	if n := len(m.GetListenerFilters()); n != 1 {
		r.add(join(path, "listener_filters"), "a UDP listener needs one filter, envoy.filters.udp_listener.udp_proxy, and has %d", n)
		return nil
	}
	p := at(path, "listener_filters", 0)
	if m.GetListenerFilters()[0].GetFilterDisabled() != nil {
		r.add(p+".filter_disabled", "without its filter a UDP listener does nothing")
	}
	c, ok := into[*udpv3.UdpProxyConfig](&r.problems, p+".typed_config", m.GetListenerFilters()[0].GetTypedConfig())
	if !ok {
		return nil
	}
	p += ".typed_config"
	return &config.Datagrams{
		Stat: c.GetStatPrefix(), Cluster: r.datagramCluster(p, c), IdleTimeout: r.duration(p+".idle_timeout", c.GetIdleTimeout(), defaultSessionIdle), HashSource: r.hashSource(p, c),
		FromClients: r.datagramSize(join(path, "udp_listener_config.downstream_socket_config"), m.GetUdpListenerConfig().GetDownstreamSocketConfig()),
		FromServers: r.datagramSize(p+".upstream_socket_config", c.GetUpstreamSocketConfig()), AccessLogs: r.accessLogs(p+".access_log", c.GetAccessLog()),
	}
}

// captured looks at the two kinds of listener for captured datagrams: the one that takes them in (use_original_dst), which is at all addresses, and those for where they
// were sent to, which no socket is bound for (bind_to_port: false).
func (r *read) captured(path string, m *listenerv3.Listener) {
	all := []*corev3.Address{m.GetAddress()}
	for _, extra := range m.GetAdditionalAddresses() {
		all = append(all, extra.GetAddress())
	}
	for _, a := range all {
		switch at := a.GetSocketAddress().GetAddress(); {
		case m.GetUseOriginalDst() != nil && at != "0.0.0.0" && at != "::":
			r.add(join(path, "use_original_dst"), "%s: captured datagrams are taken in at 0.0.0.0 and :: only", at)
		case m.GetBindToPort() != nil && (at == "0.0.0.0" || at == "::"):
			r.add(join(path, "bind_to_port"), "%s: captured datagrams are told apart by the address that they were sent to, and this is none", at)
		}
	}
}

// datagramCluster is the one cluster: the deprecated field, or what a matcher without any match says.
func (r *read) datagramCluster(path string, c *udpv3.UdpProxyConfig) string {
	name := c.GetCluster() //nolint:staticcheck // deprecated, and still the shortest form
	if m := c.GetMatcher(); m != nil {
		p := path + ".matcher.on_no_match.action.typed_config"
		if m.GetOnNoMatch().GetAction().GetTypedConfig() == nil {
			r.add(p, "it is missing")
			return ""
		}
		route, ok := into[*udpv3.Route](&r.problems, p, m.GetOnNoMatch().GetAction().GetTypedConfig())
		if !ok {
			return ""
		}
		name = route.GetCluster()
	}
	if name == "" {
		r.add(path, "neither cluster nor matcher names a cluster")
	}
	return name
}

func (r *read) hashSource(path string, c *udpv3.UdpProxyConfig) (found bool) {
	for i, h := range c.GetHashPolicies() {
		if found = found || h.GetSourceIp(); !h.GetSourceIp() {
			r.add(at(path, "hash_policies", i), "want source_ip: true")
		}
	}
	return found
}

func (r *read) datagramSize(path string, c *corev3.UdpSocketConfig) int {
	n := c.GetMaxRxDatagramSize()
	if n == nil {
		return defaultDatagram
	}
	if n.GetValue() == 0 || n.GetValue() > maxDatagram {
		r.add(path+".max_rx_datagram_size", "want 1 to %d", maxDatagram)
		return defaultDatagram
	}
	return int(n.GetValue())
}

// notDatagrams refuses what only a listener whose protocol is UDP can have.
func (r *read) notDatagrams(path string, m *listenerv3.Listener) {
	if m.GetUdpListenerConfig() != nil {
		r.add(join(path, "udp_listener_config"), "the listener's protocol is not UDP")
	}
	for _, f := range m.GetListenerFilters() {
		if !f.GetTypedConfig().MessageIs((*udpv3.UdpProxyConfig)(nil)) {
			continue
		}
		if field := join(path, "address.socket_address.protocol"); m.GetAddress().GetPipe() == nil {
			r.add(field, "a udp_proxy needs a listener whose protocol is UDP")
		} else {
			r.add(join(path, "address.pipe"), "a udp_proxy needs a listener whose protocol is UDP")
		}
	}
}
