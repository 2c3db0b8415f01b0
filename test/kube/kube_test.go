package kube

import (
	_ "embed"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

//go:embed shop.yaml
var shop string

//go:embed rules.yaml
var rules string

// TestCluster is the life of a mesh in a cluster, from nothing to nothing. Each step needs the ones before it.
func TestCluster(t *testing.T) {
	if *kubeconfig == "" {
		t.Skip("needs a cluster: make e2e-kube")
	}
	before := inventory(t)
	defer collect(t)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"check before", func(t *testing.T) { h(t, "check", "--pre") }},
		{"install", func(t *testing.T) { t.Log(h(t, "install", "--profile", "demo")) }},
		{"check after", func(t *testing.T) { t.Log(h(t, "check")) }},
		{"inject", injected},
		{"identity", func(t *testing.T) {
			answers(t, "shop", "client", "http://web/", "URI=spiffe://cluster.local/ns/shop/sa/client")
		}},
		{"strict", strict},
		{"canary", canary},
		{"gateway", gateway},
		{"gateway of the Gateway API", deployed},
		{"job", job},
		{"twenty pods", twenty},
		{"update under load", update},
		{"control plane killed", killed},
		{"Envoy", envoy},
		{"revision", revision},
		{"uninstall refuses", refuses},
		{"uninstall", func(t *testing.T) {
			k(t, "delete", "namespace", "shop", "outside")
			t.Log(h(t, "uninstall"))
		}},
	} {
		if !t.Run(step.name, step.run) {
			return
		}
	}
	eventually(t, "nothing is left", func() error {
		var left []string
		for _, o := range inventory(t) {
			if !slices.Contains(before, o) {
				left = append(left, o)
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("left: %s", strings.Join(left, ", "))
		}
		return nil
	})
}

func injected(t *testing.T) {
	apply(t, shop)
	rollout(t, "shop", "web-v1", "web-v2")
	for _, ns := range []string{"shop", "outside"} {
		k(t, "-n", ns, "wait", "--for=condition=Ready", "pod/client", "--timeout=120s")
	}
	// A native sidecar is an init container that goes on.
	if got := k(t, "-n", "shop", "get", "pods", "-o", `jsonpath={range .items[*]}{.spec.initContainers[*].name}{"\n"}{end}`); strings.Count(got, "istio-init istio-proxy") != 4 {
		t.Errorf("injected: %s", got)
	}
	if got := k(t, "-n", "outside", "get", "pod", "client", "-o", "jsonpath={.spec.initContainers}"); got != "" {
		t.Errorf("a pod outside of the mesh is injected: %s", got)
	}
	answers(t, "outside", "client", "http://web.shop/", "200")
}

func strict(t *testing.T) {
	apply(t, rules)
	answers(t, "outside", "client", "http://web.shop/", "0 Get")
	answers(t, "shop", "client", "http://web/", "200")
}

func canary(t *testing.T) {
	answers(t, "shop", "client", "http://web/", "200 v1")
	k(t, "-n", "shop", "patch", "virtualservice", "web", "--type=json", "-p",
		`[{"op":"replace","path":"/spec/http/0/route/0/weight","value":0},{"op":"replace","path":"/spec/http/0/route/1/weight","value":100}]`)
	answers(t, "shop", "client", "http://web/", "200 v2")
}

func gateway(t *testing.T) {
	address := k(t, "-n", "istio-system", "get", "service", "heddle-ingressgateway", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
	eventually(t, "a call through the gateway", func() error { return call(address, "shop.example") })
}

// call asks a gateway from outside of the cluster.
func call(address, host string) error {
	r, err := http.NewRequest(http.MethodGet, "http://"+net.JoinHostPort(address, "80")+"/", nil)
	if err != nil {
		return err
	}
	r.Host = host
	answer, err := (&http.Client{Timeout: 3 * time.Second}).Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", answer.StatusCode)
	}
	return nil
}

// deployed is a Gateway that names no workloads: they are made for it, and go with it.
func deployed(t *testing.T) {
	apply(t, `apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: heddle}
spec: {controllerName: heddle.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec:
  gatewayClassName: heddle
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{name: front}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
`)
	k(t, "-n", "shop", "wait", "--for=condition=Programmed", "gateway/front", "--timeout=120s")
	address := k(t, "-n", "shop", "get", "gateway", "front", "-o", "jsonpath={.status.addresses[0].value}")
	eventually(t, "a call through the deployed gateway", func() error { return call(address, "any.example") })
	k(t, "-n", "shop", "delete", "gateway/front", "httproute/web")
	k(t, "delete", "gatewayclass/heddle")
	eventually(t, "its workloads go", func() error {
		if out := k(t, "-n", "shop", "get", "deployments,services,serviceaccounts", "-l", "gateway.networking.k8s.io/gateway-name=front", "-o", "name"); out != "" {
			return fmt.Errorf("left: %s", out)
		}
		return nil
	})
}

