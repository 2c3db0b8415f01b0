package http2

import (
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/hpack"
)

// Role is the side of a connection that a Conn is.
type Role uint8

// The roles.
const (
	Server Role = iota
	Client
)

// Output is where the bytes of a Conn go; loop.Conn is one.
type Output interface {
	// Write queues a copy of p. It takes everything and does not call back.
	Write(p []byte)
	// Buffered is how many bytes have not left; when that was more than Limits.Output and is little, Conn.Writable must be called.
	Buffered() int
}

// Owner drives a Conn and is told what concerns more than one stream.
type Owner interface {
	// Request shows a request to a server and returns who hears of the rest of it; end says that there is no rest. h dies with the call, but may be swapped with another.
	Request(s *Stream, h *codec.Head, end bool) codec.Receiver
	// Malformed tells a server of a request that must not be forwarded. h is what came of it. The owner may answer it; the stream is reset when the call returns.
	Malformed(s *Stream, h *codec.Head, err *Error)
	// Closed tells, once and last, that a stream's place is free. The stream must not be used any more.
	Closed(s *Stream)
	// Attend asks for a call of Conn.Attend later in the same turn, after the calls that are running.
	Attend()
}

// HighWatermark is Limits.Output where nothing else is asked for.
const HighWatermark = 256 << 10

// Conn is one connection in one role. Init prepares it; afterwards its owner gives it what comes (Feed), and what its streams send goes to the Output. A Conn calls its owner
// and receivers in Feed, Attend, Writable and Close only; they may call anything of the Conn and its streams but these. It belongs to one goroutine.
type Conn struct {
	role   Role
	state  state
	limits Limits
	out    Output
	owner  Owner
	slab   *Slab

	decoder hpack.Decoder
	encoder hpack.Encoder
	streams table
	block   block
	data    incoming

	// Receiving.
	window     int64 // that the peer may still use
	credit     int64 // consumed, and not yet given back
	streamWins int64 // the window with which the peer begins a stream
	lastPeer   uint32
	skipped    span // the last streams that were never opened though later ones were
	resets     resets
	pending    bool // our SETTINGS are not acknowledged

	// Sending.
	peer       settings
	sendWindow int64
	lastOwn    uint32
	ring       ring
	opened     int // streams of ours that have not begun

	away    away
	pings   pings
	flood   flood
	due     *Stream // streams that are owed a call
	running bool    // the calls that are owed follow
	asked   bool    // for a call of Attend
	dead    bool
}

// protocolTable is the size of both tables until settings are acknowledged (RFC 9113 section 6.5.2).
const protocolTable = 4096

// state is what the next bytes are.
type state uint8

const (
	statePreface state = iota // of a client
	stateSettings
	stateFrame
	stateData // of a DATA frame
	stateSkip // of a frame that means nothing
)

// Init prepares the connection and sends its preface and settings. Conns of one goroutine share a slab.
func (c *Conn) Init(role Role, l Limits, out Output, owner Owner, slab *Slab) {
	*c = Conn{role: role, limits: l, out: out, owner: owner, slab: slab, peer: initialSettings(l), window: initialWindow, streamWins: initialWindow, sendWindow: initialWindow}
	c.decoder.Init(protocolTable, l.HeadBytes, &slab.strings)
	c.encoder.Init(l.TableSize, l.Plain)
	if role == Client {
		c.state = stateSettings
	}
	c.greet()
}

// Feed reads bytes and returns how many are done with; the rest must be shown again, in front of new ones. An error has ended the connection: the peer has been told, the
// streams have been aborted, and the owner closes behind what is queued.
func (c *Conn) Feed(p []byte) (used int, err error) {
	c.running = true
	for !c.dead {
		n, broken := c.step(p[used:])
		if broken != nil {
			c.fail(broken)
			err = broken
			break
		}
		if n == 0 {
			break
		}
		used += n
	}
	if broken := c.flooded(); broken != nil && !c.dead {
		c.fail(broken)
		err = broken
	}
	c.settle()
	if c.dead {
		used = len(p)
	}
	return used, err
}

// Unfinished says whether the peer is in the middle of its preface or of a field block, which holds the connection; rest is what Feed has left.
func (c *Conn) Unfinished(rest []byte) bool {
	if c.dead {
		return false
	}
	if c.state == statePreface || c.state == stateSettings || c.block.open() {
		return true
	}
	const at = 3 // of a frame's type
	return c.state == stateFrame && len(rest) > at && (kind(rest[at]) == kindHeaders || kind(rest[at]) == kindContinuation)
}

// Fail tells the peer why and ends the connection.
func (c *Conn) Fail(err *Error) {
	c.running = true
	c.fail(err)
	c.settle()
}

// step reads one thing from the front of p, 0 bytes if it is not whole.
func (c *Conn) step(p []byte) (int, *Error) {
	switch c.state {
	case statePreface:
		n := min(len(p), len(preface))
		if string(p[:n]) != preface[:n] {
			return 0, broken(ProtocolError, "not HTTP/2")
		}
		if n < len(preface) {
			return 0, nil
		}
		c.state = stateSettings
		return n, nil
	case stateData:
		return c.dataBytes(p)
	case stateSkip:
		n := min(len(p), c.data.left)
		if c.data.left -= n; c.data.left == 0 {
			c.state = stateFrame
		}
		return n, nil
	}
	if len(p) < frameHeader {
		return 0, nil
	}
	return c.frame(parseFrame(p), p)
}

