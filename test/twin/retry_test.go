package twin_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/test/twin"
)

// byAttempt answers with the server's name and the number of the try, with a status and after a time that the path names for each try: /x/STATUS,MILLISECONDS/...
func byAttempt(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		attempt := r.Header.Get("X-Envoy-Attempt-Count")
		status, ms := 200, 0
		for i, part := range strings.Split(r.URL.Path, "/")[2:] {
			if fmt.Sprint(i+1) == attempt {
				_, _ = fmt.Sscanf(part, "%d,%d", &status, &ms) // what is not there is 200 at once
			}
		}
		time.Sleep(time.Duration(ms) * time.Millisecond)
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "%s %s", name, attempt) // the client may have left
	}
}

// TestHedging: which try is answered with, and what is counted, are the same on both.
func TestHedging(t *testing.T) {
	ports := twin.NewPorts(t)
	twin.Serve(t, ports, "a").Answer(byAttempt("a"))
	twin.Run(t, ports, "testdata/retry.yaml", func(t *testing.T, p *twin.Proxy) {
		for path, want := range map[string]string{
			"/hedge/200,0":            "200 a 1",
			"/hedge/200,1500/200,0":   "200 a 2",
			"/hedge/200,600/200,1500": "200 a 1",
			"/hedge/503,400/200,700":  "200 a 2",
			"/hedge/200,900/503,100":  "200 a 1",
			"/hedge/503,400/500,900":  "500 a 2",
			"/hedge/500,900/503,100":  "500 a 1",
			"/hedge/503,0/200,0":      "200 a 2",
		} {
			if got := p.Get(path); got != want {
				t.Errorf("%s: %s, want %s", path, got, want)
			}
		}
		for stat, want := range map[string]int{"upstream_rq_total": 15, "upstream_rq_retry": 7, "upstream_rq_per_try_timeout": 0, "upstream_rq_retry_limit_exceeded": 6, "upstream_rq_active": 0} {
			if got := p.Stat("cluster.one." + stat); got != want {
				t.Errorf("%s is %d, want %d", stat, got, want)
			}
		}
	})
}

// TestRetriesLeaveEndpointsOut: those that were tried, canaries, and those with all of some metadata.
func TestRetriesLeaveEndpointsOut(t *testing.T) {
	ports := twin.NewPorts(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		twin.Serve(t, ports, name).Answer(byAttempt(name))
	}
	twin.Run(t, ports, "testdata/retry.yaml", func(t *testing.T, p *twin.Proxy) {
		got := spread(p, "/omit/503,0", 60)
		// A first try may be anywhere; a second one is at d, unless the first was, and then at a.
		if want := []string{"200 a 2", "200 d 2"}; !slices.Equal(got, want) {
			t.Errorf("second tries: %q, want %q", got, want)
		}
	})
}

// TestBudgetOverAnInterval: with a budget of half of the requests of the last seconds, none of its own, a single request has no retry to spare, and one after nine others has.
func TestBudgetOverAnInterval(t *testing.T) {
	ports := twin.NewPorts(t)
	twin.Serve(t, ports, "a").Answer(byAttempt("a"))
	twin.Run(t, ports, "testdata/retry.yaml", func(t *testing.T, p *twin.Proxy) {
		if got := p.Get("/budget/503,0"); got != "503 a 1" {
			t.Errorf("a single request: %s", got)
		}
		for range 9 {
			p.Get("/budget")
		}
		if got := p.Get("/budget/503,0"); got != "200 a 2" {
			t.Errorf("after nine others: %s", got)
		}
		var all sync.WaitGroup
		for range 9 { // they last longer than the interval, and do not count after it
			all.Go(func() { p.Get("/budget/200,3500") })
		}
		p.Until("nine requests are active", func() bool { return p.Stat("cluster.budget.upstream_rq_active") == 9 })
		time.Sleep(2300 * time.Millisecond)
		if got := p.Get("/budget/503,0"); got != "503 a 1" && p.Stat("cluster.budget.upstream_rq_active") == 9 {
			t.Errorf("beside nine that began long ago: %s", got)
		}
		all.Wait()
	})
}
