// Package backoff spaces out attempts: exponentially, with jitter, up to a limit.
//
// In: a policy and a source of randomness. Out: how long to wait before the next attempt. A Backoff belongs to one goroutine.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is the state of one series of attempts.
type Backoff struct {
	// First is the longest wait before the second attempt (default 500 ms), Limit the longest wait of all (default 15 s).
	First, Limit time.Duration
	// Random yields a number in [0, 1); nil is math/rand/v2.
	Random func() float64

	attempts int
}

// Next is how long to wait now: at least half of a bound that doubles with every call, and at most the bound, so that many clients do not come back at once.
func (b *Backoff) Next() time.Duration {
	first, limit, random := b.First, b.Limit, b.Random
	if first <= 0 {
		first = 500 * time.Millisecond
	}
	if limit <= 0 {
		limit = 15 * time.Second
	}
	if random == nil {
		random = rand.Float64
	}
	bound := limit
	if b.attempts < 32 && first<<b.attempts > 0 {
		bound = min(first<<b.attempts, limit)
	}
	b.attempts++
	return bound/2 + time.Duration(random()*float64(bound/2))
}

// Reset starts over after a success.
func (b *Backoff) Reset() { b.attempts = 0 }

// Sleep waits for Next, or until the context ends, whose error it returns.
func (b *Backoff) Sleep(ctx context.Context) error {
	t := time.NewTimer(b.Next())
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
