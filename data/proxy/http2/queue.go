package http2

// Chunks come in two sizes: one for the usual message, one for streams.
const (
	smallChunk = 4 << 10
	largeChunk = 16 << 10
)

// chunk is a piece of a queue: bytes [r:w) of b wait.
type chunk struct {
	next *chunk
	b    []byte
	r, w int
}

// queue is a FIFO of bytes in chunks of a Slab. The zero queue is empty and holds no memory.
type queue struct {
	first, last *chunk
	bytes       int
}

// front is the first piece of a queue that is not empty; it is valid until drop.
func (q *queue) front() []byte { return q.first.b[q.first.r:q.first.w] }

// push copies p to the end.
func (q *queue) push(s *Slab, p []byte) {
	q.bytes += len(p)
	for len(p) > 0 {
		if q.last == nil || q.last.w == len(q.last.b) {
			size := smallChunk
			if q.last != nil || len(p) > smallChunk {
				size = largeChunk
			}
			c := s.chunk(size)
			if q.last == nil {
				q.first = c
			} else {
				q.last.next = c
			}
			q.last = c
		}
		n := copy(q.last.b[q.last.w:], p)
		q.last.w += n
		p = p[n:]
	}
}

// drop removes n bytes, at most the front.
func (q *queue) drop(s *Slab, n int) {
	q.bytes -= n
	c := q.first
	if c.r += n; c.r < c.w {
		return
	}
	if q.first = c.next; q.first == nil {
		q.last = nil
	}
	s.free(c)
}

// clear removes everything.
func (q *queue) clear(s *Slab) {
	for q.first != nil {
		q.drop(s, len(q.front()))
	}
}

// pop removes the first piece, which the caller frees.
func (q *queue) pop() *chunk {
	c := q.first
	if q.first, c.next = c.next, nil; q.first == nil {
		q.last = nil
	}
	q.bytes -= c.w - c.r
	return c
}
