package upstream

import (
	"math"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// TestQuickness: what is slower counts at once, what is quicker by and by, and what was long ago hardly.
func TestQuickness(t *testing.T) {
	def := &config.Cluster{Name: "c", Policy: config.PeakEWMA, Quickness: config.Quickness{Decay: 10 * time.Second, Unknown: 10 * time.Millisecond}, Endpoints: endpoints(1, 1)}
	_, c, _ := newSet(t, def)
	now := time.Unix(1000, 0)
	c.now = func() time.Time { return now }
	h := c.Hosts()[0]
	is := func(what string, want time.Duration) {
		t.Helper()
		if got := h.cost(def.Quickness, now); math.Abs(got-float64(want)) > float64(want)/1000 {
			t.Errorf("%s: it costs %s, want %s", what, time.Duration(got), want)
		}
	}
	is("never measured", 10*time.Millisecond)
	h.Begin()
	is("never measured, with a request in flight", 20*time.Millisecond)
	h.End()
	h.Took(4 * time.Millisecond)
	is("the first", 4*time.Millisecond)
	h.Took(100 * time.Millisecond)
	is("a peak", 100*time.Millisecond)
	h.Late(50 * time.Millisecond)
	is("late, but less than is known", 100*time.Millisecond)
	h.Late(200 * time.Millisecond)
	is("late", 200*time.Millisecond)
	now = now.Add(10 * time.Second)
	keep := math.Exp(-1)
	decayed := time.Duration(keep * float64(200*time.Millisecond))
	is("ten seconds later", decayed)
	h.Took(20 * time.Millisecond)
	is("quicker", decayed+time.Duration(20*(1-keep)*float64(time.Millisecond)))
}

func TestChoosingTheQuickestAllocs(t *testing.T) {
	_, c, ch := newSet(t, &config.Cluster{Name: "c", Policy: config.PeakEWMA, Quickness: config.Quickness{Decay: time.Second, Unknown: time.Millisecond}, Endpoints: endpoints(1, 2, 3)})
	if n := testing.AllocsPerRun(1000, func() { ch.Choose(c, Need{}).Took(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
