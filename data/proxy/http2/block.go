package http2

import (
	"encoding/binary"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

func be32(p []byte) uint32 { return binary.BigEndian.Uint32(p) }

// span is the streams from one to before another.
type span struct{ from, to uint32 }

func (s span) has(id uint32) bool { return s.from <= id && id < s.to }

// block is a field block that is being received: HEADERS, then CONTINUATIONs until one ends it (RFC 9113 section 4.3).
type block struct {
	head   *head // nil when there is none
	stream *Stream
	id     uint32
	end    bool   // END_STREAM
	kept   []byte // what a fragment left over
	bytes  int
	frames int
}

func (b *block) open() bool { return b.head != nil }

// close gives the memory back.
func (b *block) close(s *Slab) {
	if b.head != nil {
		s.freeHead(b.head)
		*b = block{kept: b.kept[:0]}
		if cap(b.kept) > keepOut {
			b.kept = nil
		}
	}
}

// headers begins a block.
func (c *Conn) headers(f frame, p []byte) *Error {
	if f.stream&1 == 0 {
		return broken(ProtocolError, "HEADERS of a stream that cannot be")
	}
	p, err := f.payload(p)
	if err != nil {
		return err
	}
	section, err := c.sectionOf(f)
	if err != nil {
		return err
	}
	b := &c.block
	b.head, b.id, b.end = c.slab.head(), f.stream, f.has(flagEndStream)
	b.stream = c.streams.get(f.stream)
	b.head.begin(section, &c.limits)
	return c.fragment(f, p)
}

// sectionOf finds out what a HEADERS frame begins (RFC 9113 section 5.1).
func (c *Conn) sectionOf(f frame) (section, *Error) {
	s := c.streams.get(f.stream)
	switch {
	case s == nil && c.role == Client:
		if c.idle(f.stream) {
			return 0, broken(ProtocolError, "HEADERS of an idle stream")
		}
		return sectionNone, nil // we have given it up
	case s == nil && f.stream <= c.lastPeer:
		if c.ignored(f.stream) {
			return sectionNone, nil
		}
		if c.skipped.has(f.stream) {
			return 0, broken(ProtocolError, "HEADERS of a stream that was skipped") // RFC 9113 section 5.1.1
		}
		return 0, broken(StreamClosed, "HEADERS of a closed stream")
	case s == nil:
		if f.stream > c.lastPeer+2 {
			c.skipped = span{c.lastPeer + 1, f.stream}
		}
		c.lastPeer = f.stream
		return c.admit(f.stream), nil
	case s.gotEnd:
		s.broke(&Error{Code: StreamClosed, Detail: "http2.violation.of.messaging.rule"})
		return sectionNone, nil
	case s.gotHead:
		return sectionTrailers, nil
	}
	return sectionResponse, nil
}

// admit decides on a new stream of a client: above the limits it is refused (RFC 9113 section 5.1.2), behind a GOAWAY it is not looked at (section 6.8).
func (c *Conn) admit(id uint32) section {
	switch {
	case c.away.final:
		return sectionNone
	case c.streams.n >= int(c.limits.Streams):
		if !c.pending { // else the client may not know
			c.flood.blame(nil)
		}
		c.sendReset(id, RefusedStream)
		return sectionNone
	}
	return sectionRequest
}

// continuation goes on with a block.
func (c *Conn) continuation(f frame, p []byte) *Error {
	if !c.block.open() {
		return broken(ProtocolError, "CONTINUATION without HEADERS")
	}
	if c.block.frames++; c.block.frames > c.limits.continuations() {
		return ErrHeaderFlood
	}
	return c.fragment(f, p)
}

// fragment reads a piece of a block. Whole fields are decoded as they come, so that no more than one is ever kept.
func (c *Conn) fragment(f frame, p []byte) *Error {
	b, end := &c.block, f.has(flagEndHeaders)
	if err := c.flood.empty(&c.limits, len(p) == 0 && !end && !b.end); err != nil {
		return err
	}
	if b.bytes += len(p); b.bytes > c.limits.blockBytes() {
		return ErrHeaderFlood
	}
	if len(b.kept) > 0 {
		b.kept = append(b.kept, p...)
		p = b.kept
	}
	used, err := c.decoder.Decode(p, end, b.head)
	if err != nil {
		return broken(CompressionError, err.Error())
	}
	if !end {
		b.kept = append(b.kept[:0], p[used:]...)
		return nil
	}
	b.kept = b.kept[:0]
	c.message()
	b.close(c.slab)
	return nil
}

// message hands a whole block over.
func (c *Conn) message() {
	b := &c.block
	h, s := b.head, b.stream
	h.Wire = b.bytes
	switch h.section {
	case sectionRequest:
		h.request(b.end, c.limits.Connect)
		c.begin(h, b.id, b.end)
	case sectionResponse:
		h.response(s, b.end)
		s.respond(h, b.end)
	case sectionTrailers:
		if !b.end {
			h.fail(ErrMessage)
		}
		s.trail(h)
	}
}

// begin opens a stream with its request.
func (c *Conn) begin(h *head, id uint32, end bool) {
	s := c.slab.stream()
	s.c = c
	c.add(s, id)
	s.asked, s.length, s.gotHead = h.Kind, h.Length, true
	if h.pseudo&pseudoProtocol != 0 {
		s.protocol = "extended" // which one does not matter to a server's answer
	}
	s.tunnel = h.Upgrade
	if h.err != nil {
		c.flood.RxMalformed++
		s.over = true // nobody hears of the rest
		c.flood.blame(nil)
		c.owner.Malformed(s, &h.Head, h.err)
		if s.open {
			c.sendReset(id, h.err.Code)
			s.leave()
		}
		return
	}
	s.gotEnd, s.toldEnd = end, end
	r := c.owner.Request(s, &h.Head, end)
	if s.receiver = r; r == nil && !s.over {
		s.over = true
	}
	s.release()
}

// respond takes the head of a response, or an interim one.
func (s *Stream) respond(h *head, end bool) {
	switch {
	case h.err != nil:
		s.c.flood.RxMalformed++
		s.broke(h.err)
		return
	case h.Status < 200 && h.Status != 101:
		if !s.over {
			s.receiver.Informational(&h.Head)
		}
		return
	}
	s.gotHead, s.length = true, h.Length
	s.noBody = s.asked == codec.HEAD || h.Status == 204 || h.Status == 304
	s.gotEnd, s.toldEnd = end, end
	s.receiver.Head(&h.Head, end)
	s.release()
	s.settled()
}

// trail takes the trailers, which end the message.
func (s *Stream) trail(h *head) {
	if h.err == nil && s.wrongLength() {
		h.fail(ErrMessage)
	}
	if h.err != nil {
		s.c.flood.RxMalformed++
		s.broke(h.err)
		return
	}
	s.gotEnd = true
	switch {
	case s.over:
	case s.paused || s.parked.bytes > 0:
		s.trailers = s.c.slab.fields()
		s.trailers.CopyFrom(&h.Fields)
	default:
		s.toldEnd = true
		s.receiver.Trailers(&h.Fields)
	}
	s.release()
	s.settled()
}

// wrongLength says whether a body that has ended is not as long as its head said (RFC 9113 section 8.1.1).
func (s *Stream) wrongLength() bool {
	return s.length >= 0 && s.received != s.length && !s.noBody
}
