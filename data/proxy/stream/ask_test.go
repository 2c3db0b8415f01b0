package stream_test

import (
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// judged is a world in which a server at 10.0.0.2 is asked about requests to 10.0.0.1.
func judged(t *testing.T, c config.ExtAuthz, judge func(int, string) string) (w *world, asked, called *server) {
	c.Cluster, c.StatusOnError = "judge", 403
	h := plain()
	h.Filters = []config.Filter{{Name: "ext_authz", ExtAuthz: &c}}
	w = newWorld(t, 1, h, to("a", nil), cluster("a", "10.0.0.1:80"), cluster("judge", "10.0.0.2:80"))
	return w, w.serve("10.0.0.2:80", judge), w.serve("10.0.0.1:80", ok("x"))
}

func TestRequestsThatAreAsked(t *testing.T) {
	for name, tt := range map[string]struct {
		judge   func(int, string) string
		timeout time.Duration
		answer  string
		calls   int
		flags   string
	}{
		"allowed":      {judge: ok(""), answer: "200 OK", calls: 1},
		"denied":       {judge: func(int, string) string { return "HTTP/1.1 401 No\r\nContent-Length: 2\r\nX-Why: so\r\n\r\nno" }, answer: "401 Unauthorized", flags: "UAEX"},
		"server error": {judge: func(int, string) string { return "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n" }, answer: "403 Forbidden", flags: "UAEX"},
		"reset":        {judge: func(int, string) string { return "RESET" }, answer: "403 Forbidden", flags: "UAEX"},
		"too late":     {judge: func(int, string) string { return "" }, timeout: time.Second, answer: "403 Forbidden", flags: "UAEX"},
		"endless answer": {judge: func(int, string) string {
			return "HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + strings.Repeat("x", 2_000_000)
		}, answer: "403 Forbidden", flags: "UAEX"},
	} {
		w, _, called := judged(t, config.ExtAuthz{Timeout: tt.timeout}, tt.judge)
		c := w.connect()
		c.c.Write([]byte(get))
		w.sim.Run(5 * time.Second)
		if got := c.ask(""); !strings.HasPrefix(got, "HTTP/1.1 "+tt.answer) || len(called.requests) != tt.calls || w.last().flags != tt.flags {
			t.Errorf("%s: %q with %d calls, %+v", name, got, len(called.requests), w.last())
		}
		if w.worker.Active() != 0 {
			t.Errorf("%s: something is still under way", name)
		}
	}
}

func TestClientLeavesWhileItsRequestIsAsked(t *testing.T) {
	w, asked, called := judged(t, config.ExtAuthz{Timeout: time.Hour}, func(n int, _ string) string {
		if n == 1 {
			return ""
		}
		return ok("")(n, "")
	})
	c := w.connect()
	c.c.Write([]byte(get))
	w.sim.Run(time.Second)
	c.c.Abort(true)
	w.sim.Run(3 * time.Hour)
	if len(asked.requests) != 1 || len(called.requests) != 0 || w.worker.Active() != 0 || w.last().flags != "DC" {
		t.Errorf("%d asked, %d called, %+v", len(asked.requests), len(called.requests), w.last())
	}
	if got := w.connect().ask(get); !strings.HasPrefix(got, "HTTP/1.1 200") { // the exchange is used again
		t.Errorf("%q", got)
	}
}

func TestBodiesThatAreAskedAbout(t *testing.T) {
	w, asked, called := judged(t, config.ExtAuthz{Body: 10}, ok(""))
	c := w.connect()
	for _, piece := range []string{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345", "678"} {
		c.c.Write([]byte(piece))
		w.sim.Run(time.Second)
	}
	if len(asked.requests) != 0 {
		t.Error("it is asked before the body is whole")
	}
	if got := c.ask("90"); !strings.HasPrefix(got, "HTTP/1.1 200") || !strings.HasSuffix(asked.requests[0], "1234567890") || !strings.HasSuffix(called.requests[0], "1234567890") {
		t.Errorf("%q, asked %q", got, asked.requests)
	}
	if got := w.connect().ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n12345678901"); !strings.HasPrefix(got, "HTTP/1.1 413") || len(asked.requests) != 1 {
		t.Errorf("%q", got)
	}
	if w.worker.Active() != 0 {
		t.Error("something is still under way")
	}
}
