package snapshot

import (
	"slices"

	"github.com/heddle-mesh/heddle/mesh"
)

// shelf is an index of a snapshot: under each key the nouns of those objects that belong there, in a fixed order.
type shelf[K comparable, V any] struct {
	table   *mesh.Table[K, []V]
	compare func(a, b V) int
	origin  func(V) mesh.Ref
	keys    map[mesh.Ref][]K
}

func newShelf[K comparable, V any](table *mesh.Table[K, []V], compare func(a, b V) int, origin func(V) mesh.Ref) *shelf[K, V] {
	return &shelf[K, V]{table: table, compare: compare, origin: origin, keys: map[mesh.Ref][]K{}}
}

// set makes the nouns of one object exactly these. A key may come more than once.
func (s *shelf[K, V]) set(ref mesh.Ref, under map[K][]V) (changed []K) {
	for _, k := range s.keys[ref] {
		if _, still := under[k]; !still && s.replace(k, ref, nil) {
			changed = append(changed, k)
		}
	}
	delete(s.keys, ref)
	for k, vs := range under {
		s.keys[ref] = append(s.keys[ref], k)
		if s.replace(k, ref, vs) {
			changed = append(changed, k)
		}
	}
	return changed
}

func (s *shelf[K, V]) replace(k K, ref mesh.Ref, vs []V) bool {
	old, _ := s.table.Get(k)
	next := make([]V, 0, len(old)+len(vs))
	for _, v := range old {
		if s.origin(v) != ref {
			next = append(next, v)
		}
	}
	for _, v := range vs { // behind its equals: what is there is in order already, and sorting all of it again would make a long list slow
		at, _ := slices.BinarySearchFunc(next, v, func(have, v V) int {
			if s.compare(have, v) <= 0 {
				return -1
			}
			return 1
		})
		next = slices.Insert(next, at, v)
	}
	if slices.EqualFunc(old, next, func(a, b V) bool { return any(a) == any(b) }) {
		return false
	}
	if len(next) == 0 {
		*s.table = s.table.Without(k)
	} else {
		*s.table = s.table.With(k, next)
	}
	return true
}
