package loop_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/loop/sim"
)

// oneWay gives what it reads to another connection, by Relay as soon as it may.
type oneWay struct {
	from, to       loop.Conn
	relays         bool
	shown, relayed atomic.Int64
	failed         error // of the other side
}

func (o *oneWay) OnData(p []byte) int {
	o.shown.Add(int64(len(p)))
	o.to.Write(p)
	if o.to.Buffered() > loop.HighWatermark {
		o.from.PauseRead()
	}
	if o.relays {
		loop.Relay(o.from, o.to)
	}
	return len(p)
}
func (o *oneWay) Relayed(n int) { o.relayed.Add(int64(n)) }
func (o *oneWay) OnEOF()        { o.to.CloseWrite() }
func (o *oneWay) OnWritable()   {}
func (o *oneWay) OnClose(error) { o.to.Close() }

// back is the handler of the other side.
type back struct{ *oneWay }

func (b back) OnData(p []byte) int { return len(p) }
func (b back) OnEOF()              { b.to.Close() }
func (b back) OnWritable()         { b.from.ResumeRead() }
func (b back) OnClose(err error)   { b.failed = err; b.from.Close() }

// throughWorker gives the two ends of a stream that a worker passes on.
func throughWorker(t testing.TB, w *loop.Worker, relays bool) (*oneWay, net.Conn, net.Conn) {
	o := &oneWay{relays: relays}
	sink := pairTo(t, w, func(c loop.Conn) { o.to = c; c.SetHandler(back{o}) })
	source := pairTo(t, w, func(c loop.Conn) { o.from = c; c.SetHandler(o) })
	return o, source, sink
}

// TestRelayOverTheKernel sends bulk to a reader that stops now and then.
func TestRelayOverTheKernel(t *testing.T) {
	w := kernelWorker(t)
	o, source, sink := throughWorker(t, w, true)
	want := make([]byte, 32<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range want {
		want[i] = byte(r.Uint32())
	}
	go func() {
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 1+r.IntN(1<<r.IntN(21)))
			if _, err := source.Write(rest[:n]); err != nil {
				t.Error(err)
			}
			rest = rest[n:]
		}
		if err := source.(*net.TCPConn).CloseWrite(); err != nil {
			t.Error(err)
		}
	}()
	var got bytes.Buffer
	for piece := int64(1); ; piece = piece*3%(4<<20) + 1 {
		if n, err := io.CopyN(&got, sink, piece); n < piece {
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			break
		}
		if held := w.BufferBytes(); held > loop.PipeSize+2*loop.HighWatermark {
			t.Fatalf("%d bytes are held for a peer that does not read", held)
		}
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Fatalf("%d of %d bytes, or others", got.Len(), len(want))
	}
	if shown, relayed := o.shown.Load(), o.relayed.Load(); shown+relayed != int64(len(want)) || relayed < shown {
		t.Errorf("%d bytes came into the process, %d did not, of %d", shown, relayed, len(want))
	}
	sink.Close()
	source.Close()
	for deadline := time.Now().Add(10 * time.Second); w.Load() > 0 || w.BufferBytes() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections, %d bytes are left", w.Load(), w.BufferBytes())
		}
	}
}

// TestRelayIsLeftInTheMiddle: another handler takes over, and writes behind what the pipe holds; or the destination takes no more.
func TestRelayIsLeftInTheMiddle(t *testing.T) {
	spliced := 0
	for seed := range uint64(150) {
		s := sim.New(seed)
		s.Capacity = 16 << 10 << s.Rand().IntN(6)
		source, from := s.Pipe()
		to, sink := s.Pipe()
		want := make([]byte, 512<<10)
		for i := range want {
			want[i] = byte(s.Rand().Uint32())
		}
		got, o := &sim.Recorder{}, &oneWay{from: from, to: to, relays: true}
		got.OnBytes = func() {
			sink.PauseRead()
			sink.Worker().After(time.Duration(s.Rand().IntN(3))*time.Millisecond, sink.ResumeRead)
		}
		ended := s.Rand().IntN(3) == 0
		s.At(0, func() {
			from.SetHandler(o)
			to.SetHandler(back{o})
			sink.SetHandler(got)
			source.SetHandler(&sim.Recorder{})
			source.Write(want)
			source.CloseWrite()
		})
		s.At(time.Duration(s.Rand().IntN(40))*time.Millisecond, func() {
			if ended {
				to.CloseWrite()
			} else {
				from.SetHandler(&oneWay{from: from, to: to})
			}
		})
		s.Run(time.Minute)
		if !bytes.HasPrefix(want, got.Data) || !ended && len(got.Data) != len(want) || !got.EOF || o.failed != nil {
			t.Fatalf("seed %d, ended %v: %d of %d bytes, EOF %v, %v", seed, ended, len(got.Data), len(want), got.EOF, o.failed)
		}
		if w := s.Worker(); w.BufferBytes() != 0 {
			t.Fatalf("seed %d: %d bytes are left", seed, w.BufferBytes())
		}
		spliced += s.Spliced
	}
	if spliced < 5<<20 {
		t.Errorf("%d bytes went through pipes", spliced)
	}
}

// BenchmarkBulk is 1 MiB from one loopback connection to another.
func BenchmarkBulk(b *testing.B) {
	for _, relays := range []bool{false, true} {
		name := "copy"
		if relays {
			name = "splice"
		}
		b.Run(name, func(b *testing.B) {
			_, source, sink := throughWorker(b, kernelWorker(b), relays)
			b.SetBytes(1 << 20)
			go func() {
				piece := make([]byte, 1<<20)
				for {
					if _, err := source.Write(piece); err != nil {
						return
					}
				}
			}()
			into := make([]byte, 1<<20)
			for b.Loop() {
				if _, err := io.ReadFull(sink, into); err != nil {
					b.Fatal(err)
				}
			}
			source.Close()
		})
	}
}
