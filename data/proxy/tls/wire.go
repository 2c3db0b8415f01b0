package tls

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// again tells crypto/tls that there are no bytes now; it does not remember a temporary net.Error.
type again struct{}

// Error implements error.
func (again) Error() string { return "again" }

// Timeout implements net.Error.
func (again) Timeout() bool { return true }

// Temporary implements net.Error.
func (again) Temporary() bool { return true }

var errAgain net.Error = again{}

var errGone = errors.New("the connection is gone")

// wire is the ciphertext side of a tls.Conn. While the handshake runs in its goroutine, Read blocks and what is written is collected for the
// worker; afterwards the worker owns it: Read gives what is there and Write goes straight to the raw connection's queue.
type wire struct {
	mu     sync.Mutex
	cond   sync.Cond
	in     []byte // fed by the worker
	out    []byte // collected for the worker
	posted bool   // the worker was told of out
	parked bool   // the handshake waits for bytes
	ended  bool   // the handshake is over
	gone   error  // Read fails with it
	last   bool   // nothing comes behind in
	gate   Gate
	notify func() // tells the worker of out; any goroutine

	// Owned by the worker after the handshake.
	inline bool
	raw    loop.Conn
	fresh  []byte // what the raw connection shows now
}

// Gate bounds the handshakes that compute at once, over all workers: one element per running handshake. nil is no bound.
type Gate chan struct{}

// NewGate allows n handshakes to compute at once.
func NewGate(n int) Gate { return make(Gate, n) }

func (g Gate) enter() {
	if g != nil {
		g <- struct{}{}
	}
}

func (g Gate) leave() {
	if g != nil {
		<-g
	}
}

// Read implements net.Conn.
func (x *wire) Read(p []byte) (int, error) {
	if x.inline {
		return x.readInline(p)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(x.in) == 0 && x.gone == nil && !x.last {
		// A handshake that waits for its peer computes nothing and must not keep others from it.
		x.parked = true
		x.cond.Broadcast()
		x.gate.leave()
		x.cond.Wait()
		x.mu.Unlock()
		x.gate.enter()
		x.mu.Lock()
		x.parked = false
	}
	if x.gone != nil {
		return 0, x.gone
	}
	if len(x.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, x.in)
	x.in = x.in[n:]
	return n, nil
}

func (x *wire) readInline(p []byte) (int, error) {
	switch {
	case len(x.in) > 0: // came while the handshake ended
		n := copy(p, x.in)
		if x.in = x.in[n:]; len(x.in) == 0 {
			x.in = nil
		}
		return n, nil
	case len(x.fresh) > 0:
		n := copy(p, x.fresh)
		x.fresh = x.fresh[n:]
		return n, nil
	}
	return 0, errAgain
}

// Write implements net.Conn; it never refuses, since crypto/tls remembers every failed write.
func (x *wire) Write(p []byte) (int, error) {
	if x.inline {
		x.raw.Write(p)
		return len(p), nil
	}
	x.mu.Lock()
	x.out = append(x.out, p...)
	tell := !x.posted
	x.posted = true
	x.mu.Unlock()
	if tell {
		x.notify()
	}
	return len(p), nil
}

// feed gives bytes to the handshake.
func (x *wire) feed(p []byte) {
	x.mu.Lock()
	x.in = append(x.in, p...)
	x.mu.Unlock()
	x.cond.Broadcast()
}

// finish tells the handshake that no more bytes come.
func (x *wire) finish() {
	x.mu.Lock()
	x.last = true
	x.mu.Unlock()
	x.cond.Broadcast()
}

// fail ends the handshake's reads.
func (x *wire) fail(err error) {
	x.mu.Lock()
	if x.gone == nil {
		x.gone = err
	}
	x.mu.Unlock()
	x.cond.Broadcast()
}

// take is what the handshake wrote since the last call.
func (x *wire) take() []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	b := x.out
	x.out, x.posted = nil, false
	return b
}

// end marks that the handshake's goroutine touches the wire no more.
func (x *wire) end() {
	x.mu.Lock()
	x.ended = true
	x.mu.Unlock()
	x.cond.Broadcast()
}

// settle waits until the handshake waits for bytes or is over; it makes a simulation deterministic.
func (x *wire) settle() {
	x.mu.Lock()
	for !x.ended && (!x.parked || len(x.in) > 0 || x.gone != nil || x.last) {
		x.cond.Wait()
	}
	x.mu.Unlock()
}

// Close implements net.Conn.
func (x *wire) Close() error { return nil }

// LocalAddr implements net.Conn.
func (x *wire) LocalAddr() net.Addr { return address(x.raw.Origin().Local) }

// RemoteAddr implements net.Conn; crypto/tls uses it as a key of sessions for servers without a name.
func (x *wire) RemoteAddr() net.Addr { return address(x.raw.Origin().Remote) }

// SetDeadline implements net.Conn; the worker's timers bound the handshake.
func (x *wire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (x *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (x *wire) SetWriteDeadline(time.Time) error { return nil }

type address loop.Address

// Network implements net.Addr.
func (a address) Network() string {
	if loop.Address(a).IsUnix() {
		return "unix"
	}
	return "tcp"
}

// String implements net.Addr.
func (a address) String() string { return loop.Address(a).String() }
