package serve

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// TestGRPCFeatures: what a gRPC client can do follows from its name and version; one that does not say is taken for a new one that is not known.
func TestGRPCFeatures(t *testing.T) {
	for _, c := range []struct{ name, version, want string }{
		{"gRPC Go", "1.85.0", "fault hash least-request max-requests outlier rbac retry"},
		{"gRPC Go", "1.78.0-dev", "fault hash max-requests outlier rbac retry"},
		{"gRPC Go", "1.40.1", "fault max-requests"},
		{"gRPC Java", "1.76.0", "fault hash least-request outlier rbac retry"},
		{"gRPC Node Pure JS", "1.14.1", "fault hash max-requests outlier rbac retry"},
		{"gRPC Node Pure JS", "1.3.0", ""},
		{"gRPC C-core linux", "1.50.0", "fault hash max-requests retry"},
		{"gRPC C-core linux", "C-core", "fault hash max-requests outlier rbac retry"},
		{"", "", "fault hash max-requests outlier rbac retry"},
	} {
		n := &corev3.Node{UserAgentName: c.name, UserAgentVersionType: &corev3.Node_UserAgentVersion{UserAgentVersion: c.version}}
		var got []string
		for f := range maps.Keys(grpcFeatures(n)) {
			got = append(got, string(f))
		}
		slices.Sort(got)
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s %s: %q, want %q", c.name, c.version, s, c.want)
		}
	}
}
