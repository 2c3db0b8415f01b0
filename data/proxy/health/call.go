package health

import (
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/pool"
)

// call is one request of a check over HTTP, and the receiver of its response.
type call struct {
	s      *session
	head   codec.Head
	body   []byte
	answer answer
	ticket pool.Ticket
	up     pool.Stream
}

// answer judges a response, piece by piece.
type answer interface {
	// heard takes the head; body a piece of the body; trailers what comes last. done is called once, when the response is complete.
	heard(h *codec.Head)
	body(p []byte)
	trailers(t *codec.Fields)
	done()
}

// ask sends the request. HTTP/2 is spoken if the cluster of the targets says so.
func (c *call) ask(frames bool) {
	conn, refused := c.s.c.p.pools.Acquire(c.s.target, pool.Want{Frames: frames}, &c.ticket, c)
	switch {
	case conn != nil:
		c.Ready(conn)
	case refused != codec.NoReason:
		c.s.report(broken, false)
	}
}

// cancel gives up the request and closes the connection.
func (c *call) cancel() {
	c.ticket.Leave()
	if up := c.up; up != nil {
		c.up = nil
		up.Abort(codec.LocalReset, "")
	}
	c.s.c.p.pools.Cut(c.s.target)
}

// Ready implements pool.Waiter.
func (c *call) Ready(up pool.Stream) {
	c.up = up
	up.Send(&c.head, len(c.body) == 0, c)
	if len(c.body) > 0 && c.up != nil {
		up.Body(c.body, true)
	}
}

// Refused implements pool.Waiter.
func (c *call) Refused(codec.Reason, string) { c.s.report(broken, false) }

// Head implements codec.Receiver.
func (c *call) Head(h *codec.Head, end bool) {
	c.answer.heard(h)
	c.ended(end)
}

// Body implements codec.Receiver.
func (c *call) Body(p []byte, end bool) {
	c.answer.body(p)
	c.ended(end)
}

// Trailers implements codec.Receiver.
func (c *call) Trailers(t *codec.Fields) {
	c.answer.trailers(t)
	c.ended(true)
}

func (c *call) ended(end bool) {
	if end && c.up != nil {
		c.up = nil
		c.answer.done()
	}
}

// Abort implements codec.Receiver.
func (c *call) Abort(codec.Reason, string) {
	if c.up != nil {
		c.up = nil
		c.s.report(broken, false)
	}
}

// Informational implements codec.Receiver.
func (c *call) Informational(*codec.Head) {}

// Writable implements codec.Receiver.
func (c *call) Writable() {}

var (
	_ codec.Receiver = (*call)(nil)
	_ pool.Waiter    = (*call)(nil)
)
