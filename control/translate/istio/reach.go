package istio

import "github.com/heddle-mesh/heddle/mesh"

// withinReach bounds who sees a ServiceEntry by what the mesh allows its namespace (MeshConfig.serviceEntryVisibility); asked says whether the author wrote exportTo.
func (v *visit) withinReach(to mesh.Visibility, asked bool) mesh.Visibility {
	bounds := v.in.Settings().Reaches
	if bounds == nil {
		return to
	}
	labels, _ := v.in.NamespaceLabels(v.ns)
	switch bounds.Of(mesh.NamespaceLabels(v.ns, labels)) {
	case mesh.OwnNamespace:
		if !to.From(v.ns, v.ns) {
			return mesh.Visibility{Nobody: true}
		}
		own := mesh.Visibility{Private: true}
		if wide := !to.Private || len(to.Namespaces) > 0; asked && wide {
			v.NotEnforced("spec.exportTo", "the mesh lets ServiceEntries of this namespace be seen in it alone (serviceEntryVisibility)")
		}
		return own
	case mesh.Nowhere:
		v.NotEnforced("spec", "the mesh hides all ServiceEntries of this namespace (serviceEntryVisibility), so the object has no effect")
		return mesh.Visibility{Nobody: true}
	}
	return to
}
