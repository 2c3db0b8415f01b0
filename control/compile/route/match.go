package route

import (
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// place is where rules are put in effect: a port of the sidecars, or a server of a gateway.
type place struct {
	v       *view.View
	port    uint16
	gateway *mesh.GatewayID // nil: sidecars
	tls     bool            // requests come over TLS that ends here
	host    string          // the only host of requests here, "" when there may be others
}

// applies says whether a match can be true at the place; what it says about the client, the port and the gateway is decided here.
func (p place) applies(m *mesh.HTTPMatch) bool {
	if m.Port != 0 && m.Port != p.port {
		return false
	}
	if len(m.Gateways) > 0 || m.Mesh {
		if p.gateway == nil && !m.Mesh || p.gateway != nil && !slices.Contains(m.Gateways, *p.gateway) {
			return false
		}
	}
	if p.gateway != nil && len(m.Gateways) > 0 { // the client is known by the gateway, as in Istio; else the gateway itself is the source
		return true
	}
	return (m.SourceNamespace == "" || p.v.InNamespace(m.SourceNamespace)) && p.v.ProxyMatches(m.SourceLabels)
}

// routeMatch is Envoy's form of a match; nil matches everything.
// anyPath is shared: who sets another path sets another specifier.
var anyPath = &routev3.RouteMatch_Prefix{Prefix: "/"}

func routeMatch(m *mesh.HTTPMatch) *routev3.RouteMatch {
	out := &routev3.RouteMatch{PathSpecifier: anyPath}
	if m == nil {
		return out
	}
	path(out, m.Path)
	for _, h := range []struct {
		name  string
		match mesh.StringMatch
	}{{":method", m.Method}, {":authority", m.Authority}, {":scheme", m.Scheme}} {
		if h.match.Kind != mesh.MatchAny {
			out.Headers = append(out.Headers, header(mesh.NamedMatch{Name: h.name, Match: h.match}))
		}
	}
	for _, h := range m.Headers {
		out.Headers = append(out.Headers, header(h))
	}
	for _, q := range m.Query {
		out.QueryParameters = append(out.QueryParameters, query(q))
	}
	return out
}

func path(out *routev3.RouteMatch, m mesh.StringMatch) {
	switch m.Kind {
	case mesh.MatchExact:
		out.PathSpecifier = &routev3.RouteMatch_Path{Path: m.Value}
	case mesh.MatchPrefix:
		out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: m.Value}
	case mesh.MatchPathPrefix:
		if trimmed := strings.TrimRight(m.Value, "/"); trimmed != "" {
			out.PathSpecifier = &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: trimmed}
		}
	case mesh.MatchRegex:
		out.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: m.Value}}
		return
	default:
		return
	}
	if m.IgnoreCase {
		out.CaseSensitive = message.False()
	}
}

func header(m mesh.NamedMatch) *routev3.HeaderMatcher {
	out := &routev3.HeaderMatcher{Name: m.Name, InvertMatch: m.Without}
	if s := message.StringMatcher(m.Match); s != nil {
		out.HeaderMatchSpecifier = &routev3.HeaderMatcher_StringMatch{StringMatch: s}
		// A missing header is not the unwanted value either.
		out.TreatMissingHeaderAsEmpty = m.Without
		return out
	}
	out.HeaderMatchSpecifier = &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}
	return out
}

func query(m mesh.NamedMatch) *routev3.QueryParameterMatcher {
	out := &routev3.QueryParameterMatcher{Name: m.Name}
	if s := message.StringMatcher(m.Match); s != nil {
		out.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_StringMatch{StringMatch: s}
	} else {
		out.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_PresentMatch{PresentMatch: true}
	}
	return out
}

// everything says that no request can get past the match.
func everything(m *mesh.HTTPMatch) bool {
	if m == nil {
		return true
	}
	p := m.Path
	open := p.Kind == mesh.MatchAny || (p.Kind == mesh.MatchPrefix || p.Kind == mesh.MatchPathPrefix) && p.Value == "/" || p.Kind == mesh.MatchRegex && p.Value == ".*"
	return open && m.Scheme.Kind == mesh.MatchAny && m.Method.Kind == mesh.MatchAny && m.Authority.Kind == mesh.MatchAny &&
		len(m.Headers) == 0 && len(m.Query) == 0
}

// precedes orders matches of the Gateway API: exact path, then the longest prefix, then method, headers and query parameters (HTTPRouteRule.matches); of a
// GRPCRoute the longest service, then method, then headers (GRPCRouteRule.matches).
func precedes(a, b *mesh.HTTPMatch) int {
	rank := func(m *mesh.HTTPMatch) [5]int {
		if m == nil {
			return [5]int{}
		}
		var r [5]int
		if r[3], r[4] = len(m.Headers), len(m.Query); m.Call != [2]int{} {
			r[0], r[1] = m.Call[0], m.Call[1]
			return r
		}
		switch m.Path.Kind {
		case mesh.MatchExact:
			r[0] = 3
		case mesh.MatchRegex:
			r[0], r[1] = 2, len(m.Path.Value)
		case mesh.MatchPathPrefix, mesh.MatchPrefix:
			r[0], r[1] = 1, len(m.Path.Value)
		}
		if m.Method.Kind != mesh.MatchAny {
			r[2] = 1
		}
		return r
	}
	x, y := rank(a), rank(b)
	return -slices.Compare(x[:], y[:])
}
