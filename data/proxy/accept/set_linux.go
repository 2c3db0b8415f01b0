package accept

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
)

// SetOptions are the parts that a Set works with.
type SetOptions struct {
	// Workers take the connections; at least one.
	Workers []*loop.Worker
	// Secrets resolve the certificates of filter chains.
	Secrets tls.Secrets
	// Gate bounds the handshakes that compute at once; nil for no bound.
	Gate tls.Gate
	// Inherited are listening sockets of another process by the address that a config names.
	Inherited map[loop.Address]*Socket
	// ReusePort opens sockets with SO_REUSEPORT, for a hand-over between processes.
	ReusePort bool
	// Counters count what listener filters see; nil for nothing.
	Counters *Counters
}

// Set is the listeners of a proxy as a config wants them. Apply and Drain may be called from any goroutine.
type Set struct {
	options SetOptions
	hooks   Hooks
	current atomic.Pointer[table]

	mu      sync.Mutex
	open    map[loop.Address]*Listener
	drained bool
}

// NewSet makes an empty set.
func NewSet(o SetOptions, h Hooks) *Set {
	s := &Set{options: o, hooks: h, open: map[loop.Address]*Listener{}}
	s.current.Store(&table{})
	return s
}

// ErrDraining is returned by Apply after Drain.
var ErrDraining = errors.New("listeners are draining")

// Check compiles listeners without taking them over; the error is what Apply would say of their TLS and addresses.
func (s *Set) Check(listeners []*config.Listener) error {
	_, err := s.compile(listeners)
	return err
}

// Apply opens what is new, publishes, and drains what is gone. When it fails nothing has changed; the error names listener, address and field.
func (s *Set) Apply(listeners []*config.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained {
		return ErrDraining
	}
	t, err := s.compile(listeners)
	if err != nil {
		return err
	}
	wanted := map[loop.Address]*bound{}
	opened := map[loop.Address]*Socket{}
	for _, b := range t.all {
		if !b.Bind {
			continue
		}
		for _, a := range addresses(b.Listener) {
			wanted[a] = b
			if l := s.open[a]; l != nil && l.Transparent() == b.Transparent {
				continue
			}
			socket, err := s.socket(a, b.Listener)
			if err != nil {
				for _, o := range opened {
					_ = o.Close() // the failure to open is the one to tell
				}
				return fmt.Errorf("listener %s: %w", b.Name, err)
			}
			opened[a] = socket
		}
	}
	s.current.Store(t)
	for a, socket := range opened {
		home := s.options.Workers[int(a.Port())%len(s.options.Workers)]
		s.open[a] = Listen(socket, home, s.options.Workers, s.listenerOptions(a, wanted[a]))
	}
	for a, l := range s.open {
		if b := wanted[a]; b != nil {
			l.Change(b.restores(), int(b.MaxConnections))
		} else {
			l.Drain(nil)
			delete(s.open, a)
		}
	}
	return nil
}

func (s *Set) socket(a loop.Address, l *config.Listener) (*Socket, error) {
	if s.open[a] != nil {
		return nil, fmt.Errorf("listen on %s: transparent cannot change while the socket is open; give the listener another port", a)
	}
	if inherited := s.options.Inherited[a]; inherited != nil {
		// The copy is drained like any other socket, and the original can be given again.
		fd, err := unix.FcntlInt(uintptr(inherited.FD()), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: duplicate the inherited socket: %w", a, err)
		}
		return Inherit(fd)
	}
	return Bind(a, BindOptions{Transparent: l.Transparent, ReusePort: s.options.ReusePort, V4Too: l.IPv4Compat})
}

// listenerOptions: everything is looked up when a connection comes, so that a changed listener keeps its socket.
func (s *Set) listenerOptions(a loop.Address, b *bound) ListenerOptions {
	return ListenerOptions{
		OriginalDst: b.restores(), Transparent: b.Transparent, MaxConnections: int(b.MaxConnections),
		Refuse: func(o *loop.Origin) bool {
			t := s.current.Load()
			b := t.at[a]
			if b == nil || !t.loops(b, o) {
				return b == nil
			}
			if f := s.hooks.Refused; f != nil {
				f(b.Listener, o, CircularPath)
			}
			return true
		},
		Accept: func(c loop.Conn) { s.Take(a, c) },
	}
}

// Take sends a connection that came to an address on its way: one that a socket of the set accepted, or that came otherwise. Where no listener has the address it is
// closed. It is called on the connection's worker.
func (s *Set) Take(at loop.Address, c loop.Conn) {
	t := s.current.Load()
	if b := t.at[at]; b != nil {
		s.enter(t, b, c)
		return
	}
	c.Abort(false)
}

// Again finds the listener of a name as it is now, and the chain that an open connection would get there: nil when none takes it. Safe from any goroutine.
func (s *Set) Again(name string, o *loop.Origin) (*config.Listener, *config.Chain) {
	b := s.current.Load().named[name]
	if b == nil {
		return nil, nil
	}
	if c := b.choose(o); c != nil {
		return b.Listener, c.Chain
	}
	return b.Listener, nil
}

// Drain stops accepting on every listener, or on those that only says yes to, and calls done when all sockets are closed. Without only, Apply opens
// nothing any more.
func (s *Set) Drain(only func(*config.Listener) bool, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drained = s.drained || only == nil
	t := s.current.Load()
	var left sync.WaitGroup
	for a, l := range s.open {
		if b := t.at[a]; only != nil && b != nil && !only(b.Listener) {
			continue
		}
		left.Add(1)
		l.Drain(left.Done)
		delete(s.open, a)
	}
	go func() {
		left.Wait()
		if done != nil {
			done()
		}
	}()
}

// Status is one open socket.
type Status struct {
	Name, Address string
	Counts        Counts
}

// Open lists the open sockets in the order of their addresses.
func (s *Set) Open() (all []Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.current.Load()
	for a, l := range s.open {
		name := ""
		if b := t.at[a]; b != nil {
			name = b.Name
		}
		all = append(all, Status{name, l.Address().String(), l.Counts()})
	}
	slices.SortFunc(all, func(x, y Status) int { return strings.Compare(x.Address, y.Address) })
	return all
}
