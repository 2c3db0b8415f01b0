package stats

import (
	"strings"
	"sync"
	"testing"
)

func TestShardsAddUp(t *testing.T) {
	r := New()
	a, b := r.NewShard(), r.NewShard()
	c := r.Counter(Desc{Name: "requests_total", Labels: []Label{{"code", "200"}, {"who", "a\"b\\c\nd"}}, Dotted: "http.requests"})
	g := r.Gauge(Desc{Name: "active", Dotted: "http.active"})
	h := r.Histogram(Desc{Name: "duration_milliseconds"}, []float64{0.5, 1, 5})
	if again := r.Counter(Desc{Name: "requests_total", Labels: []Label{{"code", "200"}, {"who", "a\"b\\c\nd"}}}); again != c {
		t.Fatalf("the same series has two handles: %d and %d", c, again)
	}
	a.Add(c, 2)
	b.Inc(c)
	a.Inc(g)
	b.Inc(g)
	b.Dec(g)
	for _, v := range []uint64{0, 1, 2, 5, 6} {
		a.Observe(h, v)
	}
	a.Inc(0)
	a.Observe(Histogram{}, 1)
	var w strings.Builder
	if err := r.WritePrometheus(&w, nil); err != nil {
		t.Fatal(err)
	}
	want := `# TYPE active gauge
active 1
# TYPE duration_milliseconds histogram
duration_milliseconds_bucket{le="0.5"} 1
duration_milliseconds_bucket{le="1"} 2
duration_milliseconds_bucket{le="5"} 4
duration_milliseconds_bucket{le="+Inf"} 5
duration_milliseconds_sum 14
duration_milliseconds_count 5
# TYPE requests_total counter
requests_total{code="200",who="a\"b\\c\nd"} 3
`
	if got := w.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	w.Reset()
	if err := r.WriteText(&w, func(m *Sample) bool { return !m.Zero() }); err != nil || w.String() != "http.active: 1\nhttp.requests: 3\n" {
		t.Errorf("text: %q, %v", w.String(), err)
	}
}

func TestAKindIsFixed(t *testing.T) {
	r := New()
	r.Counter(Desc{Name: "x"})
	if h := r.Gauge(Desc{Name: "x"}); h != 0 {
		t.Errorf("a counter's name gave a gauge handle %d", h)
	}
}

func TestOverflowCountsNowhere(t *testing.T) {
	r := New()
	r.next = MaxSlots - 2
	if h := r.Counter(Desc{Name: "fits"}); h != MaxSlots-2 {
		t.Errorf("handle %d", h)
	}
	h := r.Histogram(Desc{Name: "too_big"}, []float64{1})
	s := r.NewShard()
	s.Observe(h, 3)
	if r.Overflow() != 1 || h.first != 0 {
		t.Errorf("overflow %d, first %d", r.Overflow(), h.first)
	}
}

func TestConcurrentGrowthLosesNothing(t *testing.T) {
	r := New()
	s := r.NewShard()
	var handles []Handle
	for i := range 3000 {
		handles = append(handles, r.Counter(Desc{Name: "n", Labels: []Label{{"i", string(rune('a' + i))}}}))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, h := range handles {
				s.Inc(h)
			}
		})
	}
	wg.Wait()
	for _, h := range handles {
		if n := s.Load(h); n != 4 {
			t.Fatalf("handle %d: %d", h, n)
		}
	}
}
