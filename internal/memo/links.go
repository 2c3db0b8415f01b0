package memo

// slot is a key with the leaves that rest on it.
type slot[S, A any, N, K comparable, V any] struct {
	key  K
	refs []ref[S, A, N, K, V]
	room [3]ref[S, A, N, K, V] // for the first refs: most keys never have more
}

// ref is a leaf in a slot: its link back is the i-th of its reads or of its grounds.
type ref[S, A any, N, K comparable, V any] struct {
	leaf    *leaf[S, A, N, K, V]
	i       int32
	grounds bool
}

// link is a slot and the place in it.
type link[S, A any, N, K comparable, V any] struct {
	slot *slot[S, A, N, K, V]
	at   int
}

// back is where a leaf keeps its link of a ref.
func (r ref[S, A, N, K, V]) back() *link[S, A, N, K, V] {
	if r.grounds {
		return &r.leaf.rare.grounds[r.i]
	}
	return &r.leaf.reads[r.i]
}

// slot finds or makes the slot of a key.
func (c *Cache[S, A, N, K, V]) slot(k K) *slot[S, A, N, K, V] {
	s := c.index[k]
	if s == nil {
		s = &slot[S, A, N, K, V]{key: k}
		s.refs = s.room[:0]
		c.index[k] = s
	}
	return s
}

// read puts a leaf under a key that it read, once: the reads of a leaf come one after the other, so that one that comes again finds the leaf last in its slot.
func (c *Cache[S, A, N, K, V]) read(k K, l *leaf[S, A, N, K, V]) {
	s := c.slot(k)
	if n := len(s.refs); n > 0 && s.refs[n-1].leaf == l {
		return
	}
	l.reads = append(l.reads, link[S, A, N, K, V]{})
	s.put(ref[S, A, N, K, V]{leaf: l, i: int32(len(l.reads) - 1)})
}

func (s *slot[S, A, N, K, V]) put(r ref[S, A, N, K, V]) {
	*r.back() = link[S, A, N, K, V]{slot: s, at: len(s.refs)}
	s.refs = append(s.refs, r)
}

// unlink takes a leaf from under a key: the last one takes its place.
func (c *Cache[S, A, N, K, V]) unlink(l link[S, A, N, K, V]) {
	last := len(l.slot.refs) - 1
	moved := l.slot.refs[last]
	l.slot.refs[l.at] = moved
	moved.back().at = l.at
	l.slot.refs[last] = ref[S, A, N, K, V]{}
	l.slot.refs = l.slot.refs[:last]
	if last == 0 {
		delete(c.index, l.slot.key)
	}
}

// ground puts a leaf under a key that the answer of one of its askers rests on, if it is not there yet.
func (c *Cache[S, A, N, K, V]) ground(k K, l *leaf[S, A, N, K, V]) {
	g := l.more()
	if g.grounding != nil {
		if _, ok := g.grounding[k]; ok {
			return
		}
		g.grounding[k] = struct{}{}
	} else {
		for i := range g.grounds {
			if g.grounds[i].slot.key == k {
				return
			}
		}
		if len(g.grounds) >= few {
			g.grounding = make(map[K]struct{}, 4*few)
			for i := range g.grounds {
				g.grounding[g.grounds[i].slot.key] = struct{}{}
			}
			g.grounding[k] = struct{}{}
		}
	}
	g.grounds = append(g.grounds, link[S, A, N, K, V]{})
	c.slot(k).put(ref[S, A, N, K, V]{leaf: l, i: int32(len(g.grounds) - 1), grounds: true})
}

// unground takes back what ground did.
func (c *Cache[S, A, N, K, V]) unground(k K, l *leaf[S, A, N, K, V]) {
	g := l.more()
	for i := range g.grounds {
		if g.grounds[i].slot.key != k {
			continue
		}
		c.unlink(g.grounds[i])
		last := len(g.grounds) - 1
		if i < last {
			moved := g.grounds[last]
			g.grounds[i] = moved
			moved.slot.refs[moved.at].i = int32(i)
		}
		g.grounds[last] = link[S, A, N, K, V]{}
		g.grounds = g.grounds[:last]
		delete(g.grounding, k)
		return
	}
}
