package memo

// slot is a key with the leaves that rest on it.
type slot[S, A any, N, K comparable, V any] struct {
	key  K
	refs []ref[S, A, N, K, V]
	room [4]ref[S, A, N, K, V] // for the first refs: most keys never have more
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
		return &r.leaf.grounds[r.i]
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
	if l.grounding != nil {
		if _, ok := l.grounding[k]; ok {
			return
		}
		l.grounding[k] = struct{}{}
	} else {
		for i := range l.grounds {
			if l.grounds[i].slot.key == k {
				return
			}
		}
		if len(l.grounds) >= few {
			l.grounding = make(map[K]struct{}, 4*few)
			for i := range l.grounds {
				l.grounding[l.grounds[i].slot.key] = struct{}{}
			}
			l.grounding[k] = struct{}{}
		}
	}
	l.grounds = append(l.grounds, link[S, A, N, K, V]{})
	c.slot(k).put(ref[S, A, N, K, V]{leaf: l, i: int32(len(l.grounds) - 1), grounds: true})
}

// unground takes back what ground did.
func (c *Cache[S, A, N, K, V]) unground(k K, l *leaf[S, A, N, K, V]) {
	for i := range l.grounds {
		if l.grounds[i].slot.key != k {
			continue
		}
		c.unlink(l.grounds[i])
		last := len(l.grounds) - 1
		if i < last {
			moved := l.grounds[last]
			l.grounds[i] = moved
			moved.slot.refs[moved.at].i = int32(i)
		}
		l.grounds[last] = link[S, A, N, K, V]{}
		l.grounds = l.grounds[:last]
		delete(l.grounding, k)
		return
	}
}
