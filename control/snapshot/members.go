package snapshot

import (
	"slices"

	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/mesh"
)

// members says which namespaces are in the mesh (MeshConfig.discoverySelectors). Objects of others are to the builder as if nobody had written them.
type members struct {
	chosen map[mesh.Namespace]bool                  // as far as anybody asked
	left   map[mesh.Namespace]map[mesh.Ref]struct{} // objects that are left out, by namespace
}

// get reads an object that is in the mesh.
func (b *Builder) get(ref mesh.Ref) (*config.Entry, bool) {
	if !b.chosen(ref.Namespace) {
		return nil, false
	}
	return b.objects.Get(ref)
}

// chosen says whether a namespace is in the mesh. What is in no namespace is, and so is the root namespace: what it says of security must not be lost by a label.
func (b *Builder) chosen(ns mesh.Namespace) bool {
	s := b.now.Settings
	if len(s.Discovery) == 0 || ns == "" || ns == s.RootNamespace {
		return true
	}
	in, known := b.members.chosen[ns]
	if !known {
		in = b.selects(ns)
		b.members.chosen[ns] = in
	}
	return in
}

func (b *Builder) selects(ns mesh.Namespace) bool {
	labels, _, _ := b.findNamespace(ns)
	labels = mesh.NamespaceLabels(ns, labels)
	return slices.ContainsFunc(b.now.Settings.Discovery, func(s mesh.Selector) bool { return s.Matches(labels) })
}

// choose takes note of an object that is about to be read: one that is left out is remembered, and a Namespace may bring in all that it has, or take it out.
func (b *Builder) choose(ref mesh.Ref) {
	if len(b.now.Settings.Discovery) == 0 {
		return
	}
	if ref.Namespace != "" {
		_, exists := b.objects.Get(ref)
		index(b.members.left, ref.Namespace, ref, exists && !b.chosen(ref.Namespace))
		return
	}
	ns := mesh.Namespace(ref.Name)
	was, known := b.members.chosen[ns]
	if ref.Kind != "Namespace" || !known || b.selects(ns) == was {
		return
	}
	b.members.chosen[ns] = !was
	for _, objects := range []map[mesh.Ref]struct{}{b.within[ns], b.members.left[ns]} {
		for r := range objects {
			b.dirty[r] = struct{}{}
		}
	}
}
