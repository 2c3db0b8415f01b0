package http2

// incoming is the frame that is being received in pieces: DATA, or one that means nothing.
type incoming struct {
	stream *Stream // nil when nobody wants it
	left   int     // of the payload
	pad    int     // of left
	padded bool    // the length of the padding is still to come
	end    bool
}

// beginData checks a DATA frame before its payload comes (RFC 9113 sections 6.1 and 6.9).
func (c *Conn) beginData(f frame) *Error {
	if f.stream == 0 || c.idle(f.stream) {
		return broken(ProtocolError, "DATA of an idle stream")
	}
	if f.has(flagPadded) && f.length == 0 {
		return broken(FrameSizeError, "padded frame without a length")
	}
	if int64(f.length) > c.window {
		return broken(FlowControlError, "the connection's window is exceeded")
	}
	c.window -= int64(f.length)
	s := c.streams.get(f.stream)
	if s == nil && c.role == Server && !c.ignored(f.stream) {
		return broken(StreamClosed, "DATA of a closed stream")
	}
	c.data = incoming{stream: s, left: f.length, padded: f.has(flagPadded), end: f.has(flagEndStream)}
	c.state = stateData
	if s != nil {
		c.check(s, f.length)
	}
	if f.length == 0 {
		return c.dataEnd(nil)
	}
	return nil
}

// check resets a stream that may not get the frame.
func (c *Conn) check(s *Stream, length int) {
	switch {
	case s.gotEnd:
		s.broke(&Error{Code: StreamClosed, Detail: ErrMessage.Detail})
	case !s.gotHead:
		s.broke(ErrMessage)
	case int64(length) > s.window:
		s.broke(&Error{Code: FlowControlError, Detail: ErrMessage.Detail})
	default:
		s.window -= int64(length)
		return
	}
	c.data.stream = nil
}

// dataBytes reads what is here of the payload.
func (c *Conn) dataBytes(p []byte) (int, *Error) {
	d := &c.data
	n := 0
	if d.padded {
		if len(p) == 0 {
			return 0, nil
		}
		d.padded, d.pad, d.left = false, int(p[0]), d.left-1
		if d.pad > d.left {
			return 0, broken(ProtocolError, "padding is longer than the frame")
		}
		c.consumed(d.stream, 1+d.pad)
		n, p = 1, p[1:]
		if d.left == d.pad {
			return n, c.dataEnd(nil)
		}
	}
	if body := min(len(p), d.left-d.pad); body > 0 {
		d.left -= body
		n += body
		if d.left == d.pad {
			return n, c.dataEnd(p[:body])
		}
		c.body(p[:body], false)
		return n, nil
	}
	return n, nil
}

// dataEnd reads the last piece of a frame's body; padding is skipped.
func (c *Conn) dataEnd(p []byte) *Error {
	d := &c.data
	c.state = stateFrame
	if d.left > 0 {
		c.state = stateSkip
	}
	if err := c.flood.empty(&c.limits, len(p) == 0 && !d.end); err != nil {
		return err
	}
	if len(p) > 0 || d.end {
		c.body(p, d.end)
	}
	return nil
}

// body takes a piece of a body.
func (c *Conn) body(p []byte, end bool) {
	s := c.data.stream
	if s == nil {
		c.consumed(nil, len(p))
		return
	}
	s.received += int64(len(p))
	if len(p) > 0 && s.noBody || s.length >= 0 && s.received > s.length || end && s.wrongLength() {
		c.flood.RxMalformed++
		c.consumed(nil, len(p))
		s.broke(ErrMessage)
		return
	}
	s.gotEnd = end
	switch {
	case s.over:
		c.consumed(s, len(p))
	case s.paused || s.parked.bytes > 0:
		s.parked.push(c.slab, p)
	default:
		s.give(p, end)
	}
	s.settled()
}

// consumed gives bytes back to the peer's windows, in few frames: when half of a window is due (RFC 9113 section 6.9.1).
func (c *Conn) consumed(s *Stream, n int) {
	if n == 0 || c.dead {
		return
	}
	c.credit += int64(n)
	if c.credit >= int64(c.limits.ConnWindow/2) {
		c.sendWindowUpdate(0, c.credit)
		c.window += c.credit
		c.credit = 0
	}
	if s == nil || !s.open || s.gotEnd {
		return
	}
	s.credit += int64(n)
	if s.credit >= int64(c.limits.StreamWindow/2) {
		c.sendWindowUpdate(s.id, s.credit)
		s.window += s.credit
		s.credit = 0
	}
}
