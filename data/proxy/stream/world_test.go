package stream_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/dial"
	"github.com/heddle-mesh/heddle/data/proxy/filter"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/loop/sim"
	"github.com/heddle-mesh/heddle/data/proxy/pool"
	"github.com/heddle-mesh/heddle/data/proxy/route"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// world is a proxy with one worker in a simulated network.
type world struct {
	t        testing.TB
	sim      *sim.Sim
	stats    *stats.Registry
	set      *upstream.Set
	worker   *stream.Worker
	manager  *stream.Manager
	finished []report
	messages [][2]uint64 // of gRPC in requests and responses, each time that they were told
	servers  map[string]*server
}

// report is what the Reporter saw.
type report struct {
	status  int
	flags   string
	details string
	trail   stream.Trail
}

// Talking implements stream.Reporter.
func (w *world) Talking(x *stream.Exchange) {
	in, out := x.Messages()
	w.messages = append(w.messages, [2]uint64{in, out})
}

// Finished implements stream.Reporter.
func (w *world) Finished(x *stream.Exchange) {
	w.Talking(x)
	w.finished = append(w.finished, report{x.Response.Status, x.Flags().String(), x.Details(), x.Trail()})
}

func limits() [2]config.Thresholds {
	t := config.Thresholds{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3}
	return [2]config.Thresholds{t, t}
}

// cluster makes a cluster of simulated servers by address.
func cluster(name string, addresses ...string) *config.Cluster {
	a := &config.Assignment{Localities: []config.Locality{{}}}
	for _, s := range addresses {
		a.Localities[0].Endpoints = append(a.Localities[0].Endpoints, &config.Endpoint{Address: netip.MustParseAddrPort(s), Weight: 1})
	}
	return &config.Cluster{Name: name, Thresholds: limits(), ConnectTimeout: time.Second, Assignment: a, Endpoints: a, IdleTimeout: time.Hour, Version: name}
}

// to is a route of everything to one cluster.
func to(cluster string, edit func(*config.Forward)) *config.RouteTable {
	f := &config.Forward{Cluster: cluster}
	if edit != nil {
		edit(f)
	}
	return table(&config.Route{Name: "r", Match: config.RouteMatch{Path: config.PathPrefix, Value: "/"}, Forward: f})
}

func table(routes ...*config.Route) *config.RouteTable {
	return &config.RouteTable{Name: "t", Hosts: []*config.VirtualHost{{Name: "v", Domains: []string{"*"}, Routes: routes}}}
}

func newWorld(t testing.TB, seed uint64, h *config.HTTP, routes *config.RouteTable, clusters ...*config.Cluster) *world {
	t.Helper()
	w := &world{t: t, sim: sim.New(seed), stats: stats.New(), servers: map[string]*server{}}
	w.set = upstream.NewSet(nil, slog.New(slog.DiscardHandler))
	w.set.Now = func() time.Time { return time.Unix(1e9, int64(w.sim.Now())) }
	all := map[string]*config.Cluster{}
	for _, c := range clusters {
		all[c.Name] = c
	}
	if err := w.set.Update(all); err != nil {
		t.Fatal(err)
	}
	var tables route.Set
	if h.Inline == nil {
		h.RouteName = "t"
		tables.Apply(map[string]*config.RouteTable{"t": routes})
	}
	shard := w.stats.NewShard()
	w.worker = stream.NewWorker(pool.New(w.sim.Worker(), shard, w.stats, w.set, &dial.Dialer{}))
	m, err := stream.NewManager(h, stream.Options{Stats: w.stats, Routes: &tables, Reporter: w, Filters: filter.Make(w.stats)})
	if err != nil {
		t.Fatal(err)
	}
	w.manager = m
	return w
}

// plain is a connection manager without anything special.
func plain() *config.HTTP {
	return &config.HTTP{Stat: "test", MaxHeadBytes: 60 << 10, MaxFields: 100, NormalizePath: true, IdleTimeout: time.Hour, InternalAddressConfig: true}
}

