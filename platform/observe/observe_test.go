package observe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/model"

	"github.com/heddle-mesh/heddle/platform/observe/query"
	"github.com/heddle-mesh/heddle/platform/observe/scrape"
)

// target is what is scraped: a page of metrics, and whether it answers.
type target struct {
	page atomic.Pointer[string]
	down atomic.Bool
	*httptest.Server
}

func newTarget(t *testing.T, page string) *target {
	x := &target{}
	x.page.Store(&page)
	x.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if x.down.Load() {
			http.Error(w, "out of order", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = io.WriteString(w, *x.page.Load())
	}))
	t.Cleanup(x.Close)
	return x
}

func (x *target) says(page string) { x.page.Store(&page) }

func (x *target) host() string { return strings.TrimPrefix(x.URL, "http://") }

// running is a server that scrapes once a second, with a client of Prometheus' own.
type running struct {
	*Server
	t      *testing.T
	api    v1.API
	config string
	end    func()
}

func options(t *testing.T, config string) Options {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return Options{
		Config: file, Dir: filepath.Join(dir, "data"), Address: "127.0.0.1:0", Retention: time.Hour, Block: time.Hour, Version: "test", Log: slog.New(slog.DiscardHandler),
		Series: scrape.Limits{Series: 1000, PerTarget: 1000}, Queries: query.Limits{Timeout: 10 * time.Second, Samples: 100_000, Concurrent: 4, Lookback: 5 * time.Minute},
	}
}

func jobsOf(targets ...*target) string {
	text := "global: {scrape_interval: 1s, evaluation_interval: 1s}\nscrape_configs:\n"
	for i, x := range targets {
		text += fmt.Sprintf("- {job_name: job%d, static_configs: [{targets: ['%s'], labels: {instance: it}}]}\n", i, x.host())
	}
	return text
}

func run(t *testing.T, o Options) *running {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	client, err := api.NewClient(api.Config{Address: "http://" + s.Address()})
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Server: s, t: t, api: v1.NewAPI(client), config: o.Config}
	r.end = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("it ends with %v", err)
		}
		r.end = func() {}
	}
	t.Cleanup(func() { r.end() })
	return r
}

// value asks for one number.
func (r *running) value(question string) (float64, error) {
	v, _, _, err := r.api.Query(r.t.Context(), question, time.Time{})
	if err != nil {
		return 0, err
	}
	vector, ok := v.(model.Vector)
	if !ok || len(vector) != 1 {
		return 0, fmt.Errorf("%s: %v", question, v)
	}
	return float64(vector[0].Value), nil
}

// becomes waits until a question has an answer.
func (r *running) becomes(question string, want float64) {
	r.t.Helper()
	r.until(question, func(got float64) bool { return got == want })
}

