package health

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/dial"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/loop/sim"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// world is a prober in a simulated network.
type world struct {
	t       testing.TB
	sim     *sim.Sim
	stats   *stats.Registry
	set     *upstream.Set
	prober  *Prober
	servers map[string]*server
	checked int
}

// server answers each piece of bytes that it gets by a function; "RESET" resets, "CLOSE" closes, "" is silent.
type server struct {
	answer func(got string) string
	asked  []string
	conns  int
	open   map[loop.Conn]bool
}

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{t: t, sim: sim.New(seed), stats: stats.New(), set: upstream.NewSet(nil, slog.New(slog.DiscardHandler)), servers: map[string]*server{}}
	w.prober = New(Options{
		Loop: w.sim.Worker(), Workers: 1, Set: w.set, Stats: w.stats, Shard: w.stats.NewShard(), Dialer: &dial.Dialer{}, Log: slog.New(slog.DiscardHandler), Checked: func() { w.checked++ },
	})
	return w
}

func (w *world) serve(address string, answer func(got string) string) *server {
	s := &server{answer: answer, open: map[loop.Conn]bool{}}
	w.servers[address] = s
	w.sim.Listen(loop.TCP(netip.MustParseAddrPort(address)), func(c loop.Conn) {
		s.conns++
		s.open[c] = true
		c.SetHandler(&answerer{s: s, c: c})
	})
	return s
}

type answerer struct {
	s   *server
	c   loop.Conn
	got string
}

// OnData implements loop.Handler. Requests in HTTP are answered when their head is complete.
func (a *answerer) OnData(p []byte) int {
	a.got += string(p)
	if strings.ContainsAny(a.got[:1], "GP") && !strings.Contains(a.got, "\r\n\r\n") {
		return len(p)
	}
	got := a.got
	a.got = ""
	a.s.asked = append(a.s.asked, got)
	switch text := a.s.answer(got); text {
	case "":
	case "RESET":
		a.c.Abort(true)
	case "CLOSE":
		a.c.Close()
	default:
		a.c.Write([]byte(text))
	}
	return len(p)
}

func (a *answerer) OnEOF()        { a.c.Close() }
func (a *answerer) OnWritable()   {}
func (a *answerer) OnClose(error) { delete(a.s.open, a.c) }

func status(code int, more ...string) func(string) string {
	return func(string) string {
		head := fmt.Sprintf("HTTP/1.1 %d x\r\ncontent-length: 2\r\n", code)
		return head + strings.Join(more, "") + "\r\nok"
	}
}

// cluster has endpoints, and a check of them every second.
func cluster(k *config.HealthCheck, addresses ...string) *config.Cluster {
	k.Timeout, k.Unhealthy, k.Healthy = 500*time.Millisecond, max(k.Unhealthy, 1), max(k.Healthy, 1)
	i := &k.Intervals
	i.Healthy, i.HealthyEdge, i.Unhealthy, i.UnhealthyEdge, i.NoTraffic, i.NoTrafficHealthy = time.Second, time.Second, time.Second, time.Second, time.Second, time.Second
	a := &config.Assignment{Localities: []config.Locality{{}}}
	for _, s := range addresses {
		a.Localities[0].Endpoints = append(a.Localities[0].Endpoints, &config.Endpoint{Address: netip.MustParseAddrPort(s), Weight: 1})
	}
	return &config.Cluster{Name: "web", Version: "1", ConnectTimeout: time.Second, Check: k, Endpoints: a, IgnoreHealthOnRemoval: true}
}

func http(edit func(*config.HTTPCheck)) *config.HealthCheck {
	h := &config.HTTPCheck{Path: "/healthz", Method: "GET", Expected: []config.StatusRange{{From: 200, To: 201}}, ReceiveLimit: 1024}
	if edit != nil {
		edit(h)
	}
	return &config.HealthCheck{HTTP: h, Reuse: true}
}

// apply takes over clusters, as the proxy does when its configuration changes.
func (w *world) apply(clusters ...*config.Cluster) {
	w.t.Helper()
	all := map[string]*config.Cluster{}
	for _, c := range clusters {
		all[c.Name] = c
	}
	if err := w.set.Update(all); err != nil {
		w.t.Fatal(err)
	}
	w.sim.Worker().Post(func(*loop.Worker) { w.prober.Review() })
}

func (w *world) state(i int) upstream.Checked { return w.set.Cluster("web").Hosts()[i].Checked() }

// count is a statistic by its last words.
func (w *world) count(name string) (n int64) {
	for _, s := range w.stats.Snapshot() {
		if s.Dotted == "cluster.web.health_check."+name {
			n += int64(s.Value) + s.Gauge
		}
	}
	return n
}
