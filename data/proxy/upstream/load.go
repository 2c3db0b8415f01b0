package upstream

import (
	"slices"
	"sync/atomic"
	"time"
)

// load is what an endpoint has told of itself, for clusters that weigh endpoints by it.
type load struct {
	weight atomic.Uint32 // by its latest report
	since  atomic.Int64  // when it began to report, unix nanoseconds; 0: it does not
	latest atomic.Int64
	used   atomic.Uint32 // the weight in force
}

// Weigh takes the weight that follows from an endpoint's report. Any worker calls it.
func (h *Host) Weigh(weight uint32) {
	l := h.load
	if l == nil {
		return
	}
	now := h.Cluster.now().UnixNano()
	l.weight.Store(weight)
	l.latest.Store(now)
	l.since.CompareAndSwap(0, now)
}

// weight is how much an endpoint gets beside others.
func (h *Host) weight() uint32 {
	if h.load != nil {
		return max(1, h.load.used.Load())
	}
	return max(1, h.Config().Weight)
}

// reweigh puts into force what endpoints have told; those that say nothing get the median of the others. It says whether anything has changed. mu is held.
func (c *Cluster) reweigh(now time.Time) (changed bool) {
	d := c.Config().Load
	var weights []uint32
	for _, h := range c.hosts {
		if w, ok := h.load.valid(d.Blackout, d.Expiry, now); ok {
			weights = append(weights, w)
		}
	}
	usual := uint32(1)
	if n := len(weights); n > 0 {
		slices.Sort(weights)
		if usual = weights[n/2]; n%2 == 0 {
			usual = uint32((uint64(weights[n/2-1]) + uint64(weights[n/2])) / 2)
		}
	}
	for _, h := range c.hosts {
		w, ok := h.load.valid(d.Blackout, d.Expiry, now)
		if !ok {
			w = usual
		}
		changed = h.load.used.Swap(w) != w || changed
	}
	return changed
}

// valid is the reported weight: not of an endpoint that has only just begun to report, nor one that has stopped.
func (l *load) valid(blackout, expiry time.Duration, now time.Time) (uint32, bool) {
	since, n := l.since.Load(), now.UnixNano()
	switch {
	case since == 0:
		return 0, false
	case n-l.latest.Load() > int64(expiry):
		l.since.CompareAndSwap(since, 0)
		return 0, false
	}
	return l.weight.Load(), n-since >= int64(blackout)
}
