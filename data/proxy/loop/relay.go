package loop

import "errors"

// PipeSize is how much a Pipe holds at most.
const PipeSize = 512 << 10

// A worker has at most maxPipes at once, since the kernel counts those of a user, and keeps keepPipes of them for the next use.
const (
	maxPipes  = 8
	keepPipes = 2
)

var errPipes = errors.New("all pipes are in use")

// Pipe holds bytes on their way from one Socket to another, so that the process need not copy them in and out (splice(2)).
type Pipe interface {
	// Fill takes what a socket has; it returns ErrAgain instead of blocking, and 0 at the end.
	Fill(from Socket) (int, error)
	// Drain gives n of the bytes that are inside to a socket, or some of them; ErrAgain when it takes nothing.
	Drain(to Socket, n int) (int, error)
	// Close releases the pipe with what is inside.
	Close() error
}

// Relayer is a Handler that need not see the bytes.
type Relayer interface {
	Handler
	// Relayed tells that n bytes went on without OnData.
	Relayed(n int)
}

// Relay asks that what comes from one connection goes on to the other inside the kernel; the handler, a Relayer, only hears how much. It lasts until that is not possible
// any more: then bytes come by OnData again. It says whether the connections allow it: both are plain,
// of one worker, and may hold what a Pipe holds.
func Relay(from, to Conn) bool {
	a, ok := from.(*plain)
	b, both := to.(*plain)
	if !ok || !both || a.w != b.w || a.w.newPipe == nil || a.copies || a.tight() || b.tight() {
		return false
	}
	if _, ok := a.in.Handler().(Relayer); !ok {
		return false
	}
	a.relay, b.feeder = b, a
	return true
}

// tight says that the connection may not hold what a Pipe holds.
func (c *plain) tight() bool { return c.origin.BufferLimit > 0 && c.origin.BufferLimit < PipeSize }

// transit is what a Pipe holds for the connection that it belongs to. The queue is empty when it comes, so its bytes are in front of those in the queue.
type transit struct {
	pipe  Pipe
	bytes int
}

// passes says whether what comes can go on in the kernel now.
func (c *plain) passes() bool {
	if to := c.relay; to != nil && (c.in.kept != nil || to.dead || to.closing || to.endWrite || to.writeFailed) {
		c.relay = nil
	}
	return c.relay != nil
}

// pass moves what came on towards the other connection. Where there seems to be nothing it reads, and only what a read says is true: bytes that a program in the kernel
// redirected to the socket (by a sockmap) are seen by read alone; for splice there is nothing, or even the end of the stream. Such a socket is not spliced again.
func (c *plain) pass() (more bool) {
	to, handler := c.relay, c.in.Handler().(Relayer)
	pipe, err := c.w.takePipe()
	if err != nil {
		c.relay = nil // for now
		return c.readOnce()
	}
	n, err := pipe.Fill(c.sock)
	if n > 0 {
		to.transit = transit{pipe, n}
		handler.Relayed(n)
		to.pour()
		to.w.flushLater(to)
		return true
	}
	c.w.givePipe(pipe)
	c.relay = nil
	if err != nil && !errors.Is(err, ErrAgain) {
		return c.took(0, err)
	}
	c.copies = true
	n, err = c.in.Fill(c.w, c.share(), c.sock)
	c.copies = n > 0
	return c.took(n, err)
}

// pour writes what the pipe holds.
func (c *plain) pour() {
	t := &c.transit
	for t.bytes > 0 && !c.blocked && !c.writeFailed && !c.dead {
		n, err := t.pipe.Drain(c.sock, t.bytes)
		if err != nil {
			c.wrote(err)
			return
		}
		t.bytes -= n
		c.blocked = t.bytes > 0
	}
	if t.pipe != nil && t.bytes == 0 {
		c.w.givePipe(t.pipe)
		t.pipe = nil
	}
}

// spill drops what the pipe holds.
func (c *plain) spill() {
	if c.transit.pipe != nil {
		_ = c.transit.pipe.Close() // nothing is left to do for a pipe that cannot be closed
		c.w.piping--
		c.w.pool.inUse -= PipeSize
		c.transit = transit{}
	}
	c.drained()
}

// drained lets the connection go on that waits until everything is written.
func (c *plain) drained() {
	if c.feeder != nil {
		c.w.attendLater(c.feeder)
	}
}

// closePipes lets go of the empty pipes.
func (w *Worker) closePipes() {
	for _, p := range w.pipes {
		_ = p.Close() // it is empty
	}
	w.pipes = nil
}

// wants says whether the socket should be read.
func (c *plain) wants() bool { return c.in.Wants() && (c.relay == nil || c.relay.Buffered() == 0) }

func (w *Worker) takePipe() (Pipe, error) {
	p, err := Pipe(nil), error(nil)
	if n := len(w.pipes); n > 0 {
		p = w.pipes[n-1]
		w.pipes = w.pipes[:n-1]
	} else if w.piping == maxPipes {
		return nil, errPipes
	} else if p, err = w.newPipe(); err != nil {
		return nil, err
	}
	w.piping++
	w.pool.inUse += PipeSize
	return p, nil
}

// givePipe takes an empty pipe back.
func (w *Worker) givePipe(p Pipe) {
	w.piping--
	w.pool.inUse -= PipeSize
	if len(w.pipes) < keepPipes {
		w.pipes = append(w.pipes, p)
	} else {
		_ = p.Close() // it is empty
	}
}
