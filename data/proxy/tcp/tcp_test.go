package tcp_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/dial"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/loop/sim"
	"github.com/heddle-mesh/heddle/data/proxy/tcp"
)

var backend = loop.TCP(netip.MustParseAddrPort("10.0.0.1:9000"))

// direct dials one address per cluster.
type direct struct {
	at       map[string]loop.Address
	released int
	err      error
}

func (d *direct) Connect(w *loop.Worker, to *config.WeightedName, _ *loop.Origin, _ *config.TCP, done func(tcp.Upstream, error)) func() {
	at, ok := d.at[to.Name]
	if !ok {
		w.Defer(func() { done(tcp.Upstream{}, &tcp.Failure{Flag: "NC"}) })
		return func() {}
	}
	a := (&dial.Dialer{}).Dial(w, dial.Target{Addr: at, ConnectTimeout: time.Second}, func(c loop.Conn, err error) {
		if err != nil {
			var e *dial.Error
			errors.As(err, &e)
			done(tcp.Upstream{}, &tcp.Failure{Flag: tcp.ConnectFailed, Reason: e.Reason, Err: err})
			return
		}
		done(tcp.Upstream{Conn: c, Release: func(err error) { d.released++; d.err = err }}, nil)
	})
	return a.Cancel
}

// log records what an Observer is told.
type log struct {
	opened, closed int
	received, sent uint64
	last           tcp.Record
}

func (l *log) Opened(*loop.Worker, *tcp.Record) { l.opened++ }
func (l *log) Moved(_ *loop.Worker, _ *tcp.Record, received, sent uint64) {
	l.received += received
	l.sent += sent
}
func (l *log) Closed(_ *loop.Worker, r *tcp.Record) { l.closed++; l.last = *r }

// talker writes a text with back-pressure, half closes, and reads with pauses.
type talker struct {
	rng    *rand.Rand
	c      loop.Conn
	send   []byte
	sent   int
	got    []byte
	eof    bool
	closed int
	err    error
}

func talk(rng *rand.Rand, c loop.Conn, n int) *talker {
	t := &talker{rng: rng, c: c, send: make([]byte, n)}
	for i := range t.send {
		t.send[i] = byte(rng.Uint32())
	}
	c.SetHandler(t)
	c.Worker().Defer(t.push)
	return t
}
func (t *talker) OnData(p []byte) int {
	if t.rng.IntN(3) == 0 {
		t.c.PauseRead()
		t.c.Worker().After(time.Duration(t.rng.IntN(5))*time.Millisecond, t.c.ResumeRead)
	}
	t.got = append(t.got, p...)
	return len(p)
}
func (t *talker) OnEOF()            { t.eof = true }
func (t *talker) OnWritable()       { t.push() }
func (t *talker) OnClose(err error) { t.closed++; t.err = err }
func (t *talker) push() {
	for t.sent < len(t.send) && t.c.Buffered() <= loop.HighWatermark {
		n := min(1+t.rng.IntN(30000), len(t.send)-t.sent)
		t.c.Write(t.send[t.sent : t.sent+n])
		t.sent += n
	}
	if t.sent == len(t.send) {
		t.c.CloseWrite()
	}
}

func one(name string) *config.TCP {
	return &config.TCP{Clusters: []config.WeightedName{{Name: name, Weight: 1}}, MaxConnectAttempts: 1, IdleTimeout: time.Hour}
}

func TestBothDirectionsHalfCloseAndCount(t *testing.T) {
	for seed := range uint64(300) {
		s := sim.New(seed)
		up, l := &direct{at: map[string]loop.Address{"b": backend}}, &log{}
		var server *talker
		s.Listen(backend, func(c loop.Conn) { server = talk(s.Rand(), c, s.Rand().IntN(300000)) })
		c, proxied := s.Pipe()
		client := talk(s.Rand(), c, s.Rand().IntN(300000))
		s.At(0, func() { new(tcp.Sessions).Serve(proxied, one("b"), up, l, nil) })
		if !s.RunUntil(30*time.Minute, func() bool { return client.closed > 0 && server != nil && server.closed > 0 && l.closed > 0 }) {
			t.Fatalf("seed %d: not closed", seed)
		}
		if !bytes.Equal(client.got, server.send) || !bytes.Equal(server.got, client.send) || !client.eof || !server.eof || client.err != nil || server.err != nil {
			t.Fatalf("seed %d: %d/%d %d/%d, %v %v", seed, len(client.got), len(server.send), len(server.got), len(client.send), client.err, server.err)
		}
		r := l.last
		if r.Received != uint64(len(client.send)) || r.Sent != uint64(len(server.send)) || l.received != r.Received || l.sent != r.Sent || r.Flags != "" || l.opened != 1 || l.closed != 1 || up.released != 1 {
			t.Fatalf("seed %d: %+v %+v", seed, r, l)
		}
		if w := s.Worker(); w.BufferBytes() != 0 || w.Load() != 0 {
			t.Fatalf("seed %d: %d bytes, %d connections left", seed, w.BufferBytes(), w.Load())
		}
	}
}

