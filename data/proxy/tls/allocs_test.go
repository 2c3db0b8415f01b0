//go:build !race

package tls_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
)

// bounce answers each message of n bytes; the client counts rounds.
type bounce struct {
	c      loop.Conn
	msg    []byte
	rounds int
	client bool
}

func (b *bounce) OnData(p []byte) int {
	if len(p) < len(b.msg) {
		return 0
	}
	if b.client {
		b.rounds++
	} else {
		b.c.Write(p[:len(b.msg)])
	}
	return len(b.msg)
}
func (b *bounce) OnEOF()        {}
func (b *bounce) OnWritable()   {}
func (b *bounce) OnClose(error) {}

// kernelPair is a TLS connection with both ends on one worker that the caller turns.
func kernelPair(tb testing.TB, size int) (turn func()) {
	tb.Helper()
	w, err := loop.NewKernel(loop.Settings{})
	if err != nil {
		tb.Fatal(err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { w.Stop(); _ = w.Run() })
	sx, cx := mutual(newAuthority())
	client, server := &outcome{}, &outcome{}
	tls.Server(w.Adopt(loop.NewSocket(fds[0]), 0, loop.Origin{}), sx, tls.Handshake{}, server.take)
	tls.Client(w.Adopt(loop.NewSocket(fds[1]), 0, loop.Origin{}), cx, tls.Handshake{}, client.take)
	for end := time.Now().Add(10 * time.Second); client.n+server.n < 2; {
		if err := w.Turn(w.Now().Add(time.Millisecond)); err != nil || time.Now().After(end) {
			tb.Fatal("no handshake", err)
		}
	}
	if client.err != nil || server.err != nil {
		tb.Fatal(client.err, server.err)
	}
	a := &bounce{c: client.conn, msg: make([]byte, size), client: true}
	b := &bounce{c: server.conn, msg: a.msg}
	client.conn.SetHandler(a)
	server.conn.SetHandler(b)
	return func() {
		want := a.rounds + 1
		client.conn.Write(a.msg)
		for a.rounds < want {
			if err := w.Turn(w.Now().Add(time.Second)); err != nil {
				tb.Fatal(err)
			}
		}
	}
}

func TestRecordsAllocateLittle(t *testing.T) {
	turn := kernelPair(t, 1024)
	for range 100 {
		turn()
	}
	// Two records are sealed and two opened in a round. crypto/tls allocates a few bytes per record opened, and again for the read that finds nothing.
	if n := testing.AllocsPerRun(1000, turn); n > 6 {
		t.Fatalf("%v allocations for a round trip", n)
	}
}

func BenchmarkRoundTrip1K(b *testing.B) {
	turn := kernelPair(b, 1024)
	b.ReportAllocs()
	for b.Loop() {
		turn()
	}
}

func BenchmarkRoundTrip16K(b *testing.B) {
	turn := kernelPair(b, 16000)
	b.SetBytes(32000)
	b.ReportAllocs()
	for b.Loop() {
		turn()
	}
}
