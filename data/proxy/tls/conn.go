package tls

import (
	"crypto/tls"
	"errors"
	"io"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// ErrTruncated is the close reason when the stream ended without close_notify: bytes may be missing.
var ErrTruncated = errors.New("the peer ended TLS without close_notify")

type phase uint8

// handshaking → (open | closed); open → closed
const (
	handshaking phase = iota
	open
	closed
)

// Conn is the plaintext of a TLS connection on a raw one. It implements loop.Conn for the handler above and loop.Handler for raw.
type Conn struct {
	raw loop.Conn
	w   *loop.Worker
	tls *tls.Conn

	wire      wire
	phase     phase
	timer     loop.Timer
	done      func(loop.Conn, error)
	fed       int
	localURIs []string

	in           loop.Inbound
	out          loop.Queue // plaintext until the end of the turn, so that one record holds what was written together
	attend, seal func()     // bound once
	readErr      error
	closeErr     error

	started   bool // the handshake's goroutine
	attended  bool
	sealing   bool
	above     bool
	endWrite  bool
	notified  bool // close_notify was sent
	rawEnded  bool // the peer sends nothing more, but records may wait for the handler
	rawClosed bool
	closing   bool
	told      bool
}

// Origin implements loop.Conn.
func (c *Conn) Origin() *loop.Origin { return c.raw.Origin() }

// Worker implements loop.Conn.
func (c *Conn) Worker() *loop.Worker { return c.w }

// Buffered implements loop.Conn.
func (c *Conn) Buffered() int { return c.out.Len() + c.raw.Buffered() }

// SetHandler implements loop.Conn.
func (c *Conn) SetHandler(h loop.Handler) {
	c.in.SetHandler(h)
	c.attendLater()
}

// PauseRead implements loop.Conn.
func (c *Conn) PauseRead() {
	if c.in.Pause() {
		c.raw.PauseRead()
	}
}

// ResumeRead implements loop.Conn.
func (c *Conn) ResumeRead() {
	if c.in.Resume() {
		c.raw.ResumeRead()
		c.attendLater()
	}
}

// Write implements loop.Conn.
func (c *Conn) Write(p []byte) {
	if c.endWrite || c.phase != open || c.closing || len(p) == 0 {
		return
	}
	c.out.Push(c.w, p)
	c.above = c.above || c.Buffered() > c.raw.Origin().Low()
	c.sealLater()
}

// CloseWrite implements loop.Conn: close_notify, then FIN.
func (c *Conn) CloseWrite() {
	if !c.endWrite && c.phase == open {
		c.endWrite = true
		c.sealLater()
	}
}

// Close implements loop.Conn.
func (c *Conn) Close() {
	if c.closing || c.phase == closed {
		return
	}
	c.closing = true
	c.in.Shut(c.w)
	c.sealLater()
}

// Abort implements loop.Conn.
func (c *Conn) Abort(rst bool) {
	if c.phase == closed && !c.closing {
		return
	}
	c.phase, c.closing = closed, true
	c.release()
	c.raw.Abort(rst)
}

func (c *Conn) release() {
	c.in.Shut(c.w)
	c.out.Drop(c.w, c.out.Len())
}

func (c *Conn) attendLater() {
	if !c.attended {
		c.attended = true
		c.w.Defer(c.attend)
	}
}

func (c *Conn) sealLater() {
	if !c.sealing {
		c.sealing = true
		c.w.Defer(c.seal)
	}
}

// sealQueue turns what was written in this turn into records.
func (c *Conn) sealQueue() {
	c.sealing = false
	if c.phase != open {
		return
	}
	for p := c.out.Front(); p != nil; p = c.out.Front() {
		if _, err := c.tls.Write(p); err != nil {
			c.breakOff(err)
			return
		}
		c.out.Drop(c.w, len(p))
	}
	if (c.endWrite || c.closing) && !c.notified {
		c.notified = true
		if err := c.tls.CloseWrite(); err != nil {
			c.breakOff(err)
			return
		}
	}
	switch {
	case c.closing:
		c.phase = closed
		c.raw.Close()
	case c.endWrite:
		if !c.rawEnded || c.in.Told() { // a raw connection that has ended both ways is gone, with the records that wait
			c.raw.CloseWrite()
		}
		c.maybeOver()
	}
	if c.above {
		c.above = false
		if a, ok := c.raw.(interface{ AskWritable() }); ok {
			a.AskWritable()
		}
	}
}

// maybeOver closes when both directions have ended.
func (c *Conn) maybeOver() {
	if c.phase == open && c.notified && c.in.Told() {
		c.phase = closed
		c.raw.Close()
	}
}

// breakOff ends a stream that cannot go on.
func (c *Conn) breakOff(err error) {
	if c.phase == closed {
		return
	}
	c.phase = closed
	if !c.closing {
		c.closeErr = err
		if c.raw.Origin().Failure == "" && !errors.Is(err, ErrTruncated) {
			c.raw.Origin().Failure = explain(err).Reason
		}
	}
	c.release()
	c.raw.Close() // an alert may be queued
}

// attendTo makes the calls that are due.
func (c *Conn) attendTo() {
	c.attended = false
	if c.phase != open {
		return
	}
	c.in.Deliver(c.w)
	c.pump()
}

// OnData implements loop.Handler for the raw connection.
func (c *Conn) OnData(p []byte) int {
	switch c.phase {
	case handshaking:
		return c.handshakeData(p)
	case closed:
		return len(p)
	}
	c.wire.fresh = p
	c.pump()
	n := len(p) - len(c.wire.fresh)
	c.wire.fresh = nil
	if c.in.Ended() || c.phase == closed {
		return len(p) // nothing counts after close_notify (RFC 8446 section 6.1)
	}
	return n
}

// pump shows plaintext until the handler or the bytes have enough.
func (c *Conn) pump() {
	for c.phase == open && c.in.Wants() {
		n, err := c.in.Fill(c.w, c.w.PlainBuffer(), (*plaintext)(c))
		if n > 0 && err == nil {
			continue
		}
		switch {
		case errors.Is(err, loop.ErrAgain):
			if c.rawEnded {
				c.breakOff(ErrTruncated)
			}
			return
		case errors.Is(err, io.EOF):
			c.in.End()
			c.in.Deliver(c.w)
			c.maybeOver()
		default:
			c.breakOff(err)
		}
		return
	}
	c.maybeOver()
}

// plaintext reads records as a loop.Source.
type plaintext Conn

// Read decrypts as many records as there are and fit; crypto/tls may write a KeyUpdate or an alert meanwhile.
func (r *plaintext) Read(p []byte) (n int, err error) {
	c := (*Conn)(r)
	if c.readErr != nil {
		return 0, c.readErr
	}
	for n < len(p) {
		k, err := c.tls.Read(p[n:])
		n += k
		if err == nil {
			continue
		}
		if err == errAgain { //nolint:errorlint // crypto/tls hands the very value through
			err = loop.ErrAgain
		} else {
			c.readErr = err
		}
		if n > 0 {
			return n, nil
		}
		return 0, err
	}
	return n, nil
}

// OnEOF implements loop.Handler for the raw connection.
func (c *Conn) OnEOF() {
	c.rawEnded = true
	switch {
	case c.phase == handshaking:
		c.handshakeFed()
	case c.phase == open && !c.in.Ended():
		c.in.Deliver(c.w)
		c.pump() // when the handler wants no more now, the rest is its when it does
	}
}

// OnWritable implements loop.Handler for the raw connection.
func (c *Conn) OnWritable() {
	if h := c.in.Handler(); h != nil && c.phase == open && !c.closing {
		h.OnWritable()
	}
}

// OnClose implements loop.Handler for the raw connection.
func (c *Conn) OnClose(err error) {
	if c.phase == handshaking {
		c.handshakeClosed(err)
		return
	}
	c.phase = closed
	c.rawClosed = true
	c.release()
	if c.closeErr != nil {
		err = c.closeErr
	}
	if c.closing {
		err = nil
	}
	if h := c.in.Handler(); h != nil && !c.told {
		c.told = true
		h.OnClose(err)
	}
}
