// Package compile turns snapshots into xDS resources: for each proxy the bytes that it must hold, made once for all proxies that must hold the same.
//
// In: mesh.Snapshots, one after the other, and proxies that ask. Out: immutable xds.Resources and, with each snapshot, what may have changed.
// A Memo and its Stores are safe for concurrent use; nothing is compiled that nobody asks for.
package compile

import (
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/internal/memo"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

// result is what is compiled under a name: a resource, the list of names of a type, or the knowledge that there is nothing.
// The resource comes first: who holds a pointer to it keeps the whole result alive.
type result struct {
	resource xds.Resource
	absent   bool
	list     bool
	*rare    // nil for nothing
}

// rare is what few results have.
type rare struct {
	names   []string
	notices []mesh.Problem
	// tried are patches that the proxy has, applied are those that matched something here.
	tried, applied []*mesh.Patch
	parts          []*result // what the resource is made of: held so that it is not made again for another proxy or for the next snapshot
}

func (r *result) more() *rare {
	if r.rare == nil {
		return &rare{}
	}
	return r.rare
}

type cache = memo.Cache[*view.Source, mesh.Proxy, xds.Name, mesh.Key, result]

// Memo holds what was compiled for as long as somebody holds it.
type Memo struct {
	cache   *cache
	current atomic.Pointer[view.Source]
	publish sync.Mutex
	round   memo.Revision
}

// New makes a Memo of an empty mesh.
func New() *Memo {
	m := &Memo{cache: memo.New(memo.Rules[*view.Source, mesh.Proxy, xds.Name, mesh.Key, result]{
		Common:  view.Common,
		Compute: compute,
		Same:    func(r *result) string { return r.identity() },
		Strong:  func(r *result) bool { return r.absent || r.list },
	})}
	m.current.Store(view.NewSource())
	return m
}

func (r *result) identity() string {
	more := r.more()
	if len(r.resource.Origins)+len(more.notices)+len(more.applied) == 0 {
		return r.resource.Version
	}
	var b strings.Builder
	b.Grow(128)
	b.WriteString(r.resource.Version)
	for _, o := range r.resource.Origins {
		b.WriteByte('\n')
		b.WriteString(o)
	}
	for _, n := range more.notices {
		b.WriteString("\n" + n.String())
	}
	for _, p := range more.applied {
		b.WriteString("\n" + p.ID)
	}
	return b.String()
}

// Changes are the names that must be asked for again after a snapshot. A name with an empty Name is the list of names of its type. The resource is the
// one that was given before to those who must ask; nil means everybody who has the name.
type Changes = iter.Seq2[xds.Name, *xds.Resource]

// Publish goes on to a snapshot. Snapshots come one after the other.
func (m *Memo) Publish(snapshot *mesh.Snapshot) (*Store, Changes) {
	m.publish.Lock()
	defer m.publish.Unlock()
	next, keys := m.current.Load().Next(snapshot)
	m.round++
	stale := m.cache.Advance(m.round, slices.Values(keys), func() { m.current.Store(next) })
	changes := func(yield func(xds.Name, *xds.Resource) bool) {
		for _, s := range stale {
			if s.Name.TypeURL == routePart {
				continue
			}
			before := &s.Value.resource
			if s.Value.absent || s.Value.list {
				before = nil
			}
			if !yield(s.Name, before) {
				return
			}
		}
	}
	return &Store{memo: m, source: next, round: m.round}, changes
}

// Notices are what users must be told about resources that are in use, ordered and each once.
func (m *Memo) Notices() []mesh.Problem {
	var out []mesh.Problem
	tried, applied := map[string]*mesh.Patch{}, map[string]bool{}
	for _, r := range m.cache.All() {
		more := r.more()
		out = append(out, more.notices...)
		for _, p := range more.tried {
			tried[p.ID] = p
		}
		for _, p := range more.applied {
			applied[p.ID] = true
		}
	}
	for id, p := range tried {
		if !applied[id] {
			out = append(out, mesh.Problem{Object: p.Origin, Field: p.Path, Code: mesh.CodeNotFound,
				Message: "the patch matches nothing: no proxy that it selects is given such a resource, or is of such a version or metadata", Hint: "compare its match with a proxy's /config_dump"})
		}
	}
	return noticesOf(out)
}

// EncodedEndpoints counts the endpoints that were encoded since the start; the others were copied.
func (m *Memo) EncodedEndpoints() uint64 { return m.current.Load().Encoded() }

// Stats are counts for metrics.
func (m *Memo) Stats() memo.Stats { return m.cache.Stats() }

// Variants counts the living variants of a resource.
func (m *Memo) Variants(n xds.Name) int {
	count := 0
	for name := range m.cache.All() {
		if name == n {
			count++
		}
	}
	return count
}

// Store answers as of one snapshot. An older store, used while a newer one is on its way to the streams, gives what it gave before; what it never
// gave, it gives as of the newest.
type Store struct {
	memo   *Memo
	source *view.Source
	round  memo.Revision
}

func (s *Store) get(p *mesh.Proxy, n xds.Name) *result {
	return s.memo.cache.Get(s.source, s.round, s.memo.current.Load, p, n)
}

// Names lists, in order, what a wildcard subscriber of the type must hold.
func (s *Store) Names(p *mesh.Proxy, typeURL string) iter.Seq[string] {
	return slices.Values(s.get(p, xds.Name{TypeURL: typeURL}).more().names)
}

// Resource is a resource as the proxy must have it, or false when there is none.
func (s *Store) Resource(p *mesh.Proxy, n xds.Name) (*xds.Resource, bool) {
	if n.Name == "" || n.TypeURL == routePart {
		return nil, false
	}
	r := s.get(p, n)
	if r.absent {
		return nil, false
	}
	return &r.resource, true
}

// Revision is the snapshot's.
func (s *Store) Revision() mesh.Revision { return s.source.Revision }
