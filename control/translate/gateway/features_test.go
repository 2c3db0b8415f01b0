package gateway

import (
	"slices"
	"testing"

	gwfeatures "sigs.k8s.io/gateway-api/pkg/features"
)

// Every feature that the Gateway API names is announced, but for those that are known not to be there.
func TestFeatures(t *testing.T) {
	missing := []string{"MeshClusterIPMatching"}
	var want []string
	for f := range gwfeatures.AllFeatures {
		if !slices.Contains(missing, string(f.Name)) {
			want = append(want, string(f.Name))
		}
	}
	slices.Sort(want)
	if !slices.Equal(features, want) {
		t.Errorf("announced: %q\nwant: %q", features, want)
	}
}
