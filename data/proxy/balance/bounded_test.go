package balance

import (
	"math/rand/v2"
	"testing"
)

// TestTwister: the 10,000th number of the usual seed (C++ standard, [rand.predef]).
func TestTwister(t *testing.T) {
	d, last := newTwister(5489), uint32(0)
	for range 10000 {
		last = d.draw()
	}
	if last != 4123659995 {
		t.Errorf("it is %d", last)
	}
}

// busy are candidates with so many active requests.
type busy []uint32

func (b busy) Len() int            { return len(b) }
func (b busy) Weight(int) uint32   { return 1 }
func (b busy) Active(i int) uint32 { return b[i] }
func (b busy) Sums() []uint64      { return nil }

// TestBoundedLoads: nobody ever has more than the bound allows when requests only come, and whoever has room keeps what is meant for it.
func TestBoundedLoads(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		b, shares := make(busy, 1+r.IntN(9)), []float64{}
		for range b {
			shares = append(shares, 1/float64(len(b)))
		}
		factor := uint32(100 + r.IntN(100))
		for all := range uint64(200) {
			first, slots := r.IntN(len(b)), ((all+1)*uint64(factor)+99)/100
			room := overload(b, shares, first, slots) <= 1
			i := Bounded(b, shares, first, r.Uint64(), all, factor)
			if room && i != first {
				t.Fatalf("%v: %d has room, but %d is chosen", b, first, i)
			}
			if overload(b, shares, i, slots) > 1 {
				t.Fatalf("%v of %d slots: %d is full and chosen", b, slots, i)
			}
			b[i]++
		}
	}
}
