package stream_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// TestAnswersBelongToTheirRequests has many clients and broken servers: a whole 200 always answers the request that was asked.
func TestAnswersBelongToTheirRequests(t *testing.T) {
	for seed := range uint64(25) {
		r := rand.New(rand.NewPCG(seed, 5))
		c := cluster("a", "10.0.0.1:80", "10.0.0.2:80")
		w := newWorld(t, seed, plain(), to("a", func(f *config.Forward) {
			f.Retry = &config.Retry{On: config.Retry5xx, Attempts: 3}
		}), c)
		for _, a := range []string{"10.0.0.1:80", "10.0.0.2:80"} {
			w.serve(a, func(_ int, request string) string {
				path := strings.Fields(request)[1]
				answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(path), path)
				switch r.IntN(8) {
				case 0:
					return "RESET"
				case 1:
					return answer + "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n/evil" // an answer that nobody asked for
				case 2:
					return answer + "\x00CLOSE"
				case 3:
					return fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(path), path)
				}
				return answer
			})
		}
		good := 0
		for i := range 12 {
			cl := w.connect()
			for j := range 5 {
				path := fmt.Sprintf("/%d-%d", i, j)
				got := cl.ask("GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n")
				if !strings.HasPrefix(got, "HTTP/1.1 200") {
					break
				}
				good++
				_, body, _ := strings.Cut(got, "\r\n\r\n")
				if strings.Contains(got, "chunked") {
					body = unchunk(body)
				}
				if body != path {
					t.Fatalf("seed %d: %s was answered with %q", seed, path, got)
				}
			}
		}
		if good < 20 {
			t.Errorf("seed %d: only %d good answers", seed, good)
		}
	}
}

// flood is a server that writes as much as it may.
type flood struct {
	c    loop.Conn
	left int
	sent int
}

