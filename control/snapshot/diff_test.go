package snapshot

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

var nounNames = map[mesh.Noun]string{
	mesh.OfServices: "service", mesh.OfHosts: "host", mesh.OfEndpoints: "endpoints", mesh.OfWorkloads: "workload", mesh.OfRoutes: "route", mesh.OfMeshRoutes: "mesh route",
	mesh.OfGateRoutes: "gate route", mesh.OfTraffic: "traffic", mesh.OfGateways: "gateway", mesh.OfAuthn: "authn", mesh.OfAuthz: "authz", mesh.OfDenials: "denials",
	mesh.OfSecrets: "secret", mesh.OfBackendTLS: "backend TLS", mesh.OfCalled: "called", mesh.OfSidecars: "sidecars", mesh.OfFilters: "filters", mesh.OfTelemetry: "telemetry",
}

// What the difference of two snapshots names is exactly what differs between two that are made from nothing: nothing is missed, and nothing that is the same is told.
func TestDiffNamesExactlyWhatDiffers(t *testing.T) {
	name := rapid.SampledFrom([]string{"a", "b", "c"})
	edits := 0
	rapid.Check(t, func(t *rapid.T) {
		r := newRig(t)
		before := map[string]any{}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			for range rapid.IntRange(1, 3).Draw(t, "edits") {
				edits++
				yaml := fmt.Sprintf(rapid.SampledFrom(pieces).Draw(t, "piece"), name.Draw(t, "name"), name.Draw(t, "other"), rapid.IntRange(0, 2).Draw(t, "number"),
					rapid.SampledFrom([]string{"ALLOW", "DENY", "AUDIT"}).Draw(t, "action"))
				yaml, _, _ = strings.Cut(yaml, "%!(EXTRA")
				o, problems := api.Decode([]byte(yaml))
				if len(problems) > 0 {
					t.Fatal(yaml, problems)
				}
				if rapid.IntRange(0, 3).Draw(t, "drop") == 0 {
					r.store.Delete("test", o.Ref())
				} else {
					r.store.Put("test", o, nil)
				}
			}
			was := r.snap
			r.apply()
			scratch := &rig{t: t, store: r.store, feed: r.store.Feed(), opts: r.opts, b: r.builder(memory(t)), snap: &mesh.Snapshot{}}
			scratch.apply()
			after := flat(scratch.snap)
			want := map[string]bool{}
			for _, both := range []map[string]any{before, after} {
				for k := range both {
					if old, ok := before[k]; !ok || after[k] == nil || !cmp.Equal(old, after[k], comparers...) {
						want[k] = true
					}
				}
			}
			got := map[string]bool{}
			for k := range mesh.Diff(was, r.snap) {
				if k.Name != nil {
					got[fmt.Sprint(nounNames[k.Noun], " ", k.Name)] = true
				}
			}
			if d := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); d != "" {
				t.Fatalf("what differs (-) is not what the difference names (+):\n%s", d)
			}
			before = after
		}
	})
	t.Log(edits, "edits")
}
