package http2

import (
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/hpack"
)

// Stream is one exchange of a connection. To its user it is the codec.Stream of what is sent, and calls the codec.Receiver that the user gave for what is received.
//
// Body and Trailers bring the received message; Writable and Abort may come until both directions have ended, because a peer that goes away concerns a message that is being
// sent as well. After Abort, in whichever direction, there are no more calls. Owner.Closed is the last that is heard of a stream: then it is used for another exchange.
type Stream struct {
	c        *Conn
	id       uint32
	receiver codec.Receiver
	code     Code // of the peer's reset

	next             *Stream // in the table, or among the free ones
	nextDue          *Stream
	ringNext, ringBy *Stream // in the ring, and who comes before

	asked    codec.Method
	protocol string // of an extended CONNECT
	tunnel   bool

	open    bool // in the table
	begun   bool // of a client: the head was sent; of a server: the final head was
	over    bool // no more calls of the receiver
	closed  bool // the owner was told
	refused bool

	// Receiving.
	window   int64 // that the peer may still use
	credit   int64 // consumed, and not yet given back
	parked   queue
	trailers *codec.Fields // that are parked
	length   int64         // content-length, -1 for none
	received int64
	gotHead  bool
	gotEnd   bool
	toldEnd  bool
	paused   bool
	noBody   bool // whatever comes as a body breaks the protocol

	// Sending.
	sendWindow int64
	queue      queue
	sendTrail  *codec.Fields // behind the queue
	ended      bool          // the user has sent the end
	sentEnd    bool          // it is on its way
	enough     bool          // a server's user wants no more of the request: the stream is reset behind the response
	mute       bool          // the message has no body, whatever the user sends
	full       bool          // Writable is due when the queue has become short
	inRing     bool
	isDue      bool
	roomDue    bool   // Writable is due
	failDue    string // Abort is due, with this detail
}

// add begins a stream that has an id.
func (c *Conn) add(s *Stream, id uint32) {
	s.id, s.open = id, true
	s.window, s.sendWindow, s.length = c.streamWins, int64(c.peer.window), -1
	c.streams.put(s)
	c.flood.Streams++
}

// ID is the number of the stream, 0 until it has begun.
func (s *Stream) ID() uint32 { return s.id }

// Receiver is who hears of what is received.
func (s *Stream) Receiver() codec.Receiver { return s.receiver }

// Refused says that the peer has not looked at the request, so that it is safe to send it again (RFC 9113 section 8.7): the stream was refused, or is above the last one of
// a GOAWAY.
func (s *Stream) Refused() bool { return s.refused }

// Code is the error code of the peer's reset.
func (s *Stream) Code() Code { return s.code }

// Full implements codec.Stream: what flow control, or other streams, hold back is more than a stream's share.
func (s *Stream) Full() bool { return s.queue.bytes > s.c.limits.StreamQueue }

// Pause implements codec.Stream. What comes meanwhile is parked, and not given back to the peer's window.
func (s *Stream) Pause() { s.paused = true }

// Resume implements codec.Stream.
func (s *Stream) Resume() {
	if s.paused {
		s.paused = false
		if s.parked.bytes > 0 || s.gotEnd && !s.toldEnd {
			s.c.owe(s)
		}
	}
}

// Abort implements codec.Stream: the user gives the exchange up. A server that has answered completely only tells that it needs no more of the request
// (RFC 9113 section 8.1); one that has not begun to answer, and aborts with Overflow, that the client may send it again (section 8.7).
func (s *Stream) Abort(r codec.Reason, _ string) {
	if s.over && !s.open {
		return
	}
	s.over = true
	if s.c.role == Server && s.ended && !s.sentEnd && s.open {
		s.enough = true // what is queued of the response still goes out
		s.release()
		return
	}
	if s.c.role == Client && !s.begun {
		s.begun = true
		s.c.opened--
	}
	if s.open {
		code := Cancel
		switch {
		case r == codec.ProtocolError:
			code = ProtocolError
		case s.c.role == Server && s.sentEnd:
			code = NoError
		case s.c.role == Server && r == codec.Overflow && !s.begun:
			code = RefusedStream
		case s.c.role == Server:
			code = InternalError
		}
		s.c.sendReset(s.id, code)
		s.leave()
		return
	}
	s.release()
}

