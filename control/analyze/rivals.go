package analyze

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// protocols looks for ServiceEntries that some namespace sees together and that give a port of one host different protocols.
func (a *analysis) protocols() {
	type use struct {
		ref      mesh.Ref
		field    string
		protocol string
		seen     mesh.Visibility
	}
	uses := map[string][]use{}
	for _, r := range a.results {
		spec, ok := r.Object.Spec.(*networking.ServiceEntry)
		if !ok || r.Entry == nil {
			continue
		}
		for _, s := range r.Entry.Services {
			for i, p := range spec.GetPorts() {
				key := fmt.Sprintf("%s|%d", s.ID.Host, p.GetNumber())
				uses[key] = append(uses[key], use{r.Object.Ref(), at("spec.ports", i) + ".protocol", strings.ToUpper(p.GetProtocol()), s.ExportTo})
			}
		}
	}
	for key, list := range uses {
		host, port, _ := strings.Cut(key, "|")
		for _, u := range list {
			j := slices.IndexFunc(list, func(o use) bool {
				return o.ref != u.ref && o.protocol != u.protocol && together(u.seen, u.ref.Namespace, o.seen, o.ref.Namespace)
			})
			if j >= 0 {
				a.say("IST0177", u.ref, u.field, fmt.Sprintf("%s says that port %s of %s speaks %s, and this object %s", list[j].ref, port, host, list[j].protocol, u.protocol))
			}
		}
	}
}

// together says whether some namespace sees both of two objects.
func together(a mesh.Visibility, in mesh.Namespace, b mesh.Visibility, bIn mesh.Namespace) bool {
	if a.Nobody || b.Nobody {
		return false
	}
	places := slices.Concat(a.Namespaces, b.Namespaces, []mesh.Namespace{in, bIn})
	if !a.Private && len(a.Namespaces) == 0 && !b.Private && len(b.Namespaces) == 0 {
		return true
	}
	return slices.ContainsFunc(places, func(ns mesh.Namespace) bool { return a.From(in, ns) && b.From(bIn, ns) })
}

// sidecars looks for those with different selectors that choose the same workload: one of them counts.
func (a *analysis) sidecars() {
	selectors := map[mesh.Ref]mesh.Labels{}
	var refs []mesh.Ref
	each(a, func(o api.Object, spec *networking.Sidecar) {
		if labels := spec.GetWorkloadSelector().GetLabels(); len(labels) > 0 {
			selectors[o.Ref()] = labels
			refs = append(refs, o.Ref())
		}
	})
	told := map[mesh.Ref]bool{}
	for _, w := range a.workloads {
		var both []mesh.Ref
		for _, ref := range refs {
			if ref.Namespace == w.Ref.Namespace && selectors[ref].Selects(w.Labels) {
				both = append(both, ref)
			}
		}
		for i, ref := range both {
			other := both[(i+1)%len(both)]
			if len(both) > 1 && !told[ref] && labelText(selectors[ref]) != labelText(selectors[other]) {
				told[ref] = true
				a.say("IST0110", ref, "spec.workloadSelector", fmt.Sprintf("%s selects %s too", other, w.Ref))
			}
		}
	}
}
