package balance

import (
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// MaglevSize is the table size that holds unless the cluster says otherwise; a size must be prime (Envoy, MaglevLbConfig.table_size).
const MaglevSize = 65537

// Maglev is consistent hashing with a look-up table (Eisenbud et al., "Maglev", NSDI 2016, section 3.4), with weights as Envoy has them. A Maglev is immutable.
type Maglev struct {
	table []int32
}

// NewMaglev fills a table of a prime size: candidates take turns at the slots that they prefer most, those of less weight not in every round.
func NewMaglev(c Keyed, size uint64) *Maglev {
	m := &Maglev{}
	n := c.Len()
	if n == 0 {
		return m
	}
	m.table = make([]int32, size)
	for i := range m.table {
		m.table[i] = -1
	}
	shares := c.Shares()
	most := slices.Max(shares)
	order, turns := make([]int, n), make([]turn, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return strings.Compare(c.Key(a), c.Key(b)) }) // the table must not depend on the order of a list
	for i := range turns {
		turns[i] = newTurn(c.Key(i), size)
	}
	for filled, round := uint64(0), 1; ; round++ {
		for _, i := range order {
			t := &turns[i]
			if float64(round)*shares[i] < t.due {
				continue
			}
			t.due += most
			m.table[t.free(m.table)] = int32(i)
			if filled++; filled == size {
				return m
			}
		}
	}
}

// turn is one candidate's permutation of the slots, and how far it has come.
type turn struct {
	slot, skip, size uint64
	due              float64 // when its share of the rounds has grown to this much, it takes a slot
}

func newTurn(key string, size uint64) turn {
	second := xxhash.NewWithSeed(1)
	_, _ = second.WriteString(key) // never fails
	return turn{slot: xxhash.Sum64String(key) % size, skip: second.Sum64()%(size-1) + 1, size: size}
}

// free is the first slot of the permutation that nobody has; size is prime, so it comes by every slot.
func (t *turn) free(table []int32) uint64 {
	for table[t.slot] >= 0 {
		t.slot = (t.slot + t.skip) % t.size
	}
	return t.slot
}

// Choose is the candidate for a hash, -1 for an empty table. attempt counts the draws of a retry that wants another one.
func (m *Maglev) Choose(hash uint64, attempt int) int {
	if len(m.table) == 0 {
		return -1
	}
	if attempt > 0 {
		hash ^= ^uint64(0) - uint64(attempt) + 1
	}
	return int(m.table[hash%uint64(len(m.table))])
}
