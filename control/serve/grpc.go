package serve

import (
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/heddle-mesh/heddle/mesh"
)

// isGRPC says whether a node is a gRPC client or server that speaks xDS itself: Istio's bootstraps say so in the metadata, and gRPC names itself.
func isGRPC(node *corev3.Node) bool {
	return text(node.GetMetadata().GetFields()["GENERATOR"]) == "grpc" || strings.HasPrefix(strings.ToLower(node.GetUserAgentName()), "grpc")
}

// release is MAJOR.MINOR of a version.
type release struct{ major, minor int }

// never is later than every release.
var never = release{major: 1 << 30}

// since says from which release on each implementation can do something: C++ and what wraps it, Java, Go, and Node.js (grpc-js-xds). gRPC's table "xDS Features in gRPC" says
// so. Balancing by open requests is a matter of life and death: a client that does not know it refuses the cluster; so the releases that were seen to know it count.
var since = map[mesh.Feature]struct{ core, java, golang, node release }{
	// grpc-java counts calls only where the load is reported, which heddled does not ask for (seen in 1.76).
	mesh.FeatureMaxRequests:  {core: release{1, 37}, java: never, golang: release{1, 37}, node: release{1, 4}},           // gRFC A32
	mesh.FeatureFault:        {core: release{1, 37}, java: release{1, 37}, golang: release{1, 37}, node: release{1, 4}},  // gRFC A33
	mesh.FeatureHash:         {core: release{1, 40}, java: release{1, 40}, golang: release{1, 41}, node: release{1, 10}}, // gRFC A42
	mesh.FeatureRetry:        {core: release{1, 40}, java: release{1, 40}, golang: release{1, 41}, node: release{1, 8}},  // gRFC A44
	mesh.FeatureRBAC:         {core: release{1, 51}, java: release{1, 42}, golang: release{1, 42}, node: release{1, 14}}, // gRFC A41
	mesh.FeatureOutlier:      {core: release{1, 51}, java: release{1, 49}, golang: release{1, 50}, node: release{1, 7}},  // gRFC A50
	mesh.FeatureLeastRequest: {core: never, java: release{1, 76}, golang: release{1, 79}, node: never},                   // gRFC A48
}

// grpcFeatures are what a gRPC client can do. One whose name or version says nothing is taken for a new one, of an implementation that is not known.
func grpcFeatures(node *corev3.Node) map[mesh.Feature]bool {
	name := strings.ToLower(node.GetUserAgentName())
	version, known := parseRelease(node.GetUserAgentVersion())
	out := map[mesh.Feature]bool{}
	for f, s := range since {
		from := s.core
		switch {
		case strings.Contains(name, "java"):
			from = s.java
		case strings.Contains(name, "go"):
			from = s.golang
		case strings.Contains(name, "node"):
			from = s.node
		}
		if from != never && (!known || version.major > from.major || version.major == from.major && version.minor >= from.minor) {
			out[f] = true
		}
	}
	return out
}

// parseRelease reads the beginning of a version, such as 1.85.0-dev.
func parseRelease(s string) (release, bool) {
	major, rest, _ := strings.Cut(strings.TrimPrefix(s, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, err := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	return release{a, b}, err == nil && err2 == nil
}
