package stream_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/http2"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// peer is a client or a server of HTTP/2 at the other end of a simulated connection. What it does with each of its streams is chosen by the seed.
type peer struct {
	w      *world
	r      *rand.Rand
	lc     loop.Conn
	h2     http2.Conn
	slab   http2.Slab
	server bool
	rough  bool // resets and closes
	gone   bool
	talks  int // begun
	whole  int // responses that came whole
}

func (w *world) peer(r *rand.Rand, lc loop.Conn, role http2.Role, rough bool) *peer {
	p := &peer{w: w, r: r, lc: lc, server: role == http2.Server, rough: rough}
	l := http2.Defaults()
	if r.IntN(2) == 0 {
		l.StreamWindow, l.ConnWindow, l.Streams = 1<<16, 1<<17, 5
	}
	lc.SetHandler(p)
	p.h2.Init(role, l, lc, p, &p.slab)
	return p
}

// OnData implements loop.Handler.
func (p *peer) OnData(b []byte) int {
	n, err := p.h2.Feed(b)
	if err != nil {
		p.w.t.Errorf("a peer is told nonsense: %v", err)
		return len(b)
	}
	return n
}

// OnEOF implements loop.Handler.
func (p *peer) OnEOF() { p.end() }

// OnWritable implements loop.Handler.
func (p *peer) OnWritable() { p.h2.Writable() }

// OnClose implements loop.Handler.
func (p *peer) OnClose(error) {
	p.gone = true
	p.h2.Close(codec.ConnectionTermination, "")
}

func (p *peer) end() {
	if !p.gone {
		p.gone = true
		p.h2.Close(codec.ConnectionTermination, "")
		p.lc.Close()
	}
}

// Attend implements http2.Owner.
func (p *peer) Attend() { p.lc.Worker().Defer(p.h2.Attend) }

// Closed implements http2.Owner.
func (p *peer) Closed(s *http2.Stream) {
	if k, ok := s.Receiver().(*talked); ok {
		k.over = true
	}
}

// Malformed implements http2.Owner.
func (p *peer) Malformed(_ *http2.Stream, _ *codec.Head, err *http2.Error) {
	p.w.t.Errorf("a server is sent a malformed request: %v", err)
}

// Request implements http2.Owner: the server answers at some time, in some way.
func (p *peer) Request(s *http2.Stream, h *codec.Head, end bool) codec.Receiver {
	k := &talked{p: p, s: s}
	p.w.sim.At(time.Duration(p.r.Int64N(int64(2*time.Second))), k.answer)
	return k
}

// talked is one exchange of a peer.
type talked struct {
	p    *peer
	s    *http2.Stream
	got  int
	over bool
	full bool
	left int
}

// size is that of a body: most are short, some do not fit in a window.
func (p *peer) size() int {
	if p.r.IntN(10) == 0 {
		return p.r.IntN(300_000)
	}
	return p.r.IntN(10_000)
}

func response(status int) *codec.Head {
	h := &codec.Head{}
	h.Reset()
	h.Status = status
	return h
}

func (k *talked) answer() {
	p := k.p
	if k.over || p.gone {
		return
	}
	switch n := p.r.IntN(16); {
	case p.rough && n == 0:
		k.over = true
		k.s.Abort(codec.LocalReset, "")
	case p.rough && n == 1:
		p.end()
	case p.rough && n == 2:
		p.h2.Shutdown()
		fallthrough
	case n < 6:
		k.s.Head(response(200), true)
	case n < 8:
		k.s.Head(response(503), true)
	default:
		k.s.Head(response(200), false)
		k.left = p.size()
		k.send()
	}
}

// send goes on with a body, piece by piece, and ends with trailers now and then.
func (k *talked) send() {
	p := k.p
	for k.left > 0 && !k.over && !p.gone {
		if k.s.Full() {
			k.full = true
			return
		}
		n := min(k.left, 1+p.r.IntN(40_000))
		k.left -= n
		k.s.Body(make([]byte, n), false)
		if p.r.IntN(4) == 0 {
			p.w.sim.At(time.Duration(p.r.Int64N(int64(time.Second))), k.send)
			return
		}
	}
	if k.over || p.gone {
		return
	}
	if p.r.IntN(2) == 0 {
		var f codec.Fields
		f.AddString(codec.MakeName("grpc-status"), "0")
		k.s.Trailers(&f)
		return
	}
	k.s.Body(nil, true)
}

// Head implements codec.Receiver.
func (k *talked) Head(h *codec.Head, end bool) {
	if end {
		k.p.whole++
	}
}

