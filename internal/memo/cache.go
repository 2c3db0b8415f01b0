package memo

import (
	"iter"
	"runtime"
	"slices"
	"sync"
	"weak"
)

// Revision counts the versions of the source; it grows.
type Revision uint64

// Cache holds, for each name, one value for each different set of answers (a variant). It does not keep a value alive: a variant dies when
// the last one who holds the value lets it go, or, for values that Strong names, when the last asker does.
type Cache[S, A any, N, K comparable, V any] struct {
	rules   Rules[S, A, N, K, V]
	publish sync.RWMutex // held for reading while a value is computed, so that no change falls between reading and remembering

	mu      sync.Mutex
	now     Revision
	entries map[N]*entry[S, A, N, K, V]
	index   map[K]*slot[S, A, N, K, V]
	past    []*entry[S, A, N, K, V] // entries that keep leaves of the revision before
	askers  map[weak.Pointer[A]]map[*leaf[S, A, N, K, V]]struct{}
	// dismissed are leaves without their askers, which are about to ask again; those that none comes back to are let go of at the next revision.
	dismissed []*leaf[S, A, N, K, V]
	made      uint64
	paths     [8]*path[S, A, K] // those of the last results
	turn      int
	workers   sync.Pool                   // of *worker
	died      func(*entry[S, A, N, K, V]) // is sweep
}

// Rules are what a cache must know of its values.
type Rules[S, A any, N, K comparable, V any] struct {
	// Compute is pure: everything that it takes from the source or the asker goes through the Reader. It does not return nil.
	// part gives the value of another name for the same asker, computed once for all who are made of it, and makes what it read part of what this
	// one reads; names must not go in circles. A value that is made of parts should hold them, or nobody may.
	Compute func(source S, name N, r *Reader[S, A, K], part func(N) *V) *V
	// Same identifies equal values: values of one name with the same (non-empty) identity share one pointer.
	Same func(*V) string
	// Common are keys that nearly every value reads, at most eight. It is kept with each leaf whether it read them, not with the key: when one changes all leaves are gone through.
	Common []K
	// Strong says that nobody outside holds the value (it says that there is nothing, or it is handed out in parts): it lives as long as an asker of it.
	Strong func(*V) bool
}

// New makes an empty cache at revision 0.
func New[S, A any, N, K comparable, V any](rules Rules[S, A, N, K, V]) *Cache[S, A, N, K, V] {
	c := &Cache[S, A, N, K, V]{
		rules: rules, entries: map[N]*entry[S, A, N, K, V]{},
		index:  map[K]*slot[S, A, N, K, V]{},
		askers: map[weak.Pointer[A]]map[*leaf[S, A, N, K, V]]struct{}{},
	}
	c.died = c.sweep
	c.workers.New = func() any { return newWorker(c) }
	return c
}

// Get is the value of the name for the asker as of a revision of the source. If the cache has gone on to a later revision it gives what it still has
// of the earlier one, else the current value (the caller is about to hear of the later revision): current is the latest source.
func (c *Cache[S, A, N, K, V]) Get(source S, rev Revision, current func() S, asker *A, name N) *V {
	c.publish.RLock()
	defer c.publish.RUnlock()
	c.mu.Lock()
	if rev < c.now {
		if e := c.entries[name]; e != nil {
			for _, l := range e.past {
				if v := l.get(); v != nil && l.agrees(source, asker, 0) {
					c.mu.Unlock()
					return v
				}
			}
		}
		source = current()
	}
	c.mu.Unlock()
	v, _ := c.value(source, asker, name)
	return v
}

// value finds or computes a value of the current revision, and the leaf that it is at.
func (c *Cache[S, A, N, K, V]) value(source S, asker *A, name N) (*V, *leaf[S, A, N, K, V]) {
	c.mu.Lock()
	e := c.entries[name]
	if e == nil {
		e = &entry[S, A, N, K, V]{name: name}
		e.leaves = e.room[:0]
		c.entries[name] = e
	}
	v, l := c.hit(e, source, asker)
	c.mu.Unlock()
	if v != nil {
		return v, l
	}
	return c.work(e, source, asker)
}

// hit finds a remembered value. The lock is held.
func (c *Cache[S, A, N, K, V]) hit(e *entry[S, A, N, K, V], source S, asker *A) (*V, *leaf[S, A, N, K, V]) {
	l := e.root.find(source, asker)
	if l == nil {
		return nil, nil
	}
	v := l.get()
	if v == nil {
		return nil, nil
	}
	c.hold(l, source, asker)
	return v, l
}

