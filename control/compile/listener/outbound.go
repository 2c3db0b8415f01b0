package listener

import (
	"net/netip"
	"slices"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

const (
	corev3Outbound = corev3.TrafficDirection_OUTBOUND
	corev3Inbound  = corev3.TrafficDirection_INBOUND
)

// What the http_inspector finds on a plain connection: HTTP/1.x or HTTP/2 with prior knowledge.
var plainHTTP = []string{"http/1.1", "h2c"}

// sniff lets the client's first bytes decide between the chains; a client that says nothing in time gets the default. Where no chain asks for it
// nothing is looked at, because the server may be the first to speak.
func sniff(v *view.View, l *listenerv3.Listener) {
	http := slices.ContainsFunc(l.FilterChains, func(c *listenerv3.FilterChain) bool { return len(c.FilterChainMatch.ApplicationProtocols) > 0 })
	tls := slices.ContainsFunc(l.FilterChains, func(c *listenerv3.FilterChain) bool { return c.FilterChainMatch.TransportProtocol == "tls" })
	if !http && !tls {
		return
	}
	l.ListenerFilters = append(l.ListenerFilters, filter.TLSInspector())
	if http {
		l.ListenerFilters = append(l.ListenerFilters, filter.HTTPInspector())
	}
	l.ListenerFiltersTimeout = message.Duration(v.Settings().DetectionTimeout)
	l.ContinueOnListenerFiltersTimeout = true
}

// detected says which HTTP versions the http_inspector's finding may be: a proxy that cannot do HTTP/2 passes it as TCP.
func detected(v *view.View) []string {
	if v.Can(mesh.FeatureHTTP2) {
		return plainHTTP
	}
	return plainHTTP[:1]
}

func httpChain(v *view.View, m *manager) *listenerv3.FilterChain {
	return &listenerv3.FilterChain{
		FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: "raw_buffer", ApplicationProtocols: detected(v)},
		Filters:          []*listenerv3.Filter{m.filter(v)},
	}
}

// shared is the listener 0.0.0.0_PORT: requests by host, and opaque services told apart by SNI or destination prefix.
func shared(v *view.View, name string, port uint16) *listenerv3.Listener {
	plan := v.Outbound(port)
	if !plan.Shared() {
		return nil
	}
	l := &listenerv3.Listener{Name: name}
	unknown, _ := v.Unknown()
	rest := []filter.Share{{Cluster: unknown}}
	if len(plan.HTTP) > 0 {
		l.FilterChains = append(l.FilterChains, httpChain(v, &manager{statPrefix: "outbound_" + name, route: strconv.Itoa(int(port))}))
	}
	byName := map[string]bool{}
	taken := false
	for _, t := range plan.Opaque {
		chains := opaque(v, t)
		if chains == nil {
			if !taken { // without a name or prefix only one service can have the port
				rest, taken = tcpFork(v, t).rest, true
				l.FilterChains = append(l.FilterChains, bySource(v, t, transports(len(plan.HTTP) > 0)...)...)
				continue
			}
			v.Notice(mesh.Problem{
				Object: t.Service.Origin, Field: "spec.ports", Code: mesh.CodeConflict,
				Message: "port " + strconv.Itoa(int(port)) + " of this service and of another one cannot be told apart: neither has an address",
				Hint:    "give the services addresses, or different ports",
			})
			continue
		}
		for _, c := range chains {
			key := c.FilterChainMatch.String()
			if !byName[key] {
				byName[key] = true
				l.FilterChains = append(l.FilterChains, c)
			}
		}
	}
	l.DefaultFilterChain = &listenerv3.FilterChain{Name: "PassthroughFilterChain", Filters: filter.TCP(v, mesh.ClientSide, filter.Limits{}, rest...)}
	sniff(v, l)
	return outboundListener(v, l, port, false)
}

// opaque are the chains of a service that shares a listener, nil when nothing tells its connections from others.
func opaque(v *view.View, t view.Target) []*listenerv3.FilterChain {
	var out []*listenerv3.FilterChain
	if p := t.Port.Protocol; p == mesh.TLS || p == mesh.HTTPS {
		out = append(out, tlsChains(v, t)...)
	} else if len(t.Service.Prefixes) > 0 {
		out = append(bySource(v, t, ""), &listenerv3.FilterChain{FilterChainMatch: &listenerv3.FilterChainMatch{}, Filters: tcpFilters(v, t)})
	}
	for _, c := range out {
		for _, p := range t.Service.Prefixes {
			c.FilterChainMatch.PrefixRanges = append(c.FilterChainMatch.PrefixRanges, message.Prefix(p))
		}
	}
	return out
}

