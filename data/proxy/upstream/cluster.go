package upstream

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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
	counts   ejections
	set      *Set
	subsetStats
	recent *recent // nil without a retry budget over an interval
	now    func() time.Time

	mu      sync.Mutex // guards hosts, updates, swept and the making of views
	hosts   []*Host
	updates uint64
	swept   time.Time // when outlier detection last looked
	weighed time.Time // when endpoints were last weighed by what they tell
	view    atomic.Pointer[view]
	// passing are hosts of original destinations, which nobody lists.
	passing sync.Map // loop.Address → *Host
	passed  atomic.Int32
	used    atomic.Bool
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

// update takes over a list of endpoints. former are those of the definition before this one, whose state is taken over.
func (c *Cluster) update(a *config.Assignment, former []*Host) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := make(map[string]Checked, len(former))
	for _, h := range former {
		known[h.Address.String()] = h.Checked()
	}
	before := make(map[key]*Host, len(c.hosts))
	for _, h := range c.hosts {
		before[h.key] = h
	}
	left := c.hosts
	c.hosts, c.updates = nil, c.updates+1
	if a == nil {
		a = &config.Assignment{}
	}
	for i := range a.Localities {
		l := &a.Localities[i]
		where := placeName(l)
		for _, e := range l.Endpoints {
			t := c.transportOf(e)
			k := keyOf(e, t)
			h := before[k]
			if h == nil {
				h = newHost(c, e, t, k)
				was, is := known[h.Address.String()]
				c.begin(h, was, is)
			} else {
				delete(before, k)
				was := h.IsChecked()
				if h.config.Store(e); h.IsChecked() != was {
					c.begin(h, 0, false)
				}
			}
			h.removed.Store(false)
			h.priority, h.locality, h.in, h.listed = l.Priority, i, l, c.updates
			h.where.Store(&where)
			c.hosts = append(c.hosts, h)
		}
	}
	c.leave(left, a)
	c.remake()
}

// leave lets go of endpoints that are not listed any more, or keeps them. mu is held.
func (c *Cluster) leave(left []*Host, a *config.Assignment) {
	for _, h := range left {
		switch {
		case h.listed == c.updates:
		case c.stays(h):
			h.removed.Store(true)
			h.locality = slices.IndexFunc(a.Localities, func(l config.Locality) bool { return together(&l, h.in) })
			c.hosts = append(c.hosts, h)
		default:
			c.release(h)
		}
	}
}

// release lets an endpoint go. mu is held.
func (c *Cluster) release(h *Host) {
	if h.gone.Store(true); h.ejected.Load() {
		c.counts.takeBack()
	}
}

// retire marks everything as gone: the cluster was removed or defined anew.
func (c *Cluster) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.hosts {
		c.release(h)
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
