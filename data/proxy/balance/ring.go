package balance

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// The bounds of a ring's size that hold unless the cluster says otherwise (Envoy, RingHashLbConfig).
const (
	MinRingSize = 1024
	MaxRingSize = 8 << 20
)

// Ring is consistent hashing after Ketama: each candidate has places on a circle in proportion to its weight, and a request goes to the first place at or after its
// hash. Adding or removing a candidate moves only its own share of the requests. A Ring is immutable.
type Ring struct {
	places []place
}

type place struct {
	hash uint64
	at   int
}

// NewRing places candidates. The number of places is at least minimum, unless that takes more than maximum, and such that every weight is honoured exactly where
// it can be (Envoy, "Ring hash").
func NewRing(c Keyed, minimum, maximum uint64) *Ring {
	if c.Len() == 0 {
		return &Ring{}
	}
	shares := c.Shares()
	least := slices.Min(shares)
	scale := min(math.Ceil(least*float64(minimum))/least, float64(maximum))
	r := &Ring{places: make([]place, 0, int(math.Ceil(scale)))}
	made, wanted := 0.0, 0.0
	var key []byte
	for i, share := range shares {
		key = append(append(key[:0], c.Key(i)...), '_')
		n := len(key)
		wanted += scale * share
		for k := 0; made < wanted; k, made = k+1, made+1 {
			key = strconv.AppendInt(key[:n], int64(k), 10)
			r.places = append(r.places, place{xxhash.Sum64(key), i})
		}
	}
	slices.SortFunc(r.places, func(a, b place) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.at, b.at)) })
	return r
}

// Size is the number of places.
func (r *Ring) Size() int { return len(r.places) }

// Choose is the candidate for a hash, -1 for an empty ring. attempt counts the draws of a retry that wants another one: each takes the next place.
func (r *Ring) Choose(hash uint64, attempt int) int {
	if len(r.places) == 0 {
		return -1
	}
	i, _ := slices.BinarySearchFunc(r.places, hash, func(p place, h uint64) int { return cmp.Compare(p.hash, h) })
	return r.places[(i+attempt)%len(r.places)].at
}
