package loop_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// kernelWorker runs a worker on the kernel for the length of a test.
func kernelWorker(t testing.TB) *loop.Worker {
	t.Helper()
	w, err := loop.NewKernel(loop.Settings{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- w.Run() }()
	t.Cleanup(func() {
		w.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

// echo writes back what it reads, with back-pressure.
type echo struct{ c loop.Conn }

func (e *echo) OnData(p []byte) int {
	e.c.Write(p)
	if e.c.Buffered() > loop.HighWatermark {
		e.c.PauseRead()
	}
	return len(p)
}
func (e *echo) OnEOF()        { e.c.CloseWrite() }
func (e *echo) OnWritable()   { e.c.ResumeRead() }
func (e *echo) OnClose(error) {}

// pairTo gives a blocking net.Conn whose other end is on the worker.
func pairTo(t testing.TB, w *loop.Worker, handle func(loop.Conn)) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ap := l.Addr().(*net.TCPAddr).AddrPort()
	sa, _ := loop.Sockaddr(loop.TCP(ap))
	if err := unix.Connect(fd, sa); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	w.Post(func(w *loop.Worker) { handle(w.Adopt(loop.NewSocket(fd), 0, loop.Origin{})) })
	return peer
}

func TestEchoOverTheKernel(t *testing.T) {
	w := kernelWorker(t)
	peer := pairTo(t, w, func(c loop.Conn) { c.SetHandler(&echo{c}) })
	want := make([]byte, 8<<20)
	for i := range want {
		want[i] = byte(i * i >> 7)
	}
	go func() {
		if _, err := peer.Write(want); err != nil {
			t.Error(err)
		}
		if err := peer.(*net.TCPConn).CloseWrite(); err != nil {
			t.Error(err)
		}
	}()
	got, err := io.ReadAll(peer)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %d of %d bytes, %v", len(got), len(want), err)
	}
}

func TestSlowReaderBoundsMemory(t *testing.T) {
	w := kernelWorker(t)
	peer := pairTo(t, w, func(c loop.Conn) { c.SetHandler(&echo{c}) })
	const total = 64 << 20
	go func() {
		_, _ = peer.Write(make([]byte, total))
		_ = peer.(*net.TCPConn).CloseWrite()
	}()
	time.Sleep(200 * time.Millisecond) // long enough for the queue to reach its bound, if there were none
	if held := w.BufferBytes(); held > 2*loop.HighWatermark {
		t.Fatalf("%d bytes are buffered for a peer that does not read", held)
	}
	if n, err := io.Copy(io.Discard, peer); n != total || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
}

type closeTold struct {
	echo
	ch chan error
}

func (c *closeTold) OnClose(err error) { c.ch <- err }

func TestResetIsToldByTheKernel(t *testing.T) {
	w := kernelWorker(t)
	for _, paused := range []bool{false, true} {
		ch := make(chan error, 1)
		peer := pairTo(t, w, func(c loop.Conn) {
			c.SetHandler(&closeTold{echo{c}, ch})
			if paused {
				c.PauseRead()
			}
		})
		_ = peer.(*net.TCPConn).SetLinger(0)
		peer.Close()
		select {
		case err := <-ch:
			if !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("paused %v: %v", paused, err)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("paused %v: the reset is not told", paused)
		}
	}
}

func TestPostWakesASleepingWorker(t *testing.T) {
	w := kernelWorker(t)
	for range 1000 {
		ch := make(chan bool)
		w.Post(func(*loop.Worker) { close(ch) })
		select {
		case <-ch:
		case <-time.After(5 * time.Second):
			t.Fatal("a posted function was not called")
		}
	}
	ch := make(chan loop.Time, 1)
	w.Post(func(w *loop.Worker) {
		start := w.Now()
		w.After(20*time.Millisecond, func() { ch <- loop.Time(w.Now().Sub(start)) })
	})
	if d := time.Duration(<-ch); d < 20*time.Millisecond {
		t.Fatalf("fired after %v", d)
	}
}

func TestConnectOptionsReachTheKernel(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := kernelWorker(t)
	o := loop.ConnectOptions{Bind: loop.TCP(netip.MustParseAddrPort("127.0.0.3:0")), Keepalive: 77 * time.Second, KeepaliveInterval: 5 * time.Second, KeepaliveProbes: 4}
	s, err := w.Connect(loop.TCP(l.Addr().(*net.TCPAddr).AddrPort()), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fd := s.(loop.FD).FD()
	for option, want := range map[[2]int]int{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE}: 1, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE}: 77, {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}: 5,
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT}: 4, {unix.IPPROTO_TCP, unix.TCP_NODELAY}: 1,
	} {
		if got, err := unix.GetsockoptInt(fd, option[0], option[1]); got != want || err != nil {
			t.Errorf("option %v is %d, want %d (%v)", option, got, want, err)
		}
	}
	if got := control(t, fd); got != "reno" {
		t.Errorf("between two sockets of this machine congestion is controlled by %s", got)
	}
	if a := s.Local().Addr().String(); a != "127.0.0.3" {
		t.Errorf("bound to %s", a)
	}
}

// control is a socket's congestion control.
func control(t *testing.T, fd int) string {
	t.Helper()
	name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(name, "\x00")
}

// TestFarConnectionsKeepTheMachinesCongestionControl: only what stays on this machine is told to do without.
func TestFarConnectionsKeepTheMachinesCongestionControl(t *testing.T) {
	plain, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(plain)
	s, err := kernelWorker(t).Connect(loop.TCP(netip.MustParseAddrPort("192.0.2.1:9")), loop.ConnectOptions{})
	if err != nil {
		t.Skip("no way out of this machine: ", err)
	}
	defer s.Close()
	if got, want := control(t, s.(loop.FD).FD()), control(t, plain); got != want {
		t.Errorf("%s, the machine's is %s", got, want)
	}
}

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{"127.0.0.1:80": "127.0.0.1:80", "[::ffff:1.2.3.4]:5": "1.2.3.4:5", "[fd00::1]:443": "[fd00::1]:443"} {
		a := loop.TCP(netip.MustParseAddrPort(in))
		sa, _ := loop.Sockaddr(a)
		if a.String() != want || loop.FromSockaddr(sa) != a {
			t.Errorf("%s: %s, back from the kernel's form %s", in, a, loop.FromSockaddr(sa))
		}
	}
	if u := loop.Unix("@x"); u.String() != "@x" || !u.IsUnix() || (loop.Address{}).String() != "" || !(loop.Address{}).IsZero() {
		t.Errorf("%v", u)
	}
}