// addressed is the listener of one address of a service: TCP, or HTTP where the client's first bytes say so.
func addressed(v *view.View, name string, ip netip.Addr, port uint16) *listenerv3.Listener {
	plan := v.Outbound(port)
	if plan.Own != nil {
		return nil
	}
	has := func(t view.Target) bool { return slices.Contains(v.Addresses(t.Service), ip) }
	l := &listenerv3.Listener{Name: name, Address: message.Socket(ip, port)}
	if i := slices.IndexFunc(plan.TCP, has); i >= 0 {
		t := plan.TCP[i]
		if p := t.Port.Protocol; p == mesh.TLS || p == mesh.HTTPS {
			if chains := tlsChains(v, t); len(chains) > 0 && routedTLS(v, t) {
				l.FilterChains = chains
				sniff(v, l)
			}
		}
		l.FilterChains = append(l.FilterChains, bySource(v, t, transports(len(l.FilterChains) > 0)...)...)
		l.DefaultFilterChain = &listenerv3.FilterChain{Filters: tcpFilters(v, t)}
		return outboundListener(v, l, port, false)
	}
	i := slices.IndexFunc(plan.Sniffed, has)
	if i < 0 {
		return nil
	}
	t := plan.Sniffed[i]
	l.FilterChains = []*listenerv3.FilterChain{httpChain(v, &manager{statPrefix: "outbound_" + name, route: view.HostPort(t.Service.ID.Host, port)})}
	l.FilterChains = append(l.FilterChains, bySource(v, t, transports(true)...)...)
	l.DefaultFilterChain = &listenerv3.FilterChain{Filters: tcpFilters(v, t)}
	sniff(v, l)
	return outboundListener(v, l, port, false)
}

// transports are those that a chain for all connections must name: none where no other chain of the listener names one, each of them otherwise, because a proxy that has
// found the transport looks no further.
func transports(named bool) []string {
	if named {
		return []string{"raw_buffer", "tls"}
	}
	return []string{""}
}

func tcpFilters(v *view.View, t view.Target) []*listenerv3.Filter {
	return filter.TCP(v, mesh.ClientSide, limits(v, t), tcpFork(v, t).rest...)
}

// bySource are the chains of TCP rules that ask where a connection comes from; transports are what connections may be, as far as that matters on the listener.
func bySource(v *view.View, t view.Target, transports ...string) (out []*listenerv3.FilterChain) {
	f := tcpFork(v, t)
	for _, transport := range transports {
		out = append(out, f.chains(v, filter.Guard{}, func() *listenerv3.FilterChainMatch { return &listenerv3.FilterChainMatch{TransportProtocol: transport} })...)
	}
	return out
}

// limits are the DestinationRule's time-outs of TCP.
func limits(v *view.View, t view.Target) filter.Limits {
	if p := v.Policy(v.Traffic(t.Service), "", t.Port.Number).Pool; p != nil {
		return filter.Limits{Idle: p.TCPIdleTimeout, Life: p.MaxConnectionDuration}
	}
	return filter.Limits{}
}

// limitsTo are those towards the first of several backends, which hold for all of them, as in Istio.
func limitsTo(v *view.View, backends []mesh.Backend, port uint16) filter.Limits {
	if len(backends) == 0 {
		return filter.Limits{}
	}
	s, ok := v.Resolve(backends[0].Host)
	if !ok {
		return filter.Limits{}
	}
	if n := backends[0].Port; n != 0 {
		port = n
	} else if len(s.Ports) == 1 {
		port = s.Ports[0].Number
	}
	p, _ := s.Port(port)
	return limits(v, view.Target{Service: s, Port: p})
}

// tcpFork is where connections to a service go: where the first TCP rule that applies says, else to the service itself.
func tcpFork(v *view.View, t view.Target) (f fork) {
	for _, r := range v.MeshRoutes(t.Service.ID.Host, t.Port.Number) {
		for i := range r.TCP {
			rule := &r.TCP[i]
			var matches []mesh.L4Match
			for _, m := range rule.Matches {
				if l4Match(v, m, t) {
					matches = append(matches, m)
				}
			}
			f.add(matches, len(rule.Matches) == 0, shares(v, rule.Backends, t.Port.Number), limits(v, t))
		}
	}
	f.add(nil, true, []filter.Share{share(v, t.Service.ID.Host, "", t.Port.Number, 0)}, limits(v, t))
	return f
}

