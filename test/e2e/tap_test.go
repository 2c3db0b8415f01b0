package e2e

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tap: requests are shown as they come, in a form for people and in JSON, and Ctrl-C ends that without a complaint.
func (h *home) tap(t *testing.T, s status) {
	stop := load(s.Gateway+"/cart", 1)
	defer stop()
	out := h.must("tap", "web-v1", "--direction", "inbound", "--path", "/cart", "--limit", "2", "-o", "json")
	n := 0
	for line := range strings.Lines(out) {
		var e struct{ Status int } // of the request; each try has one too
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Status != 200 {
			t.Errorf("%v: %s", err, line)
		}
		n++
	}
	if n != 2 || !strings.Contains(out, `"peer":"spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway"`) || !strings.Contains(out, `"endpoint":"`) {
		t.Errorf("%d lines: %s", n, out)
	}
	if out := h.must("tap", "web-v1.shop", "--direction", "outbound", "--limit", "1"); !strings.Contains(out, " -> 200 GET ") || !strings.Contains(out, " cluster=outbound|") {
		t.Errorf("%s", out)
	}
	watch, text := h.background("tap", "web-v1")
	eventually(t, 20*time.Second, func() string {
		if strings.Contains(text(), " 200 GET ") {
			return ""
		}
		return "it shows: " + text()
	})
	_ = watch.Process.Signal(syscall.SIGINT)
	if err := watch.Wait(); err != nil {
		t.Errorf("Ctrl-C: %v, %s", err, text())
	}
}
