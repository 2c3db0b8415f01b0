package upstream

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// comparing are five endpoints, compared every 10 s when at least 3 of them had 20 requests each.
func comparing(t *testing.T, edit func(*config.Outlier)) (*Set, *Cluster, func(name string) int64) {
	t.Helper()
	o := &config.Outlier{
		Interval: 10 * time.Second, BaseEjection: 30 * time.Second, MaxEjection: 300 * time.Second, MaxEjectionPercent: 100, StdevFactor: 1.9, FailureThreshold: 85,
		SuccessRate: config.Statistical{Hosts: 3, Volume: 20, Enforce: 100, EnforceLocal: 100}, FailurePercentage: config.Statistical{Hosts: 3, Volume: 20},
	}
	if edit != nil {
		edit(o)
	}
	s := NewSet(nil, slog.New(slog.DiscardHandler))
	s.Now, s.Random, s.Stats = func() time.Time { return time.Unix(1000, 0) }, func() uint64 { return 0 }, stats.New()
	s.Shard = s.Stats.NewShard()
	if err := s.Update(map[string]*config.Cluster{"c": {Name: "c", Endpoints: endpoints(1, 1, 1, 1, 1), Outlier: o}}); err != nil {
		t.Fatal(err)
	}
	return s, s.Cluster("c"), func(name string) (n int64) {
		for _, x := range s.Stats.Snapshot() {
			if x.Dotted == "cluster.c.outlier_detection."+name {
				n += int64(x.Value) + x.Gauge
			}
		}
		return n
	}
}

// do reports good and bad outcomes of an endpoint.
func do(h *Host, good, bad int, fine, wrong Outcome) {
	for range good {
		h.Report(fine, time.Unix(1001, 0), 0)
	}
	for range bad {
		h.Report(wrong, time.Unix(1001, 0), 0)
	}
}

// TestEndpointsAreCompared: which of five is ejected for how many of its requests failed. Mean and deviation are of those with enough requests.
func TestEndpointsAreCompared(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*config.Outlier)
		bad  [5]int // of 100
		less int    // fewer requests at the first endpoint
		want [5]bool
		why  string
	}{
		"one stands out":            {bad: [5]int{100}, want: [5]bool{true}, why: "success_rate"},
		"all alike":                 {bad: [5]int{50, 50, 50, 50, 50}},
		"all perfect":               {},
		"two do not stand out":      {bad: [5]int{100, 100}},
		"two do with less patience": {edit: func(o *config.Outlier) { o.StdevFactor = 1 }, bad: [5]int{100, 100}, want: [5]bool{true, true}, why: "success_rate"},
		"too few requests":          {bad: [5]int{11}, less: 89},
		"too few endpoints":         {edit: func(o *config.Outlier) { o.SuccessRate.Hosts = 6 }, bad: [5]int{100}},
		"not enforced":              {edit: func(o *config.Outlier) { o.SuccessRate.Enforce = 0 }, bad: [5]int{100}},
		"failing too often": {
			edit: func(o *config.Outlier) { o.SuccessRate.Enforce, o.FailurePercentage.Enforce = 0, 100 }, bad: [5]int{85, 84, 90, 0, 100}, want: [5]bool{true, false, true, false, true}, why: "failure_percentage",
		},
		"failing too often, too few endpoints": {
			edit: func(o *config.Outlier) {
				o.SuccessRate.Enforce, o.FailurePercentage = 0, config.Statistical{Hosts: 6, Volume: 20, Enforce: 100}
			}, bad: [5]int{100},
		},
		"not too many at once": {
			edit: func(o *config.Outlier) {
				o.SuccessRate.Enforce, o.FailurePercentage.Enforce, o.MaxEjectionPercent = 0, 100, 40
			}, bad: [5]int{100, 100, 100}, want: [5]bool{true, true}, why: "failure_percentage",
		},
	} {
		s, c, count := comparing(t, tt.edit)
		for i, h := range c.Hosts() {
			good := 100 - tt.bad[i]
			if i == 0 {
				good -= tt.less
			}
			do(h, good, tt.bad[i], Success, ServerError)
		}
		s.Sweep(time.Unix(1009, 0))
		for _, h := range c.Hosts() {
			if h.Ejected() {
				t.Errorf("%s: ejected before the interval has ended", name)
			}
		}
		s.Sweep(time.Unix(1010, 0))
		want := 0
		for i, h := range c.Hosts() {
			if h.Ejected() != tt.want[i] {
				t.Errorf("%s: endpoint %d ejected: %v", name, i+1, h.Ejected())
			}
			if tt.want[i] {
				want++
			}
		}
		if got := count("ejections_active"); got != int64(want) || count("ejections_enforced_total") != got || tt.why != "" && count("ejections_enforced_"+tt.why) != got {
			t.Errorf("%s: %d ejections are counted, want %d", name, got, want)
		}
	}
}

