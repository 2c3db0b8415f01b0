// Package interop_test runs one set of fixtures on two data planes, heddle-proxy and stock Envoy, both fed by heddled.
package interop_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/test/lab"
)

// outcome is what came of an exchange, in a form that two data planes can be compared by.
type outcome struct {
	Status    int
	Header    map[string]string
	Body      string
	Endpoints []string
	Upstream  []string // what the upstream saw, with the differences that are allowed taken out
	Flag      string
}

// differs are response and request headers that may differ between the data planes, each with its reason.
var differs = map[string]string{
	"date":                          "the clock",
	"x-envoy-upstream-service-time": "milliseconds",
	"x-request-id":                  "random",
	"traceparent":                   "random",
	"x-b3-traceid":                  "random",
	"x-b3-spanid":                   "random",
	"x-b3-parentspanid":             "random",
	"x-b3-sampled":                  "stock Envoy has no tracer configured",
	"x-envoy-attempt-count":         "compared by its own fixture",
	"x-envoy-peer-metadata":         "stock Envoy has no peer metadata filter",
	"x-envoy-peer-metadata-id":      "stock Envoy has no peer metadata filter",
	"x-echo-key":                    "unique for each data plane",
}

func TestFixtures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("no fixtures")
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		must(t, err)
		f := parse(t, strings.TrimSuffix(filepath.Base(file), ".txtar"), data)
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			results := map[string][]outcome{}
			for _, plane := range []string{"heddle-proxy", "envoy"} {
				t.Run(plane, func(t *testing.T) {
					w := newWorld(t, f.mesh, plane)
					for _, x := range f.exchanges {
						results[plane] = append(results[plane], w.exchange(&x))
					}
				})
			}
			if len(results["envoy"]) == len(results["heddle-proxy"]) {
				compare(t, f, results["heddle-proxy"], results["envoy"])
			}
		})
	}
}

// compare demands the same answers of both data planes.
func compare(t *testing.T, f fixture, ours, theirs []outcome) {
	t.Helper()
	for i := range ours {
		a, b := show(ours[i]), show(theirs[i])
		if a != b {
			t.Errorf("%s, request on line %d: heddle-proxy gave\n%s\nEnvoy gave\n%s", f.name, f.exchanges[i].line, a, b)
		}
	}
}

