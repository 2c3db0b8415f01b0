package upstream

import (
	"sync/atomic"

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
	// A budget is a share of what is active or waiting (retry_budget.budget_percent), and never less than the minimum.
	share := int64(t.BudgetPercent / 100 * float64(b.requests.Load()+b.pending.Load()))
	return max(share, int64(t.BudgetMin))
}

// BeginRetry counts a retry if the limits allow it; EndRetry is its counterpart.
func (c *Cluster) BeginRetry() bool { return c.breakers[0].Take(Retries, &c.Config().Thresholds[0]) }

// EndRetry is the counterpart of BeginRetry.
func (c *Cluster) EndRetry() { c.breakers[0].Give(Retries) }
