package mesh

import (
	"testing"

	"pgregory.net/rapid"
)

// What Outranked finds is what a comparison of every pair finds.
func TestOutranked(t *testing.T) {
	id := GatewayID{Dialect: GatewayAPI, Namespace: "shop", Name: "front"}
	rapid.Check(t, func(t *rapid.T) {
		var routes []*Route
		for range rapid.IntRange(0, 8).Draw(t, "routes") {
			r := &Route{Origin: Ref{Kind: rapid.SampledFrom([]string{"HTTPRoute", "GRPCRoute", "TLSRoute"}).Draw(t, "kind")}}
			for range rapid.IntRange(1, 2).Draw(t, "parents") {
				p := Parent{Gateway: id, Listener: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "listener")}
				p.Hosts = rapid.SliceOfN(rapid.SampledFrom([]Host{"*", "*.com", "*.a.com", "a.com", "b.a.com", "*.b.a.com", "c.b.a.com", "b.com", "xa.com"}), 1, 2).Draw(t, "hosts")
				r.Parents = append(r.Parents, p)
			}
			routes = append(routes, r)
		}
		got := Outranked(id, "a", routes)
		lost := map[*Route]bool{}
		for i, r := range routes {
			for _, before := range routes[:i] {
				if !lost[before] && rival(before, r) && meets(before.hostsAt(id, "a"), r.hostsAt(id, "a")) {
					lost[r] = true
				}
			}
			winner := got[r]
			if lost[r] != (winner != nil) || winner != nil && (lost[winner] || !rival(winner, r) || !meets(winner.hostsAt(id, "a"), r.hostsAt(id, "a"))) {
				t.Fatalf("route %d: lost %v, outranked by %+v", i, lost[r], winner)
			}
		}
	})
}

func rival(a, b *Route) bool {
	return a.Origin.Kind != b.Origin.Kind && a.Origin.Kind != "TLSRoute" && b.Origin.Kind != "TLSRoute"
}

func meets(a, b []Host) bool {
	for _, x := range a {
		for _, y := range b {
			if x.Matches(y) || y.Matches(x) {
				return true
			}
		}
	}
	return false
}
