// Package sim runs a loop.Worker on a simulated network and clock.
//
// In: a seed. Out: the same order of partial reads and writes, delays, spurious wake-ups and resets for the same seed, in virtual time: an hour of
// time-outs passes in a moment. Everything, the tests' own handlers included, runs on the caller's goroutine inside Run.
package sim

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// errIdle ends a wait when nothing can happen any more.
var errIdle = errors.New("nothing left to happen")

// Sim is a network, a clock and one worker. The fields may be changed between runs.
type Sim struct {
	// MaxDelay bounds the seeded delay of each segment.
	MaxDelay time.Duration
	// Capacity is the number of bytes that one direction of a pipe holds.
	Capacity int
	// Gentle turns partial reads and writes and spurious wake-ups off.
	Gentle bool
	// Spliced counts the bytes that went through pipes.
	Spliced int

	rng       *rand.Rand
	now       loop.Time
	wall      time.Time
	worker    *loop.Worker
	events    agenda
	seq       uint64
	watched   []*end
	woken     bool
	listeners map[loop.Address]func(loop.Conn)
	silent    map[loop.Address]bool
	port      uint16
}

// New makes a simulation; the same seed gives the same run.
func New(seed uint64) *Sim {
	s := &Sim{
		MaxDelay: 2 * time.Millisecond, Capacity: 64 << 10, rng: rand.New(rand.NewPCG(seed, 1)), now: loop.Time(time.Second),
		wall: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), listeners: map[loop.Address]func(loop.Conn){}, silent: map[loop.Address]bool{}, port: 40000,
	}
	s.worker = loop.New(loop.Options{Poller: (*poller)(s), Clock: (*clock)(s), Connector: (*connector)(s), Offloader: (*offloader)(s), Pipe: s.pipe, Seed: seed})
	return s
}

// Worker is the simulated worker.
func (s *Sim) Worker() *loop.Worker { return s.worker }

// Rand is the simulation's source of randomness, for tests that vary their own behaviour by the seed.
func (s *Sim) Rand() *rand.Rand { return s.rng }

// Run turns the worker until d of virtual time has passed or nothing is left to happen.
func (s *Sim) Run(d time.Duration) { s.RunUntil(d, func() bool { return false }) }

// RunUntil turns the worker until done says so, and returns whether it did within d of virtual time.
func (s *Sim) RunUntil(d time.Duration, done func() bool) bool {
	for end := s.now.Add(d); s.now < end; {
		if done() {
			return true
		}
		if err := s.worker.Turn(end); err != nil {
			if errors.Is(err, errIdle) || errors.Is(err, loop.ErrStopped) {
				return done()
			}
			panic(fmt.Sprintf("simulated worker: %v", err))
		}
	}
	return done()
}

// Now is the virtual time.
func (s *Sim) Now() loop.Time { return s.now }

// address invents a client address.
func (s *Sim) address() loop.Address {
	s.port++
	return loop.TCP(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 0, 1}), s.port))
}

// Pipe is a connected pair on the worker: what is written to one end is read from the other.
func (s *Sim) Pipe() (client, server loop.Conn) {
	to := loop.TCP(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 9, 0, 2}), 80))
	return s.PipeWith(loop.Origin{Local: to, Original: to, Remote: s.address(), Accepted: true})
}

// PipeWith is Pipe where the server's side has the given origin.
func (s *Sim) PipeWith(server loop.Origin) (client, srv loop.Conn) {
	a, b := s.pair(server.Remote, server.Local)
	a.connected, b.connected = true, true
	client = s.worker.Adopt(a, 0, loop.Origin{Local: server.Remote, Remote: server.Local, Original: server.Local, At: s.now})
	server.At = s.now
	return client, s.worker.Adopt(b, 0, server)
}

// Listen makes connects to addr succeed: accept gets the server's end.
func (s *Sim) Listen(addr loop.Address, accept func(loop.Conn)) { s.listeners[addr] = accept }

// Refuse undoes Listen: connects are refused, as they are for every unknown address.
func (s *Sim) Refuse(addr loop.Address) { delete(s.listeners, addr) }

// Silence makes connects to addr time out.
func (s *Sim) Silence(addr loop.Address) { s.silent[addr] = true }

// At runs fn after d of virtual time, as part of a turn.
func (s *Sim) At(d time.Duration, fn func()) {
	s.schedule(s.now.Add(d), func() { s.worker.Post(func(*loop.Worker) { fn() }) })
}

func (s *Sim) schedule(at loop.Time, fn func()) {
	s.seq++
	heap.Push(&s.events, event{at, s.seq, fn})
}

func (s *Sim) delay() loop.Time {
	if s.MaxDelay <= 0 {
		return 1
	}
	return loop.Time(s.rng.Int64N(int64(s.MaxDelay))) + 1
}

type event struct {
	at  loop.Time
	seq uint64
	fn  func()
}

type agenda []event

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (a agenda) Len() int { return len(a) }

// Less orders by time, then by age.
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].seq < a[j].seq
}

// Swap implements heap.Interface.
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }

// Push implements heap.Interface.
func (a *agenda) Push(x any) { *a = append(*a, x.(event)) }

// Pop implements heap.Interface.
func (a *agenda) Pop() any {
	old := *a
	x := old[len(old)-1]
	old[len(old)-1] = event{}
	*a = old[:len(old)-1]
	return x
}
