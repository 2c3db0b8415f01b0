package upstream

import (
	"cmp"
	"slices"
	"sync/atomic"

	"github.com/heddle-mesh/heddle/data/proxy/balance"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// view is what choosers look at: it is made anew when endpoints, or their health, change.
type view struct {
	levels []balance.Level
	over   uint32 // overprovisioning factor
	// loads and sets are by priority: first the healthy endpoints of each, then the degraded ones of each.
	loads    []uint32
	sets     []priority
	made     uint64 // counts views, so that choosers notice
	starting bool   // an endpoint is new and gets less than its share: the view changes with time
	name     string // of a subset
	parts    *subsets
	hosts    []*Host
	named    atomic.Pointer[map[string]*Host] // by address, once somebody has asked
}

// without are the loads when some priorities may not be used; nil when no other can serve.
func (v *view) without(skip uint64) []uint32 {
	levels, any := make([]balance.Level, len(v.levels)), false
	for i, l := range v.levels {
		if i >= 64 || skip&(1<<i) == 0 {
			levels[i] = l
			any = any || l.Healthy+l.Degraded > 0
		}
	}
	if !any {
		return nil
	}
	l := balance.Priorities(levels, v.over, 0)
	return append(l.Healthy, l.Degraded...)
}

// priority are the endpoints of one priority that are in one state.
type priority struct {
	groups []group // one, or one per locality when localities have weights
	sums   []uint64
	panic  bool // however they are
}

// group are endpoints that are equal but for their weights. It implements balance.Candidates.
type group struct {
	hosts   []*Host
	weights []uint32
	sums    []uint64  // running totals of the weights, nil when all are equal
	shares  []float64 // of hashes, nil when they follow the weights
	places  *places
}

func (g *group) Len() int            { return len(g.hosts) }
func (g *group) Weight(i int) uint32 { return g.weights[i] }
func (g *group) Active(i int) uint32 { return uint32(max(0, g.hosts[i].active.Load())) }
func (g *group) Sums() []uint64      { return g.sums }

// remake makes the view; mu is held.
func (c *Cluster) remake() {
	def := c.def.Load()
	v := c.viewOf(def, c.hosts, nil)
	if old := c.view.Load(); old != nil {
		v.made = old.made + 1
	}
	if def.Subsets != nil {
		v.parts = &subsets{c: c, def: def, hosts: c.hosts, made: v.made}
	}
	c.view.Store(v)
	c.set.relocate(c, c.hosts)
}

// viewOf is the view of some endpoints: all, or those of a subset, for which scaled says how many each locality has in all where that matters.
func (c *Cluster) viewOf(def *config.Cluster, hosts []*Host, scaled map[int]int) *view {
	v := &view{over: overprovisioning(def), hosts: hosts}
	levels := 0
	for _, h := range hosts {
		levels = max(levels, int(h.priority)+1)
	}
	by := make([][]*Host, levels)
	for _, h := range hosts {
		by[h.priority] = append(by[h.priority], h)
	}
	v.levels = make([]balance.Level, levels)
	for p, hosts := range by {
		v.levels[p] = c.count(def, hosts)
	}
	loads := balance.Priorities(v.levels, v.over, def.Panic)
	v.loads, v.sets = append(loads.Healthy, loads.Degraded...), make([]priority, 2*levels)
	w := &weigher{SlowStart: def.SlowStart, now: c.now(), scaled: scaled}
	for p, hosts := range by {
		if loads.Panic[p] && def.Zones != nil && def.Zones.FailOnPanic {
			continue
		}
		if loads.Panic[p] {
			v.sets[p] = some(def, hosts, anyState, w)
			v.sets[p].panic = true
			continue
		}
		if z, ok := c.zones(def, p, hosts, w); ok {
			v.sets[p], v.sets[levels+p] = z, some(def, hosts, degraded, w)
			continue
		}
		v.sets[p], v.sets[levels+p] = some(def, hosts, healthy, w), some(def, hosts, degraded, w)
	}
	v.starting = w.starting
	return v
}

func (c *Cluster) count(def *config.Cluster, hosts []*Host) (l balance.Level) {
	for _, h := range hosts {
		l.All++
		switch h.state() {
		case healthy:
			l.Healthy++
		case degraded:
			l.Degraded++
		}
		if f := h.Checked(); f&CheckExcluded != 0 || def.IgnoreNewHosts && f&CheckPending != 0 {
			l.Excluded++
		}
	}
	return l
}

// some are the endpoints of a priority in one state, by locality where localities have weights. In panic they are all of them, wherever and however they are, but for those
// that discovery wants to be left.
func some(def *config.Cluster, hosts []*Host, in state, w *weigher) (p priority) {
	together, order := gather(hosts, in)
	switch {
	case !weighsLocalities(def):
	case hashes(def.Policy):
		p.hashed(def, order)
	case in != anyState:
		for _, g := range order {
			if share := w.scale(g, g.share(def)); share > 0 {
				p.add(g, share, w)
			}
		}
	}
	if len(p.groups) == 0 { // no locality has a weight and somebody to serve, so all are alike
		p.add(together, 1, w)
	}
	return p
}

// zones is some for a cluster that keeps requests in their zone, at its first priority.
func (c *Cluster) zones(def *config.Cluster, p int, hosts []*Host, w *weigher) (priority, bool) {
	if p > 0 || def.Zones == nil {
		return priority{}, false
	}
	_, order := gather(hosts, healthy)
	return c.zoned(def, order, w)
}

// gather finds the endpoints in one state, in all and by locality.
func gather(hosts []*Host, in state) (together *gathered, order []*gathered) {
	together, by := &gathered{}, map[int]*gathered{}
	for _, h := range hosts {
		g := by[h.locality]
		if g == nil {
			g = &gathered{locality: h.locality}
			by[h.locality], order = g, append(order, g)
		}
		if g.all++; h.state() == in || in == anyState && h.Config().Health != config.Draining {
			g.hosts = append(g.hosts, h)
			together.hosts = append(together.hosts, h)
		}
	}
	return together, order
}

// hashed makes one group, so that a hash means one endpoint whatever its locality; localities share as they weigh (Envoy, "Locality weighted load balancing" of
// consistent hashing).
func (p *priority) hashed(def *config.Cluster, order []*gathered) {
	slices.SortFunc(order, func(a, b *gathered) int { return compareLocalities(def, a.locality, b.locality) })
	total, g := uint64(0), group{places: &places{}}
	for _, x := range order {
		total += uint64(weightOf(def, x.locality))
	}
	for _, x := range order {
		weight := weightOf(def, x.locality)
		if weight == 0 || len(x.hosts) == 0 {
			continue
		}
		weights := make([]uint32, len(x.hosts))
		for i, h := range x.hosts {
			weights[i] = max(1, h.Config().Weight)
		}
		g.hosts, g.weights = append(g.hosts, x.hosts...), append(g.weights, weights...)
		g.shares = append(g.shares, balance.Shares(weights, float64(weight)/float64(total))...)
	}
	if len(g.hosts) > 0 {
		p.groups, p.sums = []group{g}, []uint64{1}
	}
}

func compareLocalities(def *config.Cluster, a, b int) int {
	if a < 0 || b < 0 || def.Endpoints == nil {
		return cmp.Compare(a, b)
	}
	x, y := &def.Endpoints.Localities[a], &def.Endpoints.Localities[b]
	return cmp.Or(cmp.Compare(x.Region, y.Region), cmp.Compare(x.Zone, y.Zone), cmp.Compare(x.Subzone, y.Subzone))
}

// weightOf is the weight of a locality, 0 for one that is not listed.
func weightOf(def *config.Cluster, locality int) uint32 {
	if def.Endpoints == nil || locality < 0 || locality >= len(def.Endpoints.Localities) {
		return 0
	}
	return def.Endpoints.Localities[locality].Weight
}

func (p *priority) add(g *gathered, share uint64, w *weigher) {
	if len(g.hosts) == 0 {
		return
	}
	if n := len(p.sums); n > 0 {
		share += p.sums[n-1]
	}
	weights := w.weigh(g.hosts)
	p.groups, p.sums = append(p.groups, group{hosts: g.hosts, weights: weights, sums: sums(weights), places: &places{}}), append(p.sums, share)
}

// gathered are the endpoints of one locality that may be chosen, among all that it has.
type gathered struct {
	locality, all int
	hosts         []*Host
}

// share is the weight of a locality, less in proportion when more of its endpoints are sick than overprovisioning makes up for (Envoy, "Locality weighted load
// balancing"), in units of 1/10,000.
func (g *gathered) share(def *config.Cluster) uint64 {
	return uint64(weightOf(def, g.locality)) * min(10_000, 100*uint64(overprovisioning(def))*uint64(len(g.hosts))/uint64(g.all))
}

// overprovisioning is the factor in percent: that of the endpoints, else of the cluster, else Envoy's default.
func overprovisioning(def *config.Cluster) uint32 {
	if e := def.Endpoints; e != nil && e.Overprovisioning > 0 {
		return e.Overprovisioning
	}
	return cmp.Or(def.Overprovisioning, 140)
}

// weighsLocalities says whether the weights of localities count. Where a cluster has subsets, Envoy takes even all of its endpoints for one.
func weighsLocalities(def *config.Cluster) bool {
	return def.LocalityWeighted && (def.Subsets == nil || def.Subsets.LocalityAware)
}
