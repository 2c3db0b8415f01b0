package listener

import (
	"slices"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/control/compile/gate"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
	"google.golang.org/protobuf/proto"
)

// gatewayListener is a port of a gateway. Plain and TLS servers may share it: the first bytes tell them apart.
func gatewayListener(v *view.View, name string) *listenerv3.Listener {
	ip, number, ok := view.ParseListenerName(name)
	if !ok {
		return nil
	}
	p, ok := gate.At(v, ip, number)
	if !ok || !p.Connects() {
		return nil
	}
	l := &listenerv3.Listener{Name: name, TrafficDirection: corev3.TrafficDirection_OUTBOUND}
	if p.Bind.IsValid() {
		l.Address = message.Socket(p.Bind, number)
	} else {
		bindAny(v, l, number)
	}
	guard := filter.GuardOf(v, number)
	if !guard.Empty() && !v.Can(mesh.FeatureRBAC) {
		arrival{}.refused(v, guard)
		p = gate.Port{Number: number, Refused: slices.Concat(p.Plain, p.TLS, p.TCP, p.Refused)}
	}
	switch {
	case !v.ProxyConfig().ProxyProtocol:
	case v.Can(mesh.FeatureProxyProtocol):
		l.ListenerFilters = append(l.ListenerFilters, filter.ProxyHeader())
	default:
		unannounced(v, p)
		p = gate.Port{Number: number, Refused: slices.Concat(p.Plain, p.TLS, p.TCP, p.Refused)}
	}
	named := map[string]bool{}
	for _, s := range p.TLS {
		if s.TLS.Passes() {
			l.FilterChains = append(l.FilterChains, passing(v, s, guard, named)...)
		} else {
			l.FilterChains = append(l.FilterChains, terminating(v, s, guard, named)...)
		}
	}
	for _, s := range p.Refused {
		l.FilterChains = append(l.FilterChains, refusing(v, s, named)...)
	}
	switch {
	case len(p.Plain) > 0:
		l.DefaultFilterChain = &listenerv3.FilterChain{Filters: []*listenerv3.Filter{
			(&manager{statPrefix: "outbound_" + name, route: p.Plain[0].Route, edge: true, guard: guard}).filter(v),
		}}
	case len(p.TCP) > 0:
		f := tcpAt(v, p.TCP[0])
		l.FilterChains = append(l.FilterChains, f.chains(v, guard, func() *listenerv3.FilterChainMatch { return &listenerv3.FilterChainMatch{} })...)
		if len(f.rest) > 0 {
			l.DefaultFilterChain = &listenerv3.FilterChain{Filters: append(guard.TCP(), filter.TCP(v, mesh.ClientSide, f.limit, f.rest...)...)}
		}
	}
	if len(p.Plain) > 0 && len(p.TCP) > 0 {
		v.Notice(mesh.Problem{
			Object: p.TCP[0].Gateway.Origin, Field: "spec.servers", Code: mesh.CodeConflict,
			Message: "port " + strconv.Itoa(int(number)) + " is an HTTP port already, so its TCP server is not served", Hint: "use another port for TCP",
		})
	}
	if len(l.FilterChains) == 0 && l.DefaultFilterChain == nil {
		l.DefaultFilterChain = &listenerv3.FilterChain{Filters: Nowhere(v)}
	}
	if len(l.FilterChains) > 0 {
		l.ListenerFilters = append(l.ListenerFilters, filter.TLSInspector())
	}
	return l
}

// unannounced tells the owners of a port's Gateways that it is closed at a proxy that cannot read the PROXY header, without which every client would have the load
// balancer's address.
func unannounced(v *view.View, p gate.Port) {
	for _, s := range slices.Concat(p.Plain, p.TLS, p.TCP) {
		v.Notice(mesh.Problem{
			Object: s.Gateway.Origin, Field: "spec.servers", Code: mesh.CodeNotEnforced,
			Message: "MeshConfig's gatewayTopology.proxyProtocol asks for a PROXY header, which some connected gateways cannot read: they close every connection", Hint: "upgrade them",
		})
	}
}

