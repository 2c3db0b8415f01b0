package upstream

import (
	"math"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// weigher gives endpoints their weights at one moment. One that is new gets less than its share at first and all of it at the end of the window (slow start).
type weigher struct {
	config.SlowStart
	now      time.Time
	starting bool // somebody was new
	scaled   map[int]int
}

// scale makes a locality's share smaller by how many of its endpoints are not in the subset.
func (w *weigher) scale(g *gathered, share uint64) uint64 {
	if all := w.scaled[g.locality]; all > 0 {
		return share * uint64(g.all) / uint64(all)
	}
	return share
}

// fine is how much finer than the configured ones weights are while somebody is new, and roomy the largest weight for which there is room for that.
const fine, roomy = 1000, 1 << 21

func (w *weigher) weigh(hosts []*Host) []uint32 {
	out := make([]uint32, len(hosts))
	most, young := uint32(0), false
	for i, h := range hosts {
		out[i] = h.weight()
		most = max(most, out[i])
		young = young || w.share(h) < 1
	}
	if !young {
		return out
	}
	w.starting = true
	scale := uint64(1)
	if most < roomy {
		scale = fine
	}
	for i, h := range hosts {
		out[i] = uint32(max(1, float64(uint64(out[i])*scale)*w.share(h)))
	}
	return out
}

// share is how much of its weight an endpoint gets (Envoy, "Slow start mode").
func (w *weigher) share(h *Host) float64 {
	age := w.now.Sub(h.added)
	if age >= w.Window {
		return 1
	}
	return max(w.Least/100, math.Pow(float64(max(age, time.Millisecond))/float64(w.Window), 1/w.Aggression))
}

// sums are the running totals of weights, nil when all are equal.
func sums(weights []uint32) []uint64 {
	equal, total := true, uint64(0)
	out := make([]uint64, len(weights))
	for i, w := range weights {
		equal = equal && w == weights[0]
		total += uint64(w)
		out[i] = total
	}
	if equal {
		return nil
	}
	return out
}
