package memo

import (
	"slices"
	"sync"
	"weak"
)

// entry is a name.
type entry[S, A any, N, K comparable, V any] struct {
	name    N
	working sync.Mutex // one computation of the name at a time
	root    node[S, A, N, K, V]
	leaves  []*leaf[S, A, N, K, V]
	room    [1]*leaf[S, A, N, K, V] // for the first leaf, which mostly is the only one
	past    []*leaf[S, A, N, K, V]  // valid until the current revision began
	values  values[V]
}

// leaf is a variant of a name: what a value was computed from, and the value as long as somebody holds it.
type leaf[S, A any, N, K comparable, V any] struct {
	home   *entry[S, A, N, K, V]
	path   *path[S, A, K]
	reads  []link[S, A, N, K, V]
	value  weak.Pointer[V]
	wholes set[*leaf[S, A, N, K, V]] // what is made of the value
	rare   *rare[S, A, N, K, V]      // nil for nothing
	at     int32                     // its place among the home's leaves, -1 when it was taken out
	common uint8                     // which of the common keys were read, a bit for each
}

// rare is what few leaves have.
type rare[S, A any, N, K comparable, V any] struct {
	parts     map[*leaf[S, A, N, K, V]]struct{} // what the value is made of: when one of them is stale, so is the value
	grounds   []link[S, A, N, K, V]
	grounding map[K]struct{} // the keys of grounds, when they are many
	strong    *V
	askers    map[weak.Pointer[A]]struct{}
}

// path are the answers that a value rests on. Leaves share it.
type path[S, A any, K comparable] struct {
	steps    []step[S, A]
	grounded []Grounded[S, A, K]
}

func newPath[S, A any, K comparable](steps []step[S, A]) *path[S, A, K] {
	p := &path[S, A, K]{steps: steps}
	for _, s := range steps {
		if g, ok := s.question.(Grounded[S, A, K]); ok {
			p.grounded = append(p.grounded, g)
		}
	}
	return p
}

func (l *leaf[S, A, N, K, V]) more() *rare[S, A, N, K, V] {
	if l.rare == nil {
		l.rare = &rare[S, A, N, K, V]{}
	}
	return l.rare
}

func (l *leaf[S, A, N, K, V]) strong() bool { return l.rare != nil && l.rare.strong != nil }

// wanted says whether an asker of a strong value is left, or something that is made of the value.
func (l *leaf[S, A, N, K, V]) wanted() bool {
	return !l.wholes.empty() || l.rare != nil && len(l.rare.askers) > 0
}

func (l *leaf[S, A, N, K, V]) parts() map[*leaf[S, A, N, K, V]]struct{} {
	if l.rare == nil {
		return nil
	}
	return l.rare.parts
}

func (l *leaf[S, A, N, K, V]) get() *V {
	if l.strong() {
		return l.rare.strong
	}
	return l.value.Value()
}

// at is the leaf at the end of exactly this path.
func (e *entry[S, A, N, K, V]) at(path []step[S, A]) *leaf[S, A, N, K, V] {
	n := &e.root
	for depth := 0; n != nil && n.leaf == nil; depth++ {
		if depth == len(path) || n.split == nil || n.split.question != path[depth].question {
			return nil
		}
		n = n.split.branch(path[depth].answer)
	}
	if n == nil || !slices.Equal(n.leaf.path.steps, path) {
		return nil
	}
	return n.leaf
}

// agrees says whether an asker gives the answers of the leaf's path, from the question at a depth on.
func (l *leaf[S, A, N, K, V]) agrees(source S, asker *A, depth int) bool {
	for _, s := range l.path.steps[depth:] {
		if s.question.Answer(source, asker) != s.answer {
			return false
		}
	}
	return true
}

// partsFrom says whether another leaf that has the same path up to a depth comes to another answer of the same question behind it. If it does not, both cannot be results of one function.
func (l *leaf[S, A, N, K, V]) partsFrom(other *leaf[S, A, N, K, V], depth int) bool {
	if l.path == other.path {
		return false
	}
	one, two := l.path.steps, other.path.steps
	for i := depth; i < len(one) && i < len(two); i++ {
		if one[i].question != two[i].question {
			return false
		}
		if one[i].answer != two[i].answer {
			return true
		}
	}
	return false
}
