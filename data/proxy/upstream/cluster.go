package upstream

import (
	"cmp"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/balance"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Cluster is one cluster with its state.
type Cluster struct {
	Name     string
	def      atomic.Pointer[config.Cluster]
	plain    Transport // of endpoints that no match names
	matches  []transport
	breakers *[2]Breaker
	log      *slog.Logger
	now      func() time.Time

	mu    sync.Mutex // guards hosts, swept and the making of views
	hosts []*Host
	swept time.Time // when outlier detection last looked
	view  atomic.Pointer[view]
	// passing are hosts of original destinations, which nobody lists.
	passing sync.Map // loop.Address → *Host
	passed  atomic.Int32
}

type transport struct {
	labels map[string]string
	Transport
}

// Config is the definition in force.
func (c *Cluster) Config() *config.Cluster { return c.def.Load() }

// Breaker counts what is in flight at a priority (config.Cluster.Thresholds has the limits).
func (c *Cluster) Breaker(priority int) *Breaker { return &c.breakers[priority] }

// Hosts are the endpoints, those that are ejected included.
func (c *Cluster) Hosts() []*Host {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hosts
}

// key tells endpoints apart: one whose address and transport stay keeps its state.
type key struct {
	address, host string
	transport     Transport
}

func keyOf(e *config.Endpoint, t Transport) key {
	return key{address: e.Address.String() + e.Path, host: e.Hostname, transport: t}
}

// update takes over a list of endpoints.
func (c *Cluster) update(a *config.Assignment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := make(map[key]*Host, len(c.hosts))
	for _, h := range c.hosts {
		before[h.key] = h
	}
	c.hosts = nil
	if a != nil {
		for i := range a.Localities {
			l := &a.Localities[i]
			for _, e := range l.Endpoints {
				t := c.transportOf(e)
				k := keyOf(e, t)
				h := before[k]
				if h == nil {
					h = newHost(c, e, t, k)
				} else {
					delete(before, k)
				}
				h.config.Store(e)
				h.priority, h.locality = l.Priority, i
				c.hosts = append(c.hosts, h)
			}
		}
	}
	for _, h := range before {
		h.gone.Store(true)
	}
	c.remake()
}

// retire marks everything as gone: the cluster was removed or defined anew.
func (c *Cluster) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.hosts {
		h.gone.Store(true)
	}
	c.passing.Range(func(_, h any) bool { h.(*Host).gone.Store(true); return true })
}

// transportOf chooses the transport by the endpoint's metadata (transport_socket_matches: the first whose labels are all there).
func (c *Cluster) transportOf(e *config.Endpoint) Transport {
	for _, m := range c.matches {
		all := true
		for k, v := range m.labels {
			all = all && e.Transport[k] == v
		}
		if all {
			return m.Transport
		}
	}
	return c.plain
}

// view is what choosers look at: it is made anew when endpoints, or their health, change.
type view struct {
	health     []float64 // percent by priority
	loads      []uint32  // percent by priority
	over       float64   // overprovisioning factor
	priorities []priority
	made       uint64 // counts views, so that choosers notice
	starting   bool   // an endpoint is new and gets less than its share: the view changes with time
}

// without are the loads when some priorities may not be used; nil when no other can serve.
func (v *view) without(skip uint64) []uint32 {
	health, any := make([]float64, len(v.health)), false
	for i, h := range v.health {
		if i >= 64 || skip&(1<<i) == 0 {
			health[i] = h
			any = any || h > 0
		}
	}
	if !any {
		return nil
	}
	return balance.PriorityLoads(health, v.over)
}

type priority struct {
	groups []group // one, or one per locality when localities have weights
	sums   []uint64
}

// group are endpoints that are equal but for their weights. It implements balance.Candidates.
type group struct {
	hosts   []*Host
	weights []uint32
	sums    []uint64 // running totals of the weights, nil when all are equal
	places  *places
}

