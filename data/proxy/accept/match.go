package accept

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// Chain is a filter chain of a Table with its transport ready.
type Chain struct {
	*config.Chain
	transport transport
}

// criterion narrows the candidates to the most specific class that a connection falls in, and none when it falls in no class. Envoy never goes back to a
// less specific class when a later criterion finds nothing, and neither does this.
type criterion func(all []*Chain, o *loop.Origin) []*Chain

// criteria are in the order of envoy.config.listener.v3.FilterChainMatch.
var criteria = []criterion{byPort, byDestination, byServerName, byTransport, byProtocol, byDirectSource, bySourceType, bySource, bySourcePort}

// choose finds the filter chain of a connection, nil if none matches. all is not changed.
func choose(all []*Chain, o *loop.Origin) *Chain {
	left := slices.Clone(all)
	for _, narrow := range criteria {
		if left = narrow(left, o); len(left) == 0 {
			return nil
		}
	}
	return left[0]
}

// keep filters in place.
func keep(all []*Chain, f func(*config.ChainMatch) bool) []*Chain {
	return slices.DeleteFunc(all, func(c *Chain) bool { return !f(&c.Match) })
}

func some(all []*Chain, f func(*config.ChainMatch) bool) bool {
	return slices.ContainsFunc(all, func(c *Chain) bool { return f(&c.Match) })
}

// prefer keeps the chains of the first class that has any.
func prefer(all []*Chain, classes ...func(*config.ChainMatch) bool) []*Chain {
	for _, f := range classes {
		if some(all, f) {
			return keep(all, f)
		}
	}
	return nil
}

func byPort(all []*Chain, o *loop.Origin) []*Chain {
	return prefer(all,
		func(m *config.ChainMatch) bool {
			return m.DestinationPort != 0 && m.DestinationPort == o.Original.Port()
		},
		func(m *config.ChainMatch) bool { return m.DestinationPort == 0 })
}

// longest keeps the chains with the longest prefix that covers ip; no prefix at all is the shortest.
func longest(all []*Chain, ip netip.Addr, of func(*config.ChainMatch) []netip.Prefix) []*Chain {
	best := -1
	bits := func(m *config.ChainMatch) int {
		n := -1
		if len(of(m)) == 0 {
			n = 0
		}
		for _, p := range of(m) {
			if p.Contains(ip) {
				n = max(n, p.Bits())
			}
		}
		return n
	}
	for _, c := range all {
		best = max(best, bits(&c.Match))
	}
	return keep(all, func(m *config.ChainMatch) bool { return best >= 0 && bits(m) == best })
}

func byDestination(all []*Chain, o *loop.Origin) []*Chain {
	return longest(all, o.Original.Addr(), func(m *config.ChainMatch) []netip.Prefix { return m.Prefixes })
}

func byServerName(all []*Chain, o *loop.Origin) []*Chain {
	if o.ServerName != "" {
		is := func(pattern string) func(*config.ChainMatch) bool {
			return func(m *config.ChainMatch) bool { return slices.Contains(m.ServerNames, pattern) }
		}
		if f := is(o.ServerName); some(all, f) {
			return keep(all, f)
		}
		for rest := o.ServerName; ; {
			_, parent, ok := strings.Cut(rest, ".")
			if !ok {
				break
			}
			if f := is("*." + parent); some(all, f) {
				return keep(all, f)
			}
			rest = parent
		}
	}
	return keep(all, func(m *config.ChainMatch) bool { return len(m.ServerNames) == 0 })
}

func byTransport(all []*Chain, o *loop.Origin) []*Chain {
	return prefer(all,
		func(m *config.ChainMatch) bool {
			return m.TransportProtocol != "" && m.TransportProtocol == o.Transport
		},
		func(m *config.ChainMatch) bool { return m.TransportProtocol == "" })
}

func byProtocol(all []*Chain, o *loop.Origin) []*Chain {
	for _, p := range o.Protocols {
		if f := func(m *config.ChainMatch) bool { return slices.Contains(m.ApplicationProtocols, p) }; some(all, f) {
			return keep(all, f)
		}
	}
	return keep(all, func(m *config.ChainMatch) bool { return len(m.ApplicationProtocols) == 0 })
}

func byDirectSource(all []*Chain, o *loop.Origin) []*Chain {
	return longest(all, o.DirectRemote().Addr(), func(m *config.ChainMatch) []netip.Prefix { return m.DirectSourcePrefixes })
}

func bySourceType(all []*Chain, o *loop.Origin) []*Chain {
	kind := config.External
	if o.Remote.IsUnix() || o.Remote.Addr().IsLoopback() || o.Remote.Addr() == o.Local.Addr() {
		kind = config.SameHost
	}
	return prefer(all,
		func(m *config.ChainMatch) bool { return m.SourceType == kind },
		func(m *config.ChainMatch) bool { return m.SourceType == config.AnySource })
}

func bySource(all []*Chain, o *loop.Origin) []*Chain {
	return longest(all, o.Remote.Addr(), func(m *config.ChainMatch) []netip.Prefix { return m.SourcePrefixes })
}

func bySourcePort(all []*Chain, o *loop.Origin) []*Chain {
	return prefer(all,
		func(m *config.ChainMatch) bool { return slices.Contains(m.SourcePorts, o.Remote.Port()) },
		func(m *config.ChainMatch) bool { return len(m.SourcePorts) == 0 })
}
