package e2e

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/storage/remote"
)

// flaky answers after 30 ms, /bad with 500.
const flaky = `import http.server, time
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        time.sleep(0.03)
        body = b"x" * 10
        self.send_response(500 if self.path == "/bad" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
class S(http.server.ThreadingHTTPServer):
    request_queue_size = 64
S(("", 9000), H).serve_forever()
`

// visitor waits until the service answers, which counts too, then asks 300 times, every fourth time for what is bad; it says how often it got what, and stays.
const visitor = `import collections, http.client, time
seen = collections.Counter()
def ask(path):
    try:
        c = http.client.HTTPConnection("flaky", 9000, timeout=10)
        c.request("GET", path)
        r = c.getresponse()
        r.read()
        c.close()
        seen[r.status] += 1
        return r.status
    except OSError:
        return 0
while ask("/") != 200: time.sleep(0.2)
for n in range(300): ask("/bad" if n % 4 == 3 else "/")
print("TRUTH", " ".join("%d=%d" % x for x in sorted(seen.items())), flush=True)
time.sleep(600)
`

// TestMetrics: what was counted is what happened, asked as Prometheus' own client asks, as Flagger asks, as KEDA asks, and by heddle query.
func TestMetrics(t *testing.T) {
	h := newHome(t)
	for name, text := range map[string]string{"flaky.py": flaky, "visitor.py": visitor} {
		if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h.mistakenMetrics()
	received := h.receiver()
	h.up("--empty", "--metrics-every", "1s", "--metrics-config", "more.yaml")
	s := h.status()
	namespaces := h.namespaces(s.PID)
	if s.Metrics == "" || !strings.Contains(h.must("status"), "metrics     "+s.Metrics+"\n") {
		t.Fatalf("heddle status does not name the metrics: %q", s.Metrics)
	}
	server := h.startRun("--name", "flaky", "--port", "9000", "--", "python3", "flaky.py")
	client, text := h.background("run", "--name", "me", "--", "python3", "visitor.py")
	truth := map[string]float64{}
	eventually(t, 80*time.Second, func() string {
		_, line, found := strings.Cut(text(), "TRUTH ")
		if !found {
			return "the visitor says: " + text()
		}
		for pair := range strings.FieldsSeq(line) {
			code, n, _ := strings.Cut(pair, "=")
			truth[code], _ = strconv.ParseFloat(n, 64)
		}
		return ""
	})
	if truth["500"] != 75 || truth["200"] < 226 {
		t.Fatalf("the visitor got %v", truth)
	}
	m := newMetrics(t, s.Metrics)
	t.Run("counts", func(t *testing.T) { m.counts(t, truth) })
	t.Run("flagger", func(t *testing.T) { m.flagger(t) })
	t.Run("keda", func(t *testing.T) { m.keda(t) })
	t.Run("targets", func(t *testing.T) { m.targets(t) })
	t.Run("remote write", func(t *testing.T) {
		eventually(t, 20*time.Second, func() string { return received(truth["200"]) })
	})
	t.Run("query", func(t *testing.T) { h.query(t, truth) })
	t.Run("killed", func(t *testing.T) { h.killedMetrics(t, m, truth) })
	for _, p := range []interface{ Signal(os.Signal) error }{client.Process, server.Process} {
		_ = p.Signal(syscall.SIGTERM)
	}
	_, _ = client.Process.Wait()
	_, _ = server.Process.Wait()
	// What has ended is no target any more, and its series are stale.
	m.becomes(t, `absent(up{workload="flaky"})`, `{workload="flaky"}=1`)
	h.must("down")
	h.nothingLeft(namespaces)
}

// mistakenMetrics: what is wrong with the metrics is said before anything starts.
func (h *home) mistakenMetrics() {
	h.t.Helper()
	for text, want := range map[string]string{
		"rule_files: [a]":               "heddle: --metrics-config more.yaml: rule_files cannot be set; use remote_write, scrape_configs and global.external_labels\n",
		"remote_write: [{uri: a}]":      "field uri not found in type config.plain\n",
		"scrape_configs: [{job: mesh}]": "field job not found in type config.ScrapeConfig\n",
	} {
		if err := os.WriteFile(filepath.Join(h.dir, "more.yaml"), []byte(text), 0o644); err != nil {
			h.t.Fatal(err)
		}
		if out, errs, code := h.call("up", "--empty", "--metrics-config", "more.yaml"); code != 1 || !strings.HasPrefix(errs, "heddle: --metrics-config more.yaml: ") || !strings.HasSuffix(errs, want) {
			h.t.Errorf("%s: %d %s%s", text, code, out, errs)
		}
	}
}

// receiver is another Prometheus, which the mesh sends its samples to; it tells what is missing yet of a number of requests.
func (h *home) receiver() (missing func(requests float64) string) {
	h.t.Helper()
	var mu sync.Mutex
	last := "nothing was received"
	var most float64
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		all, err := remote.DecodeWriteRequest(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if err != nil || r.Header.Get("X-Scope-OrgID") != "mesh" {
			last = fmt.Sprint("a bad request: ", r.Header, err)
			return
		}
		for _, s := range all.Timeseries {
			labels := map[string]string{}
			for _, l := range s.Labels {
				labels[l.Name] = l.Value
			}
			if labels["__name__"] == "istio_requests_total" && labels["site"] == "here" && labels["reporter"] == "destination" && labels["response_code"] == "200" {
				most = max(most, s.Samples[len(s.Samples)-1].Value)
			}
		}
	}))
	h.t.Cleanup(srv.Close)
	text := "global: {external_labels: {site: here}}\nremote_write: [{url: '" + srv.URL + "', headers: {X-Scope-OrgID: mesh}}]\n"
	if err := os.WriteFile(filepath.Join(h.dir, "more.yaml"), []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
	return func(requests float64) string {
		mu.Lock()
		defer mu.Unlock()
		if most == requests {
			return ""
		}
		return fmt.Sprintf("of %g requests %g were told; %s", requests, most, last)
	}
}

