package gateway

import (
	"slices"
	"testing"

	gwfeatures "sigs.k8s.io/gateway-api/pkg/features"
)

// Every feature that the Gateway API names is announced.
func TestFeatures(t *testing.T) {
	var want []string
	for f := range gwfeatures.AllFeatures {
		want = append(want, string(f.Name))
	}
	slices.Sort(want)
	if !slices.Equal(features, want) {
		t.Errorf("announced: %q\nwant: %q", features, want)
	}
}
