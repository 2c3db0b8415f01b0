package upstream

import (
	"cmp"

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
	v := &view{over: overprovisioning(def)}
	if old := c.view.Load(); old != nil {
		v.made = old.made + 1
	}
	levels := 0
	for _, h := range c.hosts {
		levels = max(levels, int(h.priority)+1)
	}
	by := make([][]*Host, levels)
	for _, h := range c.hosts {
		by[h.priority] = append(by[h.priority], h)
	}
	v.levels = make([]balance.Level, levels)
	for p, hosts := range by {
		v.levels[p] = c.count(def, hosts)
	}
	loads := balance.Priorities(v.levels, v.over, def.Panic)
	v.loads, v.sets = append(loads.Healthy, loads.Degraded...), make([]priority, 2*levels)
	w := &weigher{window: def.SlowStart, now: c.now()}
	for p, hosts := range by {
		if loads.Panic[p] {
			v.sets[p] = all(def, hosts, w)
			continue
		}
		v.sets[p], v.sets[levels+p] = some(def, hosts, healthy, w), some(def, hosts, degraded, w)
	}
	v.starting = w.starting
	c.view.Store(v)
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

// all are the endpoints of a priority in panic, wherever and however they are, but for those that discovery wants to be left.
func all(def *config.Cluster, hosts []*Host, w *weigher) (p priority) {
	g := &gathered{}
	for _, h := range hosts {
		if h.Config().Health != config.Draining {
			g.hosts = append(g.hosts, h)
		}
	}
	p.add(g, 1, w)
	return p
}

// some are the endpoints of a priority in one state, by locality where localities have weights.
func some(def *config.Cluster, hosts []*Host, in state, w *weigher) (p priority) {
	together, order, by := &gathered{}, []*gathered{}, map[int]*gathered{}
	for _, h := range hosts {
		g := by[h.locality]
		if g == nil {
			g = &gathered{locality: h.locality}
			by[h.locality], order = g, append(order, g)
		}
		if g.all++; h.state() == in {
			g.hosts = append(g.hosts, h)
			together.hosts = append(together.hosts, h)
		}
	}
	if def.LocalityWeighted && !hashes(def.Policy) {
		for _, g := range order {
			if share := g.share(def); share > 0 {
				p.add(g, share, w)
			}
		}
	}
	if len(p.groups) == 0 { // no locality has a weight and somebody to serve, so all are alike
		p.add(together, 1, w)
	}
	return p
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
	if def.Endpoints == nil || g.locality < 0 || g.locality >= len(def.Endpoints.Localities) {
		return 0
	}
	return uint64(def.Endpoints.Localities[g.locality].Weight) * min(10_000, 100*uint64(overprovisioning(def))*uint64(len(g.hosts))/uint64(g.all))
}

// overprovisioning is the factor in percent: that of the endpoints, else of the cluster, else Envoy's default.
func overprovisioning(def *config.Cluster) uint32 {
	if e := def.Endpoints; e != nil && e.Overprovisioning > 0 {
		return e.Overprovisioning
	}
	return cmp.Or(def.Overprovisioning, 140)
}
