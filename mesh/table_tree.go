package mesh

import "iter"

// The AVL tree behind Table. No method changes a node; each returns a new one that shares what did not change.

func (n *node[K, V]) count() int32 {
	if n == nil {
		return 0
	}
	return n.size
}

func (n *node[K, V]) tall() int8 {
	if n == nil {
		return 0
	}
	return n.height
}

func join[K comparable, V any](e *entry[K, V], left, right *node[K, V]) *node[K, V] {
	return &node[K, V]{entry: e, left: left, right: right, size: left.count() + right.count() + 1, height: max(left.tall(), right.tall()) + 1}
}

// balance joins subtrees whose heights differ by at most two.
func balance[K comparable, V any](e *entry[K, V], left, right *node[K, V]) *node[K, V] {
	switch d := left.tall() - right.tall(); {
	case d > 1:
		if left.left.tall() >= left.right.tall() {
			return join(left.entry, left.left, join(e, left.right, right))
		}
		m := left.right
		return join(m.entry, join(left.entry, left.left, m.left), join(e, m.right, right))
	case d < -1:
		if right.right.tall() >= right.left.tall() {
			return join(right.entry, join(e, left, right.left), right.right)
		}
		m := right.left
		return join(m.entry, join(e, left, m.left), join(right.entry, m.right, right.right))
	}
	return join(e, left, right)
}

func (n *node[K, V]) with(compare func(a, b K) int, e *entry[K, V]) *node[K, V] {
	if n == nil {
		return join(e, nil, nil)
	}
	switch c := compare(e.key, n.entry.key); {
	case c < 0:
		return balance(n.entry, n.left.with(compare, e), n.right)
	case c > 0:
		return balance(n.entry, n.left, n.right.with(compare, e))
	}
	return join(e, n.left, n.right)
}

func (n *node[K, V]) without(compare func(a, b K) int, k K) *node[K, V] {
	switch c := compare(k, n.entry.key); {
	case c < 0:
		return balance(n.entry, n.left.without(compare, k), n.right)
	case c > 0:
		return balance(n.entry, n.left, n.right.without(compare, k))
	case n.left == nil:
		return n.right
	case n.right == nil:
		return n.left
	}
	next := n.right.first()
	return balance(next, n.left, n.right.without(compare, next.key))
}

func (n *node[K, V]) first() *entry[K, V] {
	for n.left != nil {
		n = n.left
	}
	return n.entry
}

func (n *node[K, V]) walk(yield func(K, V) bool) bool {
	if n == nil {
		return true
	}
	return n.left.walk(yield) && yield(n.entry.key, n.entry.value) && n.right.walk(yield)
}

func (n *node[K, V]) walkFrom(compare func(a, b K) int, k K, yield func(K, V) bool) bool {
	if n == nil {
		return true
	}
	c := compare(k, n.entry.key)
	if c > 0 {
		return n.right.walkFrom(compare, k, yield)
	}
	if c < 0 && !n.left.walkFrom(compare, k, yield) {
		return false
	}
	return yield(n.entry.key, n.entry.value) && n.right.walk(yield)
}

// DiffTable gives, in order, the keys that were added, removed or got another value. Subtrees that both tables share are skipped,
// so the cost grows with the number of changes (times the depth of the tree) when new was derived from old.
func DiffTable[K comparable, V any](before, after Table[K, V]) iter.Seq[K] {
	return func(yield func(K) bool) {
		r := before.rules
		if r == nil {
			r = after.rules
		}
		a, b := cursor[K, V]{}.push(before.root), cursor[K, V]{}.push(after.root)
		for len(a) > 0 || len(b) > 0 {
			k, changed := step(r, &a, &b)
			if changed && !yield(k) {
				return
			}
		}
	}
}

// cursor is what is left to visit: its last element comes first. An element is a whole subtree, or only the entry of its node.
type cursor[K comparable, V any] []pending[K, V]

type pending[K comparable, V any] struct {
	node  *node[K, V]
	alone bool
}

func (c cursor[K, V]) push(n *node[K, V]) cursor[K, V] {
	if n == nil {
		return c
	}
	return append(c, pending[K, V]{node: n, alone: n.size == 1})
}

func (c cursor[K, V]) top() pending[K, V] { return c[len(c)-1] }

func (c cursor[K, V]) pop() cursor[K, V] { return c[:len(c)-1] }

// open replaces the subtree on top by its left subtree, its entry and its right subtree.
func (c cursor[K, V]) open() cursor[K, V] {
	n := c.top().node
	c = c.pop().push(n.right)
	c = append(c, pending[K, V]{node: n, alone: true})
	return c.push(n.left)
}

func (p pending[K, V]) first() *entry[K, V] {
	if p.alone {
		return p.node.entry
	}
	return p.node.first()
}

// step moves both cursors on by one decision: it drops what they share, opens what is too big to compare, or finds one changed key.
func step[K comparable, V any](r *rules[K, V], a, b *cursor[K, V]) (key K, changed bool) {
	if len(*a) == 0 || len(*b) == 0 {
		only := a
		if len(*a) == 0 {
			only = b
		}
		if !only.top().alone {
			*only = only.open()
			return key, false
		}
		key = only.top().node.entry.key
		*only = only.pop()
		return key, true
	}
	x, y := a.top(), b.top()
	if x.node == y.node && x.alone == y.alone {
		*a, *b = a.pop(), b.pop()
		return key, false
	}
	switch c := r.compare(x.first().key, y.first().key); {
	case x.alone && (c < 0 || c == 0 && y.alone):
		*a = a.pop()
		if c == 0 {
			*b = b.pop()
			return x.node.entry.key, x.node.entry != y.node.entry && !r.same(x.node.entry.value, y.node.entry.value)
		}
		return x.node.entry.key, true
	case y.alone && c > 0:
		*b = b.pop()
		return y.node.entry.key, true
	case y.alone || !x.alone && (c < 0 || c == 0 && x.node.size >= y.node.size):
		*a = a.open()
	default:
		*b = b.open()
	}
	return key, false
}