func (r *running) until(question string, good func(float64) bool) {
	r.t.Helper()
	var got float64
	var err error
	for range 200 {
		if got, err = r.value(question); err == nil && good(got) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	r.t.Fatalf("%s is %g (%v)", question, got, err)
}

// absent waits until a question has no answer.
func (r *running) absent(question string) {
	r.t.Helper()
	r.becomes("absent("+question+")", 1)
}

// TestScrapedAndAsked: samples come with the labels of their target; what is no longer told, or whose target fails, is stale at once and not five minutes later.
func TestScrapedAndAsked(t *testing.T) {
	x := newTarget(t, "# TYPE requests_total counter\nrequests_total{code=\"200\"} 5\nrequests_total{code=\"500\"} 1\n")
	r := run(t, options(t, jobsOf(x)))
	r.becomes(`requests_total{job="job0",instance="it",code="200"}`, 5)
	r.becomes(`sum(requests_total)`, 6)
	r.becomes(`up{job="job0"}`, 1)
	r.becomes(`scrape_samples_scraped`, 2)
	x.says("requests_total{code=\"200\"} 7\n")
	r.becomes(`sum(requests_total)`, 7)
	r.absent(`requests_total{code="500"}`)
	x.down.Store(true)
	r.becomes(`up`, 0)
	r.absent(`requests_total`)
	x.down.Store(false)
	r.becomes(`requests_total`, 7)
}

// TestSeriesBeyondALimitAreRefused: those that were first go on, the others are refused and counted; up and its like are always there.
func TestSeriesBeyondALimitAreRefused(t *testing.T) {
	many := func(name string, n int) (text string) {
		for i := range n {
			text += fmt.Sprintf("%s{i=\"%d\"} 1\n", name, i)
		}
		return text
	}
	a, b := newTarget(t, many("a", 10)), newTarget(t, many("b", 20))
	o := options(t, jobsOf(a, b))
	o.Series.PerTarget = 15
	r := run(t, o)
	r.becomes(`count(a)`, 10)
	r.becomes(`count(b)`, 15)
	r.becomes(`sum(up)`, 2)
	a.says(many("other", 10) + many("a", 10)) // new ones first
	r.becomes(`count(other)`, 5)
	r.becomes(`count(a)`, 10)
	a.says(many("other", 10))
	r.becomes(`count(other)`, 10)
	metrics := r.get("/metrics")
	if !strings.Contains(metrics, `heddle_observe_refused_samples_total{limit="target",scrape_instance="it",scrape_job="job1"} `) {
		t.Errorf("nothing is told of what was refused:\n%s", metrics)
	}
}

// TestAllSeriesHaveALimit: the limit of all holds over targets, and a restart forgets no series that was inside.
func TestAllSeriesHaveALimit(t *testing.T) {
	x := newTarget(t, "a 1\nb 1\n")
	o := options(t, jobsOf(x))
	o.Series.Series = 8 // two, and the six or so that a scrape adds
	r := run(t, o)
	r.becomes(`b`, 1)
	text := "a 2\nb 2\n"
	for i := range 100 {
		text += fmt.Sprintf("c%d 1\n", i)
	}
	x.says(text)
	r.becomes(`b`, 2)
	r.until(`count({__name__=~"c.+"}) or vector(0)`, func(v float64) bool { return v < 8 })
	r.end()
	x.says("a 3\nb 3\n" + text[8:])
	r = run(t, o)
	r.becomes(`a`, 3)
	r.becomes(`b`, 3)
	if all := r.store.Series(); all > 8+len("up scrape") {
		t.Errorf("%d series", all)
	}
}

func (r *running) get(path string) string {
	r.t.Helper()
	resp, err := http.Get("http://" + r.Address() + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// TestKeptOverARestart: a server that ends and starts again has all that it had.
func TestKeptOverARestart(t *testing.T) {
	x := newTarget(t, "once 42\n")
	o := options(t, jobsOf(x))
	r := run(t, o)
	r.becomes(`once`, 42)
	r.end()
	x.says("other 1\n")
	r = run(t, o)
	r.becomes(`other`, 1)
	r.becomes(`max_over_time(once[5m])`, 42)
}

// TestReload: SIGHUP's work. A broken configuration changes nothing.
func TestReload(t *testing.T) {
	a, b := newTarget(t, "a 1\n"), newTarget(t, "b 1\n")
	r := run(t, options(t, jobsOf(a)))
	r.becomes(`a`, 1)
	if err := os.WriteFile(r.config, []byte("scrape_configs: [{job_name: }]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(); err == nil {
		t.Error("a job without a name was accepted")
	}
	r.becomes(`a`, 1)
	if err := os.WriteFile(r.config, []byte(jobsOf(a, b)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	r.becomes(`b`, 1)
}

// TestOnlyWhoMayAsks: on loopback addresses everybody of this machine but no page in a browser; elsewhere who shows the token.
func TestOnlyWhoMayAsks(t *testing.T) {
	x := newTarget(t, "a 1\n")
	o := options(t, jobsOf(x))
	r := run(t, o)
	ask := func(address, path string, change func(*http.Request)) int {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		change(req)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	plain := func(*http.Request) {}
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	const question = "/api/v1/query?query=1"
	for h, want := range map[string]int{"localhost:1": 200, "127.0.0.1": 200, "[::1]:9090": 200, "evil.example": 403, "evil.example:9090": 403} {
		if got := ask(r.Address(), question, host(h)); got != want {
			t.Errorf("asked as %s: %d, want %d", h, got, want)
		}
	}
	r.end()

	o.Address = "0.0.0.0:0"
	if _, err := New(o); !errors.Is(err, errOpen) {
		t.Errorf("an open address without a token: %v", err)
	}
	o.TokenFile = filepath.Join(t.TempDir(), "token")
	r = run(t, o)
	_, port, _ := net.SplitHostPort(r.Address())
	address := "127.0.0.1:" + port
	secret, err := os.ReadFile(o.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	good := strings.TrimSpace(string(secret))
	for _, c := range []struct {
		name, path string
		change     func(*http.Request)
		want       int
	}{
		{"no token", question, plain, 401},
		{"no token, federate", "/federate?match[]=a", plain, 401},
		{"no token, metrics", "/metrics", plain, 401},
		{"a wrong one", question, func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, 401},
		{"the token", question, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+good) }, 200},
		{"as a password", question, func(r *http.Request) { r.SetBasicAuth("any", good) }, 200},
		{"an empty password", question, func(r *http.Request) { r.SetBasicAuth("any", "") }, 401},
		{"a probe", "/-/healthy", plain, 200},
	} {
		if got := ask(address, c.path, c.change); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// TestNativeHistograms: what a target exposes as one is stored as one, beside its buckets' absence: one series, with quantiles of its own.
func TestNativeHistograms(t *testing.T) {
	registry := prometheus.NewRegistry()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "took_seconds", Help: "Durations.", NativeHistogramBucketFactor: 1.1})
	registry.MustRegister(h)
	for i := range 1000 {
		h.Observe(float64(i+1) / 1000)
	}
	srv := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t.Cleanup(srv.Close)
	text := fmt.Sprintf("global: {scrape_interval: 1s, scrape_native_histograms: true}\nscrape_configs: [{job_name: native, static_configs: [{targets: ['%s']}]}]\n", strings.TrimPrefix(srv.URL, "http://"))
	r := run(t, options(t, text))
	r.becomes(`histogram_count(took_seconds)`, 1000)
	r.until(`histogram_quantile(0.5, took_seconds)`, func(v float64) bool { return v > 0.45 && v < 0.55 })
	r.becomes(`count({__name__=~"took_seconds.*"})`, 1)
}
