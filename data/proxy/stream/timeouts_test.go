package stream_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// TestGRPCTimeouts are what stock Envoy 1.40 was seen to do with the same routes and headers.
func TestGRPCTimeouts(t *testing.T) {
	ms := func(n int) *time.Duration { d := time.Duration(n) * time.Millisecond; return &d }
	const grpc = "Content-Type: application/grpc\r\n"
	for name, tt := range map[string]struct {
		route   config.Forward
		headers string
		ends    int    // milliseconds; 0: the answer comes
		want    string // in the answer
		told    string // to the upstream, "" for nothing
	}{
		"no header that counts":         {config.Forward{Timeout: time.Second}, "Grpc-Timeout: 100m\r\n", 1000, "504", "grpc-timeout: 100m"},
		"header instead of the route's": {config.Forward{Timeout: time.Second, MaxGRPCTimeout: ms(0)}, grpc + "Grpc-Timeout: 500m\r\n", 500, "grpc-status: 14", "grpc-timeout: 500m"},
		"header above the bound":        {config.Forward{Timeout: time.Second, MaxGRPCTimeout: ms(300)}, grpc + "Grpc-Timeout: 500m\r\n", 300, "grpc-status: 14", "grpc-timeout: 300m"},
		"no header, bound":              {config.Forward{Timeout: time.Second, MaxGRPCTimeout: ms(300)}, grpc, 300, "grpc-status: 14", "grpc-timeout: 300m"},
		"no header, no bound":           {config.Forward{Timeout: time.Second, MaxGRPCTimeout: ms(0)}, grpc, 0, "200 OK", ""},
		"not gRPC":                      {config.Forward{Timeout: time.Second, MaxGRPCTimeout: ms(300)}, "Grpc-Timeout: 500m\r\n", 1000, "504", "grpc-timeout: 500m"},
		"stream, header":                {config.Forward{GRPCHeaderMax: ms(0)}, grpc + "Grpc-Timeout: 500m\r\n", 500, "grpc-status: 4", "grpc-timeout: 500m"},
		"stream, header above":          {config.Forward{GRPCHeaderMax: ms(300)}, grpc + "Grpc-Timeout: 500m\r\n", 300, "grpc-message: downstream duration timeout", "grpc-timeout: 300m"},
		"stream, not gRPC":              {config.Forward{GRPCHeaderMax: ms(300)}, "Grpc-Timeout: 500m\r\n", 300, "504", "grpc-timeout: 500m"},
		"stream, no header":             {config.Forward{MaxStreamDuration: ms(1000), GRPCHeaderMax: ms(300)}, grpc, 1000, "grpc-status: 4", "grpc-timeout: 1000m"},
		"stream, header means nothing":  {config.Forward{MaxStreamDuration: ms(1000)}, grpc + "Grpc-Timeout: 500m\r\n", 1000, "grpc-status: 4", "grpc-timeout: 1000m"},
		"stream, nothing left":          {config.Forward{GRPCHeaderMax: ms(3000)}, grpc + "Grpc-Timeout: 0m\r\n", 1, "grpc-status: 4", ""},
		"hours":                         {config.Forward{GRPCHeaderMax: ms(0)}, grpc + "Grpc-Timeout: 99999999H\r\n", 0, "200 OK", "grpc-timeout: 2562047H"}, // 292 years must do
		"nonsense":                      {config.Forward{MaxStreamDuration: ms(1000), GRPCHeaderMax: ms(300)}, "Grpc-Timeout: 123456789m\r\n", 1000, "504", "grpc-timeout: 123456789m"},
		"the route lifts the limit":     {config.Forward{MaxStreamDuration: ms(0)}, "", 0, "200 OK", ""},
	} {
		h := plain()
		if tt.route.MaxStreamDuration != nil && *tt.route.MaxStreamDuration == 0 {
			h.MaxStreamDuration = 2 * time.Second
		}
		w := newWorld(t, 1, h, to("a", func(f *config.Forward) { *f = tt.route; f.Cluster = "a" }), cluster("a", "10.0.0.1:80"))
		s := w.slow("10.0.0.1:80", 5*time.Second)
		before := w.sim.Now()
		has(t, w.connect().ask("GET / HTTP/1.1\r\nHost: h\r\n"+tt.headers+"\r\n"), tt.want)
		took := w.sim.Now().Sub(before)
		if want := time.Duration(tt.ends) * time.Millisecond; want > 0 && (took < want-time.Millisecond || took > want+30*time.Millisecond) || want == 0 && took < 5*time.Second {
			t.Errorf("%s: it took %s", name, took)
		}
		told := ""
		if i := strings.Index(*s, "grpc-timeout: "); i >= 0 {
			told, _, _ = strings.Cut((*s)[i:], "\r\n")
		}
		if told != tt.told {
			t.Errorf("%s: the upstream was told %q, want %q", name, told, tt.told)
		}
	}
}

