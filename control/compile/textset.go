package compile

import (
	"hash/maphash"
	"math/bits"
)

// textSet finds texts that come twice among many of which hardly any do. It remembers their hashes, in a table that is smaller and faster than a map; the texts themselves are compared only from
// the first hash on that comes twice.
type textSet struct {
	seed   maphash.Seed
	hashes []uint64 // at most half full; 0 is none
	added  [][]string
	exact  map[string]struct{} // nil until a hash came twice
}

// newTextSet makes a set for no more texts than size, those that come twice counted twice.
func newTextSet(size int) *textSet {
	return &textSet{seed: maphash.MakeSeed(), hashes: make([]uint64, 2<<bits.Len(uint(size)))}
}

// add adds texts and gives those that were added by an earlier call. The list must not change afterwards.
func (s *textSet) add(texts []string) (again []string) {
	if s.exact == nil && !s.remember(texts) {
		s.added = append(s.added, texts)
		return nil
	}
	if s.exact == nil {
		s.exact = make(map[string]struct{}, len(s.hashes)/2)
		for _, list := range s.added {
			for _, t := range list {
				s.exact[t] = struct{}{}
			}
		}
	}
	for _, t := range texts {
		if _, ok := s.exact[t]; ok {
			again = append(again, t)
		}
	}
	for _, t := range texts {
		s.exact[t] = struct{}{}
	}
	return again
}

// remember puts the hashes of texts into the table and says whether one was there.
func (s *textSet) remember(texts []string) (found bool) {
	mask := uint64(len(s.hashes) - 1)
	for _, t := range texts {
		h := max(maphash.String(s.seed, t), 1)
		i := h & mask
		for ; s.hashes[i] != 0 && s.hashes[i] != h; i = (i + 1) & mask {
		}
		found = found || s.hashes[i] == h
		s.hashes[i] = h
	}
	return found
}
