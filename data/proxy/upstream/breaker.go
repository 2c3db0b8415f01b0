package upstream

import (
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Breaker counts what is in flight to a cluster at one priority, over all workers.
type Breaker struct{ connections, pending, requests, retries atomic.Int64 }

// Resource is one thing that is counted.
type Resource uint8

// The resources of circuit_breakers.thresholds.
const (
	Connections Resource = iota
	Pending
	Requests
	Retries
)

func (b *Breaker) counter(r Resource) *atomic.Int64 {
	switch r {
	case Connections:
		return &b.connections
	case Pending:
		return &b.pending
	case Requests:
		return &b.requests
	}
	return &b.retries
}

// Take counts one more, or says false when the limit is reached.
func (b *Breaker) Take(r Resource, t *config.Thresholds) bool {
	c := b.counter(r)
	limit := b.limit(r, t)
	if c.Add(1) > limit {
		c.Add(-1)
		return false
	}
	return true
}

// Give is the counterpart of Take.
func (b *Breaker) Give(r Resource) { b.counter(r).Add(-1) }

// Count is how many there are.
func (b *Breaker) Count(r Resource) int64 { return b.counter(r).Load() }

func (b *Breaker) limit(r Resource, t *config.Thresholds) int64 {
	switch r {
	case Connections:
		return int64(t.Connections)
	case Pending:
		return int64(t.Pending)
	case Requests:
		return int64(t.Requests)
	}
	if !t.Budget {
		return int64(t.Retries)
	}
	return budget(t, b.requests.Load()+b.pending.Load())
}

// budget is a share of requests (retry_budget.budget_percent), and never less than the minimum.
func budget(t *config.Thresholds, requests int64) int64 {
	return max(int64(t.BudgetPercent/100*float64(requests)), int64(t.BudgetMin))
}

// BeginRetry counts a retry at a priority if the limits allow it; EndRetry is its counterpart.
func (c *Cluster) BeginRetry(level uint8) bool {
	b, t := &c.breakers[level], &c.Config().Thresholds[level]
	if c.recent == nil || level > 0 {
		return b.Take(Retries, t)
	}
	if b.retries.Add(1) > budget(t, c.recent.count(c.now())) {
		b.retries.Add(-1)
		return false
	}
	return true
}

// EndRetry is the counterpart of BeginRetry.
func (c *Cluster) EndRetry(level uint8) { c.breakers[level].Give(Retries) }

// parts is how finely an interval is divided: a request counts for it, and up to one part longer.
const parts = 32

// recent counts the requests that began in the last interval.
type recent struct {
	part  time.Duration
	begun [parts + 1]atomic.Uint64 // by part of the interval: which part in the upper half, how many in the lower one
}

func newRecent(interval time.Duration) *recent {
	if interval == 0 {
		return nil
	}
	return &recent{part: max(interval/parts, 1)}
}

func (r *recent) add(now time.Time) {
	at := uint64(now.UnixNano() / int64(r.part))
	for slot := &r.begun[at%(parts+1)]; ; {
		was := slot.Load()
		next := was + 1
		if was>>32 != at&0xffffffff {
			next = at<<32 | 1
		}
		if slot.CompareAndSwap(was, next) {
			return
		}
	}
}

func (r *recent) count(now time.Time) (n int64) {
	at := uint64(now.UnixNano() / int64(r.part))
	for back := range uint64(parts + 1) {
		if v := r.begun[(at-back)%(parts+1)].Load(); v>>32 == (at-back)&0xffffffff {
			n += int64(v & 0xffffffff)
		}
	}
	return n
}
