//go:build !race

package stream_test

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/dial"
	"github.com/heddle-mesh/heddle/data/proxy/filter"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/pool"
	telling "github.com/heddle-mesh/heddle/data/proxy/report"
	"github.com/heddle-mesh/heddle/data/proxy/route"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
	"github.com/heddle-mesh/heddle/data/proxy/trace"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// rig is a worker on the kernel that the test turns itself, between two descriptors that the test holds.
type rig struct {
	tb         testing.TB
	loop       *loop.Worker
	client, up int
	buf        []byte
	request    []byte
	response   []byte
}

func newRig(tb testing.TB, h *config.HTTP, routes *config.RouteTable, taps ...func(*stats.Registry) stream.Reporter) *rig {
	tb.Helper()
	w, err := loop.NewKernel(loop.Settings{})
	check(tb, err)
	path := filepath.Join(tb.TempDir(), "up")
	listener, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	check(tb, err)
	check(tb, unix.Bind(listener, &unix.SockaddrUnix{Name: path}))
	check(tb, unix.Listen(listener, 1))
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	check(tb, err)

	registry := stats.New()
	set := upstream.NewSet(nil, slog.New(slog.DiscardHandler))
	a := &config.Assignment{Localities: []config.Locality{{Endpoints: []*config.Endpoint{{Path: path, Weight: 1}}}}}
	check(tb, set.Update(map[string]*config.Cluster{"a": {Name: "a", Thresholds: limits(), ConnectTimeout: time.Second, Endpoints: a, IdleTimeout: time.Hour}}))
	var tables route.Set
	tables.Apply(map[string]*config.RouteTable{"t": routes})
	h.RouteName = "t"
	pools := pool.New(w, registry.NewShard(), registry, set, &dial.Dialer{})
	tracer := func(c *config.Tracing) *trace.Tracer {
		return &trace.Tracer{Config: c, Exporter: trace.NewExporter(trace.Options{Provider: c.Provider, Pools: []*pool.Worker{pools}, Stats: registry})}
	}
	o := stream.Options{Stats: registry, Routes: &tables, Filters: filter.Make(registry), Tracer: tracer}
	for _, t := range taps {
		o.Reporter = t(registry)
	}
	m, err := stream.NewManager(h, o)
	check(tb, err)
	worker := stream.NewWorker(pools)
	worker.Serve(m, w.Adopt(loop.NewSocket(fds[0]), 0, loop.Origin{Accepted: true}))

	r := &rig{tb: tb, loop: w, client: fds[1], buf: make([]byte, 64<<10)}
	r.request = []byte("GET /path?q=1 HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: test/1.0\r\nAccept: */*\r\nX-One: 1\r\nX-Two: 2\r\nCookie: a=b\r\n\r\n")
	r.response = []byte("HTTP/1.1 200 OK\r\nContent-Length: 1024\r\nContent-Type: text/plain\r\n\r\n")
	r.response = append(r.response, make([]byte, 1024)...)
	r.send(fds[1], r.request)
	err = unix.EAGAIN
	for i := 0; i < 100 && errors.Is(err, unix.EAGAIN); i++ {
		check(tb, w.Turn(w.Now().Add(10*time.Millisecond)))
		r.up, _, err = unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	}
	check(tb, err)
	tb.Cleanup(func() {
		for _, fd := range []int{listener, fds[1], r.up} {
			_ = unix.Close(fd)
		}
		w.Stop()
		_ = w.Run()
	})
	r.answer()
	return r
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func (r *rig) send(fd int, p []byte) {
	if n, err := unix.Write(fd, p); err != nil || n != len(p) {
		r.tb.Fatal(n, err)
	}
}

// turn turns the worker until there is something to read.
func (r *rig) turn(fd int) int {
	for range 100 {
		if n, err := unix.Read(fd, r.buf); err == nil {
			return n
		}
		if err := r.loop.Turn(r.loop.Now().Add(time.Second)); err != nil {
			r.tb.Fatal(err)
		}
	}
	r.tb.Fatal("nothing came")
	return 0
}

func (r *rig) answer() {
	if r.turn(r.up) == 0 {
		r.tb.Fatal("the upstream's connection has ended")
	}
	r.send(r.up, r.response)
	if n := r.turn(r.client); n < 1024 {
		r.tb.Fatalf("%d bytes: %s", n, r.buf[:n])
	}
}

func (r *rig) exchange() {
	r.send(r.client, r.request)
	r.answer()
}

func usual() *config.HTTP {
	h := plain()
	h.GenerateRequestID, h.StreamIdleTimeout = true, time.Hour
	h.XFCC = config.AppendForward
	return h
}

func TestNoAllocationPerRequest(t *testing.T) {
	r := newRig(t, usual(), to("a", func(f *config.Forward) {
		f.Timeout = time.Minute
		f.Retry = &config.Retry{On: config.RetryConnectFailure, Attempts: 2, PreviousHosts: true, SelectAttempts: 5}
	}))
	for range 10 {
		r.exchange()
	}
	if n := testing.AllocsPerRun(1000, r.exchange); n != 0 {
		t.Errorf("%v allocations per request", n)
	}
	if n := r.loop.BufferBytes(); n != 0 {
		t.Errorf("idle connections hold %d bytes of buffers", n)
	}
}

// TestTracingAllocatesOnlyWhenSampled: a request that is not sampled gets its context for the next hop without an allocation.
func TestTracingAllocatesOnlyWhenSampled(t *testing.T) {
	for name, p := range map[string]*config.TraceProvider{"otlp": {Cluster: "a", GRPC: true}, "zipkin": {Cluster: "a", Zipkin: true, LongIDs: true}} {
		h := usual()
		h.Tracing = &config.Tracing{Overall: 10_000, MaxPath: 256, Provider: p}
		r := newRig(t, h, to("a", nil))
		for range 10 {
			r.exchange()
		}
		if n := testing.AllocsPerRun(1000, r.exchange); n != 0 {
			t.Errorf("%s: %v allocations per request", name, n)
		}
	}
}

// remembering is a tap that nobody listens to, which remembers requests all the same.
func remembering(r *stats.Registry) stream.Reporter {
	return telling.NewTap(&telling.Requests{Reporter: telling.New(telling.Workload{Name: "web-v1", Namespace: "shop"}, r, []*stats.Shard{r.NewShard()})})
}

// TestRememberingDoesNotAllocate: the trail of each request is kept in memory that is used again, once the places for requests are there.
func TestRememberingDoesNotAllocate(t *testing.T) {
	r := newRig(t, usual(), to("a", nil), remembering)
	for range 200 {
		r.exchange()
	}
	if n := testing.AllocsPerRun(1000, r.exchange); n != 0 {
		t.Errorf("%v allocations per request", n)
	}
}

func BenchmarkRememberedRequest(b *testing.B) {
	r := newRig(b, usual(), to("a", nil), remembering)
	b.ReportAllocs()
	for b.Loop() {
		r.exchange()
	}
}

func BenchmarkRequest(b *testing.B) {
	r := newRig(b, usual(), to("a", nil))
	b.ReportAllocs()
	for b.Loop() {
		r.exchange()
	}
}