// job ends although it has a proxy.
func job(t *testing.T) {
	apply(t, `apiVersion: batch/v1
kind: Job
metadata: {name: once, namespace: shop}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: app, image: "lab.local/app:1", args: [get, "http://web/"]}]}}}
`)
	k(t, "-n", "shop", "wait", "--for=condition=Complete", "job/once", "--timeout=60s")
	if got := k(t, "-n", "shop", "logs", "job/once", "-c", "app"); !strings.HasPrefix(got, "200 v2") {
		t.Error(got)
	}
}

func twenty(t *testing.T) {
	k(t, "-n", "shop", "scale", "deployment/web-v2", "--replicas=20")
	rollout(t, "shop", "web-v2")
	eventually(t, "every pod answers", func() error {
		out, err := app("shop", "client", "get", "http://web/", "200")
		seen := map[string]bool{}
		for line := range strings.Lines(out) {
			if fields := strings.Fields(line); len(fields) > 2 && fields[0] == "200" {
				seen[fields[2]] = true
			}
		}
		if len(seen) != 20 {
			return fmt.Errorf("%d of 20 pods answer (%v)", len(seen), err)
		}
		return nil
	})
	k(t, "-n", "shop", "scale", "deployment/web-v2", "--replicas=3")
	rollout(t, "shop", "web-v2")
}

// loaded asks all the time while something is done; every answer must be a good one.
func loaded(t *testing.T, rate, length string, what func()) {
	t.Helper()
	type outcome struct {
		text string
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		text, err := app("shop", "client", "load", "http://web/", rate, length)
		done <- outcome{text, err}
	}()
	what()
	o := <-done
	if t.Log(o.text); o.err != nil || !strings.HasPrefix(o.text, "200=") || len(strings.Fields(o.text)) != 1 {
		t.Errorf("%v: %s", o.err, o.text)
	}
}

func update(t *testing.T) {
	loaded(t, "500", "45s", func() {
		k(t, "-n", "shop", "rollout", "restart", "deployment/web-v2")
		rollout(t, "shop", "web-v2")
	})
}

func killed(t *testing.T) {
	loaded(t, "100", "20s", func() {
		k(t, "-n", "istio-system", "delete", "pod", "-l", "app=heddled", "--force", "--grace-period=0")
		rollout(t, "istio-system", "heddled")
	})
}

// envoy runs the same application behind Envoy.
func envoy(t *testing.T) {
	k(t, "-n", "shop", "patch", "deployment", "web-v1", "-p", `{"spec":{"template":{"metadata":{"annotations":{"heddle.dev/proxy":"envoy"}}}}}`)
	rollout(t, "shop", "web-v1")
	k(t, "-n", "shop", "patch", "virtualservice", "web", "--type=json", "-p",
		`[{"op":"replace","path":"/spec/http/0/route/0/weight","value":100},{"op":"replace","path":"/spec/http/0/route/1/weight","value":0}]`)
	answers(t, "shop", "client", "http://web/", "URI=spiffe://cluster.local/ns/shop/sa/client")
	answers(t, "outside", "client", "http://web.shop/", "0 Get")
}

// revision moves a namespace to a second control plane and back.
func revision(t *testing.T) {
	h(t, "install", "--profile", "demo", "--revision", "canary", "--set", "gateway.enabled=false")
	move := func(label, revision string) {
		k(t, append([]string{"label", "namespace", "shop", "--overwrite"}, strings.Fields(label)...)...)
		k(t, "-n", "shop", "rollout", "restart", "deployment/web-v1")
		rollout(t, "shop", "web-v1")
		eventually(t, "the old pods are gone", func() error {
			if got := k(t, "-n", "shop", "get", "pods", "-l", "version=v1", "-o", `jsonpath={.items[*].metadata.annotations.istio\.io/rev}`); got != revision+" "+revision {
				return fmt.Errorf("the two pods are injected by %q, want %q", got, revision)
			}
			return nil
		})
		answers(t, "shop", "client", "http://web/", "200 v1")
	}
	move("istio-injection- istio.io/rev=canary", "canary")
	move("istio.io/rev- istio-injection=enabled", "default")
	t.Log(h(t, "uninstall", "--revision", "canary"))
	answers(t, "shop", "client", "http://web/", "200 v1")
}

func refuses(t *testing.T) {
	if out, err := run("", *heddle, "uninstall"); err == nil || !strings.Contains(out, "pods have proxies") {
		t.Errorf("%v: %s", err, out)
	}
}
