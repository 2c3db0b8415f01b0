package http2

import (
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/hpack"
)

// Slab is the memory that the Conns of one worker share: what a stream or a block needs only while it lasts. The zero Slab is ready. It belongs to one goroutine.
type Slab struct {
	streams      *Stream // free ones
	kept         int
	small, large pile
	heads        []*head
	trailers     []*codec.Fields
	strings      hpack.Scratch
	out          []byte // frames, until the end of the call that makes them
	inUse        int
}

// The bounds of what is held back for the next use.
const (
	keepStreams = 4096
	keepChunks  = 2 << 20 // bytes, per size
	keepHeads   = 64
	keepOut     = 64 << 10
)

// pile is free chunks of one size.
type pile struct {
	top   *chunk
	bytes int
}

// InUse is the number of bytes that streams have parked or queued.
func (s *Slab) InUse() int { return s.inUse }

func (s *Slab) pile(size int) *pile {
	if size == smallChunk {
		return &s.small
	}
	return &s.large
}

func (s *Slab) chunk(size int) *chunk {
	s.inUse += size
	p := s.pile(size)
	if c := p.top; c != nil {
		p.top, c.next = c.next, nil
		p.bytes -= size
		return c
	}
	return &chunk{b: make([]byte, size)}
}

func (s *Slab) free(c *chunk) {
	size := len(c.b)
	s.inUse -= size
	c.r, c.w, c.next = 0, 0, nil
	if p := s.pile(size); p.bytes < keepChunks {
		c.next, p.top = p.top, c
		p.bytes += size
	}
}

func (s *Slab) stream() *Stream {
	x := s.streams
	if x == nil {
		return &Stream{}
	}
	s.streams, x.next = x.next, nil
	s.kept--
	return x
}

func (s *Slab) freeStream(x *Stream) {
	*x = Stream{}
	if s.kept < keepStreams {
		x.next, s.streams = s.streams, x
		s.kept++
	}
}

func (s *Slab) head() *head {
	if n := len(s.heads); n > 0 {
		h := s.heads[n-1]
		s.heads = s.heads[:n-1]
		return h
	}
	h := &head{}
	h.reset()
	return h
}

func (s *Slab) freeHead(h *head) {
	h.reset()
	if len(s.heads) < keepHeads {
		s.heads = append(s.heads, h)
	}
}

func (s *Slab) fields() *codec.Fields {
	if n := len(s.trailers); n > 0 {
		f := s.trailers[n-1]
		s.trailers = s.trailers[:n-1]
		return f
	}
	return &codec.Fields{}
}

func (s *Slab) freeFields(f *codec.Fields) {
	f.Reset()
	if len(s.trailers) < keepHeads {
		s.trailers = append(s.trailers, f)
	}
}

// Trim gives what is held back for the next use to the garbage collector.
func (s *Slab) Trim() {
	s.streams, s.kept, s.small, s.large, s.heads, s.trailers, s.out = nil, 0, pile{}, pile{}, nil, nil, nil
}