// TestComparedByConnections: with split errors, getting there and being answered are compared apart.
func TestComparedByConnections(t *testing.T) {
	s, c, count := comparing(t, func(o *config.Outlier) { o.SplitLocal = true })
	for i, h := range c.Hosts() {
		if i == 0 {
			do(h, 0, 50, Connected, LocalFailure)
		} else {
			do(h, 50, 0, Connected, LocalFailure)
		}
		do(h, 50, 0, Success, ServerError)
	}
	s.Sweep(time.Unix(1010, 0))
	if h := c.Hosts()[0]; !h.Ejected() || count("ejections_enforced_local_origin_success_rate") != 1 || count("ejections_detected_success_rate") != 0 {
		t.Errorf("ejected %v for %d failures to connect", h.Ejected(), count("ejections_enforced_local_origin_success_rate"))
	}
	// An interval is over when it has ended: what was before does not count in the next one.
	s.Sweep(time.Unix(1041, 0))
	s.Sweep(time.Unix(1051, 0))
	if c.Hosts()[0].Ejected() || count("ejections_active") != 0 {
		t.Error("not taken back, or ejected again for nothing")
	}
}

// TestJitterMakesEjectionsLonger by up to its bound.
func TestJitterMakesEjectionsLonger(t *testing.T) {
	for _, ms := range []uint64{0, 1500, 2000} {
		s, c, _ := comparing(t, func(o *config.Outlier) {
			o.Consecutive5xx, o.Enforce5xx, o.Interval, o.BaseEjection, o.MaxJitter = 1, 100, time.Millisecond, time.Second, 2*time.Second
		})
		h, at := c.Hosts()[0], time.Unix(1001, 0)
		h.Report(ServerError, at, ms*100)
		end := at.Add(time.Second + time.Duration(ms)*time.Millisecond)
		if s.Sweep(end.Add(-time.Millisecond)); !h.Ejected() {
			t.Errorf("%d ms: taken back too early", ms)
		}
		if s.Sweep(end); h.Ejected() {
			t.Errorf("%d ms: not taken back", ms)
		}
	}
}

// TestTakenBackByACheck: an active health check that passes ends an ejection, unless it is not to.
func TestTakenBackByACheck(t *testing.T) {
	for _, keep := range []bool{false, true} {
		_, c, count := comparing(t, func(o *config.Outlier) { o.Consecutive5xx, o.Enforce5xx, o.KeepEjected = 2, 100, keep })
		h := c.Hosts()[0]
		do(h, 0, 3, Success, ServerError)
		h.SetChecked(0, true)
		if h.Ejected() != keep || count("ejections_active") != map[bool]int64{true: 1}[keep] {
			t.Errorf("keep %v: ejected %v, %d are counted", keep, h.Ejected(), count("ejections_active"))
		}
		if do(h, 0, 1, Success, ServerError); h.Ejected() != keep {
			t.Errorf("keep %v: what was before counts again", keep)
		}
	}
}

// TestEjectionsOfEndpointsThatGo are not counted any more.
func TestEjectionsOfEndpointsThatGo(t *testing.T) {
	for _, all := range []bool{false, true} {
		s, c, count := comparing(t, func(o *config.Outlier) { o.Consecutive5xx, o.Enforce5xx = 1, 100 })
		do(c.Hosts()[0], 0, 1, Success, ServerError)
		next := *c.Config()
		next.Version, next.Endpoints = "2", &config.Assignment{}
		clusters := map[string]*config.Cluster{"c": &next}
		if all {
			clusters = nil
		}
		if err := s.Update(clusters); err != nil {
			t.Fatal(err)
		}
		if n := count("ejections_active"); n != 0 {
			t.Errorf("%d ejections are counted of none (%v)", n, all)
		}
	}
}

// TestWhenToSweep: as soon as an interval ends, once a second while somebody is new, else never.
func TestWhenToSweep(t *testing.T) {
	s, _, _ := comparing(t, nil)
	if got := s.Sweep(time.Unix(1004, 0)); got != 6*time.Second {
		t.Errorf("%v until the interval ends, want 6 s", got)
	}
	for _, window := range []time.Duration{0, time.Minute} {
		s, _, _ := newSet(t, &config.Cluster{Name: "c", SlowStart: config.SlowStart{Window: window, Aggression: 1, Least: 10}, Endpoints: endpoints(1)})
		if got := s.Sweep(time.Unix(1001, 0)); (got == time.Second) != (window > 0) {
			t.Errorf("a window of %v: %v", window, got)
		}
	}
}

func ExampleOutcomeOf() {
	fmt.Println(OutcomeOf(200) == Success, OutcomeOf(404) == Success, OutcomeOf(500) == ServerError, OutcomeOf(503) == GatewayError, OutcomeOf(505) == ServerError)
	// Output: true true true true true
}
