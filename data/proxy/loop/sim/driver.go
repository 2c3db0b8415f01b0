package sim

import (
	"container/heap"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

type clock Sim

// Now implements loop.Clock.
func (c *clock) Now() loop.Time { return c.now }

// Wall implements loop.Clock.
func (c *clock) Wall() time.Time { return c.wall.Add(time.Duration(c.now)) }

type offloader Sim

// Offload implements loop.Offloader: the work runs inline at a seeded later moment.
func (o *offloader) Offload(work func() any, finish func(any)) {
	s := (*Sim)(o)
	s.schedule(s.now+s.delay(), func() { finish(work()) })
}

// Inline implements loop.Offloader.
func (o *offloader) Inline() bool { return true }

type poller Sim

// Watch implements loop.Poller.
func (p *poller) Watch(d loop.Descriptor, t loop.Token, want loop.Interest, _ bool) error {
	e, ok := d.(*end)
	if !ok {
		return fmt.Errorf("watch %T: not a simulated socket", d)
	}
	if e.closed {
		return unix.EBADF
	}
	e.token, e.want = t, want
	if !e.watched {
		e.watched = true
		p.watched = append(p.watched, e)
	}
	return nil
}

// Forget implements loop.Poller.
func (p *poller) Forget(d loop.Descriptor) {
	if e, ok := d.(*end); ok && e.watched {
		e.watched = false
		p.watched = slices.DeleteFunc(p.watched, func(x *end) bool { return x == e })
	}
}

// Wait implements loop.Poller.
func (p *poller) Wait(until loop.Time, into []loop.Ready) ([]loop.Ready, error) {
	s := (*Sim)(p)
	for {
		for len(s.events) > 0 && s.events[0].at <= s.now {
			heap.Pop(&s.events).(event).fn()
		}
		for _, e := range s.watched {
			if got := e.ready(); got != 0 {
				into = append(into, loop.Ready{Token: e.token, Events: got})
			}
		}
		if len(into) > 0 {
			s.rng.Shuffle(len(into), func(i, j int) { into[i], into[j] = into[j], into[i] })
			if !s.Gentle && len(into) > 1 {
				into = into[:1+s.rng.IntN(len(into))]
			}
			s.now += loop.Time(1 + s.rng.IntN(50_000))
			s.woken = false
			return into, nil
		}
		switch {
		case s.woken || until <= s.now:
			s.woken = false
			return into, nil
		case len(s.events) > 0 && s.events[0].at <= until:
			s.now = s.events[0].at
		case until == loop.Never:
			return into, errIdle
		default:
			s.now = until
			return into, nil
		}
	}
}

// Wake implements loop.Poller.
func (p *poller) Wake() { p.woken = true }

// Close implements loop.Poller.
func (p *poller) Close() error { return nil }

type connector Sim

// Connect implements loop.Connector.
func (c *connector) Connect(to loop.Address, o loop.ConnectOptions) (loop.Socket, error) {
	s := (*Sim)(c)
	from := o.Bind
	if from.IsZero() {
		from = s.address()
	}
	a, b := s.pair(from, to)
	if s.silent[to] {
		return a, nil
	}
	s.schedule(s.now+s.delay(), func() {
		if a.closed {
			return
		}
		accept := s.listeners[to]
		if accept == nil {
			a.err, a.connected, a.reset = unix.ECONNREFUSED, true, true
			return
		}
		a.connected, b.connected = true, true
		s.worker.Post(func(w *loop.Worker) {
			accept(w.Adopt(b, 0, loop.Origin{Local: to, Original: to, Remote: from, Accepted: true, At: w.Now()}))
		})
	})
	return a, nil
}
