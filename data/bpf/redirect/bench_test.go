package redirect_test

import (
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/bpf/redirect"
	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/data/node/capturetest"
	"github.com/heddle-mesh/heddle/data/node/netns"
)

// BenchmarkCapture measures what each way of capture costs: connecting, one byte to and fro and closing; and a round trip of 64 bytes on an open connection. Two threads do
// that and nothing else. The ways take turns in batches, b.N of them for each, so that other work on the machine hits all alike; told is the best batch in nanoseconds by the
// clock, and of CPU time of both threads.
func BenchmarkCapture(b *testing.B) {
	pin := filepath.Join(bpffs(b), "heddle")
	ebpf := redirect.Way{Options: redirect.Options{Pin: pin}}
	if m := redirect.Missing(ebpf.Options); m != "" {
		b.Skip(m)
	}
	b.Cleanup(func() { ok(b, redirect.Remove(pin)) })
	ways := []*contender{
		{name: "none"}, {name: "ebpf", way: ebpf, spec: capture.Spec{NoInbound: true}}, {name: "ebpf+inbound", way: ebpf},
		{name: "nftables", way: capture.NFTables{}}, {name: "iptables", way: capture.IPTables{}},
	}
	for _, c := range ways {
		w := capturetest.New(b)
		c.ns, c.target = w.Client, &unix.SockaddrInet4{Port: 80, Addr: [4]byte{10, 78, 0, 3}}
		if c.way == nil {
			c.target = &unix.SockaddrInet4{Port: capture.OutboundPort, Addr: [4]byte{127, 0, 0, 1}}
		} else {
			ok(b, w.Client.Do(func() error { return c.way.Apply(c.spec) }))
		}
		c.listener = listen(b, w.Client)
	}
	for _, what := range []struct {
		name                string
		connections, rounds int
	}{{"connect", 200, 1}, {"roundtrip", 1, 1000}} {
		b.Run(what.name, func(b *testing.B) {
			for b.Loop() {
				for _, c := range ways {
					c.batch(b, what.connections, what.rounds)
				}
			}
			for _, c := range ways {
				b.ReportMetric(c.clock, c.name+"-ns")
				b.ReportMetric(c.cpu, c.name+"-cpu-ns")
				c.clock, c.cpu = 0, 0
			}
		})
	}
}

// contender is one way of capture in its own namespace, and its best batch so far, in nanoseconds for one operation.
type contender struct {
	name       string
	way        capture.Way
	spec       capture.Spec
	ns         *netns.Namespace
	target     *unix.SockaddrInet4
	listener   int
	clock, cpu float64
}

// batch makes connections, each with some round trips.
func (c *contender) batch(b *testing.B, connections, rounds int) {
	size := 1
	if rounds > 1 {
		size = 64
	}
	type end struct {
		cpu int64
		err error
	}
	served := make(chan end, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		before := cpu()
		err := echo(c.listener, connections, size)
		served <- end{cpu() - before, err}
	}()
	var clock time.Duration
	var own int64
	ok(b, c.ns.Do(func() error {
		before, begin := cpu(), time.Now()
		err := c.call(connections, rounds, make([]byte, size))
		clock, own = time.Since(begin), cpu()-before
		return err
	}))
	other := <-served
	ok(b, other.err)
	least := func(best *float64, total int64) {
		if each := float64(total) / float64(connections*rounds); *best == 0 || each < *best {
			*best = each
		}
	}
	least(&c.clock, clock.Nanoseconds())
	least(&c.cpu, own+other.cpu)
}

func (c *contender) call(connections, rounds int, buffer []byte) error {
	for range connections {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if err := unix.Connect(fd, c.target); err != nil {
			return err
		}
		for range rounds {
			if _, err := unix.Write(fd, buffer); err != nil {
				return err
			}
			if _, err := unix.Read(fd, buffer); err != nil {
				return err
			}
		}
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
	return nil
}

func listen(b *testing.B, ns *netns.Namespace) (fd int) {
	ok(b, ns.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err == nil {
			if err = unix.Bind(fd, &unix.SockaddrInet4{Port: capture.OutboundPort}); err == nil {
				err = unix.Listen(fd, 128)
			}
		}
		return err
	}))
	b.Cleanup(func() { unix.Close(fd) })
	return fd
}

func echo(listener, connections, size int) error {
	buffer := make([]byte, size)
	for range connections {
		fd, _, err := unix.Accept(listener)
		if err != nil {
			return err
		}
		for {
			n, err := unix.Read(fd, buffer)
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
			if _, err := unix.Write(fd, buffer[:n]); err != nil {
				return err
			}
		}
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
	return nil
}

// cpu is the time that this thread has had, in ns.
func cpu() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return t.Nano()
}
