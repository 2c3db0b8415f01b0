// Package config is the one revisioned store of what users wrote.
//
// In: objects from sources (a folder, a Kubernetes API), each under an owner (a file, a kind's watch). Out: the present objects, and feeds that tell which
// changed. A Store is safe for concurrent use; the entries that it hands out are immutable.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/api/diagnosis"
	"google.golang.org/protobuf/proto"
)

// Errors of writing back to a source: the object has changed since it was read, it does not exist any more, or it was made meanwhile.
var (
	ErrStale  = errors.New("the object has changed meanwhile")
	ErrGone   = errors.New("the object is gone")
	ErrExists = errors.New("the object exists already")
)

// Entry is one object as its source gave it, with what was wrong in it.
type Entry struct {
	Object   api.Object
	Problems []api.Problem // of decoding
	Revision uint64        // of the store when its meaning last changed
	Owner    string
}

// Store holds entries by reference.
type Store struct {
	mu         sync.RWMutex
	revision   uint64
	entries    map[api.Ref][]*Entry // more than one when several owners claim an object; ordered by owner, the first counts
	owned      map[string]map[api.Ref]struct{}
	complaints map[string][]api.Problem
	answers    map[api.Ref]map[string]any // status of objects in files, which nobody writes there
	feeds      []*Feed
	waiting    map[string]struct{}
	synced     chan struct{}
}

// New makes a store that is complete when each of the named sources has told Synced.
func New(sources ...string) *Store {
	s := &Store{
		entries: map[api.Ref][]*Entry{}, owned: map[string]map[api.Ref]struct{}{}, complaints: map[string][]api.Problem{}, answers: map[api.Ref]map[string]any{},
		waiting: map[string]struct{}{}, synced: make(chan struct{}),
	}
	for _, n := range sources {
		s.waiting[n] = struct{}{}
	}
	if len(sources) == 0 {
		close(s.synced)
	}
	return s
}

// Synced tells that a source has put everything that it had at the start.
func (s *Store) Synced(source string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.waiting[source]; !ok {
		return
	}
	if delete(s.waiting, source); len(s.waiting) == 0 {
		close(s.synced)
	}
}

// Complete is closed when every source has told Synced.
func (s *Store) Complete() <-chan struct{} { return s.synced }

// Revision grows with every change of meaning.
func (s *Store) Revision() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.revision
}

// Get finds the entry that counts for a reference.
func (s *Store) Get(ref api.Ref) (*Entry, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if es := s.entries[ref]; len(es) > 0 {
		return es[0], true
	}
	return nil, false
}

// All lists the entries that count, ordered by reference, as they are now.
func (s *Store) All() iter.Seq[*Entry] {
	s.mu.RLock()
	all := make([]*Entry, 0, len(s.entries))
	for _, es := range s.entries {
		all = append(all, es[0])
	}
	s.mu.RUnlock()
	slices.SortFunc(all, func(a, b *Entry) int { return compareRef(a.Object.Ref(), b.Object.Ref()) })
	return slices.Values(all)
}

// Len counts the objects.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.entries)
}

// Put sets one object of an owner. A change of nothing but status, where that means nothing, and resource version keeps the revision and is told to nobody.
func (s *Store) Put(owner string, o api.Object, problems []api.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(owner, o, problems)
	s.tell()
}

// Delete removes one object of an owner.
func (s *Store) Delete(owner string, ref api.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(owner, ref)
	s.tell()
}

// SetStatus gives an object the status that its source has no place for. One of a file keeps it when the file is read again, until the object goes.
func (s *Store) SetStatus(ref api.Ref, status map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	es := s.entries[ref]
	if len(es) == 0 {
		return
	}
	o := es[0].Object
	if o.Status = status; o.Meta.File != "" {
		s.answers[ref] = status
	}
	s.put(es[0].Owner, o, es[0].Problems)
	s.tell()
}

// Item is an object with what was wrong in it.
type Item struct {
	Object   api.Object
	Problems []api.Problem
}

// Replace makes the objects of an owner exactly these, in one step.
func (s *Store) Replace(owner string, items []Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keep := make(map[api.Ref]struct{}, len(items))
	for _, it := range items {
		keep[it.Object.Ref()] = struct{}{}
		s.put(owner, it.Object, it.Problems)
	}
	for ref := range maps.Clone(s.owned[owner]) {
		if _, ok := keep[ref]; !ok {
			s.remove(owner, ref)
		}
	}
	s.tell()
}

// Complain sets what is wrong with an owner as a whole, such as a file that is not YAML; nil takes it back.
func (s *Store) Complain(owner string, problems []api.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(problems) == 0 {
		delete(s.complaints, owner)
		return
	}
	s.complaints[owner] = problems
}

