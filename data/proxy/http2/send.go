package http2

import (
	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// write sends one frame, or several. b is of the slab's out.
func (c *Conn) write(b []byte, control bool) {
	if cap(b) > cap(c.slab.out) && cap(b) <= keepOut {
		c.slab.out = b
	}
	if c.dead {
		return
	}
	c.flood.wrote(control)
	c.put(b)
	if c.flood.newer.all >= rotation {
		c.flood.rotate(c.out.Buffered())
	}
}

func (c *Conn) put(b []byte) {
	c.flood.bytes += int64(len(b))
	c.out.Write(b)
}

func (c *Conn) sendReset(id uint32, code Code) {
	b := appendFrame(c.slab.out[:0], frame{length: 4, kind: kindReset, stream: id})
	c.write(appendBE32(b, uint32(code)), true)
	c.flood.TxReset++
	if c.role == Server {
		c.resets.add(id)
	}
}

// Head implements codec.Stream: a server's response, or a client's request, which opens the stream.
func (s *Stream) Head(h *codec.Head, end bool) {
	c := s.c
	if s.begun || s.over && !s.open {
		return
	}
	if c.role == Client {
		s.ask(h, end)
		return
	}
	s.begun = true
	s.mute = s.asked == codec.HEAD || h.Status == 204 || h.Status == 304
	end = end || s.mute
	if !s.open {
		return
	}
	b := append(c.slab.out[:0], blankFrame[:]...)
	b = c.encoder.Begin(b)
	b = c.appendResponse(b, h, s.protocol != "")
	c.writeBlock(b, s.id, end)
	if end {
		s.sent()
	}
}

// ask opens a stream with a request.
func (s *Stream) ask(h *codec.Head, end bool) {
	c := s.c
	s.begun = true
	c.opened--
	s.asked, s.tunnel = h.Kind, h.Upgrade
	if h.Upgrade && h.Kind != codec.CONNECT {
		v, _ := h.Value(codec.Upgrade)
		s.protocol = string(v)
	}
	switch {
	case c.dead, c.GoingAway(), c.lastOwn >= maxStreamID-1:
		s.refused = true
		s.fails("http2.connection_closed")
		return
	case s.protocol != "" && !c.peer.connect:
		s.fails("http2.extended_connect_not_supported")
		return
	}
	id := uint32(1)
	if c.lastOwn > 0 {
		id = c.lastOwn + 2
	}
	c.lastOwn = id
	c.add(s, id)
	b := append(c.slab.out[:0], blankFrame[:]...)
	b = c.encoder.Begin(b)
	b = c.appendRequest(b, h, s.protocol)
	c.writeBlock(b, id, end)
	if end {
		s.sent()
	}
}

// fails owes the receiver an Abort.
func (s *Stream) fails(detail string) {
	s.failDue = detail
	s.c.owe(s)
}

// Informational implements codec.Stream.
func (s *Stream) Informational(h *codec.Head) {
	c := s.c
	if c.role == Client || s.begun || !s.open || h.Status == 101 {
		return
	}
	b := append(c.slab.out[:0], blankFrame[:]...)
	b = c.encoder.Begin(b)
	b = c.appendResponse(b, h, false)
	c.writeBlock(b, s.id, false)
}

// Body implements codec.Stream.
func (s *Stream) Body(p []byte, end bool) {
	if !s.begun || s.ended || s.mute || !s.open {
		return
	}
	s.ended = end
	c := s.c
	if s.queue.bytes == 0 && c.ring.empty() {
		p = s.send(p)
	}
	if len(p) == 0 {
		if end && s.queue.bytes == 0 && !s.sentEnd {
			s.finish()
		}
		return
	}
	s.queue.push(c.slab, p)
	s.full = s.full || s.Full()
	s.mayRing()
	c.pump()
}

// send sends as much of p as may go at once, with the end if that is in it.
func (s *Stream) send(p []byte) (rest []byte) {
	c := s.c
	for len(p) > 0 && s.sendWindow > 0 && c.sendWindow > 0 && c.out.Buffered() < c.limits.Output {
		n := min(len(p), c.peer.frame, int(min(s.sendWindow, c.sendWindow)))
		end := n == len(p) && s.ended
		s.sendData(p[:n], end)
		if p = p[n:]; end {
			s.sent()
		}
	}
	return p
}

// together is the size up to which a frame's header and payload are written in one piece.
const together = 1 << 10

// sendData sends a frame.
func (s *Stream) sendData(p []byte, end bool) {
	c := s.c
	f := frame{length: len(p), stream: s.id}
	if end {
		f.flags = flagEndStream
	}
	s.sendWindow -= int64(len(p))
	c.sendWindow -= int64(len(p))
	c.flood.dataFrames++
	b := appendFrame(c.slab.out[:0], f)
	if len(p) <= together {
		c.write(append(b, p...), false)
	} else {
		c.write(b, false)
		c.put(p)
	}
}

// finish ends the message behind the last of its body.
func (s *Stream) finish() {
	c := s.c
	if s.sendTrail == nil {
		s.sendData(nil, true)
		s.sent()
		return
	}
	b := append(c.slab.out[:0], blankFrame[:]...)
	b = c.encoder.Begin(b)
	b = c.appendFields(b, s.sendTrail)
	c.writeBlock(b, s.id, true)
	s.sent()
}

// sent notes that the end is on its way.
func (s *Stream) sent() {
	s.ended, s.sentEnd = true, true
	s.settled()
	if s.open && s.enough {
		s.c.sendReset(s.id, NoError)
		s.leave()
	}
}

// Trailers implements codec.Stream.
func (s *Stream) Trailers(t *codec.Fields) {
	if !s.begun || s.ended || s.mute || !s.open {
		return
	}
	s.ended = true
	if t.Len() > 0 {
		s.sendTrail = s.c.slab.fields()
		s.sendTrail.CopyFrom(t)
	}
	if s.queue.bytes == 0 {
		s.finish()
	}
}

// pump sends what is queued, one frame of each stream in turn, as far as the windows and the Output go.
func (c *Conn) pump() {
	for s := c.ring.first; s != nil && c.sendWindow > 0 && c.out.Buffered() < c.limits.Output && !c.dead; s = c.ring.first {
		if s.sendWindow <= 0 {
			c.ring.remove(s) // its window was made smaller
			continue
		}
		p := s.queue.front()
		n := min(len(p), c.peer.frame, int(min(s.sendWindow, c.sendWindow)))
		last := n == s.queue.bytes
		end := last && s.ended && s.sendTrail == nil
		s.sendData(p[:n], end)
		s.queue.drop(c.slab, n)
		if last || s.sendWindow <= 0 {
			c.ring.remove(s)
		} else {
			c.ring.turn()
		}
		if s.full && s.queue.bytes <= c.limits.StreamQueue/2 {
			s.full, s.roomDue = false, true
			c.owe(s)
		}
		switch {
		case end:
			s.sent()
		case last && s.ended:
			s.finish()
		}
	}
}

// mayRing puts a stream that can send into the ring.
func (s *Stream) mayRing() {
	if s.queue.bytes > 0 && s.sendWindow > 0 && s.open {
		s.c.ring.add(s)
	}
}
