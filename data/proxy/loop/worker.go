package loop

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// ReadBufferSize is the size of the buffer into which a worker reads, shared by its connections.
const ReadBufferSize = 64 << 10

// maxIOV is the number of pieces in one gathered write.
const maxIOV = 32

// Reactor is called when a watched descriptor is ready. Connections are reactors; accept and dial bring their own.
type Reactor interface {
	OnReady(events Interest)
}

// Options make a Worker. Poller, Clock, Connector and Offloader must be set.
type Options struct {
	Index     int
	Poller    Poller
	Clock     Clock
	Connector Connector
	Offloader Offloader
	// Pipe makes a pipe for Relay; nil for a driver that has none.
	Pipe func() (Pipe, error)
	Seed uint64
}

// Worker owns connections, timers and buffers on one goroutine.
type Worker struct {
	index     int
	poller    Poller
	clock     Clock
	connector Connector
	offloader Offloader
	newPipe   func() (Pipe, error)
	rand      *rand.PCG

	now     Time
	wall    time.Time
	hasWall bool

	wheel  wheel
	pool   pool
	read   []byte
	clear  []byte // where TLS puts plaintext
	iov    [][]byte
	pipes  []Pipe // empty
	piping int    // pipes that hold something
	ready  []Ready

	slots []slot
	vacan []uint32

	attend, attending []*plain
	flushes, flushing []*plain
	after             []func()

	live    *plain // list of connections
	load    atomic.Int64
	held    atomic.Int64
	offload atomic.Int64

	mail    mailbox
	stopped bool
}

type slot struct {
	generation uint32
	reactor    Reactor
	descriptor Descriptor
	want       Interest
	watched    bool
}

// New makes a worker; call Run or Turn on the goroutine that is to own it.
func New(o Options) *Worker {
	w := &Worker{
		index: o.Index, poller: o.Poller, clock: o.Clock, connector: o.Connector, offloader: o.Offloader, newPipe: o.Pipe,
		rand: rand.NewPCG(o.Seed, uint64(o.Index)+1), read: make([]byte, ReadBufferSize), iov: make([][]byte, 0, maxIOV),
	}
	w.now = w.clock.Now()
	w.wheel.elapsed = uint64(w.now / wheelTick)
	w.slots = append(w.slots, slot{}) // so that no Token is zero
	return w
}

// Index is the worker's number, from 0.
func (w *Worker) Index() int { return w.index }

// Load is the number of open connections, for handing over new ones. Safe from any goroutine.
func (w *Worker) Load() int { return int(w.load.Load()) }

// Reserve counts n connections that are on their way to this worker, or arrived (negative). Safe from any goroutine.
func (w *Worker) Reserve(n int) { w.load.Add(int64(n)) }

// BufferBytes is the memory in pooled buffers that connections held at the end of the last turn. Safe from any goroutine.
func (w *Worker) BufferBytes() int { return int(w.held.Load()) }

// Timers is the number of timers that are set.
func (w *Worker) Timers() int { return w.wheel.count }

// Now is the monotonic time, read once per turn.
func (w *Worker) Now() Time { return w.now }

// Wall is the calendar time, read at most once per turn.
func (w *Worker) Wall() time.Time {
	if !w.hasWall {
		w.wall, w.hasWall = w.clock.Wall(), true
	}
	return w.wall
}

// Rand is 64 random bits, seeded in the simulator. Not for secrets.
func (w *Worker) Rand() uint64 { return w.rand.Uint64() }

// After calls fn once, d from now (up to 1 ms late). See Alarm for a timer that is set often.
func (w *Worker) After(d time.Duration, fn func()) Timer {
	a := w.wheel.take(w, fn)
	a.Set(d)
	return Timer{a, a.generation}
}

// Defer calls fn later in this turn, after the callbacks that are running and before queues are flushed.
func (w *Worker) Defer(fn func()) { w.after = append(w.after, fn) }

// Post calls fn on the worker's goroutine. Safe from any goroutine; the only way in.
func (w *Worker) Post(fn func(*Worker)) {
	if w.mail.put(fn) {
		w.poller.Wake()
	}
}

// Offload runs work in another goroutine and hands its result to done on the worker.
func (w *Worker) Offload(work func() any, done func(any)) {
	w.offload.Add(1)
	w.offloader.Offload(work, func(v any) {
		w.Post(func(*Worker) {
			w.offload.Add(-1)
			done(v)
		})
	})
}

// Inline says whether offloaded work runs at once (in the simulator).
func (w *Worker) Inline() bool { return w.offloader.Inline() }

// Connect begins an outgoing connection; package dial waits for it.
func (w *Worker) Connect(to Address, o ConnectOptions) (Socket, error) {
	return w.connector.Connect(to, o)
}

// PlainBuffer is the worker's second shared buffer, ReadBufferSize long, for a transport that transforms what is read (TLS).
func (w *Worker) PlainBuffer() []byte {
	if w.clear == nil {
		w.clear = make([]byte, ReadBufferSize)
	}
	return w.clear
}

// Watch registers a descriptor and calls r when it is ready.
func (w *Worker) Watch(d Descriptor, want Interest, r Reactor) (Token, error) {
	var i uint32
	if n := len(w.vacan); n > 0 {
		i = w.vacan[n-1]
		w.vacan = w.vacan[:n-1]
	} else {
		i = uint32(len(w.slots))
		w.slots = append(w.slots, slot{})
	}
	s := &w.slots[i]
	s.reactor, s.descriptor, s.want, s.watched = r, d, want, false
	t := Token(i) | Token(s.generation)<<32
	if err := w.poller.Watch(d, t, want, false); err != nil {
		w.release(i)
		return 0, fmt.Errorf("watch descriptor: %w", err)
	}
	s.watched = true
	return t, nil
}

