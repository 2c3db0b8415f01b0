// Package serve gives every connected proxy what it must hold: it owns the ADS streams, decides who must hear of a change, and records what was answered.
//
// In: publications (a Store and what may have changed), and proxies with their credentials. Out: responses, acknowledgements and rejections for an Observer, metrics,
// and the /debug endpoints. One goroutine per stream asks the session for the most urgent thing when the client is ready; no lock is held while it writes.
// Server's methods are safe for concurrent use.
package serve

import (
	"iter"
	"log/slog"
	"runtime"
	"sync"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

// Options are what a Server is made of.
type Options struct {
	Authenticator Authenticator
	// AllowAnonymous serves the identity that a client claims when it shows no credential, to loopback addresses and unix sockets only.
	AllowAnonymous bool
	TrustDomain    identity.TrustDomain // of anonymous identities
	Observer       Observer             // nil: nobody listens
	Registrar      Registrar            // nil: no workloads are registered
	Metrics        *Metrics             // nil: not counted
	Log            *slog.Logger
	// Budget bounds the bytes of resources in one response; 0 is 2 MiB (gRPC's clients refuse messages above 4 MiB).
	Budget int
	// MaxNames bounds what one stream may subscribe to by name; 0 is 100,000.
	MaxNames int
}

// Server serves ADS. Make it with New.
type Server struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	opts       Options
	log        *slog.Logger
	quarantine *quarantine
	slots      chan struct{} // one per processor: deciding what to send is computing

	mu      sync.RWMutex // held for bookkeeping only, never while compiling or writing
	now     *publication // nil before the first one
	conns   map[*conn]struct{}
	byName  map[xds.Name]map[*conn]struct{} // explicit subscriptions
	byType  map[string]map[*conn]struct{}   // wildcard subscriptions
	streams uint64
}

// publication is what is served now.
type publication struct {
	revision mesh.Revision
	store    Store
	since    time.Time // of its oldest change
}

// New makes a server that serves nothing until the first Publish.
func New(opts Options) *Server {
	if opts.Budget == 0 {
		opts.Budget = 2 << 20
	}
	if opts.MaxNames == 0 {
		opts.MaxNames = 100_000
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Observer == nil {
		opts.Observer = nobody{}
	}
	return &Server{
		opts: opts, log: opts.Log, quarantine: newQuarantine(), slots: make(chan struct{}, runtime.GOMAXPROCS(0)),
		conns: map[*conn]struct{}{}, byName: map[xds.Name]map[*conn]struct{}{}, byType: map[string]map[*conn]struct{}{},
	}
}

// mostPending is how many changes a stream keeps one by one; with more it looks at everything it has.
const mostPending = 4096

// Publish serves a new snapshot from now on, and tells those who subscribed to what may have changed. It returns at once; slow readers coalesce to the latest.
func (s *Server) Publish(p Publication) {
	next := &publication{revision: p.Revision, store: p.Store, since: p.Since}
	if next.since.IsZero() {
		next.since = time.Now()
	}
	var grouped map[string][]Change
	if p.Changes != nil {
		grouped = map[string][]Change{}
		for c := range p.Changes {
			grouped[c.Name.TypeURL] = append(grouped[c.Name.TypeURL], c)
		}
	}
	told := s.swap(next, grouped)
	for c := range told {
		c.wake()
	}
	s.log.Debug("published", "revision", uint64(p.Revision), "types", len(grouped), "proxies", len(told))
}

// swap makes a publication current and notes its changes with whoever must hear of them, in one step: nobody sees the one without the other.
func (s *Server) swap(next *publication, grouped map[string][]Change) map[*conn]struct{} {
	told := map[*conn]struct{}{}
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.now == nil
	s.now = next
	if grouped == nil || first {
		for c := range s.conns {
			c.pending, c.everything = nil, true
			c.touched(next.since)
			told[c] = struct{}{}
		}
		return told
	}
	for url, changes := range grouped {
		wild := s.byType[url]
		for c := range wild {
			c.note(next.since, changes)
			told[c] = struct{}{}
		}
		for i := range changes {
			for c := range s.byName[changes[i].Name] {
				if _, ok := wild[c]; ok {
					continue
				}
				c.note(next.since, changes[i:i+1])
				told[c] = struct{}{}
			}
		}
	}
	return told
}

// Revision is the snapshot that is served now; false before the first.
func (s *Server) Revision() (mesh.Revision, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.now == nil {
		return 0, false
	}
	return s.now.revision, true
}

// Proxies are those connected now; one that holds two streams is there twice.
func (s *Server) Proxies() iter.Seq[*mesh.Proxy] {
	return func(yield func(*mesh.Proxy) bool) {
		for _, c := range s.connections() {
			if !yield(c.proxy) {
				return
			}
		}
	}
}

func (s *Server) connections() []*conn {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	return all
}

// Disconnect ends the streams of a connection id, proxy id or (with "") everybody; they come back by themselves. It returns how many.
func (s *Server) Disconnect(id string) (n int) {
	for _, c := range s.connections() {
		if id == "" || c.id == id || c.proxy.ID == id {
			c.once.Do(func() { close(c.closed); n++ })
		}
	}
	return n
}

// nobody is the Observer when there is none.
type nobody struct{}

func (nobody) Connected(*mesh.Proxy)                             {}
func (nobody) Disconnected(*mesh.Proxy)                          {}
func (nobody) Acked(*mesh.Proxy, mesh.Revision, []*xds.Resource) {}
func (nobody) Rejected(*mesh.Proxy, *xds.Resource, string)       {}
