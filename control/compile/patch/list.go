package patch

import (
	"slices"

	"github.com/heddle-mesh/heddle/mesh"
)

// ordered is a list whose elements have names and an order: filters and routes.
type ordered[E any] struct {
	list []E
	// selects says whether an element is the one that the patch matches; selective, whether the patch matches single elements at all.
	selects   func(E) bool
	selective bool
	// end is where an element goes that comes last: before a filter that nothing can follow.
	end int
}

// edit does what a patch says with a list, and says whether it matched; element makes what is put in.
func edit[E any](o ordered[E], p *mesh.Patch, element func() (E, error)) ([]E, outcome, error) {
	at := -1
	if o.selective {
		at = slices.IndexFunc(o.list, o.selects)
	}
	switch p.Operation {
	case mesh.PatchAdd:
		at = o.end
	case mesh.PatchInsertFirst:
		at = 0
	case mesh.PatchInsertAfter:
		switch {
		case !o.selective:
			at = o.end
		case at >= 0:
			at++
		}
	case mesh.PatchInsertBefore:
		if !o.selective {
			at = 0
		}
	case mesh.PatchReplace:
		if at < 0 {
			return o.list, missed, nil
		}
		e, err := element()
		if err != nil {
			return o.list, missed, err
		}
		out := slices.Clone(o.list)
		out[at] = e
		return out, changed, nil
	case mesh.PatchRemove:
		if at < 0 {
			return o.list, missed, nil
		}
		return slices.DeleteFunc(slices.Clone(o.list), o.selects), changed, nil
	default:
		return o.list, missed, nil
	}
	if at < 0 {
		return o.list, missed, nil
	}
	e, err := element()
	if err != nil {
		return o.list, missed, err
	}
	return slices.Insert(slices.Clone(o.list), at, e), changed, nil
}

func merges(p *mesh.Patch) bool {
	return p.Operation == mesh.PatchMerge || p.Operation == mesh.PatchMergeLists
}
