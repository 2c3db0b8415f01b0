package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/node/netns"
	"github.com/heddle-mesh/heddle/platform/shop"
	"github.com/heddle-mesh/heddle/test/lab"
)

// TestProxyMode runs a whole mesh without any namespace: HTTP by HTTP_PROXY is routed, encrypted and measured, and what does not work is said.
func TestProxyMode(t *testing.T) {
	h := newHome(t)
	printed := h.up("--mode", "proxy")
	for _, want := range []string{"mode proxy: no namespaces", "What does not work in it:\n  - only HTTP calls of programs that obey HTTP_PROXY", "plain TCP by name and DNS do not work", "identities are told apart, not enforced"} {
		if !strings.Contains(printed, want) {
			t.Errorf("%q is not said:\n%s", want, printed)
		}
	}
	s := h.status()
	h.patient()
	if namespaces := h.namespaces(s.PID); len(namespaces) != 0 || len(s.Workloads) != len(shop.Parts()) {
		t.Errorf("%d network namespaces and %d workloads, want none, and the ingress and the shop without its ledger", len(namespaces), len(s.Workloads))
	}
	for _, path := range []string{"/", "/catalog", "/cart"} {
		if code, body := get(s.Gateway + path); code != 200 || !strings.Contains(body, `"service":"web"`) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	t.Run("run", func(t *testing.T) { h.plainRuns(t) })
	t.Run("routes", func(t *testing.T) { h.plainRoutes(t, s) })
	t.Run("rolling", func(t *testing.T) { h.rolling(t, s) })
	t.Run("a proxy is killed", func(t *testing.T) { h.killProxy(t, s) })
	h.waitSynced(len(s.Workloads), 10*time.Second)
	h.must("down")
	h.nothingLeft(nil)
	h.plainGone()
}

// TestProxyModeIsKilled: the kernel takes nothing along here, and still nothing is left.
func TestProxyModeIsKilled(t *testing.T) {
	h := newHome(t)
	h.up("--mode", "proxy", "--empty")
	h.startRun("--name", "sleeper", "--", "sh", "-c", "setsid sleep 86399.25 & sleep 86399.25")
	if err := syscall.Kill(h.status().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.nothingLeft(nil)
	h.plainGone()
}

// plainGone checks that nothing of a mesh without namespaces is left on the host's network, and no process of heddle run.
func (h *home) plainGone() {
	h.t.Helper()
	for _, port := range []uint16{15006, 15007} {
		if found, err := netns.Listening(port); err != nil || len(found) > 0 {
			h.t.Errorf("port %d is still open: %v %v", port, found, err)
		}
	}
	all, err := lab.Processes()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, p := range all {
		if strings.HasPrefix(p.Command, "sleep 86399.25") {
			h.t.Errorf("process %d (%s) is left", p.PID, p.Command)
		}
	}
}

func (h *home) plainRuns(t *testing.T) {
	if out, errs, code := h.call("run", "--name", "me", "--", "curl", "-sS", "--max-time", "10", "http://catalog.shop:8080/"); code != 0 || !strings.Contains(out, `"service":"catalog"`) {
		t.Errorf("by name through HTTP_PROXY: exit code %d, %s%s", code, out, errs)
	}
	if out, errs, _ := h.call("run", "--name", "me", "--", "curl", "-s", "--max-time", "10", "http://nowhere.example/"); !strings.Contains(out, "no service of the mesh") {
		t.Errorf("an unknown host: %s%s", out, errs)
	}
	page := h.instance("page", "page", "default", "v1", "9008")
	defer h.end(page, syscall.SIGTERM)
	if out, errs, _ := h.call("run", "--name", "me", "--", "curl", "-s", "--max-time", "10", "http://page:9008/"); !strings.Contains(out, `"service":"page"`) {
		t.Errorf("a process of the user's by name: %s%s", out, errs)
	}
	for want, args := range map[string][]string{
		"port 9008 of this machine is taken; without namespaces all workloads share its ports":         {"--name", "other", "--port", "9008", "--", "sleep", "60"},
		"speaks plain TCP, which nothing leads into the mesh with --mode proxy; use --mode root or ro": {"--name", "lines", "--port", "9009", "--tcp", "--", "sleep", "60"},
	} {
		if _, errs, code := h.call(append([]string{"run"}, args...)...); code == 0 || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("heddle run %v: exit code %d, %s", args, code, errs)
		}
	}
}

// plainRoutes: a VirtualService has effect on calls from service to service, and they are encrypted and measured.
func (h *home) plainRoutes(t *testing.T, s status) {
	h.apply(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart]
  http: [{fault: {abort: {percentage: {value: 100}, httpStatus: 418}}, route: [{destination: {host: cart}}]}]`)
	eventually(t, 10*time.Second, func() string {
		if code, body := get(s.Gateway + "/cart"); code == 502 && strings.Contains(body, "cart answered 418") {
			return ""
		}
		return "the fault is not in effect"
	})
	h.must("kubectl", "delete", "virtualservice", "cart", "-n", "shop")
	eventually(t, 10*time.Second, func() string {
		if code, body := get(s.Gateway + "/cart"); code != 200 {
			return fmt.Sprintf("%d %s", code, body)
		}
		return ""
	})
	for _, w := range s.Workloads {
		if w.Name != "cart-v1" {
			continue
		}
		_, metrics := get(w.ProxyAdmin + "/stats/prometheus")
		secure := false
		for line := range strings.Lines(metrics) {
			secure = secure || strings.HasPrefix(line, "istio_requests_total{") && strings.Contains(line, `reporter="destination"`) && strings.Contains(line, `source_workload="web-v1"`) &&
				strings.Contains(line, `connection_security_policy="mutual_tls"`) && strings.Contains(line, `response_code="200"`)
		}
		if !secure {
			t.Errorf("no request from web with mutual TLS is measured at %s", w.ProxyAdmin)
		}
	}
}

// TestForbiddenNamespaces: where user namespaces are forbidden, the sentence names the mode that does without, and that works.
func TestForbiddenNamespaces(t *testing.T) {
	h := newHome(t)
	// One user namespace where no other may be made, and in it a user without rights.
	forbid := "echo 1 > /proc/sys/user/max_user_namespaces && exec unshare --user --map-user=" + fmt.Sprint(nobody) + ` "$0" "$@"`
	h.command = []string{"unshare", "--user", "--map-root-user", "sh", "-c", forbid}
	if out, err := exec.Command(h.command[0], append(h.command[1:], "true")...).CombinedOutput(); err != nil {
		t.Skipf("user namespaces cannot be forbidden here: %v %s", err, out)
	}
	_, errs, code := h.call("up", "--empty", "--port", "0", "--api-port", "0")
	if code == 0 || strings.Count(errs, "\n") != 1 || !strings.HasSuffix(errs, "user namespaces are forbidden on this machine: run heddle up as root, or with --mode proxy, which needs none and says what does not work in it\n") {
		t.Errorf("exit code %d, %s", code, errs)
	}
	h.nothingLeft(nil)
	h.up("--mode", "proxy", "--empty")
	page := h.instance("page", "page", "default", "v1", "9008")
	if out, errs, _ := h.call("run", "--name", "me", "--", "curl", "-s", "--max-time", "10", "http://page:9008/"); !strings.Contains(out, `"service":"page"`) {
		t.Errorf("by name: %s%s", out, errs)
	}
	h.end(page, syscall.SIGTERM)
	h.must("down")
	h.nothingLeft(nil)
	h.plainGone()
}
