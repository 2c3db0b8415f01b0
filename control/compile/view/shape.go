package view

import "github.com/heddle-mesh/heddle/mesh"

// shape is which kinds of objects the mesh has had. What is asked of each resource but is nearly never there is looked for only where the mesh has had some: otherwise
// the shape alone is read, which is one key for all. What was there once counts as there, so that objects that come and go do not compile everything again each time.
type shape struct {
	sidecars, aliases, calls, backendTLS bool
	telemetry                            bool
	wideRules, wideRoutes                bool // of hosts that cover others
	patches                              [patchKinds]bool
}

var shapeKey = mesh.Key{Noun: mesh.OfDerived, Name: derived{index: "shape"}}

// Common are the keys that nearly every computation reads.
var Common = []mesh.Key{{Noun: mesh.OfSettings}, shapeKey}

// with adds what a source has.
func (x shape) with(s *Source) shape {
	x.sidecars = x.sidecars || s.Sidecars.Len() > 0
	x.aliases = x.aliases || s.Aliases.Len() > 0
	x.calls = x.calls || s.Called.Len() > 0
	x.telemetry = x.telemetry || s.Telemetry.Len() > 0
	x.backendTLS = x.backendTLS || s.BackendTLS.Len() > 0
	x.wideRules = x.wideRules || hasWildcard(s.Traffic)
	x.wideRoutes = x.wideRoutes || hasWildcard(s.MeshRoutes)
	for k := range x.patches {
		x.patches[k] = x.patches[k] || len(s.patches.by[k]) > 0
	}
	return x
}

func (v *View) shape() *shape {
	if !v.shaped {
		v.r.Read(shapeKey)
		v.shaped = true
	}
	return &v.s.shape
}

func hasWildcard[V any](t mesh.Table[mesh.Host, V]) bool {
	for h := range t.From("*") {
		return h.IsWildcard()
	}
	return false
}
