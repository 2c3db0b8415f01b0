// Package upstream keeps what is known of clusters while the proxy runs: their endpoints, who is ejected, how much is in flight.
//
// In: the clusters of a Config, outcomes of requests. Out: an endpoint for the next try, and permission to use it. A Set and what hangs on it is shared by all
// workers: endpoints are found through atomic pointers, counts are atomic, and only ejections and updates take a lock. A Chooser belongs to one worker.
package upstream

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
)

// Set is all clusters. Update is called by one goroutine at a time; Cluster by anyone.
type Set struct {
	current atomic.Pointer[map[string]*Cluster]
	secrets tls.Secrets
	log     *slog.Logger
	// Now is the calendar and Random a source of chance: time.Now and rand.Uint64 unless they are replaced before the first Update.
	Now    func() time.Time
	Random func() uint64
	// Stats, if set before the first Update, counts ejections, and Shard is where.
	Stats *stats.Registry
	Shard *stats.Shard
	// Fail, if set, is told of endpoints that ask in a response to be left alone. Any worker calls it.
	Fail func(*Host)
	// Home, if set before the first Update, is where this proxy is.
	Home   Home
	around atomic.Pointer[around]
}

// NewSet makes an empty set.
func NewSet(secrets tls.Secrets, log *slog.Logger) *Set {
	s := &Set{secrets: secrets, log: log, Now: time.Now, Random: rand.Uint64}
	s.current.Store(&map[string]*Cluster{})
	return s
}

// Cluster finds a cluster, nil when there is none.
func (s *Set) Cluster(name string) *Cluster { return (*s.current.Load())[name] }

// All is the clusters at this moment, by name.
func (s *Set) All() map[string]*Cluster { return *s.current.Load() }

// Update takes over the clusters of a configuration. A cluster whose definition is the same keeps its endpoints' state; endpoints that are gone are
// marked, so that workers let their connections go.
func (s *Set) Update(clusters map[string]*config.Cluster) error {
	old := *s.current.Load()
	next := make(map[string]*Cluster, len(clusters))
	for name, def := range clusters {
		if c := old[name]; c != nil && c.def.Load() == def {
			next[name] = c
			continue
		}
		if c := old[name]; c != nil && sameDefinition(c.def.Load(), def) {
			c.def.Store(def)
			c.update(def.Endpoints, nil)
			next[name] = c
			continue
		}
		c, err := s.build(def, old[name])
		if err != nil {
			return fmt.Errorf("cluster %s: %w", name, err)
		}
		next[name] = c
	}
	s.current.Store(&next)
	if local := next[s.Home.Cluster]; local != nil {
		local.mu.Lock()
		s.relocate(local, local.hosts) // for those that are new
		local.mu.Unlock()
	}
	for name, c := range old {
		if next[name] != c {
			c.retire()
		}
	}
	return nil
}

// sameDefinition says whether only endpoints may differ.
func sameDefinition(a, b *config.Cluster) bool {
	x, y := *a, *b
	x.Endpoints, y.Endpoints = nil, nil
	return x.Version != "" && x.Version == y.Version && x.Assignment == y.Assignment
}

func (s *Set) build(def *config.Cluster, before *Cluster) (*Cluster, error) {
	c := &Cluster{Name: def.Name, set: s, log: s.log, now: s.Now, swept: s.Now()}
	c.counts.count(s.Stats, s.Shard, def)
	c.subsetStats = newSubsetStats(s.Stats, def)
	c.def.Store(def)
	var former []*Host
	if before != nil {
		c.breakers, former = before.breakers, before.Hosts() // what is in flight stays in flight
		c.recent = before.recent
		c.used.Store(before.Used())
	} else {
		c.breakers = &[2]Breaker{}
	}
	if interval := def.Thresholds[0].BudgetInterval; c.recent == nil || before.Config().Thresholds[0].BudgetInterval != interval {
		c.recent = newRecent(interval)
	}
	var err error
	c.plain.Proxy, c.plain.TLVs = def.Proxy, def.TLVs
	if def.TLS != nil {
		if c.plain.TLS, err = tls.NewClientContext(def.TLS, s.secrets); err != nil {
			return nil, fmt.Errorf("transport_socket: %w", err)
		}
	}
	for i := range def.Matches {
		m := &def.Matches[i]
		t := transport{labels: m.Labels, Transport: Transport{Proxy: m.Proxy, TLVs: m.TLVs}}
		if m.TLS != nil {
			if t.TLS, err = tls.NewClientContext(m.TLS, s.secrets); err != nil {
				return nil, fmt.Errorf("transport_socket_matches[%d]: %w", i, err)
			}
		}
		c.matches = append(c.matches, t)
	}
	c.update(def.Endpoints, former)
	return c, nil
}
