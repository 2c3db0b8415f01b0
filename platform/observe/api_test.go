package observe

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// TestAPI goes through what readers ask of a Prometheus besides values.
func TestAPI(t *testing.T) {
	x := newTarget(t, "# HELP requests_total Requests.\n# TYPE requests_total counter\nrequests_total{code=\"200\"} 5\n")
	o := options(t, strings.Replace(jobsOf(x), "scrape_interval: 1s", "scrape_interval: 1s, external_labels: {cluster: here}", 1))
	o.Flags = map[string]string{"max-series": "7"}
	r := run(t, o)
	r.becomes(`requests_total`, 5)
	ctx := t.Context()
	ok := func(what string, got any, good bool, err error) {
		t.Helper()
		if err != nil || !good {
			t.Errorf("%s: %v (%v)", what, got, err)
		}
	}
	targets, err := r.api.Targets(ctx)
	ok("targets", targets, len(targets.Active) == 1 && targets.Active[0].Health == v1.HealthGood && targets.Active[0].Labels["instance"] == "it", err)
	rules, err := r.api.Rules(ctx, nil)
	ok("rules", rules, len(rules.Groups) == 0, err)
	alerts, err := r.api.Alerts(ctx)
	ok("alerts", alerts, len(alerts.Alerts) == 0, err)
	managers, err := r.api.AlertManagers(ctx)
	ok("alertmanagers", managers, len(managers.Active) == 0, err)
	build, err := r.api.Buildinfo(ctx)
	ok("buildinfo", build, strings.HasPrefix(build.Version, "3."), err)
	runtime, err := r.api.Runtimeinfo(ctx)
	ok("runtimeinfo", runtime, runtime.StorageRetention == "1h0m0s" && !runtime.LastConfigTime.IsZero(), err)
	flags, err := r.api.Flags(ctx)
	ok("flags", flags, flags["max-series"] == "7", err)
	db, err := r.api.TSDB(ctx)
	ok("tsdb", db, db.HeadStats.NumSeries == r.store.Series(), err)
	config, err := r.api.Config(ctx)
	ok("config", config, strings.Contains(config.YAML, "job_name: job0"), err)
	names, _, _, err := r.api.LabelNames(ctx, []string{"requests_total"}, time.Time{}, time.Time{})
	ok("labels", names, slices.Equal(names, model.LabelNames{"__name__", "code", "instance", "job"}), err)
	series, _, _, err := r.api.Series(ctx, []string{"requests_total"}, time.Now().Add(-time.Minute), time.Now())
	ok("series", series, len(series) == 1 && series[0]["code"] == "200", err)
	about, err := r.api.Metadata(ctx, "", "1")
	ok("metadata", about, len(about) == 1, err)
	v, _, _, err := r.api.QueryRange(ctx, "requests_total", v1.Range{Start: time.Now().Add(-10 * time.Second), End: time.Now(), Step: time.Second})
	ok("query_range", v, v != nil && v.(model.Matrix).Len() == 1, err)

	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/-/healthy", 200}, {"GET", "/-/ready", 200}, {"GET", "/api/v1/query?query=1", 200}, {"GET", "/api/v1/nothing", 404}, {"GET", "/graph", 404},
		{"POST", "/api/v1/admin/tsdb/delete_series?match[]=up", 500}, {"POST", "/api/v1/admin/tsdb/snapshot", 500}, {"POST", "/api/v1/write", 404}, {"POST", "/api/v1/otlp/v1/metrics", 404},
		{"POST", "/-/quit", 404}, {"POST", "/-/reload", 404}, {"GET", "/federate", 400}, {"GET", "/federate?match[]={", 400},
	} {
		req, err := http.NewRequest(c.method, "http://"+r.Address()+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, resp.StatusCode, c.want)
		}
	}
	// What no page of another origin may read has no header that lets it.
	req, _ := http.NewRequest("GET", "http://"+r.Address()+"/api/v1/query?query=1", nil)
	req.Header.Set("Origin", "https://evil.example")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if allowed := resp.Header.Get("Access-Control-Allow-Origin"); allowed != "" {
		t.Errorf("pages of %s may read it", allowed)
	}
}