// server answers requests by a function of the request's text; it reads heads and content-length bodies only.
type server struct {
	w        *world
	answer   func(n int, request string) string // "" answers nothing; "RESET" resets; "CLOSE" closes
	requests []string
	conns    int
}

func (w *world) serve(address string, answer func(n int, request string) string) *server {
	s := &server{w: w, answer: answer}
	w.servers[address] = s
	w.sim.Listen(loop.TCP(netip.MustParseAddrPort(address)), func(c loop.Conn) {
		s.conns++
		c.SetHandler(&served{s: s, c: c})
	})
	return s
}

// ok answers every request with a small body.
func ok(body string) func(int, string) string {
	return func(int, string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Upstream: yes\r\n\r\n%s", len(body), body)
	}
}

type served struct {
	s   *server
	c   loop.Conn
	buf strings.Builder
}

func (c *served) OnData(p []byte) int {
	c.buf.Write(p)
	for {
		text := c.buf.String()
		n := whole(text)
		if n == 0 {
			return len(p)
		}
		c.buf.Reset()
		c.buf.WriteString(text[n:])
		c.s.requests = append(c.s.requests, text[:n])
		switch a := c.s.answer(len(c.s.requests), text[:n]); a {
		case "":
		case "RESET":
			c.c.Abort(true)
		case "CLOSE":
			c.c.Close()
		default:
			body, closes := strings.CutSuffix(a, "\x00CLOSE")
			c.c.Write([]byte(body))
			if closes {
				c.c.Close()
			}
		}
	}
}

func (c *served) OnEOF()        { c.c.Close() }
func (c *served) OnWritable()   {}
func (c *served) OnClose(error) {}

// whole is the length of the first whole message, 0 if it is not whole yet.
func whole(text string) int {
	head, rest, found := strings.Cut(text, "\r\n\r\n")
	if !found {
		return 0
	}
	n := len(head) + 4
	lower := strings.ToLower(head)
	if _, v, ok := strings.Cut(lower, "\r\ncontent-length: "); ok {
		v, _, _ = strings.Cut(v, "\r\n")
		var k int
		fmt.Sscan(v, &k)
		if len(rest) < k {
			return 0
		}
		return n + k
	}
	if strings.Contains(lower, "transfer-encoding: chunked") {
		i := strings.Index(rest, "0\r\n\r\n")
		if i < 0 || i > 0 && !strings.HasSuffix(rest[:i], "\r\n") {
			return 0
		}
		return n + i + 5
	}
	return n
}

// client is a connection to the proxy.
type client struct {
	sim.Recorder
	w *world
	c loop.Conn
}

func (w *world) connect() *client {
	a, b := w.sim.Pipe()
	c := &client{w: w, c: a}
	a.SetHandler(&c.Recorder)
	w.worker.Serve(w.manager, b)
	return c
}

// ask sends text and waits until a whole response (or the end) has come; it returns what came.
func (c *client) ask(text string) string {
	c.w.t.Helper()
	c.c.Write([]byte(text))
	c.w.sim.RunUntil(time.Minute, func() bool { return c.Closed > 0 || c.EOF || whole(string(c.Data)) > 0 })
	n := whole(string(c.Data))
	if n == 0 {
		n = len(c.Data)
	}
	out := string(c.Data[:n])
	c.Data = append([]byte(nil), c.Data[n:]...)
	return out
}

func (w *world) last() report {
	w.t.Helper()
	w.sim.Run(10 * time.Millisecond)
	if len(w.finished) == 0 {
		w.t.Fatal("no exchange has finished")
	}
	return w.finished[len(w.finished)-1]
}

func has(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if not, found := strings.CutPrefix(p, "!"); found {
			if strings.Contains(text, not) {
				t.Errorf("%q must not be in:\n%s", not, text)
			}
			continue
		}
		if !strings.Contains(text, p) {
			t.Errorf("%q is missing in:\n%s", p, text)
		}
	}
}
