package stream_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// gauges are the gauges that are not zero.
func (w *world) gauges() (out []string) {
	for _, s := range w.stats.Snapshot() {
		if s.Gauge != 0 {
			out = append(out, fmt.Sprintf("%s%v=%d", s.Name, s.Labels, s.Gauge))
		}
	}
	return out
}

// settled checks that nothing is left when clients and servers have gone.
func (w *world) settled(t *testing.T, seed uint64) {
	t.Helper()
	for _, c := range w.set.All() {
		b := c.Breaker(0)
		for _, r := range []upstream.Resource{upstream.Pending, upstream.Requests, upstream.Retries, upstream.Connections} {
			if n := b.Count(r); n != 0 {
				t.Errorf("seed %d: %s: resource %d counts %d", seed, c.Name, r, n)
			}
		}
		for _, h := range c.Hosts() {
			if h.Active() != 0 {
				t.Errorf("seed %d: %s has %d active requests", seed, h.Address, h.Active())
			}
		}
	}
	if g := w.gauges(); len(g) > 0 {
		t.Errorf("seed %d: gauges are left: %v", seed, g)
	}
	if w.worker.Active() != 0 {
		t.Errorf("seed %d: %d exchanges are left", seed, w.worker.Active())
	}
	if n := w.sim.Worker().BufferBytes(); n != 0 {
		t.Errorf("seed %d: %d bytes of buffers are left", seed, n)
	}
}

// TestChaos lets clients and servers misbehave in a seeded way: whatever happens, every request has one outcome and nothing is left behind.
func TestChaos(t *testing.T) {
	n := uint64(60)
	if testing.Short() {
		n = 15
	}
	for seed := range n {
		chaos(t, seed)
		if t.Failed() {
			return
		}
	}
}

func chaos(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 99))
	h := plain()
	h.StreamIdleTimeout, h.IdleTimeout = 10*time.Second, time.Minute
	c := cluster("a", "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
	c.IdleTimeout = 30 * time.Second
	c.MaxRequestsPerConn = uint32(r.IntN(4))
	c.Outlier = &config.Outlier{Consecutive5xx: 3, Enforce5xx: 100, MaxEjectionPercent: 50, BaseEjection: 5 * time.Second, Interval: time.Second}
	if r.IntN(3) == 0 {
		c.Thresholds[0] = config.Thresholds{Connections: 2, Pending: 2, Requests: 3, Retries: 1}
	}
	w := newWorld(t, seed, h, to("a", func(f *config.Forward) {
		f.Timeout = 5 * time.Second
		f.Retry = &config.Retry{On: config.Retry5xx, Attempts: 2, PerTry: 2 * time.Second, PreviousHosts: true, SelectAttempts: 3}
		f.Mirrors = []config.Mirror{{Cluster: "a", Share: 300_000}}
	}), c)
	big := strings.Repeat("x", 200_000)
	for _, a := range []string{"10.0.0.1:80", "10.0.0.2:80"} { // the third refuses
		w.serve(a, func(int, string) string {
			switch r.IntN(12) {
			case 0:
				return "RESET"
			case 1:
				return "CLOSE"
			case 2:
				return ""
			case 3:
				return "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"
			case 4:
				return "garbage\r\n\r\n"
			case 5:
				return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(big)+10, big) + "\x00CLOSE"
			case 6:
				return "HTTP/1.1 200 OK\r\n\r\nuntil the end\x00CLOSE"
			case 7:
				return fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(big), big)
			case 8:
				return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more than that"
			}
			return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
		})
	}
	asked := 0
	for range 8 {
		cl := w.connect()
		var next func()
		next = func() {
			if cl.Closed > 0 || cl.EOF || asked > 60 {
				cl.c.Close()
				return
			}
			asked++
			switch r.IntN(8) {
			case 0:
				cl.c.Write([]byte("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n" + big))
			case 1:
				cl.c.Write([]byte("POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"))
				w.sim.At(time.Duration(r.Int64N(int64(time.Second))), func() { cl.c.Write([]byte("0\r\n\r\n")) })
			case 2:
				cl.c.Write([]byte(get + get + get))
			case 3:
				cl.c.Write([]byte(get))
				w.sim.At(time.Duration(r.Int64N(int64(20*time.Millisecond))), func() { cl.c.Abort(r.IntN(2) == 0) })
			case 4:
				cl.c.Write([]byte("POST /never HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc"))
			default:
				cl.c.Write([]byte(get))
			}
			if r.IntN(4) == 0 {
				cl.c.PauseRead()
				w.sim.At(time.Duration(r.Int64N(int64(3*time.Second))), cl.c.ResumeRead)
			}
			w.sim.At(time.Duration(r.Int64N(int64(2*time.Second))), next)
		}
		w.sim.At(time.Duration(r.Int64N(int64(time.Second))), next)
	}
	w.sim.Run(10 * time.Minute)
	w.sim.Worker().Conns(func(c loop.Conn) { c.Abort(false) })
	w.sim.Run(time.Minute)
	if len(w.finished) < 3 {
		t.Errorf("seed %d: only %d exchanges", seed, len(w.finished))
	}
	for _, f := range w.finished {
		if f.details == "" {
			t.Errorf("seed %d: an exchange without a reason: %+v", seed, f)
		}
	}
	w.settled(t, seed)
}