// broke ends the stream because the peer broke a rule.
func (s *Stream) broke(err *Error) {
	s.c.flood.blame(s)
	s.c.sendReset(s.id, err.Code)
	s.abort(codec.ProtocolError, err.Detail)
}

// resetByPeer ends the stream as the peer asks. A server that has answered completely may reset what is left of the request (RFC 9113 section 8.1): the response counts.
func (s *Stream) resetByPeer(code Code) *Error {
	c := s.c
	s.code = code
	if c.role == Client && s.gotEnd {
		s.leave()
		return nil
	}
	detail := "http2.remote_reset"
	if code == RefusedStream {
		s.refused, detail = true, "http2.remote_refuse"
	}
	c.flood.blame(s)
	s.abort(codec.RemoteReset, detail)
	return nil
}

// abort tells the receiver that the message will not be finished.
func (s *Stream) abort(r codec.Reason, detail string) {
	was := s.over
	s.over = true
	s.leave()
	if !was && s.receiver != nil {
		s.receiver.Abort(r, detail)
	}
}

// leave takes the stream out of the connection: neither direction sends any more.
func (s *Stream) leave() {
	if s.open {
		s.open = false
		s.c.streams.remove(s)
		s.c.forget(s)
	}
	s.c.ring.remove(s)
	s.queue.clear(s.c.slab)
	s.release()
}

// forget makes sure that what is still to come of a frame does not reach the stream, which may be another by then.
func (c *Conn) forget(s *Stream) {
	if c.data.stream == s {
		c.data.stream = nil
	}
	if c.block.stream == s {
		c.block.stream, c.block.head.section = nil, sectionNone
	}
}

// release ends the stream when neither the peer nor the receiver has anything to come: what is parked of a complete message is still delivered.
func (s *Stream) release() {
	if s.over {
		s.c.consumed(nil, s.parked.bytes)
		s.parked.clear(s.c.slab)
	}
	if !s.open && (s.over || s.toldEnd) {
		s.over = true
		s.c.owe(s)
	}
}

// settled takes the stream out when both directions have ended.
func (s *Stream) settled() {
	if s.open && s.gotEnd && s.sentEnd {
		s.c.flood.done()
		s.leave()
	}
}

// attend makes the calls that the stream is owed.
func (s *Stream) attend() {
	if s.failDue != "" && !s.over {
		s.abort(codec.LocalReset, s.failDue)
	}
	s.deliver()
	if s.roomDue && !s.over {
		s.roomDue = false
		s.receiver.Writable()
	}
	if s.over && !s.open && !s.closed && !s.isDue {
		s.close()
	}
}

// close gives the place back.
func (s *Stream) close() {
	c := s.c
	s.closed = true
	c.owner.Closed(s)
	for _, f := range []*codec.Fields{s.trailers, s.sendTrail} {
		if f != nil {
			c.slab.freeFields(f)
		}
	}
	c.slab.freeStream(s)
}

// deliver shows what is parked.
func (s *Stream) deliver() {
	for s.parked.bytes > 0 && !s.paused && !s.over {
		k := s.parked.pop()
		p := k.b[k.r:k.w]
		end := s.gotEnd && s.parked.bytes == 0 && s.trailers == nil
		s.give(p, end)
		s.c.slab.free(k)
	}
	if s.gotEnd && !s.toldEnd && !s.paused && !s.over {
		s.toldEnd = true
		if s.trailers != nil {
			s.receiver.Trailers(s.trailers)
		} else {
			s.receiver.Body(nil, true)
		}
		s.release()
	}
}

// give shows a piece of the body and gives it back to the peer's window.
func (s *Stream) give(p []byte, end bool) {
	s.toldEnd = end
	s.receiver.Body(p, end)
	s.c.consumed(s, len(p))
	if end {
		s.release()
	}
}

var _ codec.Stream = (*Stream)(nil)
var _ hpack.Sink = (*head)(nil)
