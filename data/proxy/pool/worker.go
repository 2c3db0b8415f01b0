package pool

import (
	"iter"
	"net/netip"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/dial"
	"github.com/heddle-mesh/heddle/data/proxy/http2"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/orca"
	"github.com/heddle-mesh/heddle/data/proxy/resolve"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// Worker is one loop.Worker's pools and its chooser of endpoints.
type Worker struct {
	Loop  *loop.Worker
	Shard *stats.Shard
	// Short says that memory is short, so that connections are not kept for a later request; nil for never.
	Short func() bool
	// Names looks up what clients name; nil: nothing is known.
	Names *resolve.Names

	set     *upstream.Set
	stats   *stats.Registry
	dialer  *dial.Dialer
	chooser *upstream.Chooser
	locals  map[*upstream.Cluster]*local
	scratch []byte

	slab      http2.Slab
	calls     *Call // free ones
	freeCalls int
}

// local is what a worker holds of one cluster.
type local struct {
	stats *Stats
	pools map[poolKey]*pool
	// announced are the pools of connections that begin with a PROXY header, or come from a client's address. They are apart so that other keys stay short.
	announced map[announcedKey]*pool
}

type poolKey struct {
	host   *upstream.Host
	sni    string
	frames bool  // HTTP/2
	level  uint8 // of the circuit breaker: routing priority
}

// announcedKey has the ends of the client's connection, and what more the header says of it: nobody else's requests go over one that was announced as this client's.
type announcedKey struct {
	poolKey
	from, to   netip.AddrPort
	extensions string
	// source is the client's address that the connection comes from, with its mark; invalid for the proxy's own.
	source netip.Addr
	mark   uint32
}

// apart says whether connections of the key are for one client.
func (k *announcedKey) apart() bool { return k.host.Proxy != 0 || k.source.IsValid() }

// find gives the pool of a key, nil if there is none.
func (l *local) find(k announcedKey) *pool {
	if !k.apart() {
		return l.pools[k.poolKey]
	}
	return l.announced[k]
}

func (l *local) add(p *pool) {
	if !p.key.apart() {
		l.pools[p.key.poolKey] = p
	} else {
		l.announced[p.key] = p
	}
}

func (l *local) remove(p *pool) {
	if p.key.apart() {
		delete(l.announced, p.key)
		return
	}
	delete(l.pools, p.key.poolKey)
}

func (l *local) all() iter.Seq[*pool] {
	return func(yield func(*pool) bool) {
		for _, p := range l.pools {
			if !yield(p) {
				return
			}
		}
		for _, p := range l.announced {
			if !yield(p) {
				return
			}
		}
	}
}

// New makes the pools of a worker.
func New(w *loop.Worker, shard *stats.Shard, registry *stats.Registry, set *upstream.Set, d *dial.Dialer) *Worker {
	chooser := upstream.NewChooser(w.Rand)
	chooser.Shard = shard
	return &Worker{Loop: w, Shard: shard, set: set, stats: registry, dialer: d, chooser: chooser, locals: map[*upstream.Cluster]*local{}}
}

// Cluster finds a cluster by name, nil if there is none.
func (w *Worker) Cluster(name string) *upstream.Cluster { return w.set.Cluster(name) }

// Stats are a cluster's counters.
func (w *Worker) Stats(c *upstream.Cluster) *Stats { return w.local(c).stats }

func (w *Worker) local(c *upstream.Cluster) *local {
	l := w.locals[c]
	if l == nil {
		name := c.Name
		if alt := c.Config().AltStat; alt != "" {
			name = alt
		}
		l = &local{stats: newStats(w.stats, name), pools: map[poolKey]*pool{}, announced: map[announcedKey]*pool{}}
		w.locals[c] = l
	}
	return l
}

// Choose chooses an endpoint, nil when none can serve.
func (w *Worker) Choose(c *upstream.Cluster, n upstream.Need) *upstream.Host {
	h := w.chooser.Choose(c, n)
	if h == nil {
		w.Shard.Inc(w.local(c).stats.NoneHealthy)
	}
	return h
}

// Report tells outlier detection what an endpoint did.
func (w *Worker) Report(h *upstream.Host, o upstream.Outcome) {
	if h.Cluster.Config().Outlier != nil {
		h.Report(o, w.Loop.Wall(), w.Loop.Rand())
	}
}

// Connected tells outlier detection that there is a connection to an endpoint, where it wants to know.
func (w *Worker) Connected(h *upstream.Host) {
	if d := h.Cluster.Config().Outlier; d != nil && d.SplitLocal {
		w.Report(h, upstream.Connected)
	}
}

// Responded looks at a response for what an endpoint of a checked cluster says of its own health.
func (w *Worker) Responded(host *upstream.Host, h *codec.Head) {
	w.Told(host, &h.Fields)
	if w.set.Fail != nil && host.IsChecked() && h.Has(codec.EnvoyImmediateFail) {
		w.set.Fail(host)
	}
}

// Told looks at the head or the trailers of a response for what an endpoint says of its load.
func (w *Worker) Told(host *upstream.Host, f *codec.Fields) {
	c := host.Cluster.Config().Load
	if c == nil {
		return
	}
	if r, err := orca.Read(f); r != nil && err == nil { // a report that cannot be read tells nothing
		if weight, err := orca.Weight(r, c); err == nil {
			host.Weigh(weight)
		}
	}
}

// Clusters is the number of clusters that the worker holds anything of.
func (w *Worker) Clusters() int { return len(w.locals) }

// Sweep lets go of what is no longer configured: idle connections of endpoints that are gone, pools and places of clusters that are gone. Call it after each
// change of the set.
func (w *Worker) Sweep() {
	for c, l := range w.locals {
		for p := range l.all() {
			if p.host.Gone() {
				p.drain()
			}
		}
		if len(l.pools)+len(l.announced) == 0 && w.set.Cluster(c.Name) != c {
			delete(w.locals, c)
		}
	}
	w.chooser.Forget(w.set)
}

// CloseIdle closes every idle connection, and gives up those on their way that nobody waits for any more.
func (w *Worker) CloseIdle() {
	for _, l := range w.locals {
		for p := range l.all() {
			p.forgo()
			p.drain()
			p.retire()
		}
	}
}

// Trim gives what is kept for the next use to the garbage collector.
func (w *Worker) Trim() {
	w.calls, w.freeCalls = nil, 0
	w.slab.Trim()
}