// TestBulk: what comes in full buffers goes on without being copied, and nothing else is different.
func TestBulk(t *testing.T) {
	spliced := 0
	for seed := range uint64(100) {
		s := sim.New(seed)
		s.Capacity = 64 << 10 << s.Rand().IntN(5)
		up, l := &direct{at: map[string]loop.Address{"b": backend}}, &log{}
		var server *talker
		s.Listen(backend, func(c loop.Conn) { server = talk(s.Rand(), c, 1<<s.Rand().IntN(22)) })
		c, proxied := s.Pipe()
		client := talk(s.Rand(), c, 1<<s.Rand().IntN(22))
		s.At(0, func() { new(tcp.Sessions).Serve(proxied, one("b"), up, l, nil) })
		over := func() bool {
			return client.closed > 0 && server != nil && server.closed > 0 && l.closed > 0
		}
		cut := s.Rand().IntN(2) == 0
		if cut { // somebody leaves in the middle
			at := s.Rand().IntN(400)
			s.At(time.Duration(at)*time.Millisecond, func() {
				if who := []*talker{client, server}[s.Rand().IntN(2)]; who != nil {
					who.c.Abort(s.Rand().IntN(2) == 0)
				}
			})
		}
		if !s.RunUntil(30*time.Minute, over) && !(cut && server == nil) {
			t.Fatalf("seed %d: not closed", seed)
		}
		if server == nil {
			continue
		}
		s.Run(time.Second) // the talkers' pauses end
		if !cut && (len(client.got) != len(server.send) || len(server.got) != len(client.send)) || !bytes.HasPrefix(server.send, client.got) || !bytes.HasPrefix(client.send, server.got) {
			t.Fatalf("seed %d: %d/%d %d/%d, %v %v", seed, len(client.got), len(server.send), len(server.got), len(client.send), client.err, server.err)
		}
		if r := l.last; !cut && (r.Received != uint64(len(client.send)) || r.Sent != uint64(len(server.send))) || r.Received < uint64(len(server.got)) || r.Sent < uint64(len(client.got)) {
			t.Fatalf("seed %d: %d and %d bytes passed, counted were %d and %d", seed, len(server.got), len(client.got), r.Received, r.Sent)
		}
		if w := s.Worker(); w.BufferBytes() != 0 || w.Load() != 0 || w.Timers() != 0 {
			t.Fatalf("seed %d: %d bytes, %d connections, %d timers left", seed, w.BufferBytes(), w.Load(), w.Timers())
		}
		spliced += s.Spliced
	}
	if spliced < 2<<20 {
		t.Errorf("%d bytes went through pipes", spliced)
	}
}