func (c *Cache[S, A, N, K, V]) work(e *entry[S, A, N, K, V], source S, asker *A) (*V, *leaf[S, A, N, K, V]) {
	e.working.Lock()
	defer e.working.Unlock()
	c.mu.Lock()
	v, l := c.hit(e, source, asker) // somebody else may have done it meanwhile
	c.mu.Unlock()
	if v != nil {
		return v, l
	}
	w := c.workers.Get().(*worker[S, A, N, K, V])
	v, parts := w.compute(c, source, asker, e.name)
	r := &w.reader
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made++
	if c.entries[e.name] != e { // it was emptied and let go meanwhile
		c.entries[e.name] = e
	}
	l = &leaf[S, A, N, K, V]{home: e, at: -1, path: c.path(r.path)}
	if parts != nil {
		l.more().parts = parts
	}
	if c.rules.Strong(v) {
		l.more().strong = v
	} else {
		v, l.value = c.share(e, v)
	}
	c.plant(e, l, r.reads)
	c.hold(l, source, asker)
	r.reset()
	c.workers.Put(w)
	return v, l
}

// path is a copy of a path, or one that was given lately: nearly all results are of the same few.
func (c *Cache[S, A, N, K, V]) path(p []step[S, A]) *path[S, A, K] {
	for i := range c.paths {
		at := (c.turn + i) % len(c.paths) // mostly the last one
		if known := c.paths[at]; known != nil && slices.Equal(known.steps, p) {
			c.turn = at
			return known
		}
	}
	c.turn = (c.turn + len(c.paths) - 1) % len(c.paths)
	c.paths[c.turn] = newPath[S, A, K](slices.Clone(p))
	return c.paths[c.turn]
}

// share gives the living value with the same identity instead of a new one, and watches a new one die.
func (c *Cache[S, A, N, K, V]) share(e *entry[S, A, N, K, V], v *V) (*V, weak.Pointer[V]) {
	id := c.rules.Same(v)
	if was, old := e.values.find(id); old != nil {
		return old, was
	}
	w := weak.Make(v)
	e.values.add(identified[V]{id, w})
	runtime.AddCleanup(v, c.died, e)
	return v, w
}

func (c *Cache[S, A, N, K, V]) plant(e *entry[S, A, N, K, V], l *leaf[S, A, N, K, V], reads []K) {
	if old := e.at(l.path.steps); old != nil { // its value has died; what is made of it is made of the new one, which read the same
		for whole := range old.wholes.all() {
			delete(whole.rare.parts, old)
			whole.rare.parts[l] = struct{}{}
			l.wholes.add(whole)
		}
		old.wholes = set[*leaf[S, A, N, K, V]]{}
		c.remove(old)
	}
	if e.root.plant(l) {
		for _, other := range slices.Clone(e.leaves) {
			if e.at(other.path.steps) != other {
				c.remove(other)
			}
		}
	}
	l.at = int32(len(e.leaves))
	e.leaves = append(e.leaves, l)
	l.reads = make([]link[S, A, N, K, V], 0, len(reads))
	for _, k := range reads {
		if i := slices.Index(c.rules.Common, k); i >= 0 {
			l.common |= 1 << i
			continue
		}
		c.read(k, l)
	}
	for part := range l.parts() {
		part.wholes.add(l)
	}
}

// hold records what must be known of an asker of a leaf: the data that its own answers rest on, and that it keeps a strong leaf alive.
func (c *Cache[S, A, N, K, V]) hold(l *leaf[S, A, N, K, V], source S, asker *A) {
	for _, g := range l.path.grounded {
		for _, k := range g.Grounds(source, asker) {
			c.ground(k, l)
		}
	}
	if !l.strong() {
		return
	}
	p := weak.Make(asker)
	if _, ok := l.rare.askers[p]; ok {
		return
	}
	if l.rare.askers == nil {
		l.rare.askers = map[weak.Pointer[A]]struct{}{}
	}
	l.rare.askers[p] = struct{}{}
	if c.askers[p] == nil {
		c.askers[p] = map[*leaf[S, A, N, K, V]]struct{}{}
		runtime.AddCleanup(asker, c.gone, p)
	}
	c.askers[p][l] = struct{}{}
}

// gone forgets an asker.
func (c *Cache[S, A, N, K, V]) gone(p weak.Pointer[A]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for l := range c.askers[p] {
		delete(l.rare.askers, p)
		c.release(l)
	}
	delete(c.askers, p)
}

// dismiss forgets who asked for a strong leaf: they ask again, and whoever is answered otherwise must not keep it alive.
func (c *Cache[S, A, N, K, V]) dismiss(l *leaf[S, A, N, K, V]) {
	if !l.strong() {
		return
	}
	for p := range l.rare.askers {
		delete(c.askers[p], l)
	}
	clear(l.rare.askers)
	c.dismissed = append(c.dismissed, l)
}

// release takes a leaf out when nobody needs it any more. A leaf that something is made of stays, since it says when that is stale.
func (c *Cache[S, A, N, K, V]) release(l *leaf[S, A, N, K, V]) {
	if l.wanted() || !l.strong() && l.get() != nil {
		return
	}
	c.remove(l)
	c.drop(l.home)
}