// terminating are the chains of a server that ends TLS: for HTTP or TCP one of all its names, and before that one for each TLSRoute.
func terminating(v *view.View, s gate.Server, guard filter.Guard, named map[string]bool) (out []*listenerv3.FilterChain) {
	chain := func(wanted []string, filters ...*listenerv3.Filter) {
		if names, free := unclaimed(v, s, wanted, named); free {
			out = append(out, &listenerv3.FilterChain{
				FilterChainMatch: &listenerv3.FilterChainMatch{ServerNames: names, TransportProtocol: "tls"},
				TransportSocket:  downstream(serverContext(v, s.TLS)), Filters: filters,
			})
		}
	}
	if len(s.TLS.SPKIs)+len(s.TLS.Hashes) > 0 && !v.Can(mesh.FeaturePins) {
		v.Notice(mesh.Problem{
			Object: s.Gateway.Origin, Field: "spec.servers", Code: mesh.CodeDenied, Hint: "upgrade them",
			Message: "some connected gateways cannot tell clients by the hashes of their certificates (verifyCertificateSpki, verifyCertificateHash): server " + s.Name + " of them takes no connection",
		})
		return refusing(v, s, named)
	}
	if s.TLS.Strangers {
		guard = guard.AgainstStrangers()
	}
	if s.Protocol.IsHTTP() || s.Protocol == mesh.HTTPS {
		m := &manager{statPrefix: "outbound_" + s.Route, route: s.Route, edge: true, guard: guard, strangers: s.TLS.Strangers}
		chain(s.ServerNames(), m.filter(v))
		return out
	}
	if s.Gateway.ID.Dialect == mesh.GatewayAPI {
		for _, r := range s.TLSRoutes(v) {
			if to := shares(v, r.Rule.Backends, s.Port); len(to) > 0 {
				chain(r.Names, append(guard.TCP(), filter.TCP(v, mesh.ClientSide, limitsTo(v, r.Rule.Backends, s.Port), to...)...)...)
			}
		}
	}
	f, before := tcpAt(v, s), len(out)
	switch {
	case len(f.rest) > 0:
		chain(s.ServerNames(), append(guard.TCP(), filter.TCP(v, mesh.ClientSide, f.limit, f.rest...)...)...)
	case len(f.ways) > 0:
		chain(s.ServerNames(), Nowhere(v)...)
	case len(out) == 0:
		return refusing(v, s, named)
	}
	if len(out) > before {
		last := out[before]
		for _, c := range f.chains(v, guard, func() *listenerv3.FilterChainMatch { return proto.CloneOf(last.FilterChainMatch) }) {
			c.TransportSocket = last.TransportSocket
			out = append(out, c)
		}
	}
	return out
}

// refusing is the chain that closes the connections of a server that must not serve.
func refusing(v *view.View, s gate.Server, named map[string]bool) []*listenerv3.FilterChain {
	match := &listenerv3.FilterChainMatch{TransportProtocol: "raw_buffer"}
	if s.TLS != nil {
		names, free := unclaimed(v, s, s.ServerNames(), named)
		if !free {
			return nil
		}
		match = &listenerv3.FilterChainMatch{ServerNames: names, TransportProtocol: "tls"}
	}
	return []*listenerv3.FilterChain{{FilterChainMatch: match, Filters: Nowhere(v)}}
}

// Nowhere closes a connection.
func Nowhere(v *view.View) []*listenerv3.Filter {
	return filter.TCP(v, mesh.ClientSide, filter.Limits{}, filter.Share{Cluster: view.BlackHoleCluster})
}

// unclaimed are the server names that no older server of the port has, and takes them; no name at all is one too, for whatever others leave. Of names that are taken the owner
// is told.
func unclaimed(v *view.View, s gate.Server, wanted []string, named map[string]bool) (names []string, free bool) {
	names = slices.DeleteFunc(slices.Clone(wanted), func(n string) bool { return named[n] })
	if len(names) == 0 && (len(wanted) > 0 || named[""]) {
		v.Notice(mesh.Problem{
			Object: s.Gateway.Origin, Field: "spec.servers", Code: mesh.CodeConflict,
			Message: "an older server has the hosts of server " + s.Name + " on port " + strconv.Itoa(int(s.Port)), Hint: "use other hosts or another port",
		})
		return nil, false
	}
	for _, n := range names {
		named[n] = true
	}
	named[""] = named[""] || len(wanted) == 0
	return names, true
}

// passing are the chains of a server that passes TLS on as it is: where TLS rules say by server name, or to the cluster that the server name of a sidecar names.
func passing(v *view.View, s gate.Server, guard filter.Guard, named map[string]bool) (out []*listenerv3.FilterChain) {
	chain := func(wanted []string, within filter.Limits, to ...filter.Share) {
		names, free := unclaimed(v, s, wanted, named)
		if !free {
			return
		}
		out = append(out, &listenerv3.FilterChain{
			FilterChainMatch: &listenerv3.FilterChainMatch{ServerNames: names, TransportProtocol: "tls"}, Filters: append(guard.TCP(), filter.TCP(v, mesh.ClientSide, within, to...)...),
		})
	}
	if s.TLS.Mode == mesh.ServerAutoPassthrough {
		for name := range s.Passed(v) {
			chain([]string{name}, filter.Limits{}, filter.Share{Cluster: name})
		}
		return out
	}
	for _, r := range s.TLSRoutes(v) {
		if to := shares(v, r.Rule.Backends, s.Port); len(to) > 0 {
			chain(r.Names, limitsTo(v, r.Rule.Backends, s.Port), to...)
		}
	}
	return out
}

// tcpAt is where the TCP rules at a server lead.
func tcpAt(v *view.View, s gate.Server) (f fork) {
	for _, r := range s.Routes(v) {
		for _, rule := range r.Route.TCP {
			var matches []mesh.L4Match
			for _, m := range rule.Matches {
				if s.L4(v, m) {
					matches = append(matches, m)
				}
			}
			f.add(matches, len(rule.Matches) == 0, shares(v, rule.Backends, s.Port), limitsTo(v, rule.Backends, s.Port))
		}
	}
	return f
}
