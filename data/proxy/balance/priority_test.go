package balance_test

import (
	"slices"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/balance"
)

// TestPriorities: the splits that Envoy's documentation and its code give ("Priority levels", "Degraded endpoints", "Panic threshold"), with a factor of 1.4.
func TestPriorities(t *testing.T) {
	of := func(healthy, degraded int) balance.Level {
		return balance.Level{All: 100, Healthy: healthy, Degraded: degraded}
	}
	type levels = []balance.Level
	for name, tt := range map[string]struct {
		levels            levels
		panic             float64
		healthy, degraded []uint32
		panics            []bool
	}{
		"all well":                              {levels{of(100, 0), of(100, 0)}, 50, []uint32{100, 0}, []uint32{0, 0}, []bool{false, false}},
		"made up for":                           {levels{of(72, 0), of(100, 0)}, 50, []uint32{100, 0}, []uint32{0, 0}, []bool{false, false}},
		"spills":                                {levels{of(50, 0), of(100, 0)}, 50, []uint32{70, 30}, []uint32{0, 0}, []bool{false, false}},
		"no panic while the next can serve":     {levels{of(25, 0), of(100, 0)}, 50, []uint32{35, 65}, []uint32{0, 0}, []bool{false, false}},
		"the first is gone":                     {levels{of(0, 0), of(100, 0)}, 50, []uint32{0, 100}, []uint32{0, 0}, []bool{false, false}},
		"scaled up, all in panic":               {levels{of(25, 0), of(25, 0)}, 50, []uint32{50, 50}, []uint32{0, 0}, []bool{true, true}},
		"scaled up, one in panic":               {levels{of(5, 0), of(55, 0)}, 50, []uint32{9, 91}, []uint32{0, 0}, []bool{true, false}},
		"scaled up without a threshold":         {levels{of(20, 0), of(30, 0)}, 0, []uint32{40, 60}, []uint32{0, 0}, []bool{false, false}},
		"nobody":                                {levels{of(0, 0), of(0, 0)}, 0, []uint32{100, 0}, []uint32{0, 0}, []bool{false, false}},
		"nobody, in panic":                      {levels{of(0, 0), {All: 300}}, 50, []uint32{25, 75}, []uint32{0, 0}, []bool{true, true}},
		"degraded after healthy":                {levels{of(25, 75), of(25, 0)}, 50, []uint32{35, 35}, []uint32{30, 0}, []bool{false, false}},
		"degraded only":                         {levels{of(0, 100)}, 50, []uint32{0}, []uint32{100}, []bool{false}},
		"who is excluded does not count":        {levels{{All: 100, Excluded: 90, Healthy: 10}}, 50, []uint32{100}, []uint32{0}, []bool{false}},
		"everybody is excluded":                 {levels{{All: 10, Excluded: 10}}, 50, []uint32{100}, []uint32{0}, []bool{true}},
		"without endpoints":                     {levels{{}}, 50, []uint32{100}, []uint32{0}, []bool{true}},
		"rounding goes to the first that takes": {levels{of(0, 0), of(10, 0), of(10, 0), of(10, 0)}, 0, []uint32{0, 34, 33, 33}, []uint32{0, 0, 0, 0}, []bool{false, false, false, false}},
	} {
		got := balance.Priorities(tt.levels, 140, tt.panic)
		if !slices.Equal(got.Healthy, tt.healthy) || !slices.Equal(got.Degraded, tt.degraded) || !slices.Equal(got.Panic, tt.panics) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if got := balance.Priorities(nil, 140, 50); len(got.Healthy) != 0 {
		t.Errorf("no priorities: %+v", got)
	}
}