// slow serves an answer after a while and gives what was asked.
func (w *world) slow(address string, after time.Duration) *string {
	asked := new(string)
	w.sim.Listen(loop.TCP(netip.MustParseAddrPort(address)), func(c loop.Conn) {
		c.SetHandler(&scripted{c: c, data: func(p []byte) {
			*asked += string(p)
			w.sim.At(after, func() { c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) })
		}})
	})
	return asked
}

// scripted is a handler of one function, which is called with each head of a request.
type scripted struct {
	c    loop.Conn
	data func([]byte)
}

func (s *scripted) OnData(p []byte) int {
	if !bytes.HasSuffix(p, []byte("\r\n\r\n")) {
		return 0
	}
	s.data(p)
	return len(p)
}
func (s *scripted) OnEOF()        { s.c.Close() }
func (s *scripted) OnWritable()   {}
func (s *scripted) OnClose(error) {}

// trickle answers with a head after a while, and then with n bytes, one at a time.
func (w *world) trickle(address string, every time.Duration, n, of int) *int {
	tries := new(int)
	w.sim.Listen(loop.TCP(netip.MustParseAddrPort(address)), func(c loop.Conn) {
		c.SetHandler(&scripted{c: c, data: func([]byte) {
			*tries++
			w.sim.At(every, func() { fmt.Fprintf(writer{c}, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", of) })
			for i := range n {
				w.sim.At(time.Duration(i+2)*every, func() { c.Write([]byte("x")) })
			}
		}})
	})
	return tries
}

type writer struct{ c loop.Conn }

func (w writer) Write(p []byte) (int, error) { w.c.Write(p); return len(p), nil }

func TestATryMayNotBeIdle(t *testing.T) {
	idle := func(f *config.Forward) {
		f.Retry = &config.Retry{On: config.Retry5xx, Attempts: 1, PerTryIdle: time.Second}
	}
	const late = "HTTP/1.1 504 Gateway Timeout"

	w := newWorld(t, 1, plain(), to("a", idle), cluster("a", "10.0.0.1:80"))
	tries := w.trickle("10.0.0.1:80", 900*time.Millisecond, 10, 10)
	has(t, w.connect().ask(get), "200 OK", "xxxxxxxxxx") // ten seconds, but never a whole one without a byte
	if *tries != 1 {
		t.Errorf("%d tries", *tries)
	}

	w = newWorld(t, 1, plain(), to("a", idle), cluster("a", "10.0.0.1:80"))
	tries = w.trickle("10.0.0.1:80", time.Hour, 0, 0)
	before := w.sim.Now()
	has(t, w.connect().ask(get), late, "upstream request timeout")
	if r := w.last(); r.details != "upstream_per_try_idle_timeout" || r.flags != "UT,URX" && r.flags != "URX,UT" || *tries != 2 || w.sim.Now().Sub(before) > 3*time.Second {
		t.Errorf("%+v after %d tries", r, *tries)
	}

	w = newWorld(t, 1, plain(), to("a", idle), cluster("a", "10.0.0.1:80"))
	w.trickle("10.0.0.1:80", 900*time.Millisecond, 3, 10) // it stops in the middle of the body
	c := w.connect()
	c.c.Write([]byte(get))
	w.sim.RunUntil(time.Minute, func() bool { return c.EOF || c.Closed > 0 })
	has(t, string(c.Data), "200 OK", "xxx", "!xxxx")
	if r := w.last(); r.details != "upstream_per_try_idle_timeout" || !strings.Contains(r.flags, "UT") {
		t.Errorf("%+v", r)
	}
	w.settled(t, 1)
}

// TestAResponseSaysWhenToComeAgain (rate_limited_retry_back_off): in seconds or as a Unix time, and not beyond what is believed.
func TestAResponseSaysWhenToComeAgain(t *testing.T) {
	for header, want := range map[string][2]time.Duration{
		"Retry-After: 7":               {7 * time.Second, 10500 * time.Millisecond},
		"Retry-After: 61":              {0, 30 * time.Millisecond},
		"Retry-After: 0":               {0, 30 * time.Millisecond},
		"Retry-After: soon":            {0, 30 * time.Millisecond},
		"X-Reset: %":                   {20 * time.Second, 30 * time.Second}, // 20 seconds from now
		"Retry-After: x\r\nX-Reset: %": {20 * time.Second, 30 * time.Second},
	} {
		w := newWorld(t, 1, plain(), to("a", func(f *config.Forward) {
			f.Retry = &config.Retry{On: config.Retry5xx, Attempts: 1, ResetMax: time.Minute, Resets: []config.ResetHeader{{Name: "retry-after"}, {Name: "x-reset", Unix: true}}}
		}), cluster("a", "10.0.0.1:80"))
		w.serve("10.0.0.1:80", func(n int, _ string) string {
			if n > 1 {
				return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
			}
			at := fmt.Sprint(w.sim.Worker().Wall().Unix() + 20)
			return "HTTP/1.1 503 No\r\nContent-Length: 0\r\n" + strings.Replace(header, "%", at, 1) + "\r\n\r\n"
		})
		before := w.sim.Now()
		has(t, w.connect().ask(get), "200 OK")
		if took := w.sim.Now().Sub(before); took < want[0]-time.Second || took > want[1]+time.Second {
			t.Errorf("%s: it took %s, want %s to %s", header, took, want[0], want[1])
		}
	}
}

// TestAConnectionFades: one that has been idle, or open, for long enough still answers what comes within the drain time, and says that it was the last.
func TestAConnectionFades(t *testing.T) {
	for name, edit := range map[string]func(*config.HTTP){
		"idle": func(h *config.HTTP) { h.IdleTimeout = time.Minute },
		"old":  func(h *config.HTTP) { h.MaxConnDuration = time.Minute },
	} {
		h := plain()
		h.IdleTimeout, h.DrainTimeout = time.Hour, 5*time.Second
		edit(h)
		w := newWorld(t, 1, h, to("a", nil), cluster("a", "10.0.0.1:80"))
		w.serve("10.0.0.1:80", ok("x"))
		w.sim.Gentle = true
		unused, quiet, late := w.connect(), w.connect(), w.connect()
		has(t, quiet.ask(get), "200 OK", "!connection: close")
		has(t, late.ask(get), "200 OK", "!connection: close")
		open := func(c *client) bool { return c.Closed == 0 && !c.EOF }
		w.sim.Run(59 * time.Second)
		if !open(unused) || !open(quiet) || !open(late) {
			t.Errorf("%s: closed too early", name)
		}
		w.sim.Run(3 * time.Second)
		if open(unused) || !open(quiet) || !open(late) {
			t.Errorf("%s: one that was never used is open: %t; the others are open: %t, %t", name, open(unused), open(quiet), open(late))
		}
		has(t, late.ask(get), "200 OK", "connection: close")
		w.sim.Run(2 * time.Second)
		if open(late) || !open(quiet) {
			t.Errorf("%s: after its last answer one is open: %t; the other, in its drain time: %t", name, open(late), open(quiet))
		}
		w.sim.Run(3 * time.Second)
		if open(quiet) {
			t.Errorf("%s: open after the drain time", name)
		}
	}
}

// TestAHeadMayNotTakeForEver although nothing but the stream's idle time bounds it.
func TestAHeadMayNotTakeForEver(t *testing.T) {
	h := plain()
	h.StreamIdleTimeout, h.IdleTimeout = 5*time.Minute, 0
	w := newWorld(t, 1, h, to("a", nil), cluster("a", "10.0.0.1:80"))
	w.sim.Gentle = true
	c := w.connect()
	c.c.Write([]byte("GET / HTTP/1.1\r\nHost:"))
	w.sim.Run(4 * time.Minute)
	c.c.Write([]byte(" h"))
	if w.sim.Run(30 * time.Second); len(c.Data) > 0 {
		t.Errorf("too early: %s", c.Data)
	}
	w.sim.Run(2 * time.Minute)
	has(t, string(c.Data), "408 Request Timeout", "stream timeout")
	if r := w.last(); r.flags != "SI" || r.details != "stream_idle_timeout" {
		t.Errorf("%+v", r)
	}
}
