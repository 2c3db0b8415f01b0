package accept

import (
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

const (
	// burst is the number of connections taken from one listener per turn.
	burst = 64
	// rest is how long accepting stops when descriptors or memory run out.
	rest = 100 * time.Millisecond
)

// ListenerOptions say what a Listener does with what it accepts.
type ListenerOptions struct {
	// OriginalDst restores the original destination (SO_ORIGINAL_DST; with Transparent the local address is it).
	OriginalDst bool
	Transparent bool
	// Refuse, if set, is asked with the origin before a connection is handed to Accept.
	Refuse func(*loop.Origin) bool
	// MaxConnections bounds what is open at once, 0 for no bound; what is above is closed at once, as Envoy does.
	MaxConnections int
	// Admit, if set, may refuse a connection at once, before anything is spent on it.
	Admit func() bool
	// Open, if set, counts what is open together with other listeners.
	Open *atomic.Int64
	// Accept is called on the connection's worker.
	Accept func(loop.Conn)
}

// Counts are the numbers of a Listener since its start.
type Counts struct {
	// Accepted, Refused (own address, limit) and Failed (no descriptors) connections, and those open now.
	Accepted, Refused, Failed, Open int64
}

// Listener accepts on one worker and hands each bare descriptor to the least loaded one before its first byte.
type Listener struct {
	socket  *Socket
	options ListenerOptions
	home    *loop.Worker
	workers []*loop.Worker
	token   loop.Token
	nap     loop.Alarm
	closed  bool
	paused  bool

	limit    atomic.Int64
	original atomic.Bool

	accepted, refused, failed, open atomic.Int64
}

// Change sets what may change while the socket is open. Safe from any goroutine; it holds for connections accepted later.
func (l *Listener) Change(originalDst bool, maxConnections int) {
	l.original.Store(originalDst)
	l.limit.Store(int64(maxConnections))
}

// Transparent says how the socket was opened.
func (l *Listener) Transparent() bool { return l.options.Transparent }

// Listen begins to accept on home, one of workers. It returns at once; a failure to watch the socket closes it and counts as failed.
func Listen(s *Socket, home *loop.Worker, workers []*loop.Worker, o ListenerOptions) *Listener {
	l := &Listener{socket: s, options: o, home: home, workers: workers}
	l.Change(o.OriginalDst, o.MaxConnections)
	home.Post(func(w *loop.Worker) {
		l.nap.Init(w, l.wake)
		if !l.closed {
			l.wake()
		}
	})
	return l
}

// Address is where the listener listens.
func (l *Listener) Address() loop.Address { return l.socket.Address() }

// Counts are the numbers so far. Safe from any goroutine.
func (l *Listener) Counts() Counts {
	return Counts{l.accepted.Load(), l.refused.Load(), l.failed.Load(), l.open.Load()}
}

// Drain takes what has been connected already, then closes the socket and calls done on the home worker. Safe from any goroutine.
func (l *Listener) Drain(done func()) { l.end(true, done) }

// Leave is Drain without a look at what waits in the socket, which another process has as well.
func (l *Listener) Leave(done func()) { l.end(false, done) }

func (l *Listener) end(empty bool, done func()) {
	l.home.Post(func(w *loop.Worker) {
		if !l.closed {
			for empty && l.take(burst) == burst {
			}
			l.closed = true
			l.nap.Stop()
			w.Forget(l.token)
			_ = l.socket.Close() // nothing is left to do for a listener that cannot be closed
		}
		if done != nil {
			done()
		}
	})
}

// Pause leaves connections with the kernel, or takes them again. Safe from any goroutine.
func (l *Listener) Pause(on bool) {
	l.home.Post(func(w *loop.Worker) {
		if l.closed || l.paused == on {
			return
		}
		if l.paused = on; !on {
			l.wake()
			return
		}
		l.nap.Stop()
		w.Forget(l.token)
		l.token = 0
	})
}

func (l *Listener) wake() {
	if l.paused {
		return
	}
	token, err := l.home.Watch(l.socket, loop.Readable, l)
	if err != nil {
		l.failed.Add(1)
		l.nap.Set(rest)
		return
	}
	l.token = token
}

// OnReady implements loop.Reactor.
func (l *Listener) OnReady(loop.Interest) { l.take(burst) }

// take accepts at most n connections and says how many.
func (l *Listener) take(n int) int {
	for i := range n {
		fd, remote, err := unix.Accept4(l.socket.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			l.hand(fd, loop.FromSockaddr(remote))
		case errors.Is(err, unix.EAGAIN):
			return i
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
			// A level-triggered listener would spin until somebody closes a descriptor.
			l.failed.Add(1)
			l.home.Forget(l.token)
			l.nap.Set(rest)
			return i
		default:
			l.failed.Add(1)
			return i
		}
	}
	return n
}

// hand gives the descriptor to the least loaded worker.
func (l *Listener) hand(fd int, remote loop.Address) {
	l.accepted.Add(1)
	if limit := l.limit.Load(); limit > 0 && l.open.Load() >= limit || l.options.Admit != nil && !l.options.Admit() {
		l.refused.Add(1)
		_ = unix.Close(fd)
		return
	}
	l.count(1)
	to := l.home
	for _, w := range l.workers {
		if w.Load() < to.Load() {
			to = w
		}
	}
	if to == l.home {
		l.adopt(to, fd, remote)
		return
	}
	to.Reserve(1)
	to.Post(func(w *loop.Worker) {
		w.Reserve(-1)
		l.adopt(w, fd, remote)
	})
}

func (l *Listener) count(n int64) {
	l.open.Add(n)
	if l.options.Open != nil {
		l.options.Open.Add(n)
	}
}

func (l *Listener) adopt(w *loop.Worker, fd int, remote loop.Address) {
	s := loop.NewSocket(fd)
	o := l.origin(w, s, fd, remote)
	o.Released = func() { l.count(-1) }
	if l.options.Refuse != nil && l.options.Refuse(&o) {
		l.refused.Add(1)
		l.count(-1)
		_ = s.Close()
		return
	}
	l.options.Accept(w.Adopt(s, 0, o))
}

// origin learns where the connection came from and where it was going.
func (l *Listener) origin(w *loop.Worker, s loop.Socket, fd int, remote loop.Address) loop.Origin {
	o := loop.Origin{Local: l.socket.address, Remote: remote, Accepted: true, At: w.Now()}
	if o.Local.IsUnix() {
		o.Original = o.Local
		return o
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // only latency is lost without it
	if o.Local.Addr().IsUnspecified() || l.options.Transparent {
		o.Local = s.Local()
	}
	if o.Local.Addr().IsLoopback() || o.Local.Addr() == remote.Addr() {
		loop.Near(fd)
	}
	o.Original = o.Local
	switch {
	case !l.original.Load():
	case l.options.Transparent:
		o.Restored = o.Local.Port() != l.socket.address.Port()
	default:
		if to, ok := originalDestination(fd, l.socket.v6); ok && to != o.Local {
			o.Original, o.Restored = to, true
		}
	}
	return o
}
