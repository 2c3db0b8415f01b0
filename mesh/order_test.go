package mesh

import (
	"slices"
	"testing"
	"time"
)

// TestCompareRoutes: age goes before all names, and of one age each API has its own order.
func TestCompareRoutes(t *testing.T) {
	at := time.Unix(1000, 0)
	want := []*Route{
		{Origin: Ref{Kind: "VirtualService", Namespace: "z", Name: "z"}, Created: at.Add(-time.Second)},
		{Origin: Ref{Kind: "HTTPRoute", Namespace: "a", Name: "z"}, Created: at},
		{Origin: Ref{Kind: "HTTPRoute", Namespace: "b", Name: "a"}, Created: at},
		{Origin: Ref{Kind: "GRPCRoute", Namespace: "b", Name: "b"}, Created: at},
		{Origin: Ref{Kind: "HTTPRoute", Namespace: "b", Name: "b"}, Created: at},
		{Origin: Ref{Kind: "VirtualService", Namespace: "b", Name: "a"}, Created: at},
		{Origin: Ref{Kind: "VirtualService", Namespace: "a", Name: "b"}, Created: at},
		{Origin: Ref{Kind: "VirtualService", Namespace: "b", Name: "b"}, Created: at},
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, CompareRoutes)
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("at %d is %s, not %s", i, got[i].Origin, want[i].Origin)
		}
	}
}
