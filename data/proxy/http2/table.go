package http2

// table finds open streams by id. Ids of one side are consecutive odd numbers, so the chains are as short as the table is large.
type table struct {
	buckets []*Stream
	n       int
}

const firstBuckets = 8

func (t *table) bucket(id uint32) **Stream { return &t.buckets[id>>1&uint32(len(t.buckets)-1)] }

func (t *table) get(id uint32) *Stream {
	if t.n == 0 {
		return nil
	}
	for s := *t.bucket(id); s != nil; s = s.next {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (t *table) put(s *Stream) {
	if t.n == len(t.buckets) {
		t.grow()
	}
	b := t.bucket(s.id)
	s.next, *b = *b, s
	t.n++
}

func (t *table) grow() {
	old := t.buckets
	t.buckets = make([]*Stream, max(2*len(old), firstBuckets))
	for _, s := range old {
		for s != nil {
			next := s.next
			b := t.bucket(s.id)
			s.next, *b = *b, s
			s = next
		}
	}
}

func (t *table) remove(s *Stream) {
	for p := t.bucket(s.id); *p != nil; p = &(*p).next {
		if *p == s {
			*p, s.next = s.next, nil
			t.n--
			return
		}
	}
}

// each calls fn for every stream; fn may remove the one that it is shown.
func (t *table) each(fn func(*Stream)) {
	for _, s := range t.buckets {
		for s != nil {
			next := s.next
			fn(s)
			s = next
		}
	}
}
