package health

import (
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

func settings() *config.HealthCheck {
	return &config.HealthCheck{Unhealthy: 3, Healthy: 2, Intervals: config.Intervals{
		Healthy: 10 * time.Second, Unhealthy: 20 * time.Second, HealthyEdge: 11 * time.Second, UnhealthyEdge: 21 * time.Second, NoTraffic: 60 * time.Second, NoTrafficHealthy: 70 * time.Second,
	}}
}

// TestVerdicts: what a row of outcomes makes of an endpoint that wants 3 failures and 2 passes. The first outcome decides alone; an answer that says no needs no second.
func TestVerdicts(t *testing.T) {
	const fails, slow, last = upstream.CheckFailed, upstream.CheckTimeout, upstream.CheckDegraded
	type step struct {
		o    outcome
		want upstream.Checked
		c    change
	}
	for name, steps := range map[string][]step{
		"well at once":               {{passed, 0, changed}, {passed, 0, unchanged}},
		"sick at once":               {{broken, fails, changed}, {broken, fails, unchanged}},
		"a hiccup":                   {{passed, 0, changed}, {broken, 0, awaited}, {late, 0, awaited}, {passed, 0, unchanged}, {broken, 0, awaited}},
		"three failures":             {{passed, 0, changed}, {broken, 0, awaited}, {retriable, 0, awaited}, {broken, fails, changed}, {broken, fails, unchanged}},
		"no is no":                   {{passed, 0, changed}, {failed, fails, changed}},
		"two passes":                 {{broken, fails, changed}, {passed, fails, awaited}, {passed, 0, changed}},
		"a pass is forgotten":        {{broken, fails, changed}, {passed, fails, awaited}, {broken, fails, unchanged}, {passed, fails, awaited}, {passed, 0, changed}},
		"why it fails may change":    {{late, fails | slow, changed}, {broken, fails, unchanged}, {late, fails | slow, unchanged}, {passed, fails | slow, awaited}, {passed, 0, changed}},
		"degraded and back":          {{passedDegraded, last, changed}, {passedDegraded, last, unchanged}, {passed, 0, changed}},
		"degraded while it recovers": {{broken, fails, changed}, {passedDegraded, fails | last, awaited}, {passedDegraded, last, changed}},
	} {
		var v verdict
		state := upstream.CheckFailed | upstream.CheckPending
		for i, s := range steps {
			var c change
			if state, c = v.judge(settings(), s.o, state); state != s.want || c != s.c {
				t.Errorf("%s: after step %d the state is %b (%d), want %b (%d)", name, i+1, state, c, s.want, s.c)
			}
		}
	}
}

func TestPauses(t *testing.T) {
	none := func() uint64 { return 0 }
	for name, tt := range map[string]struct {
		well bool
		c    change
		used bool
		want time.Duration
	}{
		"well":                       {true, unchanged, true, 10 * time.Second},
		"became well":                {true, changed, true, 10 * time.Second},
		"about to become well":       {true, awaited, true, 11 * time.Second},
		"sick":                       {false, unchanged, true, 20 * time.Second},
		"became sick":                {false, changed, true, 20 * time.Second},
		"about to become sick":       {false, awaited, true, 21 * time.Second},
		"nobody asks":                {true, unchanged, false, 70 * time.Second},
		"nobody asks, sick":          {false, unchanged, false, 60 * time.Second},
		"nobody asks, about to heal": {true, awaited, false, 60 * time.Second},
	} {
		if got := pause(settings(), tt.well, tt.c, tt.used, none); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// TestJitter stays below its bounds, and a pause is never nothing.
func TestJitter(t *testing.T) {
	k := &config.HealthCheck{IntervalJitterPercent: 50}
	most := func() uint64 { return 1<<64 - 1 }
	for _, tt := range []struct {
		d, more, bound time.Duration
	}{{10 * time.Second, 0, 15 * time.Second}, {10 * time.Second, time.Second, 16 * time.Second}, {0, 0, 2 * time.Millisecond}, {0, 100 * time.Millisecond, 100 * time.Millisecond}} {
		for _, random := range []func() uint64{most, func() uint64 { return 4999 }, func() uint64 { return 0 }} {
			if got := jittered(k, tt.d, tt.more, random); got < max(tt.d, time.Millisecond) || got >= tt.bound {
				t.Errorf("%v and %v: %v, want less than %v", tt.d, tt.more, got, tt.bound)
			}
		}
	}
}

func TestContains(t *testing.T) {
	b := func(list ...string) (out [][]byte) {
		for _, s := range list {
			out = append(out, []byte(s))
		}
		return out
	}
	for _, tt := range []struct {
		text   string
		blocks [][]byte
		want   bool
	}{
		{"", nil, true}, {"abc", b("a", "c"), true}, {"abc", b("c", "a"), false}, {"aba", b("a", "a"), true}, {"ab", b("a", "a"), false}, {"ab", b("abc"), false}, {"aab", b("ab"), true},
	} {
		if got := contains([]byte(tt.text), tt.blocks); got != tt.want {
			t.Errorf("%q contains %q: %v", tt.text, tt.blocks, got)
		}
	}
}

func TestServing(t *testing.T) {
	for text, want := range map[string]bool{
		"\x00\x00\x00\x00\x02\x08\x01": true, "\x00\x00\x00\x00\x02\x08\x02": false, "\x00\x00\x00\x00\x00": false, "": false, "\x01\x00\x00\x00\x02\x08\x01": false,
		"\x00\x00\x00\x00\x03\x08\x01": false, "\x00\x00\x00\x00\x02\x08": false, "\x00\x00\x00\x00\x01\x08": false, "\x00\x00\x00\x00\x04\x08\x02\x08\x01": true, // the last one counts
		"\x00\x00\x00\x00\x05\x12\x01x\x08\x01": true,
	} {
		if got := serving([]byte(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// FuzzServing: whatever an endpoint answers, nothing breaks.
func FuzzServing(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x02\x08\x01"))
	f.Fuzz(func(_ *testing.T, b []byte) { serving(b) })
}
