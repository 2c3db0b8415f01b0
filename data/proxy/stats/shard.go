package stats

import "sync/atomic"

// Shard is one worker's numbers.
type Shard struct {
	chunks [maxChunks]atomic.Pointer[chunk]
}

// slot finds a number; its chunk is made when it is first used.
func (s *Shard) slot(h Handle) *atomic.Uint64 {
	c := s.chunks[(h/chunkSlots)%maxChunks].Load()
	if c == nil {
		c = s.grow(h)
	}
	return &c[h%chunkSlots]
}

func (s *Shard) grow(h Handle) *chunk {
	p := &s.chunks[(h/chunkSlots)%maxChunks]
	fresh := new(chunk)
	if p.CompareAndSwap(nil, fresh) {
		return fresh
	}
	return p.Load()
}

// Add adds n to a counter or gauge.
func (s *Shard) Add(h Handle, n uint64) { s.slot(h).Add(n) }

// Inc adds one.
func (s *Shard) Inc(h Handle) { s.slot(h).Add(1) }

// Dec takes one from a gauge.
func (s *Shard) Dec(h Handle) { s.slot(h).Add(^uint64(0)) }

// Sub takes n from a gauge.
func (s *Shard) Sub(h Handle, n uint64) { s.slot(h).Add(-n) }

// Load is this shard's part of a number.
func (s *Shard) Load(h Handle) uint64 {
	c := s.chunks[(h/chunkSlots)%maxChunks].Load()
	if c == nil {
		return 0
	}
	return c[h%chunkSlots].Load()
}

// Observe counts one value in a histogram.
func (s *Shard) Observe(h Histogram, v uint64) {
	if h.first == 0 {
		return
	}
	f, i := float64(v), 0
	for i < len(h.bounds) && f > h.bounds[i] {
		i++
	}
	s.Inc(h.first + Handle(i))
	s.Add(h.first+Handle(len(h.bounds))+1, v)
}
