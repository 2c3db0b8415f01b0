package upstream

import "time"

// weigher gives endpoints their weights at one moment. One that is new gets less than its share at first and all of it at the end of the window (slow start; Envoy's
// default form: growing evenly, from a tenth on).
type weigher struct {
	window   time.Duration // 0: no slow start
	now      time.Time
	starting bool // somebody was new
}

const leastStart = 10 // percent

// fine is how much finer than the configured ones weights are while somebody is new, and the largest weight for which there is room for that.
const fine, roomy = 100, 1 << 24

func (w *weigher) weigh(hosts []*Host) []uint32 {
	out := make([]uint32, len(hosts))
	most, young := uint32(0), false
	for i, h := range hosts {
		out[i] = max(1, h.Config().Weight)
		most = max(most, out[i])
		young = young || w.share(h) < 100
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
		out[i] = uint32(max(1, uint64(out[i])*scale*w.share(h)/100))
	}
	return out
}

// share is how much of its weight an endpoint gets, in percent.
func (w *weigher) share(h *Host) uint64 {
	age := w.now.Sub(h.added)
	if age >= w.window {
		return 100
	}
	return uint64(max(leastStart, 100*age/w.window))
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