// sweep takes out the leaves of a name whose values have died.
func (c *Cache[S, A, N, K, V]) sweep(e *entry[S, A, N, K, V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.values.sweep()
	for _, l := range slices.Clone(e.leaves) {
		if l.get() == nil {
			c.release(l)
		}
	}
	c.drop(e)
}

// drop lets an empty entry go.
func (c *Cache[S, A, N, K, V]) drop(e *entry[S, A, N, K, V]) {
	if len(e.leaves) == 0 && e.values.empty() && len(e.past) == 0 && c.entries[e.name] == e {
		delete(c.entries, e.name)
	}
}

// remove takes a leaf out of the trie and of the indexes, and lets go of its parts.
func (c *Cache[S, A, N, K, V]) remove(l *leaf[S, A, N, K, V]) {
	if l.at < 0 {
		return
	}
	e := l.home
	e.root.prune(l, 0)
	last := e.leaves[len(e.leaves)-1]
	e.leaves[l.at], last.at = last, l.at
	e.leaves[len(e.leaves)-1] = nil
	e.leaves, l.at = e.leaves[:len(e.leaves)-1], -1
	for i := range l.reads {
		c.unlink(l.reads[i])
	}
	l.reads = nil
	r := l.rare
	if r == nil {
		return
	}
	for i := range r.grounds {
		c.unlink(r.grounds[i])
	}
	r.grounds, r.grounding = nil, nil
	for p := range r.askers {
		delete(c.askers[p], l)
	}
	clear(r.askers)
	for part := range r.parts {
		part.wholes.remove(l)
		c.release(part)
	}
}

// Stale is a value that may have been replaced: whoever has the name and was given Value must ask again.
type Stale[N comparable, V any] struct {
	Name  N
	Value *V
}

// Advance goes on to a later revision in which the given keys changed; swap makes the later source current, between the last answer from the earlier
// one and the first from the later. What must be asked for again comes back, each name and value once, in no order.
func (c *Cache[S, A, N, K, V]) Advance(rev Revision, changed iter.Seq[K], swap func()) []Stale[N, V] {
	c.publish.Lock()
	defer c.publish.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	swap()
	c.now = rev
	for _, e := range c.past {
		e.past = nil
		c.drop(e)
	}
	c.past = c.past[:0]
	for _, l := range c.dismissed {
		c.release(l)
	}
	c.dismissed = c.dismissed[:0]
	var stale []Stale[N, V]
	told := map[Stale[N, V]]struct{}{}
	tell := func(l *leaf[S, A, N, K, V], v *V) {
		s := Stale[N, V]{Name: l.home.name, Value: v}
		if _, ok := told[s]; v != nil && !ok {
			told[s] = struct{}{}
			stale = append(stale, s)
		}
	}
	for k := range changed {
		if i := slices.Index(c.rules.Common, k); i >= 0 {
			for _, l := range c.having(1 << i) {
				c.expire(l, tell)
			}
		}
		s := c.index[k]
		if s == nil {
			continue
		}
		for _, r := range slices.Clone(s.refs) {
			switch {
			case r.leaf.at < 0: // it went with another one
			case !r.grounds:
				c.expire(r.leaf, tell)
			default: // only somebody's own answer may differ
				c.unground(k, r.leaf)
				tell(r.leaf, r.leaf.get())
				c.dismiss(r.leaf)
			}
		}
	}
	return stale
}

// having are the leaves that read a common key.
func (c *Cache[S, A, N, K, V]) having(bit uint8) (out []*leaf[S, A, N, K, V]) {
	for _, e := range c.entries {
		for _, l := range e.leaves {
			if l.common&bit != 0 {
				out = append(out, l)
			}
		}
	}
	return out
}

// expire takes out a leaf that read what changed, and all that is made of it.
func (c *Cache[S, A, N, K, V]) expire(l *leaf[S, A, N, K, V], tell func(*leaf[S, A, N, K, V], *V)) {
	wholes := slices.Collect(l.wholes.all())
	if l.at < 0 {
		return
	}
	v := l.get()
	c.remove(l)
	if v != nil {
		l.home.past = append(l.home.past, l)
		c.past = append(c.past, l.home)
	}
	tell(l, v)
	for _, whole := range wholes {
		c.expire(whole, tell)
	}
}

// All goes through the living values, as of the call; a strong value that nobody asks for any more is not among them.
func (c *Cache[S, A, N, K, V]) All() iter.Seq2[N, *V] {
	type item struct {
		name  N
		value *V
	}
	c.mu.Lock()
	var items []item
	for n, e := range c.entries {
		for _, l := range e.leaves {
			if v := l.get(); v != nil && (!l.strong() || l.wanted()) {
				items = append(items, item{n, v})
			}
		}
	}
	c.mu.Unlock()
	return func(yield func(N, *V) bool) {
		for _, i := range items {
			if !yield(i.name, i.value) {
				return
			}
		}
	}
}

// Stats counts what a cache has done and holds.
type Stats struct {
	Computed uint64 // results computed since the start
	Names    int
	Variants int // living results
	Keys     int // keys that some result has read
}

// Stats are the counts as of the call.
func (c *Cache[S, A, N, K, V]) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{Computed: c.made, Names: len(c.entries), Keys: len(c.index)}
	for _, e := range c.entries {
		s.Variants += len(e.leaves)
	}
	return s
}
