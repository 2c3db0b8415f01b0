package kube

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"testing"
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
		{"certificates of a gateway", certificates},
		{"gateway of the Gateway API", deployed},
		{"egress gateway", egress},
		{"job", job},
		{"StatefulSet", stateful},
		{"twenty pods", twenty},
		{"update under load", update},
		{"control plane killed", killed},
		{"two replicas", replicas},
		{"control plane away", away},
		{"fail-open", failOpen},
		{"right missing", rightMissing},
		{"namespace that does not end", terminating},
		{"pod deleted during its start", deletedEarly},
		{"API server away", apiAway},
		{"role made anew", role},
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
	left(t, before)
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

// stateful asks each pod of a StatefulSet by its own name, through its headless Service, with mutual TLS.
func stateful(t *testing.T) {
	apply(t, `apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, selector: {app: db}, ports: [{name: http, port: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: app, image: "lab.local/app:1", args: [serve], env: [{name: VERSION, value: db}], ports: [{containerPort: 8080}], readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}}
`)
	k(t, "-n", "shop", "rollout", "status", "statefulset/db", "--timeout=120s")
	for _, name := range []string{"db-0", "db-1"} {
		answers(t, "shop", "client", "http://"+name+".db:8080/", "200 db "+name)
		answers(t, "shop", "client", "http://"+name+".db:8080/", "URI=spiffe://cluster.local/ns/shop/sa/client")
	}
	answers(t, "outside", "client", "http://db-0.db.shop:8080/", "0 Get")
	k(t, "-n", "shop", "delete", "statefulset/db", "service/db")
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
			return errors.Join(fmt.Errorf("%d of 20 pods answer", len(seen)), err)
		}
		return nil
	})
	k(t, "-n", "shop", "scale", "deployment/web-v2", "--replicas=3")
	rollout(t, "shop", "web-v2")
}

// loaded asks a service all the time while something is done; every answer must be a good one.
func loaded(t *testing.T, rate, length string, what func()) {
	t.Helper()
	loadedAt(t, "shop", "http://web/", rate, length, what)
}

// loadedAt is loaded for any URL, asked by the client of a namespace.
func loadedAt(t *testing.T, namespace, url, rate, length string, what func()) {
	t.Helper()
	type outcome struct {
		text string
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		text, err := app(namespace, "client", "load", url, rate, length)
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

// replicas upgrades to two replicas; one of them, whichever leads, is killed, and objects are answered all the same.
func replicas(t *testing.T) {
	h(t, "install", "--profile", "demo", "--set", "controlPlane.replicas=2")
	if got := k(t, "-n", "istio-system", "get", "poddisruptionbudget", "heddled", "-o", "jsonpath={.spec.minAvailable}"); got != "1" {
		t.Errorf("minAvailable is %s", got)
	}
	holder := k(t, "-n", "istio-system", "get", "lease", "heddled-leader", "-o", "jsonpath={.spec.holderIdentity}")
	pod := ""
	for _, name := range strings.Fields(k(t, "-n", "istio-system", "get", "pods", "-l", "app=heddled", "-o", "jsonpath={.items[*].metadata.name}")) {
		if strings.HasPrefix(holder, name) {
			pod = name
		}
	}
	if pod == "" {
		t.Fatalf("nobody leads: %q", holder)
	}
	loaded(t, "100", "10s", func() { k(t, "-n", "istio-system", "delete", "pod", pod, "--force", "--grace-period=0") })
	k(t, "-n", "shop", "patch", "virtualservice", "web", "--type=merge", "-p", `{"metadata":{"labels":{"touched":"yes"}},"spec":{"http":[{"timeout":"9s","route":[{"destination":{"host":"web","subset":"v2"}}]}]}}`)
	eventually(t, "the other replica answers", func() error {
		got := k(t, "-n", "shop", "get", "virtualservice", "web", "-o", `jsonpath={.metadata.generation} {.status.observedGeneration} {.status.conditions[?(@.type=="Enforced")].status}`)
		if f := strings.Fields(got); len(f) != 3 || f[0] != f[1] || f[2] != "True" {
			return fmt.Errorf("generation, observed generation, Enforced: %s", got)
		}
		return nil
	})
	apply(t, rules)
	k(t, "-n", "shop", "patch", "virtualservice", "web", "--type=json", "-p",
		`[{"op":"replace","path":"/spec/http/0/route/0/weight","value":0},{"op":"replace","path":"/spec/http/0/route/1/weight","value":100}]`)
	h(t, "install", "--profile", "demo")
}

// away takes the control plane away: pods do not start without a proxy, heddle check says so, and traffic goes on.
func away(t *testing.T) {
	scale(t, 0)
	if out, err := kubectl("-n", "shop", "run", "late", "--image=lab.local/app:1", "--", "serve"); err == nil || !strings.Contains(out, "failed calling webhook") {
		t.Errorf("a pod starts without a proxy: %s", out)
	}
	out, err := run("", *heddle, "check", "-o", "short")
	if err == nil || !strings.Contains(out, "× a pod would be injected") || !strings.Contains(out, "hint:") {
		t.Errorf("%v: %s", err, out)
	}
	answers(t, "shop", "client", "http://web/", "200")
	scale(t, 1)
	h(t, "check")
}

// role removes what owns the control plane's objects: after another installation all is as it was, and trust is the same.
func role(t *testing.T) {
	const roots = "jsonpath={.data.root-cert\\.pem}"
	before := k(t, "-n", "shop", "get", "configmap", "istio-ca-root-cert", "-o", roots)
	k(t, "delete", "clusterrole", "heddled-istio-system")
	h(t, "install", "--profile", "demo")
	uid := k(t, "get", "clusterrole", "heddled-istio-system", "-o", "jsonpath={.metadata.uid}")
	eventually(t, "the roots belong to the new role", func() error {
		got, err := kubectl("-n", "shop", "get", "configmap", "istio-ca-root-cert", "-o", "jsonpath={.metadata.ownerReferences[*].uid}")
		if err != nil || got != uid {
			return errors.Join(fmt.Errorf("they belong to %q, want %q", got, uid), err)
		}
		return nil
	})
	if after := k(t, "-n", "shop", "get", "configmap", "istio-ca-root-cert", "-o", roots); after != before || before == "" {
		t.Error("there is another authority")
	}
	eventually(t, "all is well", func() error {
		out, err := run("", *heddle, "check", "-o", "short")
		if err != nil {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	answers(t, "shop", "client", "http://web/", "200")
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

// revision moves a namespace to a second control plane by its name, by a tag that is given from one to the other, and back.
func revision(t *testing.T) {
	second := []string{"install", "--profile", "demo", "--revision", "canary", "--set", "gateway.enabled=false"}
	h(t, append(second, "--set", "tags={prod}")...)
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
	move("istio.io/rev=prod", "canary")
	h(t, second...)
	h(t, "install", "--profile", "demo", "--set", "tags={prod}")
	move("istio.io/rev=prod", "default")
	move("istio.io/rev- istio-injection=enabled", "default")
	h(t, "install", "--profile", "demo")
	t.Log(h(t, "uninstall", "--revision", "canary"))
	answers(t, "shop", "client", "http://web/", "200 v1")
}

func refuses(t *testing.T) {
	if out, err := run("", *heddle, "uninstall"); err == nil || !strings.Contains(out, "pods have proxies") {
		t.Errorf("%v: %s", err, out)
	}
}
