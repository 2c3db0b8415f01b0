package route

import (
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/heddle-mesh/heddle/mesh"
)

// gatewayGroup is the API group of the Gateway API's routes.
const gatewayGroup = "gateway.networking.k8s.io"

// candidate is one match of one rule, before it is put in order.
type candidate struct {
	origin mesh.Ref
	rule   *mesh.HTTPRule
	match  *mesh.HTTPMatch
}

// rules puts the rules of a host's routes in effect. Rules of VirtualServices come in the order in which they are written, oldest object first, those
// that match everything last; rules of the Gateway API by how much they say. What comes after a rule that matches everything is left out.
func (p place) rules(host mesh.Host, routes []*mesh.Route) []*routev3.Route {
	var all []candidate
	for _, r := range routes {
		for i := range r.HTTP {
			all = append(all, p.candidates(r.Origin, &r.HTTP[i])...)
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		if a.origin.Group == gatewayGroup && b.origin.Group == gatewayGroup {
			return precedes(a.match, b.match)
		}
		if x, y := everything(a.match), everything(b.match); len(routes) > 1 && x != y {
			if x {
				return 1
			}
			return -1
		}
		return 0
	})
	var out []*routev3.Route
	for _, c := range all {
		out = append(out, p.routes(c, host)...)
		if everything(c.match) {
			break
		}
	}
	return out
}

// routes are what a candidate becomes: one route, or one for each share; and of it what a gRPC client can read.
func (p place) routes(c candidate, host mesh.Host) (out []*routev3.Route) {
	for _, s := range shares(c.rule, p.v.Kind() != mesh.Proxyless && p.v.Can(mesh.FeatureSession)) {
		r := p.build(c.origin, s.rule, c.match)
		r.Match.RuntimeFraction = s.fraction(p.v.Kind() == mesh.Proxyless)
		if s.cookie != "" {
			r.Match.Headers = append(r.Match.Headers, hasCookie(s.cookie))
		}
		if p.v.Kind() == mesh.Proxyless {
			out = append(out, p.forClient(candidate{c.origin, s.rule, c.match}, host, r)...)
			continue
		}
		out = append(out, r)
	}
	return out
}

func (p place) candidates(origin mesh.Ref, rule *mesh.HTTPRule) []candidate {
	if len(rule.Matches) == 0 {
		return []candidate{{origin, rule, nil}}
	}
	var out []candidate
	for i := range rule.Matches {
		if m := &rule.Matches[i]; p.applies(m) {
			out = append(out, candidate{origin, rule, m})
		}
	}
	return out
}

// fallback is the route of a service that no rule speaks of.
func (p place) fallback(s *mesh.Service) []*routev3.Route {
	rule := &mesh.HTTPRule{Name: "default", Backends: []mesh.Backend{{Host: s.ID.Host, Service: s.ID, Port: p.port, Weight: 1}}}
	return p.routes(candidate{rule: rule}, s.ID.Host)
}