func (f *flood) OnData(p []byte) int {
	f.c.Write([]byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", f.left)))
	f.more()
	return len(p)
}

func (f *flood) more() {
	piece := make([]byte, 32<<10)
	for f.left > 0 && f.c.Buffered() < loop.HighWatermark {
		n := min(f.left, len(piece))
		f.c.Write(piece[:n])
		f.left -= n
		f.sent += n
	}
}

func (f *flood) OnEOF()        { f.c.Close() }
func (f *flood) OnWritable()   { f.more() }
func (f *flood) OnClose(error) {}

func TestASlowReaderHoldsTheServerBack(t *testing.T) {
	for seed := range uint64(5) {
		w := newWorld(t, seed, plain(), to("a", nil), cluster("a", "10.0.0.1:80"))
		const size = 20 << 20
		var server *flood
		w.sim.Gentle = true
		w.sim.Listen(loop.TCP(netip.MustParseAddrPort("10.0.0.1:80")), func(c loop.Conn) {
			server = &flood{c: c, left: size}
			c.SetHandler(server)
		})
		c := w.connect()
		c.c.Write([]byte(get))
		w.sim.RunUntil(time.Minute, func() bool { return len(c.Data) > 0 })
		c.c.PauseRead()
		w.sim.Run(10 * time.Second)
		if held := w.sim.Worker().BufferBytes(); held > 2<<20 || server.sent > 3<<20 {
			t.Errorf("seed %d: %d bytes of buffers, the server has sent %d", seed, held, server.sent)
		}
		c.c.ResumeRead()
		w.sim.RunUntil(time.Hour, func() bool { return len(c.Data) > size })
		if n := len(c.Data); n < size {
			t.Errorf("seed %d: %d bytes came", seed, n)
		}
	}
}

// deaf reads nothing until it is told to.
type deaf struct {
	c   loop.Conn
	got int
}

func (d *deaf) OnData(p []byte) int { d.got += len(p); return len(p) }
func (d *deaf) OnEOF()              { d.c.Close() }
func (d *deaf) OnWritable()         {}
func (d *deaf) OnClose(error)       {}

func TestASlowServerHoldsTheClientBack(t *testing.T) {
	for _, retries := range []bool{false, true} {
		w := newWorld(t, 1, plain(), to("a", func(f *config.Forward) {
			if retries {
				f.Retry = &config.Retry{On: config.Retry5xx, Attempts: 1}
			}
		}), cluster("a", "10.0.0.1:80"))
		w.sim.Gentle = true
		var server *deaf
		w.sim.Listen(loop.TCP(netip.MustParseAddrPort("10.0.0.1:80")), func(c loop.Conn) {
			server = &deaf{c: c}
			c.SetHandler(server)
			c.PauseRead()
		})
		const size = 20 << 20
		c := w.connect()
		client := &flood{c: c.c, left: size}
		c.c.SetHandler(client)
		c.c.Write([]byte(fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", size)))
		client.more()
		w.sim.Run(10 * time.Second)
		if held := w.sim.Worker().BufferBytes(); held > 4<<20 || client.sent > 5<<20 {
			t.Errorf("retries %t: %d bytes of buffers, the client has sent %d", retries, held, client.sent)
		}
		server.c.ResumeRead()
		w.sim.RunUntil(time.Hour, func() bool { return server.got > size })
		if server.got < size {
			t.Errorf("retries %t: the server has %d bytes", retries, server.got)
		}
	}
}

func TestCircuitBreakers(t *testing.T) {
	never := func(int, string) string { return "" }
	tests := map[string]struct {
		limits  config.Thresholds
		clients int
		open    int // connections that there may be
	}{
		"requests":    {config.Thresholds{Connections: 100, Pending: 100, Requests: 2, Retries: 3}, 5, 5},
		"pending":     {config.Thresholds{Connections: 1, Pending: 1, Requests: 100, Retries: 3}, 5, 1},
		"connections": {config.Thresholds{Connections: 2, Pending: 100, Requests: 100, Retries: 3}, 5, 2},
	}
	for name, tt := range tests {
		c := cluster("a", "10.0.0.1:80")
		c.Thresholds[0] = tt.limits
		w := newWorld(t, 1, plain(), to("a", nil), c)
		s := w.serve("10.0.0.1:80", never)
		var all []*client
		for range tt.clients {
			cl := w.connect()
			cl.c.Write([]byte(get))
			all = append(all, cl)
			w.sim.Run(50 * time.Millisecond)
		}
		overflows := 0
		for _, cl := range all {
			if len(cl.Data) > 0 {
				overflows++
				has(t, string(cl.Data), "503", "x-envoy-overloaded: true", "reset reason: overflow")
			}
		}
		if name != "connections" && overflows == 0 || name == "connections" && overflows > 0 || s.conns > tt.open {
			t.Errorf("%s: %d overflows, %d connections", name, overflows, s.conns)
		}
		for _, f := range w.finished {
			if f.flags != "UO" || f.details != "upstream_reset_before_response_started{overflow}" {
				t.Errorf("%s: %+v", name, f)
			}
		}
		for _, cl := range all {
			cl.c.Abort(true)
		}
		w.sim.Run(time.Second)
		w.sim.Worker().Conns(func(c loop.Conn) { c.Abort(false) })
		w.sim.Run(time.Second)
		w.settled(t, 0)
	}
}

func TestRetriesAreBounded(t *testing.T) {
	c := cluster("a", "10.0.0.1:80")
	c.Thresholds[0].Retries = 0
	w := newWorld(t, 1, plain(), to("a", func(f *config.Forward) { f.Retry = &config.Retry{On: config.Retry5xx, Attempts: 5} }), c)
	w.serve("10.0.0.1:80", func(int, string) string { return "HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy" })
	has(t, w.connect().ask(get), "503", "busy")
	if r := w.last(); r.flags != "UO" || r.trail.Attempts != 1 {
		t.Errorf("%+v", r)
	}
}

func TestDrain(t *testing.T) {
	w := newWorld(t, 1, plain(), to("a", nil), cluster("a", "10.0.0.1:80"))
	w.serve("10.0.0.1:80", ok("x"))
	busy, idle, begun := w.connect(), w.connect(), w.connect()
	has(t, busy.ask(get), "200 OK", "!connection")
	idle.ask(get)
	begun.ask(get)
	w.worker.Drain(0)
	has(t, busy.ask(get), "200 OK", "connection: close")
	w.sim.Run(3 * time.Second)
	if busy.Closed == 0 && !busy.EOF {
		t.Error("the drained connection is open")
	}
	if idle.Closed > 0 || idle.EOF {
		t.Error("an idle connection was closed, a request on its way would be lost")
	}
	begun.c.Write([]byte(get[:10]))
	w.sim.Run(time.Millisecond)
	fresh, silent := w.connect(), w.connect() // accepted last, their requests are still to come
	w.worker.CloseIdle()
	w.sim.Run(100 * time.Millisecond)
	has(t, fresh.ask(get), "200 OK", "connection: close")
	has(t, begun.ask(get[10:]), "200 OK", "connection: close")
	w.sim.Run(3 * time.Second)
	for name, c := range map[string]*client{"idle": idle, "fresh": fresh, "begun": begun, "silent": silent} {
		if c.Closed == 0 && !c.EOF {
			t.Errorf("the %s connection is open", name)
		}
	}
}

func TestRequestsPerConnection(t *testing.T) {
	h := plain()
	h.MaxRequestsPerConn = 2
	c := cluster("a", "10.0.0.1:80")
	c.MaxRequestsPerConn = 1
	w := newWorld(t, 1, h, to("a", nil), c)
	s := w.serve("10.0.0.1:80", ok("x"))
	cl := w.connect()
	has(t, cl.ask(get), "200 OK", "!connection")
	has(t, cl.ask(get), "200 OK", "connection: close")
	if s.conns != 2 {
		t.Errorf("%d upstream connections for 2 requests", s.conns)
	}
}

func TestAStaleConnectionIsToldAsEnvoyDoes(t *testing.T) {
	w := newWorld(t, 1, plain(), to("a", nil), cluster("a", "10.0.0.1:80"))
	s := w.serve("10.0.0.1:80", nil)
	s.answer = func(n int, r string) string {
		if n == 2 {
			return "CLOSE"
		}
		return ok("x")(n, r)
	}
	c := w.connect()
	has(t, c.ask(get), "200 OK")
	has(t, c.ask(get), "503", "upstream connect error or disconnect/reset before headers. reset reason: connection termination")
	if r := w.last(); r.flags != "UC" {
		t.Errorf("%+v", r)
	}
	has(t, c.ask(get), "200 OK")
}

func TestProtocolErrors(t *testing.T) {
	for answer, want := range map[string]string{
		"garbage\r\n\r\n": "502 Bad Gateway",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx":            "502 Bad Gateway",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n": "502 Bad Gateway",
		"HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n":                                "502 Bad Gateway",
	} {
		w := newWorld(t, 1, plain(), to("a", nil), cluster("a", "10.0.0.1:80"))
		w.serve("10.0.0.1:80", func(int, string) string { return answer })
		has(t, w.connect().ask(get), want, "reset reason: protocol error")
		if r := w.last(); r.flags != codec.FlagUpstreamProtocolError.String() {
			t.Errorf("%q: %+v", answer, r)
		}
	}
}

func TestACutResponseEndsTheConnection(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc\x00CLOSE", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc\x00CLOSE",
	} {
		w := newWorld(t, 1, plain(), to("a", nil), cluster("a", "10.0.0.1:80"))
		w.serve("10.0.0.1:80", func(int, string) string { return answer })
		c := w.connect()
		c.c.Write([]byte(get))
		w.sim.RunUntil(time.Minute, func() bool { return c.EOF || c.Closed > 0 })
		has(t, string(c.Data), "200 OK", "abc", "!\r\n0\r\n\r\n")
		if r := w.last(); r.flags != "UPE" || r.details != "upstream_reset_after_response_started{protocol_error}" {
			t.Errorf("%+v", r)
		}
	}
}

func TestOutlierIsAvoided(t *testing.T) {
	c := cluster("a", "10.0.0.1:80", "10.0.0.2:80")
	c.Outlier = &config.Outlier{Consecutive5xx: 3, Enforce5xx: 100, MaxEjectionPercent: 50, BaseEjection: time.Minute, Interval: time.Second}
	w := newWorld(t, 1, plain(), to("a", nil), c)
	bad := w.serve("10.0.0.1:80", func(int, string) string { return "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n" })
	w.serve("10.0.0.2:80", ok("x"))
	cl := w.connect()
	for range 30 {
		cl.ask(get)
	}
	if n := len(bad.requests); n != 3 {
		t.Errorf("the bad endpoint got %d requests", n)
	}
}

func TestARemovedEndpointLosesItsIdleConnections(t *testing.T) {
	c := cluster("a", "10.0.0.1:80")
	w := newWorld(t, 1, plain(), to("a", nil), c)
	w.serve("10.0.0.1:80", ok("first"))
	w.serve("10.0.0.2:80", ok("second"))
	cl := w.connect()
	has(t, cl.ask(get), "first")
	next := *c
	next.Endpoints = cluster("a", "10.0.0.2:80").Endpoints
	if err := w.set.Update(map[string]*config.Cluster{"a": &next}); err != nil {
		t.Fatal(err)
	}
	w.worker.Pools.Sweep()
	w.sim.Run(2 * time.Second)
	has(t, cl.ask(get), "second")
	for _, g := range w.gauges() {
		if strings.Contains(g, "upstream_cx_active") && !strings.HasSuffix(g, "=1") {
			t.Errorf("connections of the removed endpoint are open: %s", g)
		}
	}
}
