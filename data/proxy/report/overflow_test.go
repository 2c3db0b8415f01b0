package report

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/telemetry"
)

// Whoever makes up values of labels fills a bounded number of series; the rest is counted together, by what configuration bounds, so that sums stay right.
func TestOverflow(t *testing.T) {
	r, registry := reporter()
	r.combinations.most = 10
	var plan *telemetry.Plan
	for i := range 1000 {
		if i%100 == 0 { // a configuration comes that says the same
			plan = telemetry.NewPlan(telemetry.Overrides{Metrics: []telemetry.Override{{Name: "requests_total", Dimensions: map[string]string{"path": "request.path"}}}})
		}
		f := Facts{Direction: config.Outbound, Code: 200, Service: config.ClusterTelemetry{Service: "a.test", ServiceName: "a", ServiceNamespace: "shop"}, Plan: plan, Values: fmt.Sprint("/", i)}
		r.Request(0, &f, time.Millisecond, 1, 1)
	}
	f := Facts{Direction: config.Outbound, Code: 200, Service: config.ClusterTelemetry{Service: "a.test", ServiceName: "a", ServiceNamespace: "shop"}, Plan: plan, Values: "/3"}
	r.Request(0, &f, time.Millisecond, 1, 1) // one that was there before
	page := text(t, registry)
	if n := strings.Count(page, "istio_requests_total{"); n != 11 {
		t.Errorf("%d series, want 10 and one for the rest", n)
	}
	for line := range strings.Lines(page) {
		switch {
		case strings.HasPrefix(line, "istio_requests_total{") && strings.Contains(line, `path="overflow"`):
			for _, want := range []string{`} 990`, `destination_service="a.test"`, `response_code="200"`, `reporter="source"`, `source_workload="overflow"`} {
				if !strings.Contains(line, want) {
					t.Errorf("the rest is counted without %s: %s", want, line)
				}
			}
		case strings.HasPrefix(line, "istio_requests_total{") && strings.Contains(line, `path="/3"`) && !strings.HasSuffix(line, "} 2\n"):
			t.Errorf("one that was there before: %s", line)
		case strings.HasPrefix(line, "heddle_metrics_overflow_total ") && line != "heddle_metrics_overflow_total 990\n":
			t.Errorf("what overflowed: %s", line)
		}
	}
}
