package memo

import (
	"iter"
	"maps"
)

// set is a set that mostly has one element.
type set[E comparable] struct {
	one  E
	many map[E]struct{} // has all, once there were two
}

func (s *set[E]) empty() bool {
	var none E
	return s.one == none && len(s.many) == 0
}

func (s *set[E]) add(e E) {
	var none E
	switch {
	case s.many != nil:
		s.many[e] = struct{}{}
	case s.one == none:
		s.one = e
	case s.one != e:
		s.many = map[E]struct{}{s.one: {}, e: {}}
		s.one = none
	}
}

func (s *set[E]) remove(e E) {
	var none E
	if s.one == e {
		s.one = none
	}
	delete(s.many, e)
}

func (s *set[E]) all() iter.Seq[E] {
	if s.many != nil {
		return maps.Keys(s.many)
	}
	return func(yield func(E) bool) {
		var none E
		if s.one != none {
			yield(s.one)
		}
	}
}
