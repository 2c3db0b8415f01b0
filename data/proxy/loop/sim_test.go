package loop_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/loop/sim"
)

// seeds is the number of simulated runs per property.
func seeds(t *testing.T) uint64 {
	if testing.Short() {
		return 100
	}
	return 1000
}

// pump writes random blocks with back-pressure, then half closes; it consumes what comes in random bites and pauses now and then.
type pump struct {
	t      *testing.T
	rng    *rand.Rand
	conn   loop.Conn
	send   []byte
	sent   int
	got    []byte
	eof    bool
	closed int
	err    error
	after  bool // a call after OnClose
	most   int  // largest queue seen
}

func newPump(t *testing.T, rng *rand.Rand, c loop.Conn, n int) *pump {
	p := &pump{t: t, rng: rng, conn: c, send: make([]byte, n)}
	for i := range p.send {
		p.send[i] = byte(rng.Uint32())
	}
	c.SetHandler(p)
	return p
}

func (p *pump) push() {
	for p.sent < len(p.send) && p.conn.Buffered() <= loop.HighWatermark {
		n := 1 + p.rng.IntN(min(40000, len(p.send)-p.sent))
		p.conn.Write(p.send[p.sent : p.sent+n])
		p.sent += n
		p.most = max(p.most, p.conn.Buffered())
		if p.rng.IntN(8) == 0 {
			p.conn.Worker().After(time.Duration(p.rng.IntN(3))*time.Millisecond, p.push)
			return
		}
	}
	if p.sent == len(p.send) {
		p.conn.CloseWrite()
	}
}

func (p *pump) OnData(b []byte) int {
	p.after = p.after || p.closed > 0
	n := len(b)
	if p.rng.IntN(4) == 0 {
		n = p.rng.IntN(len(b) + 1)
		// What is left must be asked for, or it waits for more bytes.
		p.conn.PauseRead()
		p.conn.Worker().After(time.Duration(p.rng.IntN(4))*time.Millisecond, p.conn.ResumeRead)
	}
	p.got = append(p.got, b[:n]...)
	return n
}
func (p *pump) OnEOF()            { p.eof = true }
func (p *pump) OnWritable()       { p.push() }
func (p *pump) OnClose(err error) { p.closed++; p.err = err }

func TestNothingIsLostOrReordered(t *testing.T) {
	for seed := range seeds(t) {
		s := sim.New(seed)
		s.Capacity = 1 + s.Rand().IntN(64<<10)
		if s.Capacity < 2000 {
			s.Capacity += 2000
		}
		c, srv := s.Pipe()
		a := newPump(t, s.Rand(), c, s.Rand().IntN(200000))
		b := newPump(t, s.Rand(), srv, s.Rand().IntN(20000))
		s.At(0, a.push)
		s.At(0, b.push)
		if !s.RunUntil(time.Hour, func() bool { return a.closed > 0 && b.closed > 0 }) {
			t.Fatalf("seed %d: not closed: %+v %+v", seed, state(a), state(b))
		}
		s.Run(time.Second)
		if !bytes.Equal(a.got, b.send) || !bytes.Equal(b.got, a.send) {
			t.Fatalf("seed %d: bytes differ: %v %v", seed, state(a), state(b))
		}
		if !a.eof || !b.eof || a.closed != 1 || b.closed != 1 || a.err != nil || b.err != nil || a.after || b.after {
			t.Fatalf("seed %d: ended badly: %v %v", seed, state(a), state(b))
		}
		if w := s.Worker(); w.BufferBytes() != 0 || w.Load() != 0 {
			t.Fatalf("seed %d: %d buffered bytes and %d connections are left", seed, w.BufferBytes(), w.Load())
		}
		if a.most > loop.HighWatermark+40000 {
			t.Fatalf("seed %d: queue of %d bytes", seed, a.most)
		}
	}
}

func state(p *pump) any {
	return struct {
		sent, of, got, queued int
		eof                   bool
		closed                int
		err                   error
	}{p.sent, len(p.send), len(p.got), p.conn.Buffered(), p.eof, p.closed, p.err}
}

