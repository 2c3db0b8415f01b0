package loop

import (
	"errors"
	"io"
	"time"
)

const (
	// lingerTime is how long a closed accepted connection waits for the peer's end, so that RST does not overtake its last bytes (RFC 9112 section 9.6).
	lingerTime = time.Second
	// flushTime is how long a closing connection may make no progress with its queue.
	flushTime = 5 * time.Second
	// leastRead is what a read may bring in spite of a lower limit, so that no limit makes a connection crawl.
	leastRead = 4 << 10
	// lastReads bounds the reads that look for a final answer after a failed write.
	lastReads = 16
)

// plain is a Conn directly on a Socket.
//
//	open → (closing → lingering | closing) → dead; open → dead
type plain struct {
	w      *Worker
	sock   Socket
	token  Token
	origin Origin

	in      Inbound
	relay   *plain  // where what comes goes without being shown
	feeder  *plain  // whose relay this is
	transit transit // in front of out
	out     Queue
	err     error
	wait    Alarm // while closing or lingering

	prev, next *plain

	copies       bool // splice misses what read finds
	above        bool // the queue passed LowWatermark
	writable     bool // OnWritable is due
	endWrite     bool // CloseWrite was asked for
	writeEnded   bool // FIN was sent
	writeFailed  bool
	blocked      bool // the kernel takes no more now
	waits        bool // the poller is asked to tell when it does
	closing      bool
	lingering    bool
	dead         bool
	closeTold    bool
	attended     bool
	flushQueued  bool
	progressMark int
}

// Adopt makes a Conn of a connected socket. token is its registration with this worker, or zero if there is none yet.
func (w *Worker) Adopt(s Socket, token Token, origin Origin) Conn {
	c := &plain{w: w, sock: s, token: token, origin: origin}
	c.wait.Init(w, c.expired)
	if t := w.find(token); t != nil {
		t.reactor = c
	}
	if w.live != nil {
		w.live.prev = c
	}
	c.next = w.live
	w.live = c
	w.load.Add(1)
	w.attendLater(c)
	return c
}

func (w *Worker) attendLater(c *plain) {
	if !c.attended {
		c.attended = true
		w.attend = append(w.attend, c)
	}
}

func (w *Worker) flushLater(c *plain) {
	if !c.flushQueued {
		c.flushQueued = true
		w.flushes = append(w.flushes, c)
	}
}

// Origin implements Conn.
func (c *plain) Origin() *Origin { return &c.origin }

// Worker implements Conn.
func (c *plain) Worker() *Worker { return c.w }

// Buffered implements Conn.
func (c *plain) Buffered() int { return c.transit.bytes + c.out.bytes }

// SetHandler implements Conn.
func (c *plain) SetHandler(h Handler) {
	c.in.SetHandler(h)
	c.relay = nil
	c.w.attendLater(c)
}

// Write implements Conn.
func (c *plain) Write(p []byte) {
	if c.endWrite || c.closing || c.dead || c.writeFailed || len(p) == 0 {
		return
	}
	// A large piece would fill the socket by itself: it goes out now, behind what is queued, and only the rest is copied.
	if len(p) >= largeChunk && !c.blocked && c.transit.pipe == nil {
		p = c.writeThrough(p)
	}
	if len(p) > 0 {
		c.out.Push(c.w, p)
		c.above = c.above || c.out.bytes > c.origin.Low()
		c.w.flushLater(c)
	}
}

func (c *plain) writeThrough(p []byte) (rest []byte) {
	iov := append(c.out.gather(c.w.iov[:0], maxIOV-1), p)
	if len(c.out.chunks) > maxIOV-1 {
		return p
	}
	n, err := c.sock.Write(iov)
	queued := c.out.bytes
	total := queued + len(p)
	if err != nil {
		c.wrote(err)
		return p
	}
	c.blocked = n < total
	if n < queued {
		c.out.Drop(c.w, n)
		return p
	}
	c.out.Drop(c.w, queued)
	return p[n-queued:]
}