// Complaints lists what is wrong with owners, and which objects are claimed by more than one owner; ordered.
func (s *Store) Complaints() []api.Problem {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []api.Problem
	for _, owner := range slices.Sorted(maps.Keys(s.complaints)) {
		out = append(out, s.complaints[owner]...)
	}
	var twice []api.Problem
	for ref, es := range s.entries {
		for _, e := range es[1:] {
			twice = append(twice, api.Problem{Object: ref, Code: diagnosis.CodeConflict,
				Message: fmt.Sprintf("the object in %s is not used: %s defines it too", where(e), where(es[0])), Hint: "keep one of the two"})
		}
	}
	slices.SortFunc(twice, func(a, b api.Problem) int { return compareRef(a.Object, b.Object) })
	return append(out, twice...)
}

func where(e *Entry) string {
	if at := e.Object.Source(); at != "" {
		return at
	}
	return e.Owner
}

func (s *Store) put(owner string, o api.Object, problems []api.Problem) {
	ref := o.Ref()
	es := s.entries[ref]
	i, found := slices.BinarySearchFunc(es, owner, func(e *Entry, owner string) int { return cmp.Compare(e.Owner, owner) })
	if answer, ok := s.answers[ref]; ok && o.Meta.File != "" {
		o.Status = answer
	}
	n := &Entry{Object: o, Problems: problems, Owner: owner}
	if found && same(es[i], n) {
		n.Revision = es[i].Revision
		es = slices.Clone(es)
		es[i] = n
		s.entries[ref] = es
		return
	}
	s.revision++
	n.Revision = s.revision
	es = slices.Clone(es)
	if found {
		es[i] = n
	} else {
		es = slices.Insert(es, i, n)
	}
	s.entries[ref] = es
	if s.owned[owner] == nil {
		s.owned[owner] = map[api.Ref]struct{}{}
	}
	s.owned[owner][ref] = struct{}{}
	s.mark(ref)
}

func (s *Store) remove(owner string, ref api.Ref) {
	if _, ok := s.owned[owner][ref]; !ok {
		return
	}
	if delete(s.owned[owner], ref); len(s.owned[owner]) == 0 {
		delete(s.owned, owner)
	}
	es := slices.DeleteFunc(slices.Clone(s.entries[ref]), func(e *Entry) bool { return e.Owner == owner })
	if len(es) == 0 {
		delete(s.entries, ref)
		delete(s.answers, ref)
	} else {
		s.entries[ref] = es
	}
	s.revision++
	s.mark(ref)
}

// same says whether two entries mean the same: everything but resource version, place in a file and status. What the status says of a workload's health, and of addresses of a
// ServiceEntry, means something.
func same(a, b *Entry) bool {
	x, y := a.Object.Meta, b.Object.Meta
	return x.UID == y.UID && x.Generation == y.Generation && x.Created.Equal(y.Created) && x.File == y.File &&
		maps.Equal(x.Labels, y.Labels) && maps.Equal(x.Annotations, y.Annotations) && slices.Equal(a.Problems, b.Problems) &&
		a.Object.Probed() == b.Object.Probed() &&
		sameSpec(a.Object.Spec, b.Object.Spec) && (a.Object.Ref().Kind != "ServiceEntry" || reflect.DeepEqual(a.Object.Status["addresses"], b.Object.Status["addresses"]))
}

func sameSpec(a, b any) bool {
	x, ok := a.(proto.Message)
	y, ok2 := b.(proto.Message)
	if ok && ok2 {
		return proto.Equal(x, y)
	}
	return reflect.DeepEqual(a, b)
}

func compareRef(a, b api.Ref) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// Feed collects the references that changed since they were last taken.
type Feed struct {
	store *Store
	ready chan struct{}

	// guarded by store.mu
	pending map[api.Ref]struct{}
	since   time.Time
	fresh   bool
}

// Feed starts a feed; its first Take gives all present objects.
func (s *Store) Feed() *Feed {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &Feed{store: s, ready: make(chan struct{}, 1), pending: map[api.Ref]struct{}{}}
	s.feeds = append(s.feeds, f)
	for ref := range s.entries {
		f.pending[ref] = struct{}{}
	}
	if f.fresh = len(f.pending) > 0; f.fresh {
		f.since = time.Now()
	}
	s.tell()
	return f
}

// Ready is signalled when there is something to take.
func (f *Feed) Ready() <-chan struct{} { return f.ready }

// Take returns the references that changed, in order, the time when the first of them was heard of, and the store's revision that the objects now have at least.
func (f *Feed) Take() (refs []api.Ref, since time.Time, revision uint64) {
	f.store.mu.Lock()
	defer f.store.mu.Unlock()
	refs = slices.SortedFunc(maps.Keys(f.pending), compareRef)
	since = f.since
	f.pending, f.since = map[api.Ref]struct{}{}, time.Time{}
	return refs, since, f.store.revision
}

func (s *Store) mark(ref api.Ref) {
	for _, f := range s.feeds {
		if f.since.IsZero() {
			f.since = time.Now()
		}
		f.pending[ref], f.fresh = struct{}{}, true
	}
}

// tell signals the feeds that have something new; called with the lock held.
func (s *Store) tell() {
	for _, f := range s.feeds {
		if !f.fresh {
			continue
		}
		f.fresh = false
		select {
		case f.ready <- struct{}{}:
		default:
		}
	}
}
