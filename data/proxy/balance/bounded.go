package balance

import "math"

// Bounded keeps a candidate from having much more than its part of all requests (Envoy, hash_balance_factor; "Consistent Hashing with Bounded Loads"). factor is percent of an even load that a
// candidate may have; all is the number of active requests, and first whom the hash means. When that one has too many, the others are tried in an order that the hash alone decides, and when all have,
// the one that has the least for its share is chosen.
func Bounded(c Candidates, shares []float64, first int, hash, all uint64, factor uint32) int {
	slots := (all+1)*uint64(factor) + 99
	slots /= 100
	best, least := first, overload(c, shares, first, slots)
	if least <= 1 {
		return first
	}
	draws := newTwister(uint32(hash))
	order := make([]int, c.Len())
	for i := range order {
		order[i] = i
	}
	for i := range order {
		j := i + int(draws.below(uint32(len(order)-i)))
		order[i], order[j] = order[j], order[i]
		k := order[i]
		if k == first {
			continue
		}
		load := overload(c, shares, k, slots)
		if load <= 1 {
			return k
		}
		if load < least {
			best, least = k, load
		}
	}
	return best
}

// overload is how full a candidate's part of the slots is; it has one at least.
func overload(c Candidates, shares []float64, i int, slots uint64) float64 {
	return float64(c.Active(i)) / max(math.Ceil(float64(slots)*shares[i]), 1)
}

// twister is the Mersenne Twister with 32 bits (M. Matsumoto and T. Nishimura, 1998): whoever has the same seed draws the same.
type twister struct {
	state [624]uint32
	next  int
}

func newTwister(seed uint32) *twister {
	t := &twister{next: len(twister{}.state)}
	t.state[0] = seed
	for i := 1; i < len(t.state); i++ {
		t.state[i] = 1812433253*(t.state[i-1]^t.state[i-1]>>30) + uint32(i)
	}
	return t
}

func (t *twister) draw() uint32 {
	n := len(t.state)
	if t.next == n {
		for i := range t.state {
			y := t.state[i]&0x80000000 | t.state[(i+1)%n]&0x7fffffff
			t.state[i] = t.state[(i+397)%n] ^ y>>1 ^ y&1*0x9908b0df
		}
		t.next = 0
	}
	y := t.state[t.next]
	t.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// below draws evenly among the numbers below n.
func (t *twister) below(n uint32) uint32 {
	part := (uint64(math.MaxUint32) + 1) / uint64(n)
	for {
		if x := uint64(t.draw()) / part; x < uint64(n) {
			return uint32(x)
		}
	}
}
