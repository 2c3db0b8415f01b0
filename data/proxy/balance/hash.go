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
	Weight(i int) uint32 // at least 1
	Key(i int) string
}

// normalized are the weights as shares of 1, and the smallest and the largest of them.
func normalized(c Keyed) (shares []float64, least, most float64) {
	sum := 0.0
	for i := range c.Len() {
		sum += float64(c.Weight(i))
	}
	shares, least = make([]float64, c.Len()), 1
	for i := range shares {
		shares[i] = float64(c.Weight(i)) / sum
		least, most = min(least, shares[i]), max(most, shares[i])
	}
	return shares, least, most
}
