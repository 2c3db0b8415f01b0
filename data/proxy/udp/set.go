package udp

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// Options are the parts that a Set works with, one of each by worker.
type Options struct {
	Workers   []*loop.Worker
	Shards    []*stats.Shard
	Upstreams []Upstreams
	Registry  *stats.Registry
	Mark      int   // SO_MARK of sockets towards endpoints; 0 for none
	Table     Table // nil: no datagrams are captured
	// Log is called on workers when a session is over whose listener has access logs; nil for none.
	Log func(worker int, e *Ended)
}

// Set is the UDP listeners of a proxy as a config wants them. Apply and Close may be called from any goroutine.
type Set struct {
	options Options
	engines []*engine

	mu   sync.Mutex
	open map[netip.AddrPort]*listening
	led  map[netip.Addr]destination // by alias

	captured destinations // in force
}

// listening is one address with a port on each worker.
type listening struct {
	name  string
	at    *config.Listener
	ports []*port
}

// NewSet makes an empty set.
func NewSet(o Options) *Set {
	s := &Set{options: o, open: map[netip.AddrPort]*listening{}}
	for i, w := range o.Workers {
		s.engines = append(s.engines, &engine{w: w, shard: o.Shards[i], upstreams: o.Upstreams[i], registry: o.Registry, log: o.Log, mark: o.Mark})
	}
	return s
}

// Apply opens what is new and closes what is gone; a listener that has changed begins its sessions anew. When it fails nothing has changed, but sessions of captured datagrams
// may begin anew.
func (s *Set) Apply(listeners []*config.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted, captured := map[netip.AddrPort]*config.Listener{}, destinations{}
	for _, l := range listeners {
		if l.Datagrams == nil {
			continue
		}
		if !l.Bind {
			if err := captured.add(l); err != nil {
				return err
			}
			continue
		}
		for _, a := range append([]netip.AddrPort{l.Address}, l.Extra...) {
			if other := wanted[a]; other != nil {
				return fmt.Errorf("listener %s: address %s (UDP) is taken by listener %s; give one of them another port", l.Name, a, other.Name)
			}
			wanted[a] = l
		}
	}
	fresh := map[netip.AddrPort]*listening{}
	for a, l := range wanted {
		if o := s.open[a]; o != nil && alike(o.at.Datagrams, l.Datagrams) && o.at.IPv4Compat == l.IPv4Compat && o.at.UseOriginalDst == l.UseOriginalDst {
			s.renew(o, l)
			continue
		}
		o, err := s.listen(a, l)
		if err != nil {
			for _, f := range fresh {
				f.drop()
			}
			return fmt.Errorf("listener %s: %w", l.Name, err)
		}
		fresh[a] = o
	}
	if err := s.lead(captured, wanted, fresh); err != nil {
		for _, f := range fresh {
			f.drop()
		}
		return err
	}
	for a, o := range s.open {
		if wanted[a] == nil || fresh[a] != nil {
			s.end(o)
			delete(s.open, a)
		}
	}
	for a, o := range fresh {
		s.open[a] = o
		s.begin(o)
	}
	return nil
}

// renew lets sessions that go on be logged as a listener that is alike says.
func (s *Set) renew(o *listening, l *config.Listener) {
	if o.at == l {
		return
	}
	o.at = l
	for i, p := range o.ports {
		s.options.Workers[i].Post(func(*loop.Worker) { p.course.config = l.Datagrams })
	}
}

// listen opens the sockets of an address, which nobody reads yet.
func (s *Set) listen(a netip.AddrPort, l *config.Listener) (*listening, error) {
	o := &listening{name: l.Name, at: l}
	for _, e := range s.engines {
		sock, err := bind(a, l.IPv4Compat, l.UseOriginalDst)
		if err != nil {
			o.drop()
			return nil, err
		}
		p := &port{e: e, at: a.String(), socket: sock, sessions: map[client]*session{}}
		p.course = &course{config: l.Datagrams, counters: newCounters(s.options.Registry, l.Datagrams.Stat, p.at)}
		if l.UseOriginalDst {
			p.captured = map[netip.Addr]*course{}
		}
		o.ports = append(o.ports, p)
	}
	return o, nil
}

// drop closes sockets that no worker has.
func (o *listening) drop() {
	for _, p := range o.ports {
		_ = p.socket.Close() // nobody has used it
	}
}

func (s *Set) begin(o *listening) {
	for i, p := range o.ports {
		s.options.Workers[i].Post(func(w *loop.Worker) {
			var err error
			if p.token, err = w.Watch(p.socket, loop.Readable, p); err != nil {
				p.e.shard.Inc(p.course.counters.rxErrors)
			}
		})
	}
}

func (s *Set) end(o *listening) {
	for i, p := range o.ports {
		s.options.Workers[i].Post(func(*loop.Worker) { p.close() })
	}
}

// Close ends everything.
func (s *Set) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a, o := range s.open {
		s.end(o)
		delete(s.open, a)
	}
}

// Status is one address that is listened on.
type Status struct{ Name, Address string }

// Open lists them.
func (s *Set) Open() (all []Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a, o := range s.open {
		all = append(all, Status{o.name, a.String()})
	}
	return all
}