// frame reads a frame, or its beginning.
func (c *Conn) frame(f frame, p []byte) (int, *Error) {
	switch {
	case c.state == stateSettings && (f.kind != kindSettings || f.has(flagAck)):
		return 0, broken(ProtocolError, "the first frame is not SETTINGS")
	case f.length > minFrame:
		return 0, broken(FrameSizeError, "frame is longer than the limit")
	case c.block.open() && (f.kind != kindContinuation || f.stream != c.block.id):
		return 0, broken(ProtocolError, "field block is interrupted")
	case f.kind == kindData:
		return frameHeader, c.beginData(f)
	case f.kind > kindContinuation: // RFC 9113 section 5.5; PRIORITY_UPDATE among them
		c.data.left = f.length
		if f.length > 0 {
			c.state = stateSkip
		}
		return frameHeader, nil
	}
	n := frameHeader + f.length
	if len(p) < n {
		return 0, nil
	}
	return n, c.control(f, p[frameHeader:n])
}

// control handles a whole frame.
func (c *Conn) control(f frame, p []byte) *Error {
	switch f.kind {
	case kindHeaders:
		return c.headers(f, p)
	case kindContinuation:
		return c.continuation(f, p)
	case kindPriority:
		return c.priority(f, p)
	case kindReset:
		return c.reset(f, p)
	case kindSettings:
		return c.settings(f, p)
	case kindPing:
		return c.ping(f, p)
	case kindGoAway:
		return c.goAway(f, p)
	case kindWindowUpdate:
		return c.windowUpdate(f, p)
	}
	return broken(ProtocolError, "push is not allowed")
}

// idle says whether a stream has not been opened yet. Streams that nobody may open never will be.
func (c *Conn) idle(id uint32) bool {
	if c.role == Server {
		return id&1 == 0 || id > c.lastPeer
	}
	return id&1 == 0 || id > c.lastOwn
}

// priority obeys RFC 9113 section 5.3.2: checked, and of no effect.
func (c *Conn) priority(f frame, p []byte) *Error {
	if f.stream == 0 {
		return broken(ProtocolError, "PRIORITY without a stream")
	}
	if len(p) != 5 {
		if s := c.streams.get(f.stream); s != nil {
			s.broke(&Error{Code: FrameSizeError, Detail: ErrMessage.Detail})
		} else {
			c.sendReset(f.stream, FrameSizeError)
		}
		return c.flood.priority(&c.limits)
	}
	if _, err := (frame{stream: f.stream, flags: flagPriority}).payload(p); err != nil {
		return err
	}
	return c.flood.priority(&c.limits)
}

// reset is the peer's end of a stream.
func (c *Conn) reset(f frame, p []byte) *Error {
	switch {
	case len(p) != 4:
		return broken(FrameSizeError, "RST_STREAM of a wrong size")
	case c.idle(f.stream):
		return broken(ProtocolError, "RST_STREAM of an idle stream")
	}
	s := c.streams.get(f.stream)
	if s == nil {
		return nil
	}
	c.flood.RxReset++
	return s.resetByPeer(Code(be32(p)))
}

// Active is the number of open streams.
func (c *Conn) Active() int { return c.streams.n + c.opened }

// Writable tells that the Output has room again.
func (c *Conn) Writable() {
	c.running = true
	c.pump()
	c.settle()
}

// Attend makes the calls that are due: what a stream that was resumed had parked, who may go on writing, which streams are closed.
func (c *Conn) Attend() {
	c.asked = false
	c.settle()
}

// Close ends the connection without another word, because it is gone: streams that are not complete are aborted.
func (c *Conn) Close(r codec.Reason, detail string) {
	c.running = true
	c.end(r, detail)
	c.settle()
}

// fail tells the peer why and ends the connection.
func (c *Conn) fail(err *Error) {
	c.sendGoAway(c.away.limit(c.lastPeer), err.Code, err.Detail)
	c.end(codec.ProtocolError, err.Detail)
}

func (c *Conn) end(r codec.Reason, detail string) {
	if c.dead {
		return
	}
	c.dead = true
	c.block.close(c.slab)
	for c.streams.n > 0 {
		for _, s := range c.streams.buckets {
			if s != nil {
				s.abort(r, detail)
				break
			}
		}
	}
}

// settle makes the calls that streams are owed.
func (c *Conn) settle() {
	c.running = true
	for c.due != nil {
		s := c.due
		c.due, s.nextDue, s.isDue = s.nextDue, nil, false
		s.attend()
	}
	c.running = false
}

// owe notes that a stream is owed a call.
func (c *Conn) owe(s *Stream) {
	if !s.isDue {
		s.isDue, s.nextDue, c.due = true, c.due, s
	}
	if !c.running && !c.asked {
		c.asked = true
		c.owner.Attend()
	}
}