// wrote handles the error of a write.
func (c *plain) wrote(err error) {
	if errors.Is(err, ErrAgain) {
		c.blocked = true
		return
	}
	c.writeFailed, c.err = true, err
	c.out.Drop(c.w, c.out.bytes)
	c.w.attendLater(c)
}

// PauseRead implements Conn.
func (c *plain) PauseRead() {
	if c.in.Pause() {
		c.w.attendLater(c)
	}
}

// ResumeRead implements Conn.
func (c *plain) ResumeRead() {
	if c.in.Resume() {
		c.w.attendLater(c)
	}
}

// AskWritable makes OnWritable come when the queue is at Origin.Low or below, even if it never rose above; for transports on top.
func (c *plain) AskWritable() {
	if !c.dead {
		c.above = true
		c.w.flushLater(c)
	}
}

// CloseWrite implements Conn.
func (c *plain) CloseWrite() {
	if !c.endWrite && !c.dead {
		c.endWrite = true
		c.w.flushLater(c)
	}
}

// Close implements Conn.
func (c *plain) Close() {
	if c.closing || c.dead {
		return
	}
	c.closing = true
	c.in.Shut(c.w)
	c.wait.Set(flushTime)
	c.progressMark = c.Buffered()
	c.w.flushLater(c)
}

// Abort implements Conn.
func (c *plain) Abort(rst bool) {
	if c.dead {
		return
	}
	if rst {
		c.sock.Reset()
	}
	c.err = nil
	c.die()
}

// die releases everything; the handler hears of it later in the turn.
func (c *plain) die() {
	c.dead = true
	c.wait.Stop()
	c.w.Forget(c.token)
	_ = c.sock.Close() // nothing is left to do for a socket that cannot be closed
	c.in.Shut(c.w)
	c.spill()
	c.out.Drop(c.w, c.out.bytes)
	c.out.chunks = nil
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		c.w.live = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
	c.w.load.Add(-1)
	if c.origin.Released != nil {
		c.origin.Released()
	}
	c.w.attendLater(c)
}

// OnReady implements Reactor.
func (c *plain) OnReady(ev Interest) {
	if c.dead {
		return
	}
	if ev&Writable != 0 {
		c.blocked = false
		c.w.flushLater(c)
	}
	if ev&(Readable|Hangup|Failed) == 0 {
		return
	}
	switch {
	case c.lingering:
		c.discard()
	case c.wants():
		c.readOnce()
	case ev&Failed != 0:
		c.fail(c.sock.Err())
	case ev&Hangup != 0:
		c.w.Mute(c.token)
	}
	c.w.attendLater(c)
}

// discard reads and forgets what comes while lingering.
func (c *plain) discard() {
	if _, err := c.sock.Read(c.w.read); err != nil && !errors.Is(err, ErrAgain) {
		c.die()
	}
}

func (c *plain) fail(err error) {
	if c.dead {
		return
	}
	if !c.closing {
		c.err = err
	}
	c.die()
}

// readOnce makes one read; level-triggered readiness brings the next. It says whether there may be more.
func (c *plain) readOnce() bool {
	if c.passes() {
		return c.pass()
	}
	return c.took(c.in.Fill(c.w, c.share(), c.sock))
}

// share is what a read of this connection may use of the worker's buffer.
func (c *plain) share() []byte {
	if n := c.origin.BufferLimit; n > 0 && n < len(c.w.read) {
		return c.w.read[:max(n, leastRead)]
	}
	return c.w.read
}

// took handles the result of a read.
func (c *plain) took(n int, err error) bool {
	switch {
	case n > 0:
		return true
	case errors.Is(err, ErrAgain):
	case errors.Is(err, io.EOF):
		c.in.End()
		c.in.Deliver(c.w)
	default:
		c.fail(err)
	}
	return false
}

