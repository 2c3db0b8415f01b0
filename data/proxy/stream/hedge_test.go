package stream_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// reply is what a server does with one request: it answers after some time, or ("RESET") resets, or ("") does nothing.
type reply struct {
	after time.Duration
	text  string
}

func text(status int, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
}

// script serves the n-th request by the n-th reply, and the last one again and again. It gives what was asked and how many connections are open.
func (w *world) script(address string, replies ...reply) (asked *int, open map[loop.Conn]bool) {
	asked, open = new(int), map[loop.Conn]bool{}
	w.sim.Listen(loop.TCP(netip.MustParseAddrPort(address)), func(c loop.Conn) {
		open[c] = true
		c.SetHandler(&counted{open: open, scripted: scripted{c: c, data: func([]byte) {
			r := replies[min(*asked, len(replies)-1)]
			*asked++
			w.sim.At(r.after, func() {
				switch {
				case !open[c] || r.text == "":
				case r.text == "RESET":
					c.Abort(true)
				default:
					c.Write([]byte(r.text))
				}
			})
		}}})
	})
	return asked, open
}

type counted struct {
	scripted
	open map[loop.Conn]bool
}

func (c *counted) OnClose(err error) { delete(c.open, c.c) }

func (w *world) stat(dotted string) (n int64) {
	for _, s := range w.stats.Snapshot() {
		if s.Dotted == dotted {
			n += int64(s.Value) + s.Gauge
		}
	}
	return n
}

func hedged(retries uint32, edit func(*config.Forward)) *config.RouteTable {
	return to("a", func(f *config.Forward) {
		on := true
		f.Hedge, f.Timeout = &on, 3*time.Second
		f.Retry = &config.Retry{On: config.Retry5xx, Attempts: retries, PerTry: 100 * time.Millisecond, BackoffBase: time.Millisecond, BackoffMax: time.Millisecond}
		if edit != nil {
			edit(f)
		}
	})
}

// TestHedging: which of several tries is the client's, as Envoy documents it (HedgePolicy.hedge_on_per_try_timeout).
func TestHedging(t *testing.T) {
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		retries uint32
		replies []reply
		want    string
		flags   string
		asked   int
	}{
		"fast enough":                           {1, []reply{{50 * ms, text(200, "first")}}, "first", "", 1},
		"the second is faster":                  {1, []reply{{time.Second, text(200, "first")}, {10 * ms, text(200, "second")}}, "second", "", 2},
		"the first comes after all":             {1, []reply{{150 * ms, text(200, "first")}, {time.Second, text(200, "second")}}, "first", "", 2},
		"the first comes during the back-off":   {1, []reply{{100*ms + 500*time.Microsecond, text(200, "first")}, {time.Second, text(200, "second")}}, "first", "", 0},
		"a bad late answer is not the client's": {1, []reply{{150 * ms, text(503, "first")}, {90 * ms, text(200, "second")}}, "second", "", 2},
		"a bad answer waits for a late one":     {1, []reply{{500 * ms, text(200, "first")}, {50 * ms, text(503, "second")}}, "first", "URX", 2},
		"bad ones only":                         {1, []reply{{150 * ms, text(503, "first")}, {90 * ms, text(500, "second")}}, "second", "URX", 2},
		"bad ones only, the late one last":      {1, []reply{{500 * ms, text(500, "first")}, {50 * ms, text(503, "second")}}, "first", "URX", 2},
		"three of them":                         {2, []reply{{time.Second, text(200, "first")}, {time.Second, text(200, "second")}, {10 * ms, text(200, "third")}}, "third", "", 3},
		"the second of three":                   {2, []reply{{2 * time.Second, text(200, "first")}, {150 * ms, text(200, "second")}, {time.Second, text(200, "third")}}, "second", "", 3},
		"the late one is reset":                 {1, []reply{{150 * ms, "RESET"}, {90 * ms, text(200, "second")}}, "second", "", 2},
		"the other one is reset":                {1, []reply{{500 * ms, text(200, "first")}, {10 * ms, "RESET"}}, "first", "URX", 2},
		"both are reset":                        {1, []reply{{150 * ms, "RESET"}, {90 * ms, "RESET"}}, "503", "UC,URX", 2},
		"both are reset, the late one last":     {1, []reply{{500 * ms, "RESET"}, {10 * ms, "RESET"}}, "503", "UC,URX", 2},
		"nobody answers":                        {1, []reply{{0, ""}}, "upstream request timeout", "UT,URX", 2},
		"no retry is left to hedge with":        {0, []reply{{500 * ms, text(200, "first")}}, "first", "URX", 1},
	} {
		w := newWorld(t, 3, plain(), hedged(tt.retries, nil), cluster("a", "10.0.0.1:80"))
		w.sim.MaxDelay = 10 * time.Microsecond
		asked, open := w.script("10.0.0.1:80", tt.replies...)
		c := w.connect()
		got := c.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		last := w.last()
		if !strings.Contains(got, tt.want) || !sameFlags(last.flags, tt.flags) || tt.asked > 0 && *asked != tt.asked {
			t.Errorf("%s: got %q with flags %q after %d requests, want %q, %q, %d", name, got, last.flags, *asked, tt.want, tt.flags, tt.asked)
		}
		w.nothingLeft(name, c, open)
	}
}

