package sim

import (
	"io"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// end is one end of a pipe. What is written arrives at the peer later, in order.
type end struct {
	s     *Sim
	peer  *end
	local loop.Address

	inbox   []byte
	flying  int       // bytes on their way to this end
	last    loop.Time // arrival of the last segment towards this end
	fin     bool      // the peer's FIN arrived
	reset   bool
	err     error // pending, as SO_ERROR
	hard    bool  // Close sends RST
	finSent bool
	closed  bool
	unseen  bool // by pipes
	asked   bool // by a pipe, since the last read
	missed  bool // a pipe missed what the next read found
	watched bool
	token   loop.Token
	want    loop.Interest

	connected bool
}

func (s *Sim) pair(a, b loop.Address) (x, y *end) {
	x, y = &end{s: s, local: a}, &end{s: s, local: b}
	x.peer, y.peer = y, x
	x.unseen, y.unseen = s.rng.IntN(8) == 0, s.rng.IntN(8) == 0
	return x, y
}

// send schedules fn as the next segment that arrives at e.
func (e *end) arrive(fn func()) {
	at := max(e.last, e.s.now+e.s.delay())
	e.last = at
	e.s.schedule(at, fn)
}

func (e *end) room() int { return e.s.Capacity - len(e.peer.inbox) - e.peer.flying }

func (e *end) ready() (got loop.Interest) {
	if !e.connected {
		return 0
	}
	if len(e.inbox) > 0 || e.fin || e.reset {
		got |= loop.Readable
	}
	if e.room() > 0 || e.reset {
		got |= loop.Writable
	}
	got &= e.want
	if e.reset || e.fin && e.finSent {
		got |= loop.Hangup
	}
	if e.err != nil {
		got |= loop.Failed
	}
	return got
}

// Read implements loop.Socket.
func (e *end) Read(p []byte) (int, error) {
	switch {
	case e.closed:
		return 0, unix.EBADF
	case len(e.inbox) > 0 && len(p) > 0:
		if !e.s.Gentle && e.s.rng.IntN(16) == 0 && !e.reset {
			e.asked = false
			return 0, loop.ErrAgain // a spurious wake-up
		}
		n := min(len(p), len(e.inbox))
		if !e.s.Gentle && e.s.rng.IntN(2) == 0 {
			n = 1 + e.s.rng.IntN(n)
		}
		e.missed, e.asked = e.missed || e.asked, false
		copy(p, e.inbox[:n])
		e.inbox = append(e.inbox[:0], e.inbox[n:]...)
		return n, nil
	case e.reset:
		err := e.err
		e.err = nil
		if err == nil {
			err = unix.ECONNRESET
		}
		return 0, err
	case e.fin:
		return 0, io.EOF
	}
	return 0, loop.ErrAgain
}

// Write implements loop.Socket.
func (e *end) Write(p [][]byte) (int, error) {
	switch {
	case e.closed:
		return 0, unix.EBADF
	case e.reset || e.finSent:
		return 0, unix.EPIPE
	}
	total := 0
	for _, b := range p {
		total += len(b)
	}
	n := min(total, e.room())
	if n <= 0 {
		return 0, loop.ErrAgain
	}
	if !e.s.Gentle && e.s.rng.IntN(3) == 0 {
		n = 1 + e.s.rng.IntN(n)
	}
	segment := make([]byte, 0, n)
	for _, b := range p {
		segment = append(segment, b[:min(len(b), n-len(segment))]...)
	}
	to := e.peer
	to.flying += n
	to.arrive(func() {
		to.flying -= n
		if to.closed {
			e.arrive(e.takeReset) // RFC 9293 section 3.10.7.1: data to a closed socket is answered by RST
			return
		}
		if !to.reset {
			to.inbox = append(to.inbox, segment...)
		}
	})
	return n, nil
}

func (e *end) takeReset() {
	if e.closed || e.reset {
		return
	}
	e.reset, e.err = true, unix.ECONNRESET
	if e.finSent && e.fin {
		e.err = nil
	}
}

// CloseWrite implements loop.Socket.
func (e *end) CloseWrite() error {
	if e.finSent || e.reset {
		return nil
	}
	e.finSent = true
	to := e.peer
	to.arrive(func() { to.fin = true })
	return nil
}

// Reset implements loop.Socket.
func (e *end) Reset() { e.hard = true }

// Err implements loop.Socket.
func (e *end) Err() error {
	err := e.err
	e.err = nil
	return err
}

// Local implements loop.Socket.
func (e *end) Local() loop.Address { return e.local }

// Close implements loop.Socket: unread bytes make it a reset, as in Linux.
func (e *end) Close() error {
	if e.closed {
		return unix.EBADF
	}
	if e.hard || len(e.inbox) > 0 {
		e.peer.arrive(e.peer.takeReset)
	} else {
		_ = e.CloseWrite()
	}
	e.closed = true
	return nil
}
