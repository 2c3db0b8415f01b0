package upstream

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/balance"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// quickness is how long an endpoint takes to answer: the latest peak, which what comes after it makes smaller the more the longer ago it was (a moving average with
// exponential weights that jumps up; Finagle's PeakEwma). All workers write it; one that comes between two others loses no more than its own part.
type quickness struct {
	value atomic.Uint64 // a float64 of nanoseconds; 0: never measured
	at    atomic.Int64  // when, in nanoseconds
}

func (q *quickness) observe(took time.Duration, now time.Time, decay time.Duration) {
	at := now.UnixNano()
	before := q.at.Swap(at)
	for {
		old := q.value.Load()
		next := float64(max(took, 1))
		if was := math.Float64frombits(old); old != 0 && next < was {
			keep := math.Exp(-float64(max(0, at-before)) / float64(decay))
			next = was*keep + next*(1-keep)
		}
		if q.value.CompareAndSwap(old, math.Float64bits(next)) {
			return
		}
	}
}

// cost of one request more: the time that it takes, for each that is in flight. A time that was measured long ago counts for less, so that an endpoint that was slow once is
// tried again.
func (h *Host) cost(c config.Quickness, now time.Time) float64 {
	took := float64(c.Unknown)
	if v := h.quick.value.Load(); v != 0 {
		took = math.Float64frombits(v) * math.Exp(-float64(max(0, now.UnixNano()-h.quick.at.Load()))/float64(c.Decay))
	}
	return took * float64(1+max(0, h.active.Load()))
}

// Took tells how long the endpoint took to answer.
func (h *Host) Took(d time.Duration) {
	if c := h.Cluster.Config(); c.Policy == config.PeakEWMA {
		h.quick.observe(d, h.Cluster.now(), c.Quickness.Decay)
	}
}

// Late tells that the endpoint has not answered for so long, and is not waited for any more. That can only be worse than what is known.
func (h *Host) Late(d time.Duration) {
	c := h.Cluster.Config()
	if c.Policy == config.PeakEWMA && float64(d) > math.Float64frombits(h.quick.value.Load()) {
		h.quick.observe(d, h.Cluster.now(), c.Quickness.Decay)
	}
}

// quickest is the cheaper of two different endpoints, drawn by weight.
func (c *Chooser) quickest(cl *Cluster, def *config.Cluster, g *group) int {
	a, b := balance.Random(g, c.random()), balance.Random(g, c.random())
	if a == b {
		b = (a + 1 + int(c.random()%uint64(len(g.hosts)-1))) % len(g.hosts)
	}
	now := cl.now()
	if g.hosts[b].cost(def.Quickness, now) < g.hosts[a].cost(def.Quickness, now) {
		return b
	}
	return a
}