// attendTo makes the callbacks that are due and settles the registration.
func (c *plain) attendTo() {
	if c.dead {
		c.tellClose()
		return
	}
	c.in.Deliver(c.w)
	if c.writable && !c.dead {
		c.writable = false
		if h := c.in.Handler(); h != nil && !c.closing {
			h.OnWritable()
		}
	}
	if c.writeFailed && !c.dead {
		c.lastWords()
	}
	if !c.dead && c.writeEnded && c.in.Told() && !c.closing {
		c.err = nil
		c.die()
	}
	if c.dead {
		c.tellClose()
		return
	}
	c.watch()
}

// lastWords reads what the peer sent before it reset the stream, so that an early answer is not lost.
func (c *plain) lastWords() {
	err := c.err
	for i := 0; i < lastReads && c.wants() && c.readOnce(); i++ {
	}
	c.fail(err)
}

func (c *plain) tellClose() {
	if c.closeTold {
		return
	}
	c.closeTold = true
	if h := c.in.Handler(); h != nil {
		h.OnClose(c.err)
	}
}

// watch tells the poller what the connection waits for.
func (c *plain) watch() {
	var want Interest
	if c.wants() || c.lingering {
		want |= Readable
	}
	if c.waits = c.blocked && (c.Buffered() > 0 || c.endWrite); c.waits {
		want |= Writable
	}
	if c.token == 0 {
		if want == 0 && c.in.Handler() == nil {
			return // not yet taken over
		}
		t, err := c.w.Watch(c.sock, want, c)
		if err != nil {
			c.fail(err)
			c.tellClose()
			return
		}
		c.token = t
		return
	}
	if err := c.w.Change(c.token, want); err != nil {
		c.fail(err)
		c.tellClose()
	}
}

// flush writes the queue once, and goes on with what waits for an empty queue.
func (c *plain) flush() {
	if c.dead {
		return
	}
	c.pour()
	for c.out.bytes > 0 && !c.blocked && !c.writeFailed {
		iov := c.out.gather(c.w.iov[:0], maxIOV)
		n, err := c.sock.Write(iov)
		if err != nil {
			c.wrote(err)
			break
		}
		offered := 0
		for _, p := range iov {
			offered += len(p)
		}
		c.blocked = n < offered
		c.out.Drop(c.w, n)
	}
	clear(c.w.iov[:cap(c.w.iov)])
	if c.above && c.Buffered() <= c.origin.Low() && !c.writeFailed {
		c.above, c.writable = false, true
		c.w.attendLater(c)
	}
	if c.Buffered() == 0 && !c.writeFailed {
		c.drained()
		c.flushed()
	} else if c.writeFailed && c.closing {
		c.die()
	}
	if c.blocked != c.waits && !c.dead {
		c.w.attendLater(c) // what nobody waits for any more would wake the worker in every turn
	}
}

// flushed goes on when everything queued is with the kernel.
func (c *plain) flushed() {
	if (c.endWrite || c.closing) && !c.writeEnded {
		c.writeEnded = true
		linger := c.closing && c.origin.Accepted && !c.in.Ended()
		if !c.closing || linger {
			if err := c.sock.CloseWrite(); err != nil {
				c.fail(err)
				return
			}
		}
		c.w.attendLater(c)
	}
	if !c.closing || c.lingering {
		return
	}
	if !c.origin.Accepted || c.in.Ended() {
		c.err = nil
		c.die()
		return
	}
	c.lingering = true
	c.err = nil
	c.wait.Set(lingerTime)
	c.tellCloseEarly()
}

// tellCloseEarly tells the handler that its part is over while the socket lingers.
func (c *plain) tellCloseEarly() {
	c.w.Defer(c.tellClose)
	c.w.attendLater(c)
}

// expired ends a close that makes no progress.
func (c *plain) expired() {
	if !c.lingering && c.Buffered() < c.progressMark {
		c.progressMark = c.Buffered()
		c.wait.Set(flushTime)
		return
	}
	c.die()
}
