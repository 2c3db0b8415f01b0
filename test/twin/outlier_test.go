package twin_test

import (
	"fmt"
	"testing"

	"github.com/heddle-mesh/heddle/test/twin"
)

// TestOutlierDetection: after how many failures of which kind an endpoint is ejected, and what is counted, are the same on both.
func TestOutlierDetection(t *testing.T) {
	ports := twin.NewPorts(t)
	all := map[string]*twin.Upstream{}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		all[name] = twin.Serve(t, ports, name)
	}
	twin.Run(t, ports, "testdata/outlier.yaml", func(t *testing.T, p *twin.Proxy) {
		all["a"].Fail(500)
		stat := func(cluster, name string) int {
			return p.Stat("cluster." + cluster + ".outlier_detection.ejections_" + name)
		}
		counts := func(cluster string, names ...string) {
			t.Helper()
			for _, n := range names {
				if stat(cluster, n) != 1 {
					t.Errorf("%s: %s is %d, want 1", cluster, n, stat(cluster, n))
				}
			}
		}
		out := func(cluster, name string) {
			t.Helper()
			if got := p.Health(cluster, name); got != "/failed_outlier_check" {
				t.Errorf("%s: %s is %s", cluster, name, got)
			}
		}
		// Three failures in a row, and the fourth request never comes.
		all["a"].Seen()
		p.Until("a is ejected", func() bool { p.Get("/row"); return stat("row", "active") == 1 })
		if n := all["a"].Seen(); n != 3 {
			t.Errorf("row: a saw %d requests before it was ejected, want 3", n)
		}
		counts("row", "enforced_total", "enforced_consecutive_5xx", "detected_consecutive_5xx", "active")
		p.Until("a is taken back", func() bool { return stat("row", "active") == 0 })
		if got := p.Health("row", "a"); got != "healthy" {
			t.Errorf("row: a is %s after its ejection", got)
		}
		// Every endpoint gets ten requests and more in each interval; a fails all of them, the others none.
		for cluster, why := range map[string]string{"compare": "success_rate", "percentage": "failure_percentage"} {
			p.Until(cluster+" has ejected a", func() bool {
				for range 60 {
					p.Get("/" + cluster)
				}
				return stat(cluster, "active") > 0
			})
			counts(cluster, "enforced_total", "active", "enforced_"+why, "detected_"+why)
			out(cluster, "a")
		}
		// Failures to connect are counted apart; a answers 500 two times only.
		for i := range 4 {
			if got := p.Get("/split"); got != "500 a" && fmt.Sprint(got[:3]) != "503" {
				t.Errorf("split: request %d: %s", i+1, got)
			}
		}
		counts("split", "enforced_total", "active", "enforced_consecutive_local_origin_failure", "detected_consecutive_local_origin_failure")
		out("split", "nobody")
		if n := stat("split", "detected_consecutive_5xx"); n != 0 {
			t.Errorf("split: %d endpoints failed by their answers", n)
		}
	})
}
