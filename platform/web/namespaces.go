package web

import (
	"maps"
	"slices"

	"github.com/heddle-mesh/heddle/mesh"
)

// namespaces are those that have services or workloads.
func namespaces(now *mesh.Snapshot) []string {
	seen := map[string]bool{}
	for id := range now.Services.All() {
		seen[string(id.Namespace)] = true
	}
	for id := range now.Workloads.All() {
		seen[string(id.Namespace)] = true
	}
	delete(seen, "")
	return append([]string{}, slices.Sorted(maps.Keys(seen))...)
}
