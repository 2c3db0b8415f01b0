// Package health checks endpoints actively (envoy.config.core.v3.HealthCheck).
//
// In: clusters with a health check, from an upstream.Set. Out: what the checks found, in the hosts of that set, which all workers share. A Prober belongs to one worker
// and checks the clusters that are its own, so that each endpoint is checked from one place. Checks go to clusters of their own, which nobody else sees: what is counted
// and limited for requests has nothing to do with them.
package health

import (
	"hash/fnv"
	"log/slog"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/dial"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/pool"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// Options are the parts that a Prober works with. All but Secrets and Checked must be set.
type Options struct {
	Loop    *loop.Worker
	Workers int // of the proxy: clusters are dealt out among them
	Set     *upstream.Set
	Stats   *stats.Registry
	Shard   *stats.Shard // the worker's
	Dialer  *dial.Dialer
	Secrets tls.Secrets
	Log     *slog.Logger
	// Checked is told when every endpoint of a cluster has had its first check.
	Checked func()
}

// Prober is one worker's part.
type Prober struct {
	Options
	targets *upstream.Set // where the checks go, by the name of the cluster that they are for
	pools   *pool.Worker
	checks  map[string]*check
}

// New makes a prober that checks nothing yet; see Review.
func New(o Options) *Prober {
	hidden := stats.New() // the connections of checks are not among those of their clusters, as in Envoy
	p := &Prober{Options: o, targets: upstream.NewSet(o.Secrets, o.Log), checks: map[string]*check{}}
	p.pools = pool.New(o.Loop, hidden.NewShard(), hidden, p.targets, o.Dialer)
	return p
}

// Owner is the worker, out of so many, from which a cluster is checked.
func Owner(cluster string, workers int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(cluster)) // never fails
	return int(h.Sum32() % uint32(workers))
}

// Fail takes an endpoint out that asked for it in a response to a request (x-envoy-immediate-health-check-fail), until its checks pass again. Call it on the Owner of its
// cluster.
func (p *Prober) Fail(h *upstream.Host) {
	c := p.checks[h.Cluster.Name]
	if c == nil || c.cluster != h.Cluster {
		return
	}
	for _, s := range c.sessions {
		if s.host == h {
			s.failPassively()
			return
		}
	}
}

// Review looks at what is to be checked. Call it on the worker after each change of the set.
func (p *Prober) Review() {
	all := p.Set.All()
	for name, c := range p.checks {
		if all[name] != c.cluster {
			c.end()
			delete(p.checks, name)
		}
	}
	for name, cl := range all {
		if cl.Config().Check != nil && p.checks[name] == nil && Owner(name, p.Workers) == p.Loop.Index() {
			p.checks[name] = newCheck(p, cl)
		}
	}
	if len(p.checks) == 0 && len(p.targets.All()) == 0 && p.pools.Clusters() == 0 {
		return
	}
	defs := make(map[string]*config.Cluster, len(p.checks))
	for name, c := range p.checks {
		c.list()
		defs[name] = c.def
	}
	if err := p.targets.Update(defs); err != nil { // the same definitions made clusters already
		p.Log.Error("endpoints are not checked", "error", err)
		return
	}
	for name, c := range p.checks {
		c.start(p.targets.Cluster(name).Hosts())
	}
	p.pools.Sweep()
}

// Sessions is the number of endpoints that are checked from this worker.
func (p *Prober) Sessions() (n int) {
	for _, c := range p.checks {
		n += len(c.sessions)
	}
	return n
}
