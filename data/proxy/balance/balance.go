// Package balance chooses one of several endpoints.
//
// In: weights and numbers of active requests. Out: an index. Everything is a function of its arguments; a Picker's state belongs to one worker.
package balance

import "math"

// Candidates are the endpoints to choose from. Active is asked only by least request.
type Candidates interface {
	Len() int
	Weight(i int) uint32 // at least 1
	Active(i int) uint32
	// Sum is the running total of weights up to and with i; nil Sums mean that all weights are equal.
	Sums() []uint64
}

// Random chooses by weight.
func Random(c Candidates, random uint64) int {
	sums := c.Sums()
	if sums == nil {
		return int(random % uint64(c.Len()))
	}
	n := random % sums[len(sums)-1]
	low, high := 0, len(sums)-1
	for low < high {
		if mid := (low + high) / 2; sums[mid] > n {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}

// LeastRequest chooses the less loaded of choices random endpoints (power of two choices). Weights decide who is drawn, and load is divided by them; among idle ones
// the draw alone decides, or weights would count twice.
func LeastRequest(c Candidates, choices int, random func() uint64) int {
	best := Random(c, random())
	load := uint64(c.Active(best))
	for range choices - 1 {
		i := Random(c, random())
		if other := uint64(c.Active(i)); other*uint64(c.Weight(best)) < load*uint64(c.Weight(i)) {
			best, load = i, other
		}
	}
	return best
}

// LeastOfAll chooses the least loaded of all endpoints for its weight, any of those that are so alike.
func LeastOfAll(c Candidates, random func() uint64) int {
	best, ties := 0, uint64(1)
	load := uint64(c.Active(0))
	for i := 1; i < c.Len(); i++ {
		other := uint64(c.Active(i))
		switch a, b := other*uint64(c.Weight(best)), load*uint64(c.Weight(i)); {
		case a < b:
			best, load, ties = i, other, 1
		case a == b:
			if ties++; random()%ties == 0 {
				best, load = i, other
			}
		}
	}
	return best
}

// Biased chooses by weight, divided by the number of active requests to the power of bias (Envoy, active_request_bias).
func Biased(c Candidates, bias float64, random uint64) int {
	total := 0.0
	for i := range c.Len() {
		total += biased(c, i, bias)
	}
	n := float64(random>>11) / (1 << 53) * total
	for i := range c.Len() - 1 {
		if n -= biased(c, i, bias); n < 0 {
			return i
		}
	}
	return c.Len() - 1
}

func biased(c Candidates, i int, bias float64) float64 {
	return float64(c.Weight(i)) / math.Pow(float64(c.Active(i))+1, bias)
}

// RoundRobin takes turns; with weights it is the smooth weighted round robin: each turn everyone gains its weight, the richest is chosen and pays the total.
type RoundRobin struct {
	next    int
	credits []int64
	started bool
}

// Next chooses. A change of the number of candidates starts anew at a random place, so that workers do not move in step.
func (r *RoundRobin) Next(c Candidates, random func() uint64) int {
	n := c.Len()
	if !r.started {
		r.started, r.next = true, int(random()%uint64(n))
	}
	sums := c.Sums()
	if sums == nil {
		r.next++
		if r.next >= n {
			r.next = 0
		}
		return r.next
	}
	if len(r.credits) != n {
		r.credits = make([]int64, n)
		for i := range r.credits { // a random start within one period
			r.credits[i] = int64(random() % uint64(c.Weight(i)+1))
		}
	}
	best := 0
	for i := range r.credits {
		r.credits[i] += int64(c.Weight(i))
		if r.credits[i] > r.credits[best] {
			best = i
		}
	}
	r.credits[best] -= int64(sums[n-1])
	return best
}
