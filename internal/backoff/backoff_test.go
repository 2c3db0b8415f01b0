package backoff

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestBoundsDoubleUpToTheLimit(t *testing.T) {
	for _, random := range []float64{0, 0.5, 0.999999} {
		b := Backoff{First: 100 * time.Millisecond, Limit: time.Second, Random: func() float64 { return random }}
		for i, bound := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
			bound *= time.Millisecond
			if got := b.Next(); got < bound/2 || got > bound {
				t.Errorf("random %v attempt %d: %v is not in [%v, %v]", random, i, got, bound/2, bound)
			}
		}
		b.Reset()
		if got := b.Next(); got > 100*time.Millisecond {
			t.Errorf("after a reset: %v", got)
		}
	}
}

func TestManyAttemptsDoNotOverflow(t *testing.T) {
	var b Backoff
	for range 200 {
		if d := b.Next(); d <= 0 || d > 15*time.Second {
			t.Fatal(d)
		}
	}
}

func TestSleepEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		b := Backoff{First: time.Hour, Limit: time.Hour}
		if err := b.Sleep(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		b = Backoff{First: time.Millisecond}
		if err := b.Sleep(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