func TestResetEndsBothOnceWithAPrefix(t *testing.T) {
	for seed := range seeds(t) {
		s := sim.New(seed)
		c, srv := s.Pipe()
		a := newPump(t, s.Rand(), c, 100000)
		b := newPump(t, s.Rand(), srv, 100000)
		s.At(0, a.push)
		s.At(0, b.push)
		s.At(time.Duration(s.Rand().IntN(12))*time.Millisecond, func() { c.Abort(true) })
		s.Run(time.Hour)
		if a.closed != 1 || b.closed != 1 || a.after || b.after {
			t.Fatalf("seed %d: %v %v", seed, state(a), state(b))
		}
		if a.err != nil {
			t.Fatalf("seed %d: own abort told as %v", seed, a.err)
		}
		if b.err == nil && (len(b.got) < len(a.send) || a.closed == 0) {
			t.Fatalf("seed %d: the peer's reset was told as an orderly close: %v", seed, state(b))
		}
		if !bytes.HasPrefix(a.send, b.got) || !bytes.HasPrefix(b.send, a.got) {
			t.Fatalf("seed %d: not a prefix", seed)
		}
		if w := s.Worker(); w.BufferBytes() != 0 || w.Load() != 0 {
			t.Fatalf("seed %d: %d buffered bytes and %d connections are left", seed, w.BufferBytes(), w.Load())
		}
	}
}

func TestResetReachesAPausedReader(t *testing.T) {
	s := sim.New(1)
	c, srv := s.Pipe()
	a, b := &sim.Recorder{}, &sim.Recorder{}
	c.SetHandler(a)
	srv.SetHandler(b)
	srv.PauseRead()
	s.At(0, func() { c.Write([]byte("x")) })
	s.At(50*time.Millisecond, func() { c.Abort(true) })
	s.Run(time.Second)
	if b.Closed != 1 || b.Err == nil {
		t.Fatalf("closed %d times, %v", b.Closed, b.Err)
	}
}

// A paused half-closed connection is hung up for the kernel; the worker must not spin on it.
func TestHangupOfPausedReaderDoesNotSpin(t *testing.T) {
	s := sim.New(1)
	s.Gentle = true
	c, srv := s.Pipe()
	a, b := &sim.Recorder{}, &sim.Recorder{}
	c.SetHandler(a)
	srv.SetHandler(b)
	srv.PauseRead()
	s.At(0, func() { c.Write([]byte("late")); c.CloseWrite(); srv.CloseWrite() })
	s.At(time.Second, srv.ResumeRead)
	turns := 0
	s.RunUntil(time.Minute, func() bool { turns++; return b.Closed > 0 })
	if string(b.Data) != "late" || !b.EOF || b.Err != nil || turns > 50 {
		t.Fatalf("%q eof=%v err=%v after %d turns", b.Data, b.EOF, b.Err, turns)
	}
}

// TestAWriterThatCaughtUpDoesNotSpin: a socket that was full for a moment can be written for ever after; nobody may be woken for that.
func TestAWriterThatCaughtUpDoesNotSpin(t *testing.T) {
	for seed := range seeds(t) {
		s := sim.New(seed)
		s.Capacity = 1000
		a, b := s.Pipe()
		got := newPump(t, s.Rand(), b, 0)
		var r sim.Recorder
		a.SetHandler(&r)
		a.Write(make([]byte, 10_000))
		if !s.RunUntil(time.Minute, func() bool { return len(got.got) == 10_000 }) {
			t.Fatalf("seed %d: %d bytes came", seed, len(got.got))
		}
		turns := 0
		s.RunUntil(time.Minute, func() bool { turns++; return turns > 1000 })
		if turns > 100 {
			t.Fatalf("seed %d: %d turns without anything to do", seed, turns)
		}
	}
}

func TestCloseFlushesAndLingers(t *testing.T) {
	for seed := range seeds(t) / 10 {
		s := sim.New(seed)
		s.Capacity = 3000
		c, srv := s.Pipe()
		a, b := &sim.Recorder{}, &sim.Recorder{}
		c.SetHandler(a)
		srv.SetHandler(b)
		body := bytes.Repeat([]byte("0123456789"), 20000)
		// The client keeps sending: a plain close would be a reset that destroys the answer.
		s.At(0, func() { c.Write(make([]byte, 2000)); srv.Write(body); srv.Close() })
		s.At(3*time.Millisecond, func() { c.Write(make([]byte, 2000)) })
		s.RunUntil(time.Minute, func() bool { return a.EOF })
		if !bytes.Equal(a.Data, body) || a.Err != nil {
			t.Fatalf("seed %d: got %d of %d bytes, %v", seed, len(a.Data), len(body), a.Err)
		}
		c.Close()
		s.Run(time.Minute)
		if b.Closed != 1 || b.Err != nil || a.Closed != 1 || s.Worker().Load() != 0 {
			t.Fatalf("seed %d: closed %d and %d times, %v, %d left", seed, a.Closed, b.Closed, b.Err, s.Worker().Load())
		}
	}
}

