package interop_test

import (
	"errors"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// result is one repetition of an exchange.
type result struct {
	resp *http.Response
	body string
	err  error
}

// exchange makes the requests of one paragraph and checks them.
func (r *run) exchange(x *exchange) outcome {
	r.t.Helper()
	for _, e := range r.echoes {
		e.Forget()
	}
	from := r.logs[x.logger].size()
	defer r.checkLogs(x, r.sizes(x))
	if strings.HasPrefix(x.url, "tcp://") || strings.HasPrefix(x.url, "tls://") {
		return r.tcp(x)
	}
	if strings.HasPrefix(x.url, "udp://") {
		return r.udp(x)
	}
	results := r.repeat(x)
	var out outcome
	count, statuses := map[string]int{}, map[string]bool{}
	for i, one := range results {
		if one.err != nil {
			r.t.Errorf("%s: %s %s: %v", x, x.method, x.url, one.err)
			return out
		}
		statuses[strconv.Itoa(one.resp.StatusCode)] = true
		seen := sawOf(one.body)
		if seen != nil {
			count[seen.Endpoint]++
		}
		if i == 0 {
			r.checkAnswer(x, one.resp, one.body)
			r.checkUpstream(x, one.body)
			out = outcomeOf(one.resp, one.body)
			if x.bodies != nil {
				if part := x.bodies[r.world.plane]; !strings.Contains(one.body, part) {
					r.t.Errorf("%s: body %q does not contain %q", x, one.body, part)
				}
				out.Body = ""
				delete(out.Header, "content-length")
			}
		}
	}
	out.Endpoints = slices.Sorted(maps.Keys(count))
	r.checkSpread(x, out.Endpoints, count)
	if x.endpoints == nil { // which of several answered is chance
		out.Endpoints = nil
	}
	r.checkMirrors(x)
	if x.repeat > 1 { // which one answered first is chance
		out.Status, out.Body, out.Upstream, out.Header = 0, "", nil, nil
	}
	if x.statuses != nil {
		out.Statuses = slices.Sorted(maps.Keys(statuses))
		if !slices.Equal(out.Statuses, x.statuses) {
			r.t.Errorf("%s: statuses %v, want %v", x, out.Statuses, x.statuses)
		}
	}
	if x.flag != "" {
		out.Flag = r.flag(x, from)
	}
	return out
}

// repeat makes the requests, one after the other over one connection or all at once.
func (r *run) repeat(x *exchange) []result {
	transport := r.held.transports[x.hold]
	if transport == nil {
		transport = r.transport(x)
	}
	if x.hold == "" {
		defer transport.CloseIdleConnections()
	} else {
		r.held.transports[x.hold] = transport
	}
	results := make([]result, x.repeat)
	var wg sync.WaitGroup
	for i := range results {
		one := func() {
			o := &results[i]
			o.resp, o.body, o.err = r.request(transport, x, i)
		}
		if x.atOnce {
			wg.Go(one)
		} else {
			one()
		}
	}
	wg.Wait()
	return results
}

func (r *run) checkAnswer(x *exchange, resp *http.Response, body string) {
	r.t.Helper()
	if x.status != 0 && resp.StatusCode != x.status {
		r.t.Errorf("%s: status %d, want %d; body %.300q", x, resp.StatusCode, x.status, body)
	}
	for _, e := range x.answer {
		got := resp.Header.Get(e.name)
		switch {
		case e.what == "absent" && got != "":
			r.t.Errorf("%s: header %s is %q, want none", x, e.name, got)
		case e.what == "header" && got != e.value && (e.value != "*" || got == ""):
			r.t.Errorf("%s: header %s is %q, want %q", x, e.name, got, e.value)
		case e.what == "body" && strings.TrimSpace(body) != e.value:
			r.t.Errorf("%s: body %q, want %q", x, body, e.value)
		case e.what == "contains" && !strings.Contains(body, e.value):
			r.t.Errorf("%s: body %q does not contain %q", x, body, e.value)
		}
	}
}

func (r *run) checkUpstream(x *exchange, body string) {
	r.t.Helper()
	if len(x.upstream) == 0 {
		return
	}
	s := sawOf(body)
	if s == nil {
		r.t.Errorf("%s: no upstream saw the request", x)
		return
	}
	for _, e := range x.upstream {
		header := strings.Join(s.Headers.Values(e.name), ",")
		got := map[string]string{"method": s.Method, "path": s.Path, "host": s.Host, "proto": s.Proto, "body": s.Body, "header": header, "header~": header, "no-header": header}[e.what]
		if got == e.value || e.what == "header" && e.value == "*" && got != "" || e.what == "header~" && strings.Contains(got, e.value) {
			continue
		}
		r.t.Errorf("%s: the upstream saw %s %s %q, want %q", x, e.what, e.name, got, e.value)
	}
}

func (r *run) checkSpread(x *exchange, endpoints []string, count map[string]int) {
	r.t.Helper()
	if x.endpoints != nil && !slices.Equal(endpoints, x.endpoints) {
		r.t.Errorf("%s: endpoints %v answered, want %v", x, endpoints, x.endpoints)
	}
	for _, s := range x.shares {
		got := 100 * float64(count[s.endpoint]) / float64(x.repeat)
		if math.Abs(got-s.percent) > s.withins {
			r.t.Errorf("%s: endpoint %s gave %.1f %% of the answers, want %.0f within %.0f", x, s.endpoint, got, s.percent, s.withins)
		}
	}
}

func (r *run) checkMirrors(x *exchange) {
	r.t.Helper()
	for _, name := range x.mirrored {
		end := time.Now().Add(5 * time.Second)
		for len(r.echoes[name].Requests()) == 0 && time.Now().Before(end) {
			time.Sleep(10 * time.Millisecond)
		}
		if len(r.echoes[name].Requests()) == 0 {
			r.t.Errorf("%s: endpoint %s saw no copy", x, name)
		}
	}
}

// sizes are how much has been logged before an exchange, where it looks.
func (r *run) sizes(x *exchange) map[string]int {
	out := map[string]int{}
	for _, l := range x.logged {
		out[l.at] = r.logs[l.at].size()
	}
	return out
}

// checkLogs waits for what must be logged, and then looks for what must not: all lines of an exchange are written together.
func (r *run) checkLogs(x *exchange, from map[string]int) {
	r.t.Helper()
	has := func(l logged) bool { return strings.Contains(r.logs[l.at].from(from[l.at]), l.part) }
	for _, l := range x.logged {
		end := time.Now().Add(10 * time.Second)
		for !l.absent && !has(l) && time.Now().Before(end) {
			time.Sleep(20 * time.Millisecond)
		}
		if !l.absent && !has(l) {
			r.t.Errorf("%s: the log of %s has no %q: %s", x, l.at, l.part, r.logs[l.at].from(from[l.at]))
		}
	}
	for _, l := range x.logged {
		if l.absent && has(l) {
			r.t.Errorf("%s: the log of %s has %q: %s", x, l.at, l.part, r.logs[l.at].from(from[l.at]))
		}
	}
}

// flag finds the response flag among the lines that the access log got for the request's path; the expected one, if it is there.
func (r *run) flag(x *exchange, from int) (last string) {
	r.t.Helper()
	u, err := url.Parse(x.url)
	must(r.t, err)
	path := " " + u.RequestURI() + " HTTP/"
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for line := range strings.Lines(r.logs[x.logger].from(from)) {
			if at := strings.Index(line, path); at >= 0 && strings.HasPrefix(line, "[20") {
				_, rest, _ := strings.Cut(line[at:], "\" ")
				if fields := strings.Fields(rest); len(fields) > 1 {
					if last = fields[1]; last == x.flag {
						return last
					}
				}
			}
		}
	}
	r.t.Errorf("%s: the access log of %s has response flag %q for %s, want %s", x, x.logger, last, u.RequestURI(), x.flag)
	return last
}

func (r *run) tcp(x *exchange) outcome {
	r.t.Helper()
	out := outcome{Body: "open"}
	if x.tcp == "greeted" {
		out.Body = x.tcp // talk fails where it is not so
	}
	seen := map[string]int{}
	for range x.repeat {
		text, err := r.talk(x)
		switch {
		case err == nil:
			name := strings.TrimPrefix(strings.TrimSpace(text), "hello from ")
			seen[name]++
		case errors.Is(err, os.ErrDeadlineExceeded):
			r.t.Errorf("%s: %s: neither an answer nor an end", x, x.url)
		default:
			out.Body = "closed"
			// Stock Envoy asks its policy with the client's first bytes, when it may have passed on what the server says unasked.
			if text != "" && r.plane != "envoy" {
				out.Body = "closed after the server was heard"
			}
		}
	}
	if x.tcp != "" && out.Body != x.tcp {
		r.t.Errorf("%s: the connection was %s, want %s", x, out.Body, x.tcp)
	}
	out.Endpoints = slices.Sorted(maps.Keys(seen))
	r.checkSpread(x, out.Endpoints, seen)
	if x.endpoints == nil {
		out.Endpoints = nil
	}
	return out
}
