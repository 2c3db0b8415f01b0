package upstream

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// TestABudgetOverAnInterval: the requests that began in the interval count, whether they have ended or not, and no others.
func TestABudgetOverAnInterval(t *testing.T) {
	now := time.Unix(1000, 0)
	s := NewSet(nil, slog.New(slog.DiscardHandler))
	s.Now = func() time.Time { return now }
	limits := config.Thresholds{Budget: true, BudgetPercent: 50, BudgetInterval: 3200 * time.Millisecond}
	def := &config.Cluster{Name: "c", Version: "1", Endpoints: endpoints(1), Thresholds: [2]config.Thresholds{limits, limits}}
	update := func(d *config.Cluster) *Cluster {
		if err := s.Update(map[string]*config.Cluster{"c": d}); err != nil {
			t.Fatal(err)
		}
		return s.Cluster("c")
	}
	c := update(def)
	allowed := func() (n int) {
		for c.BeginRetry(0) {
			n++
		}
		for range n {
			c.EndRetry(0)
		}
		return n
	}
	h := c.Hosts()[0]
	for range 10 {
		h.Begin()
	}
	for range 9 {
		h.End()
	}
	for _, step := range []struct {
		after time.Duration
		begin int
		want  int
	}{{0, 0, 5}, {time.Second, 4, 7}, {time.Second, 0, 7}, {1200 * time.Millisecond, 0, 7}, {200 * time.Millisecond, 0, 2}, {time.Second, 0, 0}, {time.Hour, 1, 0}, {0, 1, 1}} {
		now = now.Add(step.after)
		for range step.begin {
			h.Begin()
		}
		if got := allowed(); got != step.want {
			t.Errorf("%+v: %d retries are allowed", step, got)
		}
	}
	again := *def
	again.Version = "2"
	if c = update(&again); allowed() != 1 {
		t.Error("defined anew the cluster forgot what began")
	}
	without := again
	without.Version, without.Thresholds[0].BudgetInterval = "3", 0
	if c = update(&without); c.recent != nil || allowed() != 0 {
		t.Error("without an interval only what is active counts")
	}
}

func TestRecentCountsEveryRequest(t *testing.T) {
	r := newRecent(time.Minute)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 1000 {
				r.add(time.Unix(1000, int64(i)))
			}
		})
	}
	if all.Wait(); r.count(time.Unix(1001, 0)) != 4000 {
		t.Errorf("%d of 4000", r.count(time.Unix(1001, 0)))
	}
}
