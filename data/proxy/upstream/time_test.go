package upstream

import (
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// TestANewEndpointStartsSlowly: it gets a tenth of its share at first, and the whole of it when the window has passed.
func TestANewEndpointStartsSlowly(t *testing.T) {
	for _, p := range []config.Policy{config.RoundRobin, config.LeastRequest} {
		for _, weights := range [][]uint32{{1, 1, 1}, {3, 3, 3}, {1 << 25, 1 << 25, 1 << 25}} {
			now := time.Unix(1000, 0)
			s := NewSet(nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
			s.Now = func() time.Time { return now }
			def := &config.Cluster{Name: "c", Version: "1", Policy: p, SlowStart: config.SlowStart{Window: 100 * time.Second, Aggression: 1, Least: 10}, Endpoints: endpoints(weights[:2]...)}
			update := func(d *config.Cluster) {
				if err := s.Update(map[string]*config.Cluster{"c": d}); err != nil {
					t.Fatal(err)
				}
			}
			update(def)
			now = now.Add(200 * time.Second)
			s.Sweep(now)
			more := *def
			more.Endpoints = endpoints(weights...)
			update(&more)
			ch := NewChooser(rand.New(rand.NewPCG(1, 2)).Uint64)
			for _, step := range []struct {
				age      time.Duration
				of       float64 // of a whole share
				starting bool
			}{{0, .1, true}, {5 * time.Second, .1, true}, {50 * time.Second, .5, true}, {99 * time.Second, .99, true}, {100 * time.Second, 1, false}} {
				at := now.Add(step.age)
				s.Now = func() time.Time { return at }
				s.Cluster("c").now = s.Now
				s.Sweep(at)
				const n = 20000
				got := float64(spread(ch, s.Cluster("c"), n)["10.0.0.3:80"])
				if want := n * step.of / (2 + step.of); got < want*.85 || got > want*1.15 {
					t.Errorf("policy %d, weights %v: %v of %d after %v, want about %v", p, weights, got, n, step.age, want)
				}
				if s.Cluster("c").view.Load().starting != step.starting {
					t.Errorf("starting after %v: %t", step.age, !step.starting)
				}
			}
		}
	}
}

// TestTheFormOfASlowStart: the share of a new endpoint by its age in a window of 100 s (Envoy: the age as a part of the window, to the power of 1/aggression, and never
// less than the least).
func TestTheFormOfASlowStart(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, tt := range []struct {
		aggression, least, age, want float64
	}{{1, 10, 0, .1}, {1, 10, 50, .5}, {1, 0, 1, .01}, {2, 10, 0, .1}, {2, 10, 25, .5}, {2, 10, 81, .9}, {0.5, 0, 50, .25}, {1, 70, 50, .7}, {1, 10, 100, 1}, {1, 10, 1000, 1}} {
		w := weigher{SlowStart: config.SlowStart{Window: 100 * time.Second, Aggression: tt.aggression, Least: tt.least}, now: now}
		h := &Host{added: now.Add(-time.Duration(tt.age) * time.Second)}
		if got := w.share(h); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

// TestASlowStartAfterChecks: an endpoint that passes its health checks again is new.
func TestASlowStartAfterChecks(t *testing.T) {
	now := time.Unix(1000, 0)
	s := NewSet(nil, slog.New(slog.DiscardHandler))
	s.Now = func() time.Time { return now }
	def := &config.Cluster{Name: "c", Policy: config.RoundRobin, SlowStart: config.SlowStart{Window: 100 * time.Second, Aggression: 1, Least: 10}, Check: &config.HealthCheck{}, Endpoints: endpoints(1, 1)}
	if err := s.Update(map[string]*config.Cluster{"c": def}); err != nil {
		t.Fatal(err)
	}
	c := s.Cluster("c")
	c.Hosts()[0].SetChecked(0, true)
	now = now.Add(time.Hour)
	c.Hosts()[1].SetChecked(0, true)
	got := spread(NewChooser(rand.New(rand.NewPCG(1, 2)).Uint64), c, 11_000)
	if n := got["10.0.0.2:80"]; n < 950 || n > 1050 {
		t.Errorf("%d of 11,000 requests went to the endpoint that has just come back, want about 1000", n)
	}
}

// levels are endpoints of one priority each.
func levels(n int) *config.Assignment {
	a := &config.Assignment{}
	for i := range n {
		l := endpoints(make([]uint32, n)...).Localities[0]
		l.Priority, l.Endpoints = uint32(i), l.Endpoints[i:i+1]
		a.Localities = append(a.Localities, l)
	}
	return a
}

// TestRetriesLeaveTriedPrioritiesOut after every so many tries, until none is left.
func TestRetriesLeaveTriedPrioritiesOut(t *testing.T) {
	for every, want := range map[int][]uint32{1: {0, 1, 2, 0, 1, 2, 0}, 2: {0, 0, 1, 1, 2, 2, 0}, 3: {0, 0, 0, 1, 1, 1, 2}} {
		_, c, ch := newSet(t, &config.Cluster{Name: "c", Endpoints: levels(3)})
		f := &Forfeit{Every: every}
		for i, level := range want {
			if got := ch.Choose(c, Need{Forfeit: f}).priority; got != level {
				t.Errorf("every %d: try %d used priority %d, want %d", every, i+1, got, level)
			}
		}
	}
	a := levels(3)
	a.Localities[1].Endpoints[0].Health = config.Unhealthy
	_, c, ch := newSet(t, &config.Cluster{Name: "c", Endpoints: a})
	f := &Forfeit{Every: 1}
	for i, level := range []uint32{0, 2, 0} { // the second cannot serve
		if got := ch.Choose(c, Need{Forfeit: f}).priority; got != level {
			t.Errorf("try %d used priority %d, want %d", i+1, got, level)
		}
	}
}

// TestHowManyMayBeEjected is what stock Envoy 1.40 was seen to do.
func TestHowManyMayBeEjected(t *testing.T) {
	for _, tt := range []struct {
		bad, of int
		percent uint32
		always  bool
		want    int
	}{
		{1, 2, 10, false, 0}, {1, 2, 50, false, 1}, {1, 2, 10, true, 1}, {1, 2, 0, false, 0}, {1, 2, 100, false, 1},
		{2, 3, 10, false, 0}, {2, 3, 50, false, 1}, {2, 3, 67, false, 2}, {2, 3, 10, true, 1}, {3, 4, 50, false, 2}, {3, 4, 67, false, 2}, {3, 4, 100, false, 3},
	} {
		def := &config.Cluster{Name: "c", Endpoints: endpoints(make([]uint32, tt.of)...), Outlier: &config.Outlier{Consecutive5xx: 2, Enforce5xx: 100, BaseEjection: time.Minute, MaxEjection: time.Hour, MaxEjectionPercent: tt.percent, AlwaysEjectOne: tt.always}}
		_, c, _ := newSet(t, def)
		got := 0
		for _, h := range c.Hosts()[:tt.bad] {
			for range 5 {
				h.Report(ServerError, time.Unix(1000, 0), 0)
			}
			if h.Ejected() {
				got++
			}
		}
		if got != tt.want {
			t.Errorf("%+v: %d were ejected", tt, got)
		}
	}
}

func TestLimitsAreEnforcedByChance(t *testing.T) {
	o := config.Outlier{
		Consecutive5xx: 3, ConsecutiveGateway: 2, ConsecutiveLocal: 2, Enforce5xx: 30, EnforceGateway: 60, EnforceLocal: 90, SplitLocal: true, BaseEjection: time.Minute, MaxEjection: time.Hour, MaxEjectionPercent: 100,
	}
	for outcome, percent := range map[Outcome]int{ServerError: 30, GatewayError: 60, LocalFailure: 90} {
		ejected := 0
		for chance := range uint64(100) {
			_, c, _ := newSet(t, &config.Cluster{Name: "c", Endpoints: endpoints(1, 1), Outlier: &o})
			h := c.Hosts()[0]
			for range int(o.Consecutive5xx) {
				h.Report(outcome, time.Unix(1000, 0), chance)
			}
			if h.Ejected() {
				ejected++
			}
		}
		if ejected != percent {
			t.Errorf("outcome %d: ejected by %d of 100 chances, want %d", outcome, ejected, percent)
		}
	}
	// A row that was let off is over: the next one counts again.
	_, c, _ := newSet(t, &config.Cluster{Name: "c", Endpoints: endpoints(1, 1), Outlier: &o})
	h := c.Hosts()[0]
	for i := range 6 {
		h.Report(ServerError, time.Unix(1000, 0), uint64(99-99*(i/3)))
	}
	if !h.Ejected() {
		t.Error("not ejected by the second row")
	}
}

// TestEjectionsEndAtIntervals, last longer one after the other, and are forgiven one by one.
func TestEjectionsEndAtIntervals(t *testing.T) {
	def := &config.Cluster{Name: "c", Endpoints: endpoints(1, 1), Outlier: &config.Outlier{Consecutive5xx: 1, Enforce5xx: 100, BaseEjection: 3 * time.Second, MaxEjection: time.Minute, Interval: 10 * time.Second, MaxEjectionPercent: 50}}
	s, c, _ := newSet(t, def)
	h, start := c.Hosts()[0], time.Unix(1000, 0)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	s.Sweep(start)
	h.Report(ServerError, at(1), 0)
	for second := 2; second < 10; second++ {
		if s.Sweep(at(second)); !h.Ejected() {
			t.Fatalf("taken back after %d s, between two intervals", second)
		}
	}
	if s.Sweep(at(10)); h.Ejected() {
		t.Fatal("not taken back at the interval")
	}
	h.Report(ServerError, at(11), 0) // the second time lasts 6 s, the third 9 s
	if s.Sweep(at(20)); h.Ejected() {
		t.Fatal("not taken back after the second ejection")
	}
	s.Sweep(at(30)) // forgiven one
	if n := h.outlier.times; n != 1 {
		t.Errorf("%d ejections are remembered, want 1", n)
	}
	s.Sweep(at(40))
	s.Sweep(at(50))
	if n := h.outlier.times; n != 0 {
		t.Errorf("%d ejections are remembered, want 0", n)
	}
}

// TestWeighedByWhatTheyTell: an endpoint counts once it has told its load for a while, and until it has been silent for a while; those that do not count get the median.
func TestWeighedByWhatTheyTell(t *testing.T) {
	def := &config.Cluster{Name: "c", Policy: config.RoundRobin, Load: &config.LoadWeights{Blackout: 10 * time.Second, Expiry: time.Minute, Update: time.Second}, Endpoints: endpoints(1, 1, 1, 7)}
	s, c, _ := newSet(t, def)
	now := time.Unix(1000, 0)
	at := func(seconds int, tell ...uint32) []uint32 {
		now = time.Unix(1000+int64(seconds), 0)
		c.now = func() time.Time { return now }
		for i, w := range tell {
			if w > 0 {
				c.Hosts()[i].Weigh(w)
			}
		}
		if next := s.Sweep(now); next > time.Second {
			t.Errorf("the next look is in %v", next)
		}
		return c.view.Load().sets[0].groups[0].weights
	}
	for _, step := range []struct {
		at   int
		tell []uint32
		want []uint32
	}{
		{0, []uint32{10, 20, 60}, []uint32{1, 1, 1, 1}}, {5, nil, []uint32{1, 1, 1, 1}}, {10, nil, []uint32{10, 20, 60, 20}}, {11, []uint32{0, 40}, []uint32{10, 40, 60, 40}},
		{61, []uint32{0, 0, 50}, []uint32{45, 40, 50, 45}}, {62, []uint32{30}, []uint32{45, 40, 50, 45}}, {72, nil, []uint32{30, 40, 50, 40}},
	} {
		if got := at(step.at, step.tell...); !slices.Equal(got, step.want) {
			t.Errorf("after %d s: %v, want %v", step.at, got, step.want)
		}
	}
}
