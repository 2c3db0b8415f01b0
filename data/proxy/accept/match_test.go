package accept

import (
	"net/netip"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

func origin(edit func(*loop.Origin)) *loop.Origin {
	o := &loop.Origin{
		Local: loop.TCP(netip.MustParseAddrPort("10.0.0.5:15006")), Original: loop.TCP(netip.MustParseAddrPort("10.0.0.5:8080")),
		Remote: loop.TCP(netip.MustParseAddrPort("10.0.0.9:40000")), Transport: loop.RawBuffer,
	}
	if edit != nil {
		edit(o)
	}
	return o
}

func prefixes(all ...string) (p []netip.Prefix) {
	for _, s := range all {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

func chainsOf(named map[string]config.ChainMatch, order ...string) (all []*Chain) {
	for _, n := range order {
		all = append(all, &Chain{Chain: &config.Chain{Name: n, Match: named[n]}})
	}
	return all
}

// TestChainMatch follows the order and the examples of envoy.config.listener.v3.FilterChainMatch.
func TestChainMatch(t *testing.T) {
	cases := []struct {
		name   string
		chains []*Chain
		origin *loop.Origin
		want   string
	}{
		{"istio permissive, mutual TLS", permissive(), origin(func(o *loop.Origin) {
			o.Transport, o.Protocols = loop.TLSBytes, []string{"istio-http/1.1", "istio", "http/1.1"}
		}), "mtls-http"},
		{"istio permissive, mutual TLS of TCP", permissive(), origin(func(o *loop.Origin) {
			o.Transport, o.Protocols = loop.TLSBytes, []string{"istio-peer-exchange", "istio"}
		}), "mtls-tcp"},
		{"istio permissive, plain HTTP", permissive(), origin(func(o *loop.Origin) { o.Protocols = []string{"http/1.1"} }), "plain-http"},
		{"istio permissive, plain TCP", permissive(), origin(nil), "plain-tcp"},
		{"istio permissive, the app's own TLS", permissive(), origin(func(o *loop.Origin) { o.Transport, o.Protocols = loop.TLSBytes, []string{"h2"} }), "tls-passthrough"},
		{"istio permissive, other port", permissive(), origin(func(o *loop.Origin) { o.Original = loop.TCP(netip.MustParseAddrPort("10.0.0.5:1")) }), ""},
		{"no going back from the port", chainsOf(map[string]config.ChainMatch{
			"port": {DestinationPort: 8080, ServerNames: []string{"a.example"}}, "any": {},
		}, "port", "any"), origin(nil), ""},
		{"longest prefix", chainsOf(map[string]config.ChainMatch{
			"8": {Prefixes: prefixes("10.0.0.0/8")}, "24": {Prefixes: prefixes("192.168.0.0/16", "10.0.0.0/24")}, "none": {},
		}, "8", "24", "none"), origin(nil), "24"},
		{"no prefix covers", chainsOf(map[string]config.ChainMatch{"8": {Prefixes: prefixes("11.0.0.0/8")}, "none": {}}, "8", "none"), origin(nil), "none"},
		{"prefix of the other family", chainsOf(map[string]config.ChainMatch{"6": {Prefixes: prefixes("::/0")}}, "6"), origin(nil), ""},
		{"ipv6 prefix", chainsOf(map[string]config.ChainMatch{"6": {Prefixes: prefixes("fd00::/8")}, "none": {}}, "6", "none"),
			origin(func(o *loop.Origin) { o.Original = loop.TCP(netip.MustParseAddrPort("[fd00::1]:8080")) }), "6"},
		{"exact server name", names(), origin(func(o *loop.Origin) { o.ServerName = "a.b.example" }), "exact"},
		{"nearest wildcard", names(), origin(func(o *loop.Origin) { o.ServerName = "x.b.example" }), "near"},
		{"wildcard over several labels", names(), origin(func(o *loop.Origin) { o.ServerName = "x.y.b.example" }), "near"},
		{"far wildcard", names(), origin(func(o *loop.Origin) { o.ServerName = "c.example" }), "far"},
		{"wildcard needs a label", names(), origin(func(o *loop.Origin) { o.ServerName = "example" }), "none"},
		{"no server name", names(), origin(nil), "none"},
		{"the client's order of protocols decides", chainsOf(map[string]config.ChainMatch{
			"h2": {ApplicationProtocols: []string{"h2"}}, "h1": {ApplicationProtocols: []string{"http/1.1"}},
		}, "h1", "h2"), origin(func(o *loop.Origin) { o.Protocols = []string{"h2", "http/1.1"} }), "h2"},
		{"source type", chainsOf(map[string]config.ChainMatch{"local": {SourceType: config.SameHost}, "external": {SourceType: config.External}}, "local", "external"), origin(nil), "external"},
		{"same host", chainsOf(map[string]config.ChainMatch{"local": {SourceType: config.SameHost}, "any": {}}, "any", "local"),
			origin(func(o *loop.Origin) { o.Remote = loop.TCP(netip.MustParseAddrPort("10.0.0.5:1")) }), "local"},
		{"source prefix and port", chainsOf(map[string]config.ChainMatch{
			"prefix": {SourcePrefixes: prefixes("10.0.0.9/32"), SourcePorts: []uint16{1}}, "any": {},
		}, "prefix", "any"), origin(nil), ""},
		{"source port", chainsOf(map[string]config.ChainMatch{"port": {SourcePorts: []uint16{1, 40000}}, "any": {}}, "any", "port"), origin(nil), "port"},
		{"direct source", chainsOf(map[string]config.ChainMatch{"direct": {DirectSourcePrefixes: prefixes("10.0.0.0/16")}, "any": {}}, "any", "direct"), origin(nil), "direct"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if chain := choose(c.chains, c.origin); chain != nil {
				got = chain.Name
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// permissive is Istio's inbound set of chains for a port in PERMISSIVE mode.
func permissive() []*Chain {
	istio := []string{"istio-http/1.0", "istio-http/1.1", "istio-h2"}
	return chainsOf(map[string]config.ChainMatch{
		"mtls-http":       {DestinationPort: 8080, TransportProtocol: "tls", ApplicationProtocols: istio},
		"mtls-tcp":        {DestinationPort: 8080, TransportProtocol: "tls", ApplicationProtocols: []string{"istio-peer-exchange", "istio"}},
		"plain-http":      {DestinationPort: 8080, TransportProtocol: "raw_buffer", ApplicationProtocols: []string{"http/1.1", "h2c"}},
		"plain-tcp":       {DestinationPort: 8080, TransportProtocol: "raw_buffer"},
		"tls-passthrough": {DestinationPort: 8080, TransportProtocol: "tls"},
	}, "plain-tcp", "plain-http", "tls-passthrough", "mtls-tcp", "mtls-http")
}

func names() []*Chain {
	return chainsOf(map[string]config.ChainMatch{
		"exact": {ServerNames: []string{"z.example", "a.b.example"}}, "near": {ServerNames: []string{"*.b.example"}}, "far": {ServerNames: []string{"*.example"}}, "none": {},
	}, "none", "far", "near", "exact")
}
