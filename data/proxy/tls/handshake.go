package tls

import (
	"context"
	"crypto/tls"
	"io"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// DefaultHandshakeTimeout is Envoy's transport_socket_connect_timeout as Istio sets it for inbound chains.
const DefaultHandshakeTimeout = 15 * time.Second

// maxHandshakeBytes is what a peer may send before its handshake is over; then its bytes wait in the kernel.
const maxHandshakeBytes = 256 << 10

// Handshake is what both sides may choose per connection.
type Handshake struct {
	// Timeout of the whole handshake, 0 for DefaultHandshakeTimeout.
	Timeout time.Duration
	// Gate bounds handshakes that compute at once; nil for no bound.
	Gate Gate
	// SNI and ALPN go before those of a ClientContext.
	SNI  string
	ALPN []string
}

// Attempt is a handshake that runs.
type Attempt struct{ c *Conn }

// Cancel drops the connection; the callback is not called any more.
func (a Attempt) Cancel() {
	if a.c.phase == handshaking {
		a.c.done = nil
		a.c.failed(errGone)
	}
}

// Server shakes hands as the server on raw, whose handler it becomes, and calls done with the plaintext connection or an *Error. After an error raw
// is closed.
func Server(raw loop.Conn, x *ServerContext, h Handshake, done func(loop.Conn, error)) Attempt {
	c := newConn(raw, h, done)
	s, err := x.load()
	if err != nil {
		c.refuse(err)
		return Attempt{c}
	}
	if len(s.certificates) > 0 {
		c.localURIs = s.certificates[0].URIs
	}
	c.prepare(tls.Server(&c.wire, x.outer), h) // the goroutine starts with the first bytes, so that a silent client costs none
	return Attempt{c}
}

// Client shakes hands as the client on raw.
func Client(raw loop.Conn, x *ClientContext, h Handshake, done func(loop.Conn, error)) Attempt {
	c := newConn(raw, h, done)
	config, s, err := x.dial(h.SNI, h.ALPN)
	if err != nil {
		c.refuse(err)
		return Attempt{c}
	}
	if len(s.certificates) > 0 {
		c.localURIs = s.certificates[0].URIs
	}
	c.prepare(tls.Client(&c.wire, config), h)
	c.start()
	return Attempt{c}
}

func newConn(raw loop.Conn, h Handshake, done func(loop.Conn, error)) *Conn {
	c := &Conn{raw: raw, w: raw.Worker(), done: done}
	c.wire.cond.L = &c.wire.mu
	c.wire.raw, c.wire.gate = raw, h.Gate
	c.wire.notify = func() { c.w.Post(func(*loop.Worker) { c.send() }) }
	c.attend, c.seal = c.attendTo, c.sealQueue
	return c
}

// refuse ends a handshake that cannot begin, after the caller has returned.
func (c *Conn) refuse(err error) {
	c.raw.SetHandler(c)
	c.w.Defer(func() { c.failed(err) })
}

// prepare takes over the raw connection and bounds the handshake's time.
func (c *Conn) prepare(t *tls.Conn, h Handshake) {
	c.tls = t
	timeout := h.Timeout
	if timeout <= 0 {
		timeout = DefaultHandshakeTimeout
	}
	c.timer = c.w.After(timeout, func() { c.failed(context.DeadlineExceeded) })
	c.raw.SetHandler(c)
}

// start runs the handshake in a goroutine.
func (c *Conn) start() {
	c.started = true
	go func() {
		c.wire.gate.enter()
		err := c.tls.Handshake()
		c.wire.gate.leave()
		c.w.Post(func(*loop.Worker) { c.shaken(err) })
		c.wire.end()
	}()
	if c.w.Inline() {
		c.wire.settle()
	}
}

// send moves what the handshake wrote to the raw connection.
func (c *Conn) send() {
	if c.phase == handshaking {
		c.raw.Write(c.wire.take())
	}
}

// shaken is the end of the handshake, on the worker.
func (c *Conn) shaken(err error) {
	if c.phase != handshaking {
		return
	}
	if err != nil {
		c.failed(err)
		return
	}
	c.send()
	c.timer.Stop()
	c.phase = open
	c.wire.inline = true
	s := c.tls.ConnectionState()
	o := c.raw.Origin()
	o.TLS = &loop.TLSState{State: s, Peer: facts(s), LocalURIs: c.localURIs}
	done := c.done
	c.done = nil
	c.raw.ResumeRead()
	// crypto/tls may hold bytes already, and the peer may have ended: the handler that done sets is shown them.
	c.w.Defer(c.attend)
	done(c, nil)
}

// failed ends the handshake without a connection: the alert, if any, is sent before the close.
func (c *Conn) failed(err error) {
	if c.phase != handshaking {
		return
	}
	c.send()
	c.timer.Stop()
	c.phase = closed
	c.wire.fail(errGone)
	if c.w.Inline() && c.started {
		c.wire.settle()
	}
	e := explain(err)
	c.raw.Origin().Failure = e.Reason
	if c.rawClosed {
		c.raw.Abort(false)
	} else {
		c.raw.Close()
	}
	if done := c.done; done != nil {
		c.done = nil
		done(nil, e)
	}
}

// handshakeData takes bytes of the handshake.
func (c *Conn) handshakeData(p []byte) int {
	if c.tls == nil { // refused: it has no certificate to answer with
		return len(p)
	}
	if c.fed += len(p); c.fed > maxHandshakeBytes {
		c.raw.PauseRead()
	}
	c.wire.feed(p)
	if !c.started {
		c.start()
	} else if c.w.Inline() {
		c.wire.settle()
	}
	return len(p)
}

// handshakeFed says that nothing more comes. What has come may be all that the handshake needs, and more: a client may send its last message, all it has to say and the
// end at once.
func (c *Conn) handshakeFed() {
	if c.tls == nil {
		return
	}
	if !c.started {
		c.failed(io.ErrUnexpectedEOF)
		return
	}
	c.wire.finish()
	if c.w.Inline() {
		c.wire.settle()
	}
}

func (c *Conn) handshakeClosed(err error) {
	c.rawClosed = true
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	c.failed(err)
}