func TestCloseGivesUpOnAPeerThatDoesNotRead(t *testing.T) {
	s := sim.New(3)
	c, srv := s.Pipe()
	a, b := &sim.Recorder{}, &sim.Recorder{}
	c.SetHandler(a)
	c.PauseRead()
	srv.SetHandler(b)
	s.At(0, func() { srv.Write(make([]byte, 1<<20)); srv.Close() })
	s.Run(10 * time.Second)
	if b.Closed != 1 || s.Worker().BufferBytes() != 0 {
		t.Fatalf("closed %d times, %d bytes held", b.Closed, s.Worker().BufferBytes())
	}
}

// sniff consumes nothing until it has seen enough, then hands the stream over.
type sniff struct {
	sim.Recorder
	conn loop.Conn
	next loop.Handler
}

func (f *sniff) OnData(p []byte) int {
	if len(p) >= 5 {
		f.conn.SetHandler(f.next)
		return 2
	}
	return 0
}

func TestHandoverShowsWhatIsLeft(t *testing.T) {
	for seed := range seeds(t) / 10 {
		s := sim.New(seed)
		c, srv := s.Pipe()
		a, b := &sim.Recorder{}, &sim.Recorder{}
		c.SetHandler(a)
		srv.SetHandler(&sniff{conn: srv, next: b})
		s.At(0, func() { c.Write([]byte("hello world")); c.CloseWrite() })
		s.Run(time.Second)
		if string(b.Data) != "llo world" || !b.EOF {
			t.Fatalf("seed %d: %q eof=%v", seed, b.Data, b.EOF)
		}
	}
}

func TestEOFIsToldAgainToANewHandler(t *testing.T) {
	s := sim.New(1)
	c, srv := s.Pipe()
	first, second := &sim.Recorder{}, &sim.Recorder{}
	c.SetHandler(&sim.Recorder{})
	srv.SetHandler(first)
	s.At(0, c.CloseWrite)
	s.At(time.Second, func() { srv.SetHandler(second) })
	s.Run(time.Minute)
	if !first.EOF || !second.EOF {
		t.Fatalf("eof told: %v %v", first.EOF, second.EOF)
	}
}

func TestOffloadAndPost(t *testing.T) {
	s := sim.New(1)
	got := 0
	s.Worker().Post(func(w *loop.Worker) {
		w.Offload(func() any { return 42 }, func(v any) { got = v.(int) })
	})
	if s.Run(time.Second); got != 42 {
		t.Fatalf("got %d", got)
	}
}

func TestTimersFireInOrderAndOnTime(t *testing.T) {
	for seed := range uint64(200) {
		s := sim.New(seed)
		w := s.Worker()
		type shot struct{ due, at loop.Time }
		var shots []shot
		stopped := 0
		var timers []loop.Timer
		for range 300 {
			d := time.Duration(s.Rand().Int64N(int64(1) << (10 + s.Rand().IntN(35))))
			due := w.Now().Add(d)
			timers = append(timers, w.After(d, func() { shots = append(shots, shot{due, w.Now()}) }))
		}
		for _, x := range timers {
			if s.Rand().IntN(4) == 0 && x.Stop() {
				stopped++
				if x.Stop() || x.Active() {
					t.Fatal("stopped twice")
				}
			}
		}
		s.Run(100 * time.Hour)
		if len(shots)+stopped != len(timers) {
			t.Fatalf("seed %d: %d fired, %d stopped of %d", seed, len(shots), stopped, len(timers))
		}
		for i, x := range shots {
			if late := x.at.Sub(x.due); late < 0 || late > 2*time.Millisecond {
				t.Fatalf("seed %d: timer %d fired %v late", seed, i, late)
			}
			if i > 0 && x.due < shots[i-1].due-loop.Time(time.Millisecond) {
				t.Fatalf("seed %d: out of order", seed)
			}
		}
	}
}

func TestAlarmIsReusable(t *testing.T) {
	s := sim.New(1)
	var a loop.Alarm
	n := 0
	a.Init(s.Worker(), func() {
		if n++; n < 5 {
			a.Set(time.Second)
		}
	})
	a.Set(time.Second)
	a.Set(2 * time.Second)
	s.Run(5500 * time.Millisecond)
	if n != 4 || !a.Armed() {
		t.Fatalf("fired %d times, armed %v", n, a.Armed())
	}
	if !a.Stop() || a.Stop() {
		t.Fatal("Stop does not tell whether it was armed")
	}
}
