package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestSkew runs meshes of two versions: proxies of the last release under this control plane, and the reverse. HEDDLE_LAST is the folder with the last release's programs
// (bash test/skew.sh).
func TestSkew(t *testing.T) {
	last := os.Getenv("HEDDLE_LAST")
	if last == "" {
		t.Skip("HEDDLE_LAST is not set: bash test/skew.sh")
	}
	for _, mesh := range []struct {
		name  string
		older []string
	}{
		{"older proxies", []string{"heddle-proxy"}},
		{"older control plane", []string{"heddle", "heddled"}}, // of one release, because the one starts the other
	} {
		t.Run(mesh.name, func(t *testing.T) {
			h := newHome(t)
			for _, b := range mesh.older {
				to := filepath.Join(h.dir, "bin", b)
				if err := os.Remove(to); err != nil {
					t.Fatal(err)
				}
				copyFile(t, filepath.Join(last, b), to)
			}
			h.up()
			s := h.status()
			namespaces := h.namespaces(s.PID)
			h.waitSynced(len(s.Workloads), 30*time.Second)
			h.patient()
			h.weights(t, s)
			h.denied(t, s)
			h.killHeddled(t, s)
			if err := syscall.Kill(s.PID, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			h.nothingLeft(namespaces)
		})
	}
}

// denied forbids everybody a service of the shop, and allows it again.
func (h *home) denied(t *testing.T, s status) {
	want := func(code int) {
		t.Helper()
		eventually(t, 20*time.Second, func() string {
			if got, body := get(s.Gateway + "/"); got != code {
				return fmt.Sprintf("the page is %d, want %d: %.200s", got, code, body)
			}
			return ""
		})
	}
	want(200)
	h.apply(`apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, action: DENY, rules: [{from: [{source: {principals: ["*"]}}]}]}`)
	want(403)
	h.must("kubectl", "-n", "shop", "delete", "authorizationpolicy", "nobody")
	want(200)
}