func (w *Worker) find(t Token) *slot {
	i := uint32(t)
	if t == 0 || int(i) >= len(w.slots) || w.slots[i].generation != uint32(t>>32) || w.slots[i].descriptor == nil {
		return nil
	}
	return &w.slots[i]
}

// Change sets what is waited for. With nothing (0) a failure and a hang-up are still told.
func (w *Worker) Change(t Token, want Interest) error {
	s := w.find(t)
	if s == nil || s.want == want && (s.watched || want == 0) {
		return nil
	}
	s.want = want
	err := w.poller.Watch(s.descriptor, t, want, s.watched)
	s.watched = err == nil
	return err
}

// Mute takes a descriptor that waits for nothing out of the poller until the next Change, so that its hang-up cannot spin.
func (w *Worker) Mute(t Token) {
	if s := w.find(t); s != nil && s.watched && s.want == 0 {
		w.poller.Forget(s.descriptor)
		s.watched = false
	}
}

// Forget ends a registration; the descriptor is not closed.
func (w *Worker) Forget(t Token) {
	s := w.find(t)
	if s == nil {
		return
	}
	if s.watched {
		w.poller.Forget(s.descriptor)
	}
	w.release(uint32(t))
}

func (w *Worker) release(i uint32) {
	w.slots[i] = slot{generation: w.slots[i].generation + 1}
	w.vacan = append(w.vacan, i)
}

// ErrStopped is returned by Turn after Stop.
var ErrStopped = errors.New("worker stopped")

// Run turns until Stop, then aborts what is open and closes the poller.
func (w *Worker) Run() error {
	for {
		err := w.Turn(Never)
		if err == nil {
			continue
		}
		if errors.Is(err, ErrStopped) {
			err = nil
		}
		w.closePipes()
		return errors.Join(err, w.poller.Close())
	}
}

// Stop ends Run at its next turn. Safe from any goroutine.
func (w *Worker) Stop() { w.Post(func(w *Worker) { w.stopped = true }) }

// Turn waits until something happens, at most until limit, and handles it.
func (w *Worker) Turn(limit Time) error {
	until := min(limit, w.wheel.next())
	if w.mail.waiting() || len(w.attend)+len(w.flushes)+len(w.after) > 0 {
		until = 0 // what was asked for between turns must not wait for an event
	}
	if w.offload.Load() > 0 {
		yield()
	}
	var err error
	w.ready, err = w.poller.Wait(until, w.ready[:0])
	if err != nil {
		return fmt.Errorf("wait for events: %w", err)
	}
	w.now, w.hasWall = w.clock.Now(), false
	if w.mail.waiting() {
		for _, fn := range w.mail.take() {
			fn(w)
		}
	}
	w.wheel.advance(w.now)
	for _, r := range w.ready {
		if s := w.find(r.Token); s != nil {
			s.reactor.OnReady(r.Events)
		}
	}
	if w.stopped {
		w.abortAll()
	}
	w.settle()
	if held := int64(w.pool.inUse); held != w.held.Load() {
		w.held.Store(held)
	}
	if w.stopped {
		return ErrStopped
	}
	return nil
}

// settle ends the turn: first everything that calls handlers, then one flush per connection; a flush may give new work to handlers.
func (w *Worker) settle() {
	for len(w.attend)+len(w.flushes)+len(w.after) > 0 {
		for len(w.attend)+len(w.after) > 0 {
			w.attend, w.attending = w.attending[:0], w.attend
			for i, c := range w.attending {
				w.attending[i] = nil
				c.attended = false
				c.attendTo()
			}
			for i := 0; i < len(w.after); i++ {
				fn := w.after[i]
				w.after[i] = nil
				fn()
			}
			w.after = w.after[:0]
		}
		w.flushes, w.flushing = w.flushing[:0], w.flushes
		for i, c := range w.flushing {
			w.flushing[i] = nil
			c.flushQueued = false
			c.flush()
		}
	}
}

// Conns calls fn for each open connection.
func (w *Worker) Conns(fn func(Conn)) {
	for c := w.live; c != nil; {
		next := c.next
		fn(c)
		c = next
	}
}

func (w *Worker) abortAll() {
	for c := w.live; c != nil; {
		next := c.next
		c.Abort(false)
		c = next
	}
}

// mailbox is the way in from other goroutines.
type mailbox struct {
	mu     sync.Mutex
	in     []func(*Worker)
	out    []func(*Worker)
	signal atomic.Bool // something was put since the last take
}

// put says whether the worker must be woken.
func (m *mailbox) put(fn func(*Worker)) bool {
	m.mu.Lock()
	m.in = append(m.in, fn)
	m.mu.Unlock()
	return m.signal.CompareAndSwap(false, true)
}

func (m *mailbox) waiting() bool { return m.signal.Load() }

// take empties the box; the slice is valid until the next take.
func (m *mailbox) take() []func(*Worker) {
	m.signal.Store(false)
	clear(m.out)
	m.mu.Lock()
	m.in, m.out = m.out[:0], m.in
	m.mu.Unlock()
	return m.out
}
