package loop

import (
	"errors"
	"math"
	"time"
)

// Time is monotonic, in nanoseconds from an arbitrary start.
type Time int64

// Never is later than every time.
const Never Time = math.MaxInt64

// Add moves t by d, and stays Never when it would pass it.
func (t Time) Add(d time.Duration) Time {
	if d > 0 && t > Never-Time(d) {
		return Never
	}
	return t + Time(d)
}

// Sub is the duration from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// ErrAgain is returned by a Socket instead of blocking.
var ErrAgain = errors.New("would block")

// Descriptor is anything that a Poller of the same driver can watch.
type Descriptor interface {
	// Close releases the descriptor; a Poller must have forgotten it before.
	Close() error
}

// Socket is one non-blocking byte stream of the kernel (or of the simulator).
type Socket interface {
	Descriptor
	// Read returns io.EOF at the peer's half close and ErrAgain when there is nothing.
	Read(p []byte) (int, error)
	// Write takes a prefix of the concatenation of p in one system call, ErrAgain when it takes nothing.
	Write(p [][]byte) (int, error)
	// CloseWrite sends FIN.
	CloseWrite() error
	// Reset makes the following Close send RST.
	Reset()
	// Err is the result of a connect that was in progress, or the pending error (SO_ERROR).
	Err() error
	// Local is the socket's own address.
	Local() Address
}

// Interest is a set of readiness kinds.
type Interest uint8

// The kinds of readiness. Hangup is never asked for: it is reported when both directions ended; Failed when an error is pending.
const (
	Readable Interest = 1 << iota
	Writable
	Hangup
	Failed
)

// Token names a registration; its generation makes events of a closed descriptor harmless. The zero Token is none.
type Token uint64

// Ready is one event of a Poller.
type Ready struct {
	Token  Token
	Events Interest
}

// Poller tells which descriptors are ready, level-triggered.
type Poller interface {
	// Watch begins, changes (was true: the descriptor is watched already) or keeps a registration.
	Watch(d Descriptor, t Token, want Interest, was bool) error
	// Forget ends it.
	Forget(d Descriptor)
	// Wait appends events to into and returns when there is one, when until has come, or after Wake.
	Wait(until Time, into []Ready) ([]Ready, error)
	// Wake ends a Wait from any goroutine.
	Wake()
	// Close releases the poller.
	Close() error
}

// Clock is the worker's time, read once per turn.
type Clock interface {
	Now() Time
	// Wall is the calendar time, for logs and certificates.
	Wall() time.Time
}

// ConnectOptions are the settings of a new outgoing socket.
type ConnectOptions struct {
	// Bind is the source address, zero for the kernel's choice.
	Bind Address
	// Transparent lets Bind be an address that is not this machine's (IP_TRANSPARENT; needs CAP_NET_ADMIN).
	Transparent bool
	// Mark is SO_MARK, 0 for none (needs CAP_NET_ADMIN).
	Mark int
	// Keepalive turns TCP keepalive on with this idle time (seconds resolution); 0 leaves it off. KeepaliveInterval and KeepaliveProbes are the
	// kernel's defaults when 0.
	Keepalive, KeepaliveInterval time.Duration
	KeepaliveProbes              int
}

// Connector begins outgoing connections. The socket becomes Writable when Err tells the result.
type Connector interface {
	Connect(to Address, o ConnectOptions) (Socket, error)
}

// Offloader runs slow work beside the worker; finish is called with the result from any goroutine.
type Offloader interface {
	Offload(work func() any, finish func(any))
	// Inline says that the caller of blocking work must wait for it at once, which makes a simulation deterministic.
	Inline() bool
}
