package secret

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/internal/backoff"
)

// Rotation keeps one SVID fresh.
type Rotation struct {
	CA  CA
	ID  string        // SPIFFE ID that is asked for
	TTL time.Duration // of a certificate; 0 leaves it to the CA
	Log *slog.Logger

	current atomic.Pointer[SVID]
	mu      sync.Mutex
	hear    []func(*SVID)
	failure atomic.Pointer[error]
}

// attempt bounds one question to the CA.
const attempt = 20 * time.Second

// Current is the newest SVID, or nil before the first one.
func (r *Rotation) Current() *SVID { return r.current.Load() }

// Failure is why the last attempt failed, nil when it did not.
func (r *Rotation) Failure() error {
	if p := r.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// Subscribe calls f with every SVID, first with the current one if there is one. Calls come one at a time; f must not block or subscribe.
func (r *Rotation) Subscribe(f func(*SVID)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hear = append(r.hear, f)
	if s := r.Current(); s != nil {
		f(s)
	}
}

// Run gets certificates until the context ends: at once, then when half of the life (less up to a tenth, so that a fleet spreads out) has passed. Failures are
// tried again with back-off.
func (r *Rotation) Run(ctx context.Context) error {
	wait := backoff.Backoff{First: time.Second, Limit: 30 * time.Second}
	for {
		s, err := r.request(ctx)
		if err != nil {
			r.failure.Store(&err)
			r.logFailure(err)
			if wait.Sleep(ctx) != nil {
				return ctx.Err()
			}
			continue
		}
		wait.Reset()
		r.failure.Store(nil)
		r.publish(s)
		r.Log.Info("certificate received", "id", s.ID, "serial", s.Leaf.SerialNumber.Text(16), "expires", s.NotAfter)
		select {
		case <-time.After(renewal(s, time.Now(), rand.Float64())):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *Rotation) request(ctx context.Context) (*SVID, error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	return Request(ctx, r.CA, r.ID, r.TTL, time.Now())
}

func (r *Rotation) logFailure(err error) {
	s := r.Current()
	switch {
	case s == nil:
		r.Log.Warn("no certificate yet", "error", err)
	case time.Now().After(s.NotAfter):
		r.Log.Error("certificate has expired and peers will refuse it", "error", err, "expired", s.NotAfter)
	default:
		r.Log.Warn("certificate not renewed, the old one is still valid", "error", err, "expires", s.NotAfter)
	}
}

func (r *Rotation) publish(s *SVID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current.Store(s)
	for _, f := range r.hear {
		f(s)
	}
}

// renewal is how long to wait: until half of the life less up to a tenth of it; random is in [0, 1).
func renewal(s *SVID, now time.Time, random float64) time.Duration {
	life := s.NotAfter.Sub(s.NotBefore)
	at := s.NotBefore.Add(time.Duration(float64(life) * (0.5 - 0.1*random)))
	return max(at.Sub(now), time.Second)
}