// share is a part of the connections for a subset of a host.
func share(v *view.View, host mesh.Host, subset string, port uint16, weight uint32) filter.Share {
	host = v.Canonical(host)
	h := v.Hash(host, subset, port)
	out := filter.Share{Cluster: view.ClusterName(port, subset, host), Weight: weight, Source: h != nil && h.SourceIP}
	tunneled(v, &out, host, subset, port)
	lookedUp(v, &out, host, port)
	return out
}

// l4Match decides what is known when a listener is compiled; destination subnets are compared with the service's addresses.
func l4Match(v *view.View, m mesh.L4Match, t view.Target) bool {
	if m.Port != 0 && m.Port != t.Port.Number || len(m.Gateways) > 0 && !m.Mesh {
		return false
	}
	if len(m.Destinations) > 0 && !slices.ContainsFunc(m.Destinations, func(cidr string) bool { return within(v, cidr, t) }) {
		return false
	}
	return (m.SourceNamespace == "" || v.InNamespace(m.SourceNamespace)) && v.ProxyMatches(m.SourceLabels)
}

func within(v *view.View, cidr string, t view.Target) bool {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		ip, err := netip.ParseAddr(cidr)
		if err != nil {
			return false
		}
		p = netip.PrefixFrom(ip, ip.BitLen())
	}
	return slices.ContainsFunc(v.Addresses(t.Service), p.Contains)
}

// shares are the clusters of weighted backends.
func shares(v *view.View, backends []mesh.Backend, port uint16) []filter.Share {
	var out []filter.Share
	for _, b := range backends {
		if b.Invalid != "" { // its route says why
			out = append(out, filter.Share{Cluster: view.BlackHoleCluster, Weight: b.Weight})
			continue
		}
		n := b.Port
		if n == 0 {
			n = port
			if s, ok := v.Resolve(b.Host); ok && len(s.Ports) == 1 {
				n = s.Ports[0].Number
			}
		}
		if b.Weight > 0 || len(backends) == 1 {
			out = append(out, share(v, b.Host, b.Subset, n, b.Weight))
		}
	}
	return together(v, out, backends)
}

func routedTLS(v *view.View, t view.Target) bool {
	return slices.ContainsFunc(v.MeshRoutes(t.Service.ID.Host, t.Port.Number), func(r *mesh.Route) bool { return len(r.TLS) > 0 })
}

// tlsChains tell a service's connections by server name: those that TLS rules name, then the service's own host.
func tlsChains(v *view.View, t view.Target) []*listenerv3.FilterChain {
	var out []*listenerv3.FilterChain
	chain := func(names []string, to []filter.Share) {
		out = append(out, &listenerv3.FilterChain{
			FilterChainMatch: &listenerv3.FilterChainMatch{ServerNames: names, TransportProtocol: "tls"},
			Filters:          filter.TCP(v, mesh.ClientSide, limits(v, t), to...),
		})
	}
	named := map[string]bool{}
	for _, r := range v.MeshRoutes(t.Service.ID.Host, t.Port.Number) {
		for i := range r.TLS {
			rule := &r.TLS[i]
			to := shares(v, rule.Backends, t.Port.Number)
			var names []string
			for _, h := range rule.Hosts {
				if !named[string(h)] {
					named[string(h)] = true
					names = append(names, string(h))
				}
			}
			for _, m := range rule.Matches {
				for _, h := range m.SNIHosts {
					if l4Match(v, m, t) && !named[string(h)] && h != "*" {
						named[string(h)] = true
						names = append(names, string(h))
					}
				}
			}
			if len(names) > 0 && len(to) > 0 {
				chain(names, to)
			}
		}
	}
	if h := string(t.Service.ID.Host); !named[h] && h != "*" {
		chain([]string{h}, []filter.Share{share(v, t.Service.ID.Host, "", t.Port.Number, 0)})
	}
	return out
}

// explicitProxy is for workloads whose traffic is not captured: clients name it in HTTP_PROXY.
func explicitProxy(v *view.View, name string, ip netip.Addr, port uint16) *listenerv3.Listener {
	l := &listenerv3.Listener{Name: name, Address: message.Socket(ip, port), FilterChains: []*listenerv3.FilterChain{{
		Filters: []*listenerv3.Filter{(&manager{statPrefix: "outbound_" + name, route: view.HTTPProxy}).filter(v)},
	}}}
	return outboundListener(v, l, port, true)
}
