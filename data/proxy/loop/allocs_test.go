//go:build !race

package loop_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// turnPair is a worker that the test turns itself, with a connection whose other end the test holds.
func turnPair(tb testing.TB) (*loop.Worker, int) {
	tb.Helper()
	w, err := loop.NewKernel(loop.Settings{})
	if err != nil {
		tb.Fatal(err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = unix.Close(fds[1])
		w.Stop()
		_ = w.Run()
	})
	c := w.Adopt(loop.NewSocket(fds[0]), 0, loop.Origin{})
	c.SetHandler(&echo{c})
	if err := w.Turn(0); err != nil {
		tb.Fatal(err)
	}
	return w, fds[1]
}

func TestNoAllocationPerEvent(t *testing.T) {
	w, fd := turnPair(t)
	msg, buf := make([]byte, 900), make([]byte, 2000)
	fired := func() {}
	var alarm loop.Alarm
	alarm.Init(w, fired)
	round := func() {
		alarm.Set(1 << 40)
		timer := w.After(1<<41, fired)
		if _, err := unix.Write(fd, msg); err != nil {
			t.Fatal(err)
		}
		for {
			if err := w.Turn(loop.Never); err != nil {
				t.Fatal(err)
			}
			if n, _ := unix.Read(fd, buf); n == len(msg) {
				break
			}
		}
		timer.Stop()
	}
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Fatalf("%v allocations per event", n)
	}
	if n := w.BufferBytes(); n != 0 {
		t.Fatalf("an idle connection holds %d bytes of buffers", n)
	}
}

func BenchmarkEcho1K(b *testing.B) {
	w, fd := turnPair(b)
	msg, buf := make([]byte, 1024), make([]byte, 2000)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = unix.Write(fd, msg)
		if err := w.Turn(loop.Never); err != nil {
			b.Fatal(err)
		}
		_, _ = unix.Read(fd, buf)
	}
}
