package upstream

import (
	"github.com/heddle-mesh/heddle/data/proxy/balance"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// Chooser chooses endpoints for one worker.
type Chooser struct {
	random func() uint64
	turns  map[*Cluster]*turns
	// Shard, if set, is where choices are counted.
	Shard *stats.Shard
}

// turns is the round robin of one cluster on one worker, per priority and locality group.
type turns struct {
	made   uint64
	groups map[[2]int]*balance.RoundRobin
	parts  map[string]*turns // of subsets
}

// NewChooser makes a chooser that draws from random.
func NewChooser(random func() uint64) *Chooser {
	return &Chooser{random: random, turns: map[*Cluster]*turns{}}
}

// Need is what matters to the choice of an endpoint. The zero Need is for anybody.
type Need struct {
	// Original is where the client meant to go, for clusters of type ORIGINAL_DST.
	Original loop.Address
	// Named is where the name leads that the client gave, for clusters of type ClientNames; zero when it was not looked up.
	Named loop.Address
	// Hash keeps like requests on one endpoint where the cluster's policy is a hash and Hashed is set; else a random one does.
	Hash   uint64
	Hashed bool
	// Avoid says which endpoints are drawn again, at most Attempts times (host_selection_retry_max_attempts).
	Avoid    func(*Host) bool
	Attempts int
	// Forfeit, if set, keeps retries away from priorities that were tried.
	Forfeit *Forfeit
	// Match is the labels that the endpoint must have, for clusters with subsets; nil: none are asked for.
	Match *config.SubsetMatch
	// Note, if set, is where the choice is noted.
	Note *Choice
}

// Forfeit remembers the priorities that the tries of one request used: after every so many tries the next ones leave out all that were used so far, until none is
// left, which begins anew (envoy.retry_priorities.previous_priorities).
type Forfeit struct {
	Every int // update_frequency; at least 1
	tries int
	used  uint64 // a bit for each of the first 64 priorities
	skip  uint64
}

// loads are the loads of the priorities for the next try.
func (f *Forfeit) loads(v *view) []uint32 {
	if f.tries > 0 && f.tries%f.Every == 0 {
		f.skip = f.used
	}
	if f.skip == 0 {
		return v.loads
	}
	if left := v.without(f.skip); left != nil {
		return left
	}
	f.tries, f.used, f.skip = 0, 0, 0
	return v.loads
}

func (f *Forfeit) note(priority int) {
	f.tries++
	if priority < 64 {
		f.used |= 1 << priority
	}
}

// Mix adds what one hash policy found, one value or several.
func (n *Need) Mix(values ...[]byte) {
	n.Hash, n.Hashed = balance.Combine(n.Hash, balance.HashAll(values)), true
}

func (n *Need) note(c Choice) {
	if n.Note != nil {
		*n.Note = c
	}
}

// Choose gives an endpoint of the cluster, nil when there is none, or none that anything may be sent to.
func (c *Chooser) Choose(cl *Cluster, n Need) *Host {
	def := cl.Config()
	if def.Denied != "" {
		return nil
	}
	if def.Type == config.OriginalDst {
		n.note(NamedBy("original_destination"))
		return cl.pass(n.Original.WithPort(def.DestinationPort))
	}
	if def.Type == config.ClientNames {
		n.note(NamedBy("client_name"))
		return cl.pass(n.Named)
	}
	v := cl.view.Load()
	switch {
	case v == nil || len(v.sets) == 0:
		return nil
	case v.parts != nil:
		return c.divided(cl, def, v, n)
	}
	return c.from(cl, def, v, n)
}

// Named is the endpoint with an address that clients may keep to: it is listed, and not sick. nil when there is none, or nothing may be sent to the cluster.
func (c *Cluster) Named(address []byte) *Host {
	v := c.view.Load()
	if v == nil || c.Config().Denied != "" {
		return nil
	}
	by := v.named.Load()
	if by == nil {
		made := make(map[string]*Host, len(v.hosts))
		for _, h := range v.hosts {
			made[h.Address.String()] = h
		}
		by = &made
		v.named.Store(by)
	}
	if h := (*by)[string(address)]; h != nil && h.state() != unhealthy {
		return h
	}
	return nil
}

// from chooses among the endpoints of a view.
func (c *Chooser) from(cl *Cluster, def *config.Cluster, v *view, n Need) *Host {
	hash := n.Hash
	if !n.Hashed || !hashes(def.Policy) {
		hash = c.random()
	}
	loads := v.loads
	if n.Forfeit != nil {
		loads = n.Forfeit.loads(v)
	}
	for attempt := 0; ; attempt++ {
		p := priorityAt(loads, hash)
		h, at := c.one(cl, def, v, p, hash, attempt)
		if h == nil || n.Avoid == nil || attempt >= n.Attempts || !n.Avoid(h) {
			if h != nil && n.Note != nil {
				*n.Note = choiceOf(h, def, v, p, at)
				n.Note.drawn = int16(attempt)
			}
			if n.Forfeit != nil {
				n.Forfeit.note(p % len(v.levels))
			}
			return h
		}
		if !hashes(def.Policy) {
			hash = c.random()
		}
	}
}

func hashes(p config.Policy) bool { return p == config.RingHash || p == config.Maglev }

// priorityAt is where a hash falls among the loads of the priorities: which of the view's sets.
func priorityAt(loads []uint32, hash uint64) (p int) {
	if len(loads) > 1 {
		n := uint32(hash % 100)
		for p = range loads {
			if n < loads[p] {
				break
			}
			n -= loads[p]
		}
	}
	return p
}

// one chooses in one of the view's sets, and tells in which of its groups.
func (c *Chooser) one(cl *Cluster, def *config.Cluster, v *view, p int, hash uint64, attempt int) (h *Host, at int) {
	level := &v.sets[p]
	if len(level.groups) == 0 {
		return nil, 0
	}
	if len(level.groups) > 1 {
		n := c.random() % level.sums[len(level.sums)-1]
		for level.sums[at] <= n {
			at++
		}
	}
	g := &level.groups[at]
	switch {
	case len(g.hosts) == 1:
		return g.hosts[0], at
	case hashes(def.Policy):
		return g.hosts[g.places.choose(cl, def, g, hash, attempt)], at
	case def.Policy == config.Random:
		return g.hosts[balance.Random(g, c.random())], at
	case def.Policy == config.LeastRequest:
		return g.hosts[c.least(def, g)], at
	case def.Policy == config.PeakEWMA:
		return g.hosts[c.quickest(cl, def, g)], at
	}
	return g.hosts[c.turn(cl, v, p, at).Next(g, c.random)], at
}

func (c *Chooser) least(def *config.Cluster, g *group) int {
	switch {
	case def.Bias != nil && g.sums != nil:
		return balance.Biased(g, *def.Bias, c.random())
	case def.FullScan:
		return balance.LeastOfAll(g, c.random)
	}
	return balance.LeastRequest(g, max(2, int(def.ChoiceCount)), c.random)
}

func (c *Chooser) turn(cl *Cluster, v *view, p, at int) *balance.RoundRobin {
	t := c.turns[cl]
	if t == nil || t.made != v.made {
		t = &turns{made: v.made, groups: map[[2]int]*balance.RoundRobin{}}
		c.turns[cl] = t
	}
	if v.name != "" {
		t = t.part(v.name)
	}
	r := t.groups[[2]int{p, at}]
	if r == nil {
		r = &balance.RoundRobin{}
		t.groups[[2]int{p, at}] = r
	}
	return r
}

func (t *turns) part(name string) *turns {
	p := t.parts[name]
	if p == nil {
		p = &turns{made: t.made, groups: map[[2]int]*balance.RoundRobin{}}
		if t.parts == nil {
			t.parts = map[string]*turns{}
		}
		t.parts[name] = p
	}
	return p
}

// Forget lets go of clusters that are no longer in the set.
func (c *Chooser) Forget(s *Set) {
	for cl := range c.turns {
		if s.Cluster(cl.Name) != cl {
			delete(c.turns, cl)
		}
	}
}

// maxPassing bounds the remembered original destinations; beyond it the cluster forgets them all.
const maxPassing = 4096

// pass is the endpoint of an original destination.
func (c *Cluster) pass(to loop.Address) *Host {
	if to.IsZero() {
		return nil
	}
	if h, ok := c.passing.Load(to); ok {
		return h.(*Host)
	}
	if c.passed.Add(1) > maxPassing {
		c.passed.Store(0)
		c.passing.Range(func(k, h any) bool {
			h.(*Host).gone.Store(true)
			c.passing.Delete(k)
			return true
		})
	}
	e := &config.Endpoint{Address: to.AddrPort, Path: to.Path, Weight: 1}
	h, _ := c.passing.LoadOrStore(to, newHost(c, e, c.plain, key{address: to.String()}))
	return h.(*Host)
}
