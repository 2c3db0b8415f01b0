package http2

// ring is the streams that have something queued and a window for it, in the order of their turns.
type ring struct{ first, last *Stream }

func (r *ring) empty() bool { return r.first == nil }

func (r *ring) add(s *Stream) {
	if s.inRing {
		return
	}
	s.inRing, s.ringBy, s.ringNext = true, r.last, nil
	if r.last != nil {
		r.last.ringNext = s
	} else {
		r.first = s
	}
	r.last = s
}

func (r *ring) remove(s *Stream) {
	if !s.inRing {
		return
	}
	if s.ringBy != nil {
		s.ringBy.ringNext = s.ringNext
	} else {
		r.first = s.ringNext
	}
	if s.ringNext != nil {
		s.ringNext.ringBy = s.ringBy
	} else {
		r.last = s.ringBy
	}
	s.inRing, s.ringNext, s.ringBy = false, nil, nil
}

// turn puts the first stream behind the others.
func (r *ring) turn() {
	s := r.first
	r.remove(s)
	r.add(s)
}