// TestFederate: another Prometheus gets the latest samples with the labels for the world outside, and nothing that is stale.
func TestFederate(t *testing.T) {
	x := newTarget(t, "a{i=\"1\"} 1\na{i=\"2\",cluster=\"own\"} 2\nb 3\ngone 4\n")
	r := run(t, options(t, strings.Replace(jobsOf(x), "scrape_interval: 1s", "scrape_interval: 1s, external_labels: {cluster: here}", 1)))
	r.becomes(`gone`, 4)
	x.says("a{i=\"1\"} 1\na{i=\"2\",cluster=\"own\"} 2\nb 3\n")
	r.absent(`gone`)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(r.get("/federate?" + url.Values{"match[]": {`{job="job0"}`, `a`}}.Encode())))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"a": {`cluster=own i=2 instance=it job=job0 = 2`, `cluster=here i=1 instance=it job=job0 = 1`}, "b": {`cluster=here instance=it job=job0 = 3`}, "gone": nil,
	} {
		var got []string
		for _, m := range families[name].GetMetric() {
			text := ""
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			for _, k := range []string{"cluster", "i", "instance", "job"} {
				if v, ok := labels[k]; ok {
					text += k + "=" + v + " "
				}
			}
			got = append(got, text+"= "+trimmed(m.GetUntyped().GetValue()))
			if age := time.Since(time.UnixMilli(m.GetTimestampMs())); age > time.Minute || age < -time.Minute {
				t.Errorf("%s: a sample of %s ago", name, age)
			}
		}
		for _, w := range want {
			if !strings.Contains(strings.Join(got, "\n"), w) {
				t.Errorf("%s: %q, want %q among it", name, got, w)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func trimmed(v float64) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// TestQueriesAreBounded: a query that costs too much fails, and says why.
func TestQueriesAreBounded(t *testing.T) {
	x := newTarget(t, "a 1\n")
	o := options(t, jobsOf(x))
	o.Queries.Samples, o.Queries.Concurrent = 50, 3
	r := run(t, o)
	r.becomes(`a`, 1)
	post := func(path string, form url.Values) (int, string) {
		t.Helper()
		resp, err := http.PostForm("http://"+r.Address()+path, form)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	if code, body := post("/api/v1/query", url.Values{"query": {"a"}}); code != 200 {
		t.Errorf("POST: %d %s", code, body)
	}
	if code, body := post("/api/v1/query_range", url.Values{"query": {"vector(1)"}, "start": {"0"}, "end": {"100"}, "step": {"1"}}); code != 422 || !strings.Contains(body, "too many samples") {
		t.Errorf("too many samples: %d %s", code, body)
	}
	if code, body := post("/api/v1/query_range", url.Values{"query": {"vector(1)"}, "start": {"0"}, "end": {"1000000"}, "step": {"1"}}); code != 400 || !strings.Contains(body, "11,000 points") {
		t.Errorf("too many points: %d %s", code, body)
	}
	if metrics := r.get("/metrics"); !strings.Contains(metrics, "\nprometheus_engine_queries_concurrent_max 3\n") {
		t.Error("the number of queries at a time is not bounded")
	}
	r.end()
	o.Queries.Timeout = time.Nanosecond
	r = run(t, o)
	for range 100 {
		code, body := post("/api/v1/query", url.Values{"query": {"a"}})
		if code == 503 && strings.Contains(body, "timed out") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("a query that takes too long goes on")
}

// TestWhatOnlyAPrometheusDoes is refused, with the field and the next step.
func TestWhatOnlyAPrometheusDoes(t *testing.T) {
	for field, config := range map[string]string{
		"rule_files": "rule_files: [a.yaml]", "alerting": "alerting: {alertmanagers: [{static_configs: [{targets: ['a:1']}]}]}", "remote_read": "remote_read: [{url: 'http://a'}]",
		"tracing": "tracing: {endpoint: 'a:1'}", "global.query_log_file": "global: {query_log_file: a}",
	} {
		_, err := New(options(t, config))
		if err == nil || !strings.Contains(err.Error(), ": "+field+" is not honoured by heddle-observe; leave it out") {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := New(options(t, "scrape_configs: [{job: a}]")); err == nil || !strings.Contains(err.Error(), "field job not found") {
		t.Errorf("an unknown field: %v", err)
	}
	o := options(t, "")
	if err := os.Remove(o.Config); err != nil {
		t.Fatal(err)
	}
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
}