func sameFlags(got, want string) bool {
	if got == "-" {
		got = ""
	}
	a := strings.Split(got, ",")
	for _, f := range strings.Split(want, ",") {
		if !strings.Contains(got, f) {
			return false
		}
	}
	return len(a) == len(strings.Split(want, ","))
}

// nothingLeft checks that no try outlives its exchange: what is not at rest is closed, and nothing is counted any more.
func (w *world) nothingLeft(name string, c *client, open map[loop.Conn]bool) {
	w.t.Helper()
	c.c.Close()
	w.sim.Run(100 * time.Millisecond)
	w.worker.Pools.CloseIdle()
	w.sim.Run(100 * time.Millisecond)
	cl := w.set.Cluster("a")
	active, retries := cl.Breaker(0).Count(upstream.Requests), cl.Breaker(0).Count(upstream.Retries)
	if len(open) != 0 || w.sim.Worker().Timers() != 0 || w.worker.Active() != 0 || active != 0 || retries != 0 || cl.Hosts()[0].Active() != 0 || w.stat("cluster.a.upstream_rq_active") != 0 {
		w.t.Errorf("%s: %d connections, %d timers, %d exchanges, %d requests and %d retries are left, the endpoint has %d", name, len(open), w.sim.Worker().Timers(), w.worker.Active(), active, retries, cl.Hosts()[0].Active())
	}
}

// TestWhoHedges: the route, else the virtual host, and a header of an internal client before both.
func TestWhoHedges(t *testing.T) {
	yes, no := true, false
	for _, tt := range []struct {
		host   bool
		route  *bool
		header string
		want   bool
	}{{false, nil, "", false}, {true, nil, "", true}, {true, &no, "", false}, {false, &yes, "", true}, {false, nil, "true", true}, {true, nil, "false", false}, {true, nil, "maybe", true}} {
		table := hedged(1, func(f *config.Forward) { f.Hedge = tt.route })
		table.Hosts[0].Hedge = tt.host
		w := newWorld(t, 1, plain(), table, cluster("a", "10.0.0.1:80"))
		w.script("10.0.0.1:80", reply{300 * time.Millisecond, text(200, "first")}, reply{time.Second, text(200, "second")})
		header := ""
		if tt.header != "" {
			header = "X-Forwarded-For: 10.0.0.9\r\nX-Envoy-Hedge-On-Per-Try-Timeout: " + tt.header + "\r\n"
		}
		got := w.connect().ask("GET / HTTP/1.1\r\nHost: h\r\n" + header + "\r\n")
		if strings.Contains(got, "first") != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

// TestHedgingWithBodies: the bodies of answers are not mixed, over many schedules; there are no more requests than tries, and nothing of any is
// left.
func TestHedgingWithBodies(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 9))
		var replies []reply
		for i := range 4 {
			a := reply{time.Duration(r.IntN(400)) * time.Millisecond, text([]int{200, 200, 503}[r.IntN(3)], strings.Repeat(fmt.Sprint(i), 1+r.IntN(9000)))}
			if r.IntN(5) == 0 {
				a.text = []string{"RESET", ""}[r.IntN(2)]
			}
			replies = append(replies, a)
		}
		w := newWorld(t, seed, plain(), hedged(3, func(f *config.Forward) { f.Timeout = time.Second }), cluster("a", "10.0.0.1:80"))
		_, open := w.script("10.0.0.1:80", replies...)
		c := w.connect()
		got := c.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		if body == "" || strings.HasPrefix(head, "HTTP/1.1 200") && strings.Trim(body, body[:1]) != "" {
			t.Fatalf("seed %d: %q %q", seed, head, body)
		}
		if w.last(); len(w.finished) != 1 {
			t.Fatalf("seed %d: %d exchanges have finished", seed, len(w.finished))
		}
		w.nothingLeft(fmt.Sprint("seed ", seed), c, open)
		if rq, tries := w.stat("cluster.a.upstream_rq_total"), 1+w.stat("cluster.a.upstream_rq_retry"); rq > tries {
			t.Fatalf("seed %d: %d requests, but %d tries", seed, rq, tries)
		}
	}
}