func show(o outcome) string {
	b, err := json.MarshalIndent(o, "  ", "  ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// exchange makes the requests of one paragraph and checks them.
func (w *world) exchange(x *exchange) outcome {
	w.t.Helper()
	for _, e := range w.echoes {
		e.Forget()
	}
	if strings.HasPrefix(x.url, "tcp://") {
		return w.tcp(x)
	}
	transport := w.transport(x.dial)
	defer transport.CloseIdleConnections()
	var out outcome
	count := map[string]int{}
	for n := range x.repeat {
		resp, body, err := w.request(transport, x, n)
		if err != nil {
			w.t.Errorf("line %d: %s %s: %v", x.line, x.method, x.url, err)
			return out
		}
		seen := sawOf(body)
		if seen != nil {
			count[seen.Endpoint]++
		}
		if n == 0 {
			w.checkAnswer(x, resp, body)
			if seen != nil {
				w.checkUpstream(x, seen)
			}
			out = outcomeOf(resp, body, seen)
		}
	}
	for name := range count {
		out.Endpoints = append(out.Endpoints, name)
	}
	slices.Sort(out.Endpoints)
	w.checkSpread(x, out.Endpoints, count)
	if len(x.shares) > 0 {
		out.Upstream = nil // which one answered first is chance
	}
	if x.repeat > 1 {
		out.Body, out.Upstream = "", nil
	}
	if x.flag != "" {
		out.Flag = w.flag(x)
	}
	return out
}

func (w *world) request(transport *http.Transport, x *exchange, n int) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(w.t.Context(), x.method, x.url, strings.NewReader(x.body))
	if err != nil {
		return nil, "", err
	}
	for k, v := range x.header {
		if strings.EqualFold(k, "host") {
			req.Host = v[0]
			continue
		}
		req.Header[k] = v
	}
	if x.header.Get("x-echo-fail") != "" {
		req.Header.Set("x-echo-key", fmt.Sprintf("%s-%d-%d", w.t.Name(), x.line, n))
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func sawOf(body string) *lab.Seen {
	var s lab.Seen
	if json.Unmarshal([]byte(body), &s) != nil || s.Endpoint == "" {
		return nil
	}
	return &s
}

func outcomeOf(resp *http.Response, body string, seen *lab.Seen) outcome {
	o := outcome{Status: resp.StatusCode, Header: map[string]string{}, Body: body}
	for k, v := range resp.Header {
		if k = strings.ToLower(k); differs[k] == "" && !(seen != nil && k == "content-length") {
			o.Header[k] = strings.Join(v, ", ")
		}
	}
	if seen == nil {
		return o
	}
	o.Body = ""
	o.Upstream = []string{seen.Method + " " + seen.Path + " " + seen.Host, seen.Body}
	for k, v := range seen.Headers {
		if k = strings.ToLower(k); differs[k] == "" {
			o.Upstream = append(o.Upstream, k+": "+strings.Join(v, ", "))
		}
	}
	slices.Sort(o.Upstream[2:])
	return o
}

func (w *world) checkAnswer(x *exchange, resp *http.Response, body string) {
	w.t.Helper()
	if x.status != 0 && resp.StatusCode != x.status {
		w.t.Errorf("line %d: status %d, want %d; body %.300q", x.line, resp.StatusCode, x.status, body)
	}
	for _, e := range x.answer {
		got := resp.Header.Get(e.name)
		switch {
		case e.what == "absent" && got != "":
			w.t.Errorf("line %d: header %s is %q, want none", x.line, e.name, got)
		case e.what == "header" && got != e.value && (e.value != "*" || got == ""):
			w.t.Errorf("line %d: header %s is %q, want %q", x.line, e.name, got, e.value)
		case e.what == "body" && strings.TrimSpace(body) != e.value:
			w.t.Errorf("line %d: body %q, want %q", x.line, body, e.value)
		case e.what == "contains" && !strings.Contains(body, e.value):
			w.t.Errorf("line %d: body %q does not contain %q", x.line, body, e.value)
		}
	}
}

func (w *world) checkUpstream(x *exchange, s *lab.Seen) {
	w.t.Helper()
	for _, e := range x.upstream {
		got := map[string]string{"method": s.Method, "path": s.Path, "host": s.Host, "body": s.Body,
			"header": s.Headers.Get(e.name), "no-header": s.Headers.Get(e.name)}[e.what]
		if got != e.value && !(e.what == "header" && e.value == "*" && got != "") {
			w.t.Errorf("line %d: the upstream saw %s %s %q, want %q", x.line, e.what, e.name, got, e.value)
		}
	}
	if len(x.upstream) > 0 && s == nil {
		w.t.Errorf("line %d: no upstream saw the request", x.line)
	}
}

func (w *world) checkSpread(x *exchange, endpoints []string, count map[string]int) {
	w.t.Helper()
	if x.endpoints != nil && !slices.Equal(endpoints, x.endpoints) {
		w.t.Errorf("line %d: endpoints %v answered, want %v", x.line, endpoints, x.endpoints)
	}
	for _, s := range x.shares {
		got := 100 * float64(count[s.endpoint]) / float64(x.repeat)
		if math.Abs(got-s.percent) > s.withins {
			w.t.Errorf("line %d: endpoint %s gave %.1f %% of the answers, want %.0f within %.0f", x.line, s.endpoint, got, s.percent, s.withins)
		}
	}
	for _, name := range x.mirrored {
		end := time.Now().Add(5 * time.Second)
		for len(w.echoes[name].Requests()) == 0 && time.Now().Before(end) {
			time.Sleep(10 * time.Millisecond)
		}
		if len(w.echoes[name].Requests()) == 0 {
			w.t.Errorf("line %d: endpoint %s saw no copy", x.line, name)
		}
	}
}

// flag is the response flag of the newest log line for the request's path.
func (w *world) flag(x *exchange) string {
	w.t.Helper()
	u, err := url.Parse(x.url)
	must(w.t, err)
	line, ok := w.accessLogLine(" " + u.RequestURI() + " ")
	if !ok {
		w.t.Errorf("line %d: the access log has no line for %s", x.line, u.RequestURI())
		return ""
	}
	_, rest, _ := strings.Cut(line, "HTTP/1.1\" ")
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		w.t.Errorf("line %d: a strange access log line: %s", x.line, line)
		return ""
	}
	if fields[1] != x.flag {
		w.t.Errorf("line %d: response flag %s, want %s: %s", x.line, fields[1], x.flag, line)
	}
	return fields[1]
}

// tcp opens a connection, reads the server's first line, sends a line and reads it back.
func (w *world) tcp(x *exchange) outcome {
	w.t.Helper()
	var out outcome
	seen := map[string]bool{}
	for range x.repeat {
		text, err := w.talk(x)
		if err != nil {
			if x.status == 0 {
				return outcome{Body: "closed"}
			}
			w.t.Errorf("line %d: %s: %v", x.line, x.url, err)
			return out
		}
		for _, name := range endpointNames {
			if strings.HasPrefix(text, "hello from "+name) {
				seen[name] = true
			}
		}
		out.Status = 1
		if x.status == 0 {
			w.t.Errorf("line %d: the connection was served (%q), want it closed", x.line, text)
		}
	}
	for name := range seen {
		out.Endpoints = append(out.Endpoints, name)
	}
	slices.Sort(out.Endpoints)
	w.checkSpread(x, out.Endpoints, nil)
	return out
}

func (w *world) talk(x *exchange) (string, error) {
	u, err := url.Parse(x.url)
	if err != nil {
		return "", err
	}
	c, err := w.transport(x.dial).DialContext(w.t.Context(), "tcp", u.Host)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 100)
	n, err := c.Read(buf)
	if err != nil {
		return "", err
	}
	text := string(buf[:n])
	if _, err := io.WriteString(c, "ping\n"); err != nil {
		return text, err
	}
	if _, err := c.Read(buf); err != nil {
		return text, err
	}
	return text, nil
}
