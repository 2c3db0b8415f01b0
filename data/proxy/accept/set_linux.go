package accept

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/handover"
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
	// Kept are the sockets that outlive this process; nil keeps none.
	Kept *handover.Client
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
	paused  bool

	connections atomic.Int64
}

// Connections is the number of open connections that listeners have accepted. Safe from any goroutine.
func (s *Set) Connections() int { return int(s.connections.Load()) }

// Pause leaves connections with the kernel, or takes them again, on every listener.
func (s *Set) Pause(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = on
	for _, l := range s.open {
		l.Pause(on)
	}
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
					s.release(o)
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
		s.open[a].Pause(s.paused)
	}
	for a, l := range s.open {
		if b := wanted[a]; b != nil {
			l.Change(b.restores(), int(b.MaxConnections))
		} else {
			s.release(l.socket)
			l.Drain(nil)
			delete(s.open, a)
		}
	}
	return nil
}

// release lets the supervisor forget a socket that is about to be closed, so that whoever connects from then on is refused instead of waiting for nobody.
func (s *Set) release(x *Socket) {
	if x.kept != "" {
		_ = s.options.Kept.Release(x.kept) // a supervisor that is gone holds nothing
	}
}

func (s *Set) socket(a loop.Address, l *config.Listener) (*Socket, error) {
	if s.open[a] != nil {
		return nil, fmt.Errorf("listen on %s: transparent cannot change while the socket is open; give the listener another port", a)
	}
	o := BindOptions{Transparent: l.Transparent, V4Too: l.IPv4Compat}
	if s.options.Kept == nil {
		return Bind(a, o)
	}
	key := socketKey(a, l.Transparent, l.IPv4Compat)
	held, err := s.options.Kept.Take(key)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", a, err)
	}
	var socket *Socket
	if held != nil {
		socket, err = inheritFile(held)
	} else if socket, err = Bind(a, o); err == nil {
		if err = s.options.Kept.Keep(key, socket.fd); err != nil {
			_ = socket.Close() // the failure to have it kept is the one to tell
		}
	}
	if err != nil {
		return nil, err
	}
	socket.kept = key
	return socket, nil
}

// socketKey names a socket by all that cannot change while it is open.
func socketKey(a loop.Address, transparent, v4too bool) string {
	if a.IsUnix() {
		return handover.Key("unix", a.Path)
	}
	var options []string
	if transparent {
		options = append(options, "transparent")
	}
	if v4too {
		options = append(options, "ipv4_compat")
	}
	return handover.Key("tcp", a.String(), options...)
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
		Admit:  func() bool { return s.hooks.Admit == nil || s.hooks.Admit(a) },
		Open:   &s.connections,
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
		s.release(l.socket)
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

// Leave stops accepting everywhere without a look at what waits in the sockets: another process accepts there. It calls done when all are closed here.
func (s *Set) Leave(done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drained = true
	var left sync.WaitGroup
	for a, l := range s.open {
		left.Add(1)
		l.Leave(left.Done)
		delete(s.open, a)
	}
	go func() {
		left.Wait()
		done()
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