// Informational implements codec.Receiver.
func (k *talked) Informational(*codec.Head) {}

// Body implements codec.Receiver.
func (k *talked) Body(b []byte, end bool) {
	k.got += len(b)
	if end {
		k.p.whole++
	}
	if k.p.r.IntN(8) == 0 {
		k.s.Pause()
		k.p.w.sim.At(time.Duration(k.p.r.Int64N(int64(2*time.Second))), func() {
			if !k.over && !k.p.gone {
				k.s.Resume()
			}
		})
	}
}

// Trailers implements codec.Receiver.
func (k *talked) Trailers(*codec.Fields) { k.p.whole++ }

// Writable implements codec.Receiver.
func (k *talked) Writable() {
	if k.full {
		k.full = false
		k.send()
	}
}

// Abort implements codec.Receiver.
func (k *talked) Abort(codec.Reason, string) { k.over = true }

// ask opens a stream with a request.
func (p *peer) ask() {
	k := &talked{p: p}
	if k.s = p.h2.Open(k); k.s == nil {
		return
	}
	p.talks++
	h := &codec.Head{}
	h.Reset()
	h.SetScheme("http")
	h.SetMethod([]byte("GET"))
	h.SetPath([]byte(fmt.Sprintf("/%d", p.talks)))
	h.SetAuthorityString("h")
	if p.r.IntN(3) > 0 {
		k.s.Head(h, true)
	} else {
		h.SetMethod([]byte("POST"))
		k.s.Head(h, false)
		k.left = p.size()
		k.send()
	}
	if p.rough && p.r.IntN(6) == 0 {
		p.w.sim.At(time.Duration(p.r.Int64N(int64(time.Second))), func() {
			if !k.over && !p.gone {
				k.over = true
				k.s.Abort(codec.LocalReset, "")
			}
		})
	}
}

// TestFramesChaos lets clients and servers of both versions meet in a seeded way, and misbehave when rough: no stream, exchange, buffer or count is left behind, and when
// nobody misbehaves every response comes whole.
func TestFramesChaos(t *testing.T) {
	n := uint64(100)
	if testing.Short() {
		n = 10
	}
	for seed := range n {
		framesChaos(t, seed, seed%2 == 1)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func framesChaos(t *testing.T, seed uint64, rough bool) {
	r := rand.New(rand.NewPCG(seed, 7))
	h := plain()
	h.IdleTimeout = time.Minute
	h.Codec = config.AutoHTTP
	addresses := []string{"10.0.0.1:80", "10.0.0.2:80"}
	c := cluster("a", addresses...)
	c.Speaks, c.IdleTimeout = config.SpeaksHTTP2, 30*time.Second
	if rough {
		c.MaxRequestsPerConn = uint32(r.IntN(6))
	}
	w := newWorld(t, seed, h, to("a", func(f *config.Forward) {
		if rough {
			f.Timeout = 20 * time.Second
			f.Retry = &config.Retry{On: config.Retry5xx | config.RetryRefusedStream, Attempts: 2, PreviousHosts: true, SelectAttempts: 3}
		}
	}), c)
	for _, a := range addresses {
		w.sim.Listen(loop.TCP(netip.MustParseAddrPort(a)), func(lc loop.Conn) { w.peer(r, lc, http2.Server, rough) })
	}
	var clients []*peer
	for range 3 {
		a, b := w.sim.Pipe()
		p := w.peer(r, a, http2.Client, rough)
		clients = append(clients, p)
		w.worker.Serve(w.manager, b)
		for range 15 {
			w.sim.At(time.Duration(r.Int64N(int64(5*time.Second))), func() {
				if !p.gone {
					p.ask()
				}
			})
		}
	}
	if rough {
		w.sim.At(time.Duration(r.Int64N(int64(6*time.Second))), clients[0].end)
	}
	w.sim.Run(5 * time.Minute)
	for i, p := range clients {
		if !rough && p.whole != p.talks {
			t.Errorf("seed %d: client %d got %d of %d responses whole", seed, i, p.whole, p.talks)
		}
	}
	w.sim.Worker().Conns(func(c loop.Conn) { c.Abort(false) })
	w.sim.Run(time.Minute)
	if n := w.worker.HeldFrames(); n != 0 || w.worker.Clients() != 0 {
		t.Errorf("seed %d: %d bytes of streams and %d clients are left", seed, n, w.worker.Clients())
	}
	w.settled(t, seed)
}