func (g *group) Len() int            { return len(g.hosts) }
func (g *group) Weight(i int) uint32 { return g.weights[i] }
func (g *group) Active(i int) uint32 { return uint32(max(0, g.hosts[i].active.Load())) }
func (g *group) Sums() []uint64      { return g.sums }

// remake makes the view; mu is held.
func (c *Cluster) remake() {
	def := c.def.Load()
	v := &view{}
	if old := c.view.Load(); old != nil {
		v.made = old.made + 1
	}
	levels := 0
	for _, h := range c.hosts {
		levels = max(levels, int(h.priority)+1)
	}
	w := &weigher{window: def.SlowStart, now: c.now()}
	v.priorities, v.health = make([]priority, levels), make([]float64, levels)
	for p := range levels {
		v.priorities[p], v.health[p] = c.level(def, uint32(p), w)
	}
	v.over = float64(overprovisioning(def))
	v.loads, v.starting = balance.PriorityLoads(v.health, v.over), w.starting
	c.view.Store(v)
}

// level gathers the endpoints of one priority that may be chosen: the healthy ones, or all of them, wherever they are, when too few are healthy (panic threshold).
func (c *Cluster) level(def *config.Cluster, level uint32, w *weigher) (p priority, health float64) {
	all, healthy, counts := 0, 0, map[int]*census{}
	for _, h := range c.hosts {
		if h.priority == level {
			in := counts[h.locality]
			if in == nil {
				in = &census{}
				counts[h.locality] = in
			}
			all++
			in.all++
			if h.healthy() {
				healthy++
				in.healthy++
			}
		}
	}
	if all == 0 {
		return p, 0
	}
	health = 100 * float64(healthy) / float64(all)
	panicking := health < def.Panic
	weighted := def.LocalityWeighted && !hashes(def.Policy) && !panicking && weighs(def, counts)
	byLocality, order := map[int][]*Host{}, []int{}
	for _, h := range c.hosts {
		if h.priority != level || !h.healthy() && (!panicking || h.Config().Health == config.Draining) {
			continue
		}
		at := 0
		if weighted {
			at = h.locality
		}
		if byLocality[at] == nil {
			order = append(order, at)
		}
		byLocality[at] = append(byLocality[at], h)
	}
	sum := uint64(0)
	for _, at := range order {
		share := uint64(1)
		if weighted {
			if share = localityShare(def, at, counts[at]); share == 0 {
				continue
			}
		}
		weights := w.weigh(byLocality[at])
		p.groups = append(p.groups, group{hosts: byLocality[at], weights: weights, sums: sums(weights), places: &places{}})
		sum += share
		p.sums = append(p.sums, sum)
	}
	return p, health
}

// census counts the endpoints of one locality.
type census struct{ healthy, all int }

// weighs says whether any locality has a weight and somebody to serve; else all are alike.
func weighs(def *config.Cluster, counts map[int]*census) bool {
	for at, in := range counts {
		if localityShare(def, at, in) > 0 {
			return true
		}
	}
	return false
}

// localityShare is the weight of a locality, less in proportion when more of its endpoints are sick than overprovisioning makes up for (Envoy, "Locality weighted load
// balancing"), in units of 1/10,000.
func localityShare(def *config.Cluster, at int, in *census) uint64 {
	if def.Endpoints == nil || at >= len(def.Endpoints.Localities) {
		return 0
	}
	return uint64(def.Endpoints.Localities[at].Weight) * min(10_000, 100*uint64(overprovisioning(def))*uint64(in.healthy)/uint64(in.all))
}

// overprovisioning is the factor in percent: that of the endpoints, else of the cluster, else Envoy's default.
func overprovisioning(def *config.Cluster) uint32 {
	if e := def.Endpoints; e != nil && e.Overprovisioning > 0 {
		return e.Overprovisioning
	}
	return cmp.Or(def.Overprovisioning, 140)
}
