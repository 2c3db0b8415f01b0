package balance

import "github.com/cespare/xxhash/v2"

// Hash is the digest that consistent hashing uses for keys and for requests: XXH64 with seed 0, as in Envoy.
func Hash(b []byte) uint64 { return xxhash.Sum64(b) }

// HashAll digests several values: each with the digest of those before it as its seed.
func HashAll(values [][]byte) (h uint64) {
	if len(values) == 1 {
		return Hash(values[0])
	}
	for _, v := range values {
		d := xxhash.NewWithSeed(h)
		_, _ = d.Write(v) // never fails
		h = d.Sum64()
	}
	return h
}

// Combine adds the digest of another hash policy to what the ones before gave; the order matters (Envoy, RouteAction.hash_policy).
func Combine(before, next uint64) uint64 { return (before<<1 | before>>63) ^ next }

// Keyed are candidates of consistent hashing: each has a key (its address, or its host name) that places it.
type Keyed interface {
	Len() int
	Key(i int) string
	// Shares are the parts of all requests that the candidates want, together 1 at most, none of them 0.
	Shares() []float64
}

// Shares are what candidates with weights want of a whole.
func Shares(weights []uint32, whole float64) []float64 {
	sum := uint64(0)
	for _, w := range weights {
		sum += uint64(w)
	}
	shares := make([]float64, len(weights))
	for i, w := range weights {
		shares[i] = float64(w) * whole / float64(sum)
	}
	return shares
}
