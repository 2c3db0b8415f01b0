package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// tally counts the answers of requests that are made all the time by several clients with connections of their own.
type tally struct {
	mu       sync.Mutex
	versions map[string]int
	failures []string
	total    int
}

// visit asks for a host's path through the ingress, until the context ends or n requests were made (0: no bound).
func (s status) visit(ctx context.Context, host, path string, clients, n int) (stop func() *tally) {
	t := &tally{versions: map[string]int{}}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	for c := range clients {
		wg.Go(func() {
			client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for i := 0; ctx.Err() == nil && (n == 0 || i < n/clients+max(0, min(1, n%clients-c))); i++ {
				version, failure := ask(client, s.Gateway+path, host)
				t.mu.Lock()
				t.total++
				t.versions[version]++
				if failure != "" {
					t.failures = append(t.failures, failure)
				}
				t.mu.Unlock()
			}
		})
	}
	return func() *tally {
		if n == 0 {
			cancel()
		}
		wg.Wait()
		cancel()
		return t
	}
}

// ask gives the version that answered, or what went wrong.
func ask(client *http.Client, url, host string) (version, failure string) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return "", err.Error()
	}
	req.Host = host
	resp, err := client.Do(req)
	if err != nil {
		return "", err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return "", err.Error()
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return "", fmt.Sprintf("%s: %.200s", resp.Status, body)
	}
	_, version, _ = strings.Cut(string(body), `"version":"`)
	version, _, _ = strings.Cut(version, `"`)
	return version, ""
}

func (h *home) apply(yaml string) {
	h.t.Helper()
	if out, errs, code := h.shell("bin/heddle --run-dir " + h.run + " kubectl apply -f - <<'END'\n" + yaml + "\nEND"); code != 0 {
		h.t.Fatalf("apply: %s%s", out, errs)
	}
}

// instance runs a workload of a service, and waits until it takes requests.
func (h *home) instance(name, service, namespace, version, port string) *exec.Cmd {
	h.t.Helper()
	return h.instanceOf("serve", name, service, namespace, version, port)
}

func (h *home) instanceOf(serve, name, service, namespace, version, port string) *exec.Cmd {
	h.t.Helper()
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	cmd, text := h.background("run", "--name", name, "--service", service, "-n", namespace, "--version", version, "--port", port, "--", self, serve, port, service, version)
	eventually(h.t, 30*time.Second, func() string {
		if strings.Contains(text(), name+"."+namespace+" takes requests on port "+port) {
			return ""
		}
		return name + " says: " + text()
	})
	return cmd
}

// weights: a split of 90 to 10 is kept within a point over 50,000 requests.
func (h *home) weights(t *testing.T, s status) {
	two := h.instance("cart-v2", "cart", "shop", "v2", "9002") // another port than the service's, as it happens
	h.apply(`apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart, namespace: shop}
spec:
  host: cart
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: weigh, namespace: shop}
spec:
  hosts: [weigh.test]
  gateways: [istio-system/ingress]
  http:
  - route:
    - {destination: {host: cart, subset: v1}, weight: 90}
    - {destination: {host: cart, subset: v2}, weight: 10}`)
	eventually(t, 20*time.Second, func() string {
		if got := s.visit(t.Context(), "weigh.test", "/", 4, 100)(); got.versions["v2"] == 0 || len(got.failures) > 0 {
			return fmt.Sprintf("the split is not in effect: %v %.300v", got.versions, got.failures)
		}
		return ""
	})
	const n = 50_000
	got := s.visit(t.Context(), "weigh.test", "/", 16, n)()
	share := 100 * float64(got.versions["v2"]) / n
	t.Logf("%d requests, %.2f %% to v2", got.total, share)
	if got.total != n || len(got.failures) > 0 {
		t.Errorf("%d requests, %d failed: %.300v", got.total, len(got.failures), got.failures)
	}
	if share < 9 || share > 11 || got.versions["v1"]+got.versions["v2"] != n {
		t.Errorf("answers by version: %v", got.versions)
	}
	h.end(two, syscall.SIGTERM)
	h.must("kubectl", "delete", "virtualservice/weigh", "destinationrule/cart", "-n", "shop")
}

// end asks a process to end and waits for that.
func (h *home) end(cmd *exec.Cmd, signal syscall.Signal) {
	h.t.Helper()
	if err := cmd.Process.Signal(signal); err != nil {
		h.t.Error(err)
	}
	cmd.Wait() // a service that is told to end has the code that it likes
}

// rolling: a service is replaced by new versions under load, several times, and no request fails although the programs end in the middle of whatever they do.
func (h *home) rolling(t *testing.T, s status) {
	old := h.instance("roll-v1", "roll", "default", "v1", "9001")
	h.apply(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: roll, namespace: default}
spec:
  hosts: [roll.test]
  gateways: [istio-system/ingress]
  http: [{route: [{destination: {host: roll}}]}]`)
	eventually(t, 20*time.Second, func() string {
		if got := s.visit(t.Context(), "roll.test", "/slow", 1, 1)(); got.versions["v1"] != 1 {
			return fmt.Sprintf("the route is not in effect: %v", got.failures)
		}
		return ""
	})
	stop := s.visit(t.Context(), "roll.test", "/slow", 12, 0)
	for n := 2; n <= 4; n++ {
		name := fmt.Sprintf("v%d", n)
		next := h.instance("roll-"+name, "roll", "default", name, fmt.Sprint(9000+n))
		h.end(old, []syscall.Signal{syscall.SIGTERM, syscall.SIGINT}[n%2])
		old = next
	}
	after := s.visit(t.Context(), "roll.test", "/", 4, 200)()
	got := stop()
	t.Logf("%d requests while rolling: %v", got.total, got.versions)
	if len(got.failures) > 0 {
		t.Errorf("%d of %d requests failed, such as: %s", len(got.failures), got.total, got.failures[0])
	}
	for _, v := range []string{"v1", "v2", "v3", "v4"} {
		if got.versions[v] == 0 {
			t.Errorf("no request reached %s", v)
		}
	}
	if after.versions["v4"] != 200 {
		t.Errorf("afterwards, answers come from %v, want v4 only", after.versions)
	}
	h.end(old, syscall.SIGTERM)
	h.must("kubectl", "delete", "virtualservice/roll")
	eventually(t, 10*time.Second, func() string {
		if left := h.must("kubectl", "get", "services,workloadentries,serviceaccounts", "-l", "app.kubernetes.io/managed-by=heddle-up", "-o", "name"); left != "" {
			return "objects are left: " + left
		}
		return ""
	})
}
