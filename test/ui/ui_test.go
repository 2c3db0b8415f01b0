// Package ui tests the dashboard in a real browser: Chromium, driven by pages.mjs, on a heddled that knows the sample shop and on metrics of a shop in which one service fails.
package ui

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/control/server"
	"github.com/heddle-mesh/heddle/platform/shop"
	"github.com/heddle-mesh/heddle/platform/web"
	"github.com/heddle-mesh/heddle/test/metrics"
	"github.com/heddle-mesh/heddle/ui"
)

// missing skips a test that cannot run here; make ui-test, which has got everything, fails instead.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("HEDDLE_UI") != "" {
		t.Fatal(what)
	}
	t.Skip(what + "; make ui-test gets everything and runs this")
}

// chromium is the browser, once everything is there.
func chromium(t testing.TB) string {
	t.Helper()
	if ui.Page() == nil {
		missing(t, "the page is not built")
	}
	browser, err := exec.LookPath("chromium")
	if err != nil {
		missing(t, "there is no chromium")
	}
	if _, err := os.Stat("node_modules/playwright-core"); err != nil {
		missing(t, "playwright-core is not installed")
	}
	return browser
}

// BenchmarkLargeGraph prints what 1,000 nodes and 5,000 edges cost in a browser; the figures of docs/benchmarks.md come from it.
func BenchmarkLargeGraph(b *testing.B) {
	browser := chromium(b)
	url, token := start(b, metrics.Large())
	for b.Loop() {
		cmd := exec.CommandContext(b.Context(), "node", "bench.mjs")
		cmd.Env = append(os.Environ(), "DASHBOARD="+url, "TOKEN="+token, "BROWSER="+browser)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestPages(t *testing.T) {
	browser := chromium(t)
	url, token := start(t, metrics.Shop())
	shots := os.Getenv("HEDDLE_UI_SHOTS")
	if shots == "" {
		shots = t.TempDir()
	}
	if err := os.MkdirAll(shots, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "pages.mjs")
	cmd.Env = append(os.Environ(), "DASHBOARD="+url, "TOKEN="+token, "BROWSER="+browser, "SHOTS="+shots)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

// connected is a control plane to whom a proxy of each part of the shop is connected, but for one.
type connected struct{ *server.Server }

func (connected) Proxies() []string {
	names := []string{"ingress-v1.istio-system"}
	for _, p := range shop.Parts() {
		if p.Name != "ledger" {
			names = append(names, p.Name+"-"+p.Version+".shop")
		}
	}
	return names
}

// start gives a dashboard over a whole control plane.
func start(t testing.TB, calls []metrics.Call) (url, token string) {
	t.Helper()
	config := t.TempDir()
	if err := os.WriteFile(filepath.Join(config, "shop.yaml"), []byte(objects()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d, err := server.New(ctx, server.Options{ConfigDir: config, XDSAddress: "127.0.0.1:0", HTTPAddress: "127.0.0.1:0", StateDir: t.TempDir(), Quiet: 10 * time.Millisecond, Max: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, err := web.New(web.Options{Mesh: connected{d}, Metrics: metrics.New(t, calls), Page: ui.Page(), Token: d.Token(), Address: l.Addr().String(), Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{}, 2)
	go func() { _ = d.Run(ctx); done <- struct{}{} }()
	go func() { _ = web.Serve(ctx, l, h); done <- struct{}{} }()
	t.Cleanup(func() { cancel(); <-done; <-done })
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + d.HTTPAddress() + "/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return "http://" + l.Addr().String(), d.Token()
			}
		}
		if time.Now().After(end) {
			t.Fatal("heddled is not ready")
		}
	}
}

// objects are the shop's, and one VirtualService with a mistake.
func objects() string {
	var b strings.Builder
	seen := map[string]bool{}
	for i, p := range shop.Parts() {
		if !seen[p.Name] {
			fmt.Fprintf(&b, "apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: shop}\nspec: {selector: {app: %[1]s}, ports: [{name: http, port: %d}]}\n---\n", p.Name, p.Port)
		}
		seen[p.Name] = true
		fmt.Fprintf(&b, "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: %s-%s, namespace: shop}\nspec: {address: 10.0.0.%d, labels: {app: %[1]s, version: %[2]s}}\n---\n", p.Name, p.Version, i+1)
	}
	return b.String() + shop.Routes("shop/ingress") + `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: broken, namespace: shop}
spec: {hosts: [cart], http: [{route: [{destination: {host: nowhere}}], retries: {attempts: -1}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: slow, namespace: shop}
spec:
  hosts: [pricing]
  http:
  - timeout: 2s
    fault: {delay: {percentage: {value: 50}, fixedDelay: 0.2s}}
    mirror: {host: cart}
    route: [{destination: {host: pricing}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: checkout, namespace: shop}
spec: {host: checkout, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 5}}}
`
}
