package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/test/lab"
)

// proxies are the processes of heddle-proxy.
func proxies(t *testing.T, s status) map[int]bool {
	t.Helper()
	tree, err := lab.Tree(s.PID)
	if err != nil {
		t.Fatal(err)
	}
	all := map[int]bool{}
	for _, p := range tree {
		if strings.Contains(p.Command, "heddle-proxy sidecar ") || strings.Contains(p.Command, "heddle-proxy gateway ") {
			all[p.PID] = true
		}
	}
	return all
}

// replaceProxies: every proxy of the mesh is replaced by a new process, the ingress too, and no request of anybody fails.
func (h *home) replaceProxies(t *testing.T, s status) {
	before := proxies(t, s)
	stop := load(s.Gateway+"/cart", 4)
	time.Sleep(300 * time.Millisecond)
	out := h.must("proxy-restart", "--all")
	for _, w := range s.Workloads {
		if line := "the proxy of " + w.Name + "." + w.Namespace + " was replaced\n"; !strings.Contains(out, line) {
			t.Errorf("%q is not in %q", line, out)
		}
	}
	eventually(t, 30*time.Second, func() string {
		for pid := range proxies(t, s) {
			if before[pid] {
				return "an old proxy still runs"
			}
		}
		return ""
	})
	n, failures := stop()
	t.Logf("%d requests, %d failed", n, len(failures))
	if len(failures) > 0 {
		t.Errorf("%d of %d requests failed, such as: %s", len(failures), n, failures[0])
	}
	for _, w := range h.status().Workloads {
		if w.Restarts != 0 || !w.Ready {
			t.Errorf("%+v", w)
		}
	}
	if now := proxies(t, s); len(now) != len(before) {
		t.Errorf("%d proxies, before %d", len(now), len(before))
	}
	h.waitSynced(len(s.Workloads), 10*time.Second)
}
