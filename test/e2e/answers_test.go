package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// answers: what users write is answered where they look for it: a Gateway's address, a warning at once, a condition afterwards, also of a Service.
func (h *home) answers(t *testing.T, s status) {
	h.apply(`apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec:
  gatewayClassName: heddle
  addresses: [{type: Hostname, value: istio-ingressgateway.istio-system.svc.cluster.local}]
  listeners: [{name: http, port: 80, protocol: HTTP, hostname: "*.gateway.test"}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: front, namespace: shop}
spec:
  parentRefs: [{name: front}]
  hostnames: [shop.gateway.test]
  rules: [{backendRefs: [{name: web, port: 8080}]}]`)
	eventually(t, 20*time.Second, func() string {
		if got := s.visit(t.Context(), "shop.gateway.test", "/", 1, 1)(); len(got.failures) > 0 {
			return "the route is not in effect: " + got.failures[0]
		}
		return ""
	})
	h.reads("gateways.gateway.networking.k8s.io/front", `{.status.addresses[0].value} {.status.conditions[?(@.type=="Programmed")].status}`, "127.0.0.1 True")

	const service = `apiVersion: v1
kind: Service
metadata: {name: sticky, namespace: shop%s}
spec: {sessionAffinity: %s, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: labelled, labels: {istio-injection: %q}}`
	file := filepath.Join(h.dir, "sticky.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, service, ", labels: {istio.io/use-waypoint: w}", "ClientIP", "enabled"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, warned, code := h.call("kubectl", "apply", "-f", file)
	for _, want := range []string{"Warning: spec.sessionAffinity: a proxy chooses an endpoint for each request", "istio.io/use-waypoint is not honoured on a Service", "istio-injection is not honoured on a Namespace"} {
		if code != 0 || !strings.Contains(warned, want) {
			t.Errorf("kubectl apply ends with %d and does not say %q: %s", code, want, warned)
		}
	}
	const enforced = `{.status.conditions[?(@.type=="heddle.dev/Enforced")].status}`
	h.reads("service/sticky", enforced, "False")
	h.reads("namespace/labelled", enforced, "False")
	h.apply(fmt.Sprintf(service, "", "None", "disabled"))
	h.reads("service/sticky", enforced, "True")
	h.reads("namespace/labelled", enforced, "True")
	h.must("kubectl", "delete", "service/sticky", "gateways.gateway.networking.k8s.io/front", "httproutes.gateway.networking.k8s.io/front", "-n", "shop")
	h.must("kubectl", "delete", "namespace/labelled")
}

// reads waits until a part of an object of the shop is as it should be.
func (h *home) reads(object, path, want string) {
	h.t.Helper()
	eventually(h.t, 20*time.Second, func() string {
		out, errs, _ := h.call("kubectl", "get", "-n", "shop", object, "-o", "jsonpath="+path)
		if strings.TrimSpace(out) == want {
			return ""
		}
		return fmt.Sprintf("%s of %s is %q, want %q; %s", path, object, out, want, errs)
	})
}
