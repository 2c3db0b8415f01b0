package balance_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/balance"
)

type keyed struct {
	keys    []string
	weights []uint32
}

func (k keyed) Len() int          { return len(k.keys) }
func (k keyed) Shares() []float64 { return balance.Shares(k.weights, 1) }
func (k keyed) Key(i int) string  { return k.keys[i] }

func endpoints(weights ...uint32) (k keyed) {
	for i, w := range weights {
		k.keys, k.weights = append(k.keys, fmt.Sprintf("10.0.0.%d:8080", i+1)), append(k.weights, w)
	}
	return k
}

// without takes one candidate out.
func (k keyed) without(i int) keyed {
	return keyed{append(append([]string(nil), k.keys[:i]...), k.keys[i+1:]...), append(append([]uint32(nil), k.weights[:i]...), k.weights[i+1:]...)}
}

type chooser interface{ Choose(uint64, int) int }

var hashers = map[string]func(balance.Keyed) chooser{
	// As many places for each candidate whatever their number, so that only those of a candidate that goes change hands.
	"ring":   func(k balance.Keyed) chooser { return balance.NewRing(k, 2048*uint64(k.Len()), balance.MaxRingSize) },
	"maglev": func(k balance.Keyed) chooser { return balance.NewMaglev(k, balance.MaglevSize) },
}

// TestHashingFollowsWeights: what share of all hashes a candidate gets is its share of the weights, within what chance allows on a circle.
func TestHashingFollowsWeights(t *testing.T) {
	for name, build := range hashers {
		for _, w := range [][]uint32{{1}, {1, 1, 1}, {90, 10}, {5, 1, 3}} {
			r, got, total := rand.New(rand.NewPCG(7, 7)), make([]float64, len(w)), 0.0
			c := build(endpoints(w...))
			for range 50_000 {
				got[c.Choose(r.Uint64(), 0)] += 100.0 / 50_000
			}
			for _, x := range w {
				total += float64(x)
			}
			for i, x := range w {
				if want := 100 * float64(x) / total; math.Abs(got[i]-want) > 3 {
					t.Errorf("%s %v: candidate %d got %.2f %%, want %.2f", name, w, i, got[i], want)
				}
			}
		}
	}
}

// TestHashingIsConsistent: without one candidate hardly any request moves that was not its own: none on a ring, few with Maglev.
func TestHashingIsConsistent(t *testing.T) {
	for name, build := range hashers {
		all := endpoints(1, 1, 1, 1, 1, 1, 1, 1)
		gone := 3
		before, after := build(all), build(all.without(gone))
		r, moved := rand.New(rand.NewPCG(1, 1)), 0
		for range 20_000 {
			h := r.Uint64()
			a, b := before.Choose(h, 0), after.Choose(h, 0)
			if a != gone && all.keys[a] != all.without(gone).keys[b] {
				moved++
			}
		}
		if limit := map[string]int{"ring": 0, "maglev": 1000}[name]; moved > limit {
			t.Errorf("%s: %d of 20,000 requests moved between candidates that stay, want at most %d", name, moved, limit)
		}
	}
}

// TestHashingKnowsNoOrder: the order in which candidates are listed moves nothing.
func TestHashingKnowsNoOrder(t *testing.T) {
	for name, build := range hashers {
		k := endpoints(5, 1, 3, 2, 2)
		back := keyed{append([]string(nil), k.keys...), append([]uint32(nil), k.weights...)}
		slices.Reverse(back.keys)
		slices.Reverse(back.weights)
		a, b, r, moved := build(k), build(back), rand.New(rand.NewPCG(3, 3)), 0
		for range 5000 {
			h := r.Uint64()
			if k.keys[a.Choose(h, 0)] != back.keys[b.Choose(h, 0)] {
				moved++
			}
		}
		if moved > 5 { // a ring rounds its places to whole ones along the list
			t.Errorf("%s: %d of 5000 requests moved", name, moved)
		}
	}
}

func TestHashingRetriesElsewhere(t *testing.T) {
	for name, build := range hashers {
		c, r := build(endpoints(1, 1, 1, 1)), rand.New(rand.NewPCG(2, 2))
		for range 1000 {
			h, seen := r.Uint64(), map[int]bool{}
			for attempt := range 200 {
				seen[c.Choose(h, attempt)] = true
			}
			if len(seen) < 2 {
				t.Fatalf("%s: hash %x leads to the same candidate in 200 draws", name, h)
			}
		}
	}
}

func TestRingSizes(t *testing.T) {
	for _, x := range []struct {
		weights       []uint32
		minimum, most uint64
		want          int
	}{
		{[]uint32{1, 1, 1}, 1024, 8 << 20, 1026}, // the next multiple of 3, so that all are equal
		{[]uint32{1, 1}, 1024, 8 << 20, 1024},
		{[]uint32{1, 99}, 1024, 8 << 20, 1100},
		{[]uint32{1, 99}, 1024, 50, 50},
		{nil, 1024, 8 << 20, 0},
	} {
		if n := balance.NewRing(endpoints(x.weights...), x.minimum, x.most).Size(); n != x.want {
			t.Errorf("%v in %d to %d: %d places, want %d", x.weights, x.minimum, x.most, n, x.want)
		}
	}
}

func TestNobodyToChoose(t *testing.T) {
	for name, build := range hashers {
		if got := build(keyed{}).Choose(1, 0); got != -1 {
			t.Errorf("%s: %d", name, got)
		}
	}
}

// TestHash: vectors of XXH64 with seed 0, and the order of policies matters.
func TestHash(t *testing.T) {
	for text, want := range map[string]uint64{"": 0xef46db3751d8e999, "a": 0xd24ec4f1a98c6e5b, "foo": 0x33bf00a859c4ba3f} {
		if got := balance.Hash([]byte(text)); got != want {
			t.Errorf("%q: %x, want %x", text, got, want)
		}
	}
	a, b := balance.Hash([]byte("a")), balance.Hash([]byte("b"))
	if balance.Combine(a, b) == balance.Combine(b, a) {
		t.Error("the order of policies does not matter")
	}
}

func TestChoosingByHashAllocs(t *testing.T) {
	for name, build := range hashers {
		c, h := build(endpoints(1, 2, 3)), uint64(1)
		if n := testing.AllocsPerRun(100, func() { h = h*3 + uint64(c.Choose(h, 0)) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
