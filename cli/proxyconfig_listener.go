package cli

import (
	"fmt"
	"strings"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	udpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/udp/udp_proxy/v3"
	"google.golang.org/protobuf/proto"
)

var listenerView = view{
	name: "listener", aliases: []string{"listeners", "l"}, short: "Where a proxy listens, and what for", page: "/config_dump",
	rows: func(page []byte, wide bool) (*table, error) {
		t := newTable("ADDRESSES", "PORT", "MATCH", "DESTINATION")
		if wide {
			t.header = append(t.header, "NAME")
		}
		list, err := listeners(page)
		for _, l := range list {
			row := func(match, to string) {
				cells := []string{l.GetAddress().GetSocketAddress().GetAddress(), fmt.Sprint(l.GetAddress().GetSocketAddress().GetPortValue()), match, to}
				if wide {
					cells = append(cells, l.Name)
				}
				t.add(cells...)
			}
			for _, to := range datagrams(l) {
				row("UDP", to)
			}
			for _, c := range chains(l) {
				row(chainMatch(c.FilterChainMatch, c == l.DefaultFilterChain), destination(c))
			}
		}
		return t, err
	},
	messages: func(page []byte) ([]proto.Message, error) {
		list, err := listeners(page)
		return asMessages(list), err
	},
}

func chains(l *listenerv3.Listener) []*listenerv3.FilterChain {
	all := l.FilterChains
	if l.DefaultFilterChain != nil {
		all = append(all[:len(all):len(all)], l.DefaultFilterChain)
	}
	return all
}

func listeners(page []byte) (list []*listenerv3.Listener, err error) {
	err = each(page, func(d *adminv3.ListenersConfigDump) (err error) {
		for _, l := range d.StaticListeners {
			if list, err = appendAs(list, l.Listener); err != nil {
				return err
			}
		}
		for _, l := range d.DynamicListeners {
			if list, err = appendAs(list, l.GetActiveState().GetListener()); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// datagrams are the clusters that a listener for UDP leads to.
func datagrams(l *listenerv3.Listener) (to []string) {
	for _, f := range l.GetListenerFilters() {
		var p udpv3.UdpProxyConfig
		if f.GetTypedConfig().UnmarshalTo(&p) != nil {
			continue
		}
		name := p.GetCluster() //nolint:staticcheck // deprecated, and still the shortest form
		if a := p.GetMatcher().GetOnNoMatch().GetAction(); a != nil {
			var r udpv3.Route
			if a.GetTypedConfig().UnmarshalTo(&r) == nil {
				name = r.Cluster
			}
		}
		to = append(to, "Cluster: "+name)
	}
	return to
}

// chainMatch is istioctl's short form of a filter chain's match.
func chainMatch(m *listenerv3.FilterChainMatch, fallback bool) string {
	var parts []string
	if len(m.GetServerNames()) > 0 {
		parts = append(parts, "SNI: "+strings.Join(m.ServerNames, ","))
	}
	if m.GetTransportProtocol() != "" {
		parts = append(parts, "Trans: "+m.TransportProtocol)
	}
	if len(m.GetApplicationProtocols()) > 0 {
		parts = append(parts, "App: "+strings.Join(m.ApplicationProtocols, ","))
	}
	for _, p := range m.GetPrefixRanges() {
		parts = append(parts, fmt.Sprintf("Addr: %s/%d", p.AddressPrefix, p.GetPrefixLen().GetValue()))
	}
	if m.GetDestinationPort() != nil {
		parts = append(parts, fmt.Sprintf("Port: %d", m.DestinationPort.Value))
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, "; ")
	case fallback:
		return "FALLBACK"
	}
	return "ALL"
}

// destination says where a filter chain leads.
func destination(c *listenerv3.FilterChain) string {
	for _, f := range c.GetFilters() {
		m, err := f.GetTypedConfig().UnmarshalNew()
		if err != nil {
			continue
		}
		switch m := m.(type) {
		case *hcmv3.HttpConnectionManager:
			if m.GetRds() != nil {
				return "Route: " + m.GetRds().RouteConfigName
			}
			return "Inline Route: " + m.GetRouteConfig().GetName()
		case *tcpv3.TcpProxy:
			if m.GetCluster() != "" {
				return "Cluster: " + m.GetCluster()
			}
			var names []string
			for _, w := range m.GetWeightedClusters().GetClusters() {
				names = append(names, fmt.Sprintf("%s (%d)", w.Name, w.Weight))
			}
			return "Clusters: " + strings.Join(names, ", ")
		}
	}
	return "Non-HTTP/Non-TCP"
}