func TestFailures(t *testing.T) {
	dead := loop.TCP(netip.MustParseAddrPort("10.0.0.2:1"))
	silent := loop.TCP(netip.MustParseAddrPort("10.0.0.3:1"))
	for _, c := range []struct {
		cluster  string
		attempts uint32
		flags    string
		reason   string
		tried    int
	}{
		{"none", 1, "NC", "", 1},
		{"dead", 1, "UF,URX", "delayed connect error: Connection refused", 1},
		{"dead", 3, "UF,URX", "delayed connect error: Connection refused", 3},
		{"silent", 2, "UF,URX", "", 2},
	} {
		s := sim.New(5)
		s.Silence(silent)
		up, l := &direct{at: map[string]loop.Address{"dead": dead, "silent": silent}}, &log{}
		conn, proxied := s.Pipe()
		client := &sim.Recorder{}
		conn.SetHandler(client)
		cfg := one(c.cluster)
		cfg.MaxConnectAttempts = c.attempts
		s.At(0, func() { conn.Write([]byte("early")); new(tcp.Sessions).Serve(proxied, cfg, up, l, nil) })
		s.Run(time.Minute)
		if l.last.Flags != c.flags || l.last.Failure != c.reason || l.last.Attempts != c.tried || l.closed != 1 || l.opened != 0 {
			t.Errorf("%s: %+v", c.cluster, l.last)
		}
		if client.Closed+boolInt(client.EOF) == 0 {
			t.Errorf("%s: the client was not told", c.cluster)
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestResetGoesOn(t *testing.T) {
	for seed := range uint64(30) {
		s := sim.New(seed)
		up, l := &direct{at: map[string]loop.Address{"b": backend}}, &log{}
		s.Listen(backend, func(c loop.Conn) {
			c.SetHandler(&sim.Recorder{OnBytes: func() { c.Abort(true) }})
		})
		conn, proxied := s.Pipe()
		client := &sim.Recorder{}
		conn.SetHandler(client)
		s.At(0, func() { conn.Write([]byte("x")); new(tcp.Sessions).Serve(proxied, one("b"), up, l, nil) })
		s.Run(time.Minute)
		if client.Closed != 1 || !errors.Is(client.Err, unix.ECONNRESET) || l.closed != 1 || !errors.Is(up.err, unix.ECONNRESET) {
			t.Fatalf("seed %d: client %+v, log %+v, %v", seed, client, l, up.err)
		}
	}
}

func TestClientGoesAwayWhileConnecting(t *testing.T) {
	s := sim.New(1)
	silent := loop.TCP(netip.MustParseAddrPort("10.0.0.3:1"))
	s.Silence(silent)
	up, l := &direct{at: map[string]loop.Address{"b": silent}}, &log{}
	conn, proxied := s.Pipe()
	conn.SetHandler(&sim.Recorder{})
	cfg := one("b")
	cfg.MaxConnectAttempts = 100
	s.At(0, func() { new(tcp.Sessions).Serve(proxied, cfg, up, l, nil) })
	s.At(2500*time.Millisecond, func() { conn.Abort(true) })
	s.Run(10 * time.Second)
	if l.closed != 1 || l.last.Attempts != 3 || s.Worker().Load() != 0 {
		t.Fatalf("%+v", l)
	}
}

func TestIdleTimeoutAndMaxDuration(t *testing.T) {
	for _, c := range []struct {
		edit  func(*config.TCP)
		alive time.Duration
		flags string
	}{
		{func(c *config.TCP) { c.IdleTimeout = 10 * time.Second }, 16 * time.Second, ""},
		{func(c *config.TCP) { c.MaxDuration = 8 * time.Second }, 8 * time.Second, "DT"},
	} {
		s := sim.New(1)
		up, l := &direct{at: map[string]loop.Address{"b": backend}}, &log{}
		s.Listen(backend, func(c loop.Conn) { c.SetHandler(&sim.Recorder{}) })
		conn, proxied := s.Pipe()
		conn.SetHandler(&sim.Recorder{})
		cfg := one("b")
		c.edit(cfg)
		start := s.Now()
		s.At(0, func() { new(tcp.Sessions).Serve(proxied, cfg, up, l, nil) })
		s.At(6*time.Second, func() { conn.Write([]byte("still here")) })
		s.RunUntil(time.Hour, func() bool { return l.closed > 0 })
		if d := s.Now().Sub(start); d < c.alive || d > c.alive+time.Second || l.last.Flags != c.flags {
			t.Errorf("ended after %v with flags %q", d, l.last.Flags)
		}
	}
}

func TestWeightedClusters(t *testing.T) {
	s := sim.New(9)
	up, l := &direct{at: map[string]loop.Address{}}, &log{}
	cfg := &config.TCP{Clusters: []config.WeightedName{{Name: "a", Weight: 90}, {Name: "b", Weight: 10}, {Name: "never", Weight: 0}}}
	count := map[string]int{}
	for range 5000 {
		_, proxied := s.Pipe()
		new(tcp.Sessions).Serve(proxied, cfg, up, l, nil)
		s.Run(10 * time.Millisecond)
		count[l.last.ClusterName]++
	}
	if n := count["b"]; n < 400 || n > 600 || count["never"] != 0 {
		t.Fatalf("%v", count)
	}
}

// A review ends whom it says no to, whatever state they are in, and only them.
func TestReview(t *testing.T) {
	s := sim.New(4)
	up, l := &direct{at: map[string]loop.Address{"b": backend}}, &log{}
	s.Listen(backend, func(c loop.Conn) { c.SetHandler(&sim.Recorder{}) })
	var all tcp.Sessions
	listeners := map[string]*config.Listener{"stay": {Name: "stay"}, "go": {Name: "go"}}
	clients := map[string]*sim.Recorder{}
	for _, at := range []time.Duration{0, time.Second} { // joined, and connecting
		s.At(at, func() {
			for name, listener := range listeners {
				conn, proxied := s.Pipe()
				clients[name+at.String()] = &sim.Recorder{}
				conn.SetHandler(clients[name+at.String()])
				all.Serve(proxied, one("b"), up, l, listener)
			}
			if at > 0 {
				all.Review(func(r *tcp.Record) bool { return r.Listener.Name == "stay" })
			}
		})
	}
	s.Run(10 * time.Second)
	for name, c := range clients {
		if gone := strings.HasPrefix(name, "go"); (c.EOF || c.Closed == 1) != gone {
			t.Errorf("%s: %+v", name, c)
		}
	}
	left := 0
	all.Review(func(*tcp.Record) bool { left++; return true })
	if left != 2 || l.closed != 2 {
		t.Errorf("%d sessions are left, want 2; %d are over", left, l.closed)
	}
}
