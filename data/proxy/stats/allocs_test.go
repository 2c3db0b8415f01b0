//go:build !race

package stats

import "testing"

func TestCountingDoesNotAllocate(t *testing.T) {
	r := New()
	s := r.NewShard()
	c, h := r.Counter(Desc{Name: "c"}), r.Histogram(Desc{Name: "h"}, []float64{1, 10, 100})
	if n := testing.AllocsPerRun(100, func() { s.Inc(c); s.Observe(h, 12) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
