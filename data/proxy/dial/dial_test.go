package dial_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/dial"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/loop/sim"
)

func addr(s string) loop.Address { return loop.TCP(netip.MustParseAddrPort(s)) }

type result struct {
	conn  loop.Conn
	err   *dial.Error
	calls int
}

func (r *result) take(c loop.Conn, err error) {
	r.calls++
	r.conn = c
	errors.As(err, &r.err)
}

func start(s *sim.Sim, d *dial.Dialer, t dial.Target) *result {
	r := &result{}
	s.At(0, func() { d.Dial(s.Worker(), t, r.take) })
	return r
}

func TestConnectRefusedAndTimeout(t *testing.T) {
	for seed := range uint64(50) {
		s := sim.New(seed)
		var server sim.Recorder
		s.Listen(addr("10.0.0.1:80"), func(c loop.Conn) { c.SetHandler(&server) })
		s.Silence(addr("10.0.0.3:80"))
		d := &dial.Dialer{}
		ok := start(s, d, dial.Target{Addr: addr("10.0.0.1:80")})
		refused := start(s, d, dial.Target{Addr: addr("10.0.0.2:80")})
		silent := start(s, d, dial.Target{Addr: addr("10.0.0.3:80"), ConnectTimeout: 250 * time.Millisecond})
		s.Run(100 * time.Millisecond)
		if ok.conn == nil || silent.calls != 0 {
			t.Fatalf("seed %d: %+v %+v", seed, ok, silent)
		}
		if o := ok.conn.Origin(); o.Remote != addr("10.0.0.1:80") || o.Accepted || o.Local.IsZero() {
			t.Fatalf("%+v", o)
		}
		ok.conn.SetHandler(&sim.Recorder{})
		s.At(0, func() { ok.conn.Write([]byte("hello")); ok.conn.Close() })
		s.Run(time.Second)
		if string(server.Data) != "hello" || !server.EOF {
			t.Fatalf("seed %d: %q", seed, server.Data)
		}
		if e := refused.err; e == nil || e.Timeout || e.Reason != "delayed connect error: Connection refused" {
			t.Fatalf("seed %d: %+v", seed, e)
		}
		if e := silent.err; e == nil || !e.Timeout || !errors.Is(e, context.DeadlineExceeded) {
			t.Fatalf("seed %d: %+v", seed, e)
		}
		if ok.calls != 1 || refused.calls != 1 || silent.calls != 1 {
			t.Fatal("a callback came more than once")
		}
	}
}

func TestCancel(t *testing.T) {
	for seed := range uint64(50) {
		s := sim.New(seed)
		s.Listen(addr("10.0.0.1:80"), func(c loop.Conn) { c.SetHandler(&sim.Recorder{OnEnd: c.Close}) })
		calls := 0
		var a *dial.Attempt
		s.At(0, func() {
			a = (&dial.Dialer{}).Dial(s.Worker(), dial.Target{Addr: addr("10.0.0.1:80")}, func(loop.Conn, error) { calls++ })
		})
		s.At(time.Duration(s.Rand().IntN(1500))*time.Microsecond, func() {
			if a != nil && calls == 0 {
				a.Cancel()
				calls = -1 // any call from now on shows
			}
		})
		s.Run(time.Minute)
		if calls != -1 && calls != 1 {
			t.Fatalf("seed %d: called %d times", seed, calls)
		}
		if calls == -1 && s.Worker().Load() != 0 {
			t.Fatalf("seed %d: %d connections are left", seed, s.Worker().Load())
		}
	}
}

func TestRelayToTheOutside(t *testing.T) {
	relay := loop.Unix("/run/relay.sock")
	d := &dial.Dialer{Outside: &dial.Outside{Relay: relay, Inside: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	for seed := range uint64(50) {
		for _, c := range []struct{ answer, want, reason string }{
			{"OK\nfirst bytes", "first bytes", ""},
			{"ERR no such host\n", "", "relay: no such host"},
			{"what?\n", "", "relay: the relay's answer makes no sense"},
		} {
			s := sim.New(seed)
			asked := &sim.Recorder{}
			s.Listen(relay, func(conn loop.Conn) {
				asked.OnBytes = func() {
					if asked.Data[len(asked.Data)-1] == '\n' {
						conn.Write([]byte(c.answer))
					}
				}
				conn.SetHandler(asked)
			})
			got := &sim.Recorder{}
			var err error
			s.At(0, func() {
				d.Dial(s.Worker(), dial.Target{Addr: addr("93.184.216.34:443")}, func(conn loop.Conn, e error) {
					if err = e; e == nil {
						conn.SetHandler(got)
					}
				})
			})
			s.Run(time.Second)
			if string(asked.Data) != "CONNECT 93.184.216.34:443\n" {
				t.Fatalf("seed %d: the relay was asked %q", seed, asked.Data)
			}
			var e *dial.Error
			errors.As(err, &e)
			if string(got.Data) != c.want || (c.reason == "") != (e == nil) || e != nil && e.Reason != c.reason {
				t.Fatalf("seed %d: %q, %v", seed, got.Data, err)
			}
		}
		s := sim.New(seed)
		s.Listen(addr("10.1.2.3:80"), func(loop.Conn) {})
		if r := start(s, d, dial.Target{Addr: addr("10.1.2.3:80")}); true {
			s.Run(time.Second)
			if r.conn == nil {
				t.Fatal("an address inside was not dialled directly")
			}
		}
	}
}
