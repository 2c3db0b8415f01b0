package mesh

import "strings"

// Outranked gives the routes that lose a listener to one of another kind, each with the route that has it: where an HTTPRoute and a GRPCRoute share a host there, only the first one counts (GRPCRouteSpec.hostnames).
// routes are those at the gateway, in the order of CompareRoutes; who has lost is in nobody's way.
func Outranked(id GatewayID, listener string, routes []*Route) map[*Route]*Route {
	if !ofBothKinds(routes) {
		return nil
	}
	taken := map[string]*claimed{"HTTPRoute": newClaimed(), "GRPCRoute": newClaimed()}
	out := map[*Route]*Route{}
	for _, r := range routes {
		own, other := taken[r.Origin.Kind], taken["HTTPRoute"]
		if r.Origin.Kind == "HTTPRoute" {
			other = taken["GRPCRoute"]
		}
		hosts := r.hostsAt(id, listener)
		if own == nil || len(hosts) == 0 {
			continue
		}
		if winner := other.first(hosts); winner != nil {
			out[r] = winner
			continue
		}
		own.add(hosts, r)
	}
	return out
}

func ofBothKinds(routes []*Route) bool {
	http, grpc := false, false
	for _, r := range routes {
		http, grpc = http || r.Origin.Kind == "HTTPRoute", grpc || r.Origin.Kind == "GRPCRoute"
	}
	return http && grpc
}

func (r *Route) hostsAt(id GatewayID, listener string) (out []Host) {
	for _, p := range r.Parents {
		if p.Gateway == id && p.Listener == listener {
			out = append(out, p.Hosts...)
		}
	}
	return out
}

// claimed are hosts with the routes that have them, found in steps whose number grows with the labels of a host alone.
type claimed struct {
	exact map[Host]*Route // wildcards among them
	below map[Host]*Route // each wildcard that covers one of them: one of these
}

func newClaimed() *claimed { return &claimed{exact: map[Host]*Route{}, below: map[Host]*Route{}} }

func (c *claimed) add(hosts []Host, r *Route) {
	for _, h := range hosts {
		put(c.exact, h, r)
		for w := range wildcards(h) {
			put(c.below, w, r)
		}
	}
}

func put(m map[Host]*Route, h Host, r *Route) {
	if m[h] == nil { // the oldest stays
		m[h] = r
	}
}

// first is a route that has one of the hosts, or a part of what a wildcard of them covers; nil when there is none.
func (c *claimed) first(hosts []Host) *Route {
	for _, h := range hosts {
		if r := c.exact[h]; r != nil {
			return r
		}
		if r := c.below[h]; r != nil {
			return r
		}
		for w := range wildcards(h) {
			if r := c.exact[w]; r != nil {
				return r
			}
		}
	}
	return nil
}

// wildcards yields those that cover a host, other than itself.
func wildcards(h Host) func(yield func(Host) bool) {
	return func(yield func(Host) bool) {
		if h == "*" {
			return
		}
		rest := strings.TrimPrefix(string(h), "*")
		for i := 1; i < len(rest); i++ {
			if rest[i] == '.' && !yield(Host("*"+rest[i:])) {
				return
			}
		}
		yield("*")
	}
}
