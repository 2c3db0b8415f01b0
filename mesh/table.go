package mesh

import (
	"iter"
	"reflect"
	"slices"
)

// Table is a persistent map in the order of its keys: a change copies one path of the tree and leaves the old table as it was.
// The zero value is an empty table that can be read; a table that is changed comes from NewTable or a Builder. Safe for concurrent use.
type Table[K comparable, V any] struct {
	rules *rules[K, V]
	root  *node[K, V]
}

// rules are the same for every version of a table.
type rules[K comparable, V any] struct {
	compare func(a, b K) int
	same    func(a, b V) bool // whether a value is unchanged
}

// node is a node of an AVL tree. The entry is shared by all copies of the node, so a copied path is not taken for a changed value.
type node[K comparable, V any] struct {
	entry       *entry[K, V]
	left, right *node[K, V]
	size        int32
	height      int8
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// NewTable makes an empty table ordered by compare (negative, zero or positive as for cmp.Compare; zero only for equal keys).
func NewTable[K comparable, V any](compare func(a, b K) int) Table[K, V] {
	return Table[K, V]{rules: &rules[K, V]{compare: compare, same: sameness[V]()}}
}

// sameness compares what can be compared: pointers and plain values by ==, slices of such element by element. Anything else counts as changed.
func sameness[V any]() func(a, b V) bool {
	t := reflect.TypeFor[V]()
	switch {
	case t.Kind() == reflect.Interface:
		return func(V, V) bool { return false }
	case t.Comparable():
		return func(a, b V) bool { return any(a) == any(b) }
	case t.Kind() == reflect.Slice && t.Elem().Comparable() && t.Elem().Kind() != reflect.Interface:
		return func(a, b V) bool {
			x, y := reflect.ValueOf(a), reflect.ValueOf(b)
			if x.Len() != y.Len() || x.IsNil() != y.IsNil() {
				return false
			}
			for i := range x.Len() {
				if !x.Index(i).Equal(y.Index(i)) {
					return false
				}
			}
			return true
		}
	}
	return func(V, V) bool { return false }
}

// Len counts the entries.
func (t Table[K, V]) Len() int { return int(t.root.count()) }

// Get finds a value.
func (t Table[K, V]) Get(k K) (V, bool) {
	for n := t.root; n != nil; {
		switch c := t.rules.compare(k, n.entry.key); {
		case c < 0:
			n = n.left
		case c > 0:
			n = n.right
		default:
			return n.entry.value, true
		}
	}
	var zero V
	return zero, false
}

// With is the table with a value set. Setting an equal value (the same pointer, or a slice of the same pointers) gives the same table.
func (t Table[K, V]) With(k K, v V) Table[K, V] {
	if old, ok := t.Get(k); ok && t.rules.same(old, v) {
		return t
	}
	t.root = t.root.with(t.rules.compare, &entry[K, V]{key: k, value: v})
	return t
}

// Without is the table without a key; when there is no such key it is the same table.
func (t Table[K, V]) Without(k K) Table[K, V] {
	if _, ok := t.Get(k); ok {
		t.root = t.root.without(t.rules.compare, k)
	}
	return t
}

// All goes through the entries in order.
func (t Table[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { t.root.walk(yield) }
}

// From goes through the entries whose key is k or greater, in order.
func (t Table[K, V]) From(k K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if t.root != nil {
			t.root.walkFrom(t.rules.compare, k, yield)
		}
	}
}

// Builder loads a table in bulk. It is for one goroutine.
type Builder[K comparable, V any] struct {
	table   Table[K, V]
	entries []*entry[K, V]
	sorted  bool
}

// NewBuilder starts a table with the order that NewTable takes.
func NewBuilder[K comparable, V any](compare func(a, b K) int) *Builder[K, V] {
	return &Builder[K, V]{table: NewTable[K, V](compare), sorted: true}
}

// Add takes an entry; keys may come in any order, and of equal keys the last one counts.
func (b *Builder[K, V]) Add(k K, v V) {
	if n := len(b.entries); n > 0 && b.table.rules.compare(b.entries[n-1].key, k) >= 0 {
		b.sorted = false
	}
	b.entries = append(b.entries, &entry[K, V]{key: k, value: v})
}

// Table is the finished table. The builder may go on; tables that it gave stay as they are.
func (b *Builder[K, V]) Table() Table[K, V] {
	if !b.sorted {
		slices.SortStableFunc(b.entries, func(x, y *entry[K, V]) int { return b.table.rules.compare(x.key, y.key) })
		kept := b.entries[:0]
		for i, e := range b.entries {
			if i+1 < len(b.entries) && b.entries[i+1].key == e.key {
				continue
			}
			kept = append(kept, e)
		}
		clear(b.entries[len(kept):])
		b.entries, b.sorted = kept, true
	}
	t := b.table
	t.root = balanced(b.entries)
	return t
}

func balanced[K comparable, V any](entries []*entry[K, V]) *node[K, V] {
	if len(entries) == 0 {
		return nil
	}
	m := len(entries) / 2
	return join(entries[m], balanced(entries[:m]), balanced(entries[m+1:]))
}
