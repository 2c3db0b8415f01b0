package tls_test

import (
	"bytes"
	gotls "crypto/tls"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/loop/sim"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
)

// TestWhatWaitsForAPausedHandlerIsNotLost, when the raw stream has ended meanwhile: the records, then close_notify or its absence, are told when the handler goes on.
func TestWhatWaitsForAPausedHandlerIsNotLost(t *testing.T) {
	sx, cx := mutual(newAuthority())
	all := bytes.Repeat([]byte("0123456789abcdef"), 8000)
	for seed := range uint64(200) {
		s := sim.New(seed)
		s.Capacity, s.Gentle = 1<<20, seed%2 == 0
		if s.Rand().IntN(2) == 0 {
			s.MaxDelay = 1 // all comes at once
		}
		whole, first := s.Rand().IntN(2) == 0, s.Rand().IntN(2) == 0
		want := all[:s.Rand().IntN(1<<s.Rand().IntN(17))+1]
		a, b := s.Pipe()
		r := &sim.Recorder{}
		s.At(0, func() {
			tls.Server(b, sx, tls.Handshake{}, func(c loop.Conn, err error) {
				if err != nil {
					t.Error(err)
					return
				}
				r.OnBytes = func() {
					c.PauseRead()
					c.Worker().After(10*time.Millisecond, c.ResumeRead)
				}
				c.SetHandler(r)
				if first { // the other direction has ended before
					c.CloseWrite()
				}
			})
			tls.Client(a, cx, tls.Handshake{}, func(c loop.Conn, err error) {
				if err != nil {
					t.Error(err)
					return
				}
				c.SetHandler(&sim.Recorder{OnEnd: c.Close})
				c.Write(want)
				if whole {
					c.CloseWrite()
				} else {
					c.Worker().Defer(a.CloseWrite)
				}
			})
		})
		s.Run(time.Minute)
		if !whole && r.Closed == 1 && errors.Is(r.Err, tls.ErrTruncated) && !r.EOF && bytes.Equal(r.Data, want) {
			continue
		}
		if !whole || r.Closed == 0 == first || r.Err != nil || !r.EOF || !bytes.Equal(r.Data, want) {
			t.Fatalf("seed %d, close_notify %v, own end first %v: %d of %d bytes, eof %v, closed %d times, %v", seed, whole, first, len(r.Data), len(want), r.EOF, r.Closed, r.Err)
		}
	}
}

// told passes the end of a raw connection on, then says so.
type told struct {
	loop.Conn
	loop.Handler
	ended chan struct{}
}

// SetHandler implements loop.Conn: the handler is told by way of told.
func (r *told) SetHandler(h loop.Handler) {
	r.Handler = h
	r.Conn.SetHandler(r)
}

// OnEOF implements loop.Handler.
func (r *told) OnEOF() {
	r.Handler.OnEOF()
	close(r.ended)
}

// TestAClientThatSaysAllAtOnce sends the last message of the handshake, its data and the end before the server has looked at the first of these.
func TestAClientThatSaysAllAtOnce(t *testing.T) {
	a := newAuthority()
	sx, _ := mutual(a)
	w := must(loop.NewKernel(loop.Settings{Seed: 1}))
	stopped := make(chan error)
	go func() { stopped <- w.Run() }()
	defer func() { w.Stop(); <-stopped }()
	fds := must(unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0))
	file := os.NewFile(uintptr(fds[1]), "client")
	raw := must(net.FileConn(file))
	file.Close()
	defer raw.Close()

	gate, ended, result := tls.NewGate(1), make(chan struct{}), make(chan string, 1)
	w.Post(func(w *loop.Worker) {
		under := &told{Conn: w.Adopt(loop.NewSocket(fds[0]), 0, loop.Origin{Accepted: true}), ended: ended}
		tls.Server(under, sx, tls.Handshake{Gate: gate}, func(c loop.Conn, err error) {
			if err != nil {
				result <- err.Error()
				return
			}
			r := &sim.Recorder{}
			r.OnEnd = func() { result <- string(r.Data) }
			c.SetHandler(r)
		})
	})
	mine := a.issue(nil, clientID)
	client := gotls.Client(raw, &gotls.Config{InsecureSkipVerify: true, GetClientCertificate: func(*gotls.CertificateRequestInfo) (*gotls.Certificate, error) {
		gate <- struct{}{} // the server has answered, and cannot go on
		return &mine, nil
	}})
	_, err := client.Write([]byte("all I have to say"))
	if err := errors.Join(err, client.CloseWrite(), raw.(*net.UnixConn).CloseWrite()); err != nil {
		t.Fatal(err)
	}
	<-ended
	<-gate
	if got := <-result; got != "all I have to say" {
		t.Errorf("the server got %q", got)
	}
}
