package loop

// Chunks come in two sizes: a small one for the usual head and body of a message, a large one for streams.
const (
	smallChunk = 4 << 10
	largeChunk = 16 << 10
	// keepFree bounds what a worker's pool holds back from the garbage collector, per size.
	keepFree = 2 << 20
)

// chunk is a pooled piece of a queue: bytes [r:w) of b wait.
type chunk struct {
	b    []byte
	r, w int
}

// pool recycles chunks for one worker and counts the bytes that are out.
type pool struct {
	small, large []*chunk
	inUse        int
}

func (p *pool) get(size int) *chunk {
	list, n := &p.small, smallChunk
	if size > smallChunk {
		list, n = &p.large, largeChunk
	}
	if size > largeChunk {
		p.inUse += size
		return &chunk{b: make([]byte, size)}
	}
	p.inUse += n
	if k := len(*list); k > 0 {
		c := (*list)[k-1]
		*list = (*list)[:k-1]
		return c
	}
	return &chunk{b: make([]byte, n)}
}

func (p *pool) put(c *chunk) {
	p.inUse -= len(c.b)
	c.r, c.w = 0, 0
	switch len(c.b) {
	case smallChunk:
		if len(p.small) < keepFree/smallChunk {
			p.small = append(p.small, c)
		}
	case largeChunk:
		if len(p.large) < keepFree/largeChunk {
			p.large = append(p.large, c)
		}
	}
}

// Trim gives the buffers that are kept for the next use to the garbage collector.
func (w *Worker) Trim() { w.pool.small, w.pool.large = nil, nil }

// Queue is a FIFO of bytes in chunks of its worker's pool. The zero Queue is empty and holds no memory.
type Queue struct {
	chunks []*chunk // ring is not needed: it is short, and emptied in one write as a rule
	bytes  int
}

// Len is the number of bytes.
func (q *Queue) Len() int { return q.bytes }

// Front is the first piece, nil when the queue is empty; it is valid until Drop.
func (q *Queue) Front() []byte {
	if len(q.chunks) == 0 {
		return nil
	}
	c := q.chunks[0]
	return c.b[c.r:c.w]
}

// Push copies p to the end.
func (q *Queue) Push(w *Worker, p []byte) {
	q.bytes += len(p)
	for len(p) > 0 {
		var last *chunk
		if n := len(q.chunks); n > 0 {
			last = q.chunks[n-1]
		}
		if last == nil || last.w == len(last.b) {
			size := smallChunk
			if last != nil || len(p) > smallChunk {
				size = largeChunk
			}
			last = w.pool.get(size)
			q.chunks = append(q.chunks, last)
		}
		n := copy(last.b[last.w:], p)
		last.w += n
		p = p[n:]
	}
}

// gather appends the waiting slices to iov.
func (q *Queue) gather(iov [][]byte, limit int) [][]byte {
	for _, c := range q.chunks {
		if len(iov) == limit {
			break
		}
		iov = append(iov, c.b[c.r:c.w])
	}
	return iov
}

// Drop removes the first n bytes.
func (q *Queue) Drop(w *Worker, n int) {
	q.bytes -= n
	done := 0
	for _, c := range q.chunks {
		if have := c.w - c.r; n < have {
			c.r += n
			break
		} else {
			n -= have
		}
		w.pool.put(c)
		done++
	}
	if done == 0 {
		return
	}
	rest := copy(q.chunks, q.chunks[done:])
	clear(q.chunks[rest:])
	q.chunks = q.chunks[:rest]
	if rest == 0 && cap(q.chunks) > 16 {
		q.chunks = nil // a burst must not be remembered
	}
}
