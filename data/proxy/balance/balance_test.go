package balance_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/balance"
)

type hosts struct {
	weights []uint32
	active  []uint32
	sums    []uint64
}

func weighted(w ...uint32) *hosts {
	h := &hosts{weights: w, active: make([]uint32, len(w))}
	sum, equal := uint64(0), true
	for _, x := range w {
		sum += uint64(x)
		h.sums = append(h.sums, sum)
		equal = equal && x == w[0]
	}
	if equal {
		h.sums = nil
	}
	return h
}

func (h *hosts) Len() int            { return len(h.weights) }
func (h *hosts) Weight(i int) uint32 { return h.weights[i] }
func (h *hosts) Active(i int) uint32 { return h.active[i] }
func (h *hosts) Sums() []uint64      { return h.sums }

// TestSharesFollowWeights: 50,000 choices differ from the weights by less than a point, whatever the policy.
func TestSharesFollowWeights(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var rr balance.RoundRobin
	for name, pick := range map[string]func(*hosts) int{
		"random":      func(h *hosts) int { return balance.Random(h, r.Uint64()) },
		"round robin": func(h *hosts) int { return rr.Next(h, r.Uint64) },
		"least idle":  func(h *hosts) int { return balance.LeastRequest(h, 2, r.Uint64) },
	} {
		for _, w := range [][]uint32{{90, 10}, {1, 1, 1, 1}, {5, 1, 3}, {1}} {
			h, count, total := weighted(w...), make([]int, len(w)), 0.0
			for range 50_000 {
				count[pick(h)]++
			}
			for _, x := range w {
				total += float64(x)
			}
			for i, x := range w {
				if got, want := float64(count[i])/500, 100*float64(x)/total; math.Abs(got-want) > 1 {
					t.Errorf("%s %v: endpoint %d got %.2f %%, want %.2f", name, w, i, got, want)
				}
			}
		}
	}
}

// TestLeastRequestEvensOut: with requests that never end, no endpoint gets far ahead.
func TestLeastRequestEvensOut(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	h := weighted(1, 1, 1, 1, 1, 1, 1, 1)
	for range 8000 {
		h.active[balance.LeastRequest(h, 2, r.Uint64)]++
	}
	all := weighted(1, 1, 1, 1, 1, 1, 1, 1)
	for range 8000 {
		all.active[balance.LeastOfAll(all, r.Uint64)]++
	}
	for i, n := range all.active {
		if n != 1000 {
			t.Errorf("of all: endpoint %d has %d requests, want 1000", i, n)
		}
	}
	for i, n := range h.active {
		if n < 980 || n > 1020 {
			t.Errorf("endpoint %d has %d requests, want about 1000", i, n)
		}
	}
}

// TestLeastOfAll: the idle one is found wherever it is, and ties are broken evenly.
func TestLeastOfAll(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 5 {
		h := weighted(1, 1, 1, 1, 1)
		for j := range h.active {
			h.active[j] = 3
		}
		h.active[i] = 2
		if got := balance.LeastOfAll(h, r.Uint64); got != i {
			t.Errorf("endpoint %d has least, %d was chosen", i, got)
		}
	}
	h, count := weighted(1, 1, 1), make([]int, 3)
	h.active = []uint32{4, 4, 9}
	for range 10_000 {
		count[balance.LeastOfAll(h, r.Uint64)]++
	}
	if count[0] < 4700 || count[0] > 5300 || count[2] != 0 {
		t.Errorf("of two that are alike, and a third: %v", count)
	}
}

// TestBias: how much active requests count beside different weights, 1 and 2 with 7 and 1 active requests.
func TestBias(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for bias, want := range map[float64]float64{0: 1. / 3, 1: 1. / 9, 2: 1. / 33} {
		h, n := weighted(1, 2), 0
		h.active = []uint32{7, 1}
		for range 50_000 {
			if balance.Biased(h, bias, r.Uint64()) == 0 {
				n++
			}
		}
		if got := float64(n) / 50_000; math.Abs(got-want) > 0.01 {
			t.Errorf("a bias of %v: %.3f went to the first, want %.3f", bias, got, want)
		}
	}
	h := weighted(1, 10)
	h.active = []uint32{2, 5}
	if got := balance.LeastOfAll(h, r.Uint64); got != 1 {
		t.Errorf("half a request for its weight against two: %d was chosen", got)
	}
}