// metrics is a client of the API.
type metrics struct {
	promv1.API
	url string
}

func newMetrics(t *testing.T, address string) *metrics {
	t.Helper()
	c, err := api.NewClient(api.Config{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	return &metrics{promv1.NewAPI(c), address}
}

// ask gives the answers by their labels.
func (m *metrics) ask(ctx context.Context, question string) (map[string]float64, error) {
	v, _, _, err := m.Query(ctx, question, time.Time{})
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for _, s := range v.(model.Vector) {
		all[s.Metric.String()] = float64(s.Value)
	}
	return all, nil
}

// becomes waits for an answer: LABELS=VALUE, in order.
func (m *metrics) becomes(t *testing.T, question, want string) {
	t.Helper()
	eventually(t, 20*time.Second, func() string {
		all, err := m.ask(t.Context(), question)
		if err != nil {
			return err.Error()
		}
		var got []string
		for _, k := range slices.Sorted(maps.Keys(all)) {
			got = append(got, k+"="+strconv.FormatFloat(all[k], 'f', -1, 64))
		}
		if strings.Join(got, " ") == want {
			return ""
		}
		return question + " is " + strings.Join(got, " ") + ", want " + want
	})
}

// counts compares with what the client counted, on both sides of the connection, and the histograms' own counts.
func (m *metrics) counts(t *testing.T, truth map[string]float64) {
	want := fmt.Sprintf(`{response_code="200"}=%g {response_code="500"}=%g`, truth["200"], truth["500"])
	for _, reporter := range []string{"source", "destination"} {
		where := fmt.Sprintf(`{reporter="%s",source_workload="me",destination_workload="flaky",destination_workload_namespace="default"}`, reporter)
		m.becomes(t, `sum by (response_code) (istio_requests_total`+where+`)`, want)
		m.becomes(t, `sum by (response_code) (istio_request_duration_milliseconds_count`+where+`)`, want)
		m.becomes(t, `sum by (response_code) (istio_request_duration_milliseconds_bucket`+strings.Replace(where, "{", `{le="+Inf",`, 1)+`)`, want)
		m.becomes(t, `sum by (response_code) (istio_response_bytes_count`+where+`)`, want)
	}
	// The rate over a window, times the window, is the growth of the counter in it, but for what came before its first sample and the extrapolation to the window's ends.
	all, err := m.ask(t.Context(), `sum(increase(istio_requests_total{reporter="destination",destination_workload="flaky"}[2m])) / sum(max_over_time(istio_requests_total{reporter="destination",destination_workload="flaky"}[2m]))`)
	if got := all["{}"]; err != nil || got < 0.85 || got > 1.1 {
		t.Errorf("the increase is %g of the truth (%v)", got, err)
	}
}

// value asks as programs without Prometheus' client library do, and gives the one value.
func (m *metrics) value(t *testing.T, question string) float64 {
	t.Helper()
	code, body := get(m.url + "/api/v1/query?" + url.Values{"query": {question}, "time": {time.Now().UTC().Format(time.RFC3339)}}.Encode())
	var answer struct {
		Data struct{ Result []struct{ Value []any } }
	}
	if err := json.Unmarshal([]byte(body), &answer); code != 200 || err != nil || len(answer.Data.Result) != 1 {
		t.Fatalf("%s: %d %v %s", question, code, err, body)
	}
	v, err := strconv.ParseFloat(answer.Data.Result[0].Value[1].(string), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// flagger asks what Flagger does by itself of a canary in an Istio mesh: whether there is a Prometheus, the success rate, and the 99th percentile of the duration.
func (m *metrics) flagger(t *testing.T) {
	if v := m.value(t, "vector(1)"); v != 1 {
		t.Errorf("vector(1) is %g", v)
	}
	const of = `reporter="destination", destination_workload_namespace="default", destination_workload=~"flaky"`
	rate := m.value(t, `sum(rate(istio_requests_total{`+of+`, response_code!~"5.*"}[1m])) / sum(rate(istio_requests_total{`+of+`}[1m])) * 100`)
	if math.Abs(rate-75) > 4 {
		t.Errorf("the success rate is %g, and 75 of the last 300 requests failed", rate)
	}
	if p99 := m.value(t, `histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{`+of+`}[1m])) by (le))`); p99 < 25 || math.IsNaN(p99) {
		t.Errorf("the 99th percentile is %g ms, and each took 30 at least", p99)
	}
}

// keda asks for the load of a workload, for something that is not there, and with a mistake.
func (m *metrics) keda(t *testing.T) {
	if v := m.value(t, `sum(rate(istio_requests_total{destination_workload="flaky", reporter="destination"}[2m]))`); v <= 0 {
		t.Errorf("%g requests a second", v)
	}
	code, body := get(m.url + "/api/v1/query?query=" + url.QueryEscape(`sum(rate(istio_requests_total{destination_workload="nobody"}[2m]))`))
	if code != 200 || !strings.Contains(body, `"result":[]`) {
		t.Errorf("no series: %d %s", code, body)
	}
	if code, body := get(m.url + "/api/v1/query?query=" + url.QueryEscape(`sum(`)); code != 400 || !strings.Contains(body, `"errorType":"bad_data"`) {
		t.Errorf("a mistake: %d %s", code, body)
	}
}

// targets: who is scraped, by the names that dashboards have.
func (m *metrics) targets(t *testing.T) {
	m.becomes(t, `count by (job, namespace, workload, app) (up == 1)`, strings.Join([]string{
		`{app="flaky", job="envoy-stats", namespace="default", workload="flaky"}=1`,
		`{app="heddle-observe", job="prometheus", namespace="istio-system"}=1`,
		`{app="istio-ingressgateway", job="envoy-stats", namespace="istio-system", workload="istio-ingressgateway"}=1`,
		`{app="istiod", job="istiod", namespace="istio-system", workload="heddled"}=1`,
		`{app="me", job="envoy-stats", namespace="default", workload="me"}=1`}, " "))
	m.becomes(t, `sum(pilot_xds{job="istiod"})`, "{}=3")
	known, err := m.Metadata(t.Context(), "istio_requests_total", "")
	if err != nil || len(known["istio_requests_total"]) == 0 || known["istio_requests_total"][0].Type != promv1.MetricTypeCounter {
		t.Errorf("istio_requests_total is %v (%v)", known, err)
	}
}

// query is the command.
func (h *home) query(t *testing.T, truth map[string]float64) {
	out := h.must("query", `sum by (response_code) (istio_requests_total{reporter="destination"})`, "-o", "csv")
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	slices.SortFunc(rows, slices.Compare)
	want := [][]string{{"200", fmt.Sprint(truth["200"])}, {"500", fmt.Sprint(truth["500"])}, {"response_code", "value"}}
	if err != nil || !slices.EqualFunc(rows, want, slices.Equal) {
		t.Errorf("%v %s", err, out)
	}
	if out := h.must("query", "count(up)", "--range", "4s", "--step", "2s"); !strings.HasPrefix(out, "TIME ") || strings.Count(out, "   5\n") == 0 {
		t.Errorf("over a range: %s", out)
	}
	if out := h.must("__complete", "query", "istio_req"); !strings.Contains(out, "istio_requests_total\n") {
		t.Errorf("completion: %s", out)
	}
}

// killedMetrics: the store comes back by itself, with all that it had.
func (h *home) killedMetrics(t *testing.T, m *metrics, truth map[string]float64) {
	pid := func() int {
		for _, p := range h.status().Processes {
			if p.Name == "observe" {
				return p.PID
			}
		}
		return 0
	}
	first := pid()
	if first == 0 {
		t.Fatal("heddle status does not name the process")
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() string {
		if now := pid(); now != 0 && now != first {
			return ""
		}
		return "it is not started again"
	})
	m.becomes(t, `sum by (response_code) (min_over_time(istio_requests_total{reporter="destination",destination_workload="flaky",response_code="500"}[3s]))`, fmt.Sprintf(`{response_code="500"}=%g`, truth["500"]))
	m.becomes(t, `sum(max_over_time(istio_requests_total{reporter="destination",destination_workload="flaky"}[1m] offset 5s))`, fmt.Sprintf(`{}=%g`, truth["200"]+truth["500"]))
}
