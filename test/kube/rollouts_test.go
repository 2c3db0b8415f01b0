package kube

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var rollouts = flag.String("rollouts", "", "folder of the module of Argo Rollouts, whose image is in the cluster; without it the test is skipped")

// TestRollouts has the controller of Argo Rollouts, as it is, drive canaries through a VirtualService: one to its end, and one that is given up. Every answer is a good one.
func TestRollouts(t *testing.T) {
	if *kubeconfig == "" || *rollouts == "" {
		t.Skip("needs a cluster and Argo Rollouts: make e2e-kube")
	}
	defer collect(t)
	manifest, err := os.ReadFile(filepath.Join(*rollouts, "manifests/install.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// The image is the program of the module, under a name of its own, and there is no registry.
	text := strings.Replace(string(manifest), "quay.io/argoproj/argo-rollouts:latest", "lab.local/argo-rollouts:1", 1)
	text = strings.Replace(text, "imagePullPolicy: Always", "imagePullPolicy: Never", 1)
	h(t, "install", "--profile", "demo", "--set", "gateway.enabled=false")
	k(t, "create", "namespace", "argo-rollouts")
	do(t, func() (string, error) {
		return run(text, filepath.Join(*bin, "kubectl"), "apply", "--server-side", "-n", "argo-rollouts", "-f", "-")
	})
	rollout(t, "argo-rollouts", "argo-rollouts")
	apply(t, canaries)
	k(t, "-n", "canary", "wait", "--for=condition=Ready", "pod/client", "--timeout=120s")
	phase(t, "Healthy")
	answers(t, "canary", "client", "http://web/", "200 v1")

	loadedAt(t, "canary", "http://web/", "100", "50s", func() {
		version(t, "v2")
		weights(t, "80 20")
		share(t, 20)
		weights(t, "50 50")
		phase(t, "Healthy")
		weights(t, "100 0")
		answers(t, "canary", "client", "http://web/", "200 v2")
	})
	loadedAt(t, "canary", "http://web/", "100", "40s", func() {
		version(t, "v3")
		weights(t, "80 20")
		k(t, "-n", "canary", "patch", "rollout", "web", "--subresource=status", "--type=merge", "-p", `{"status":{"abort":true}}`)
		weights(t, "100 0")
		answers(t, "canary", "client", "http://web/", "200 v2")
	})
	if got := k(t, "-n", "canary", "get", "virtualservice", "web", "-o", `jsonpath={.status.conditions[?(@.type=="Enforced")].status}`); got != "True" {
		t.Errorf("Enforced of the VirtualService is %q", got)
	}
	k(t, "delete", "namespace", "canary")
	do(t, func() (string, error) {
		return run(text, filepath.Join(*bin, "kubectl"), "delete", "-n", "argo-rollouts", "-f", "-")
	})
	k(t, "delete", "namespace", "argo-rollouts")
	t.Log(h(t, "uninstall"))
}

// version gives the Rollout another one.
func version(t *testing.T, v string) {
	t.Helper()
	k(t, "-n", "canary", "patch", "rollout", "web", "--type=json", "-p", fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/0/env/0/value","value":%q}]`, v))
}

// phase waits for the Rollout's.
func phase(t *testing.T, want string) {
	t.Helper()
	eventually(t, "the Rollout is "+want, func() error {
		got := k(t, "-n", "canary", "get", "rollout", "web", "-o", "jsonpath={.status.phase} {.metadata.generation} {.status.observedGeneration} {.status.message}")
		if f := strings.Fields(got); len(f) < 3 || f[0] != want || f[1] != f[2] {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
}

// weights waits until the controller has written them: of the stable pods and of the canary.
func weights(t *testing.T, want string) {
	t.Helper()
	eventually(t, "weights "+want, func() error {
		if got := k(t, "-n", "canary", "get", "virtualservice", "web", "-o", "jsonpath={.spec.http[0].route[*].weight}"); got != want {
			return fmt.Errorf("they are %s", got)
		}
		return nil
	})
}

// share waits until the canary gets about as much as its weight says, in percent.
func share(t *testing.T, percent int) {
	t.Helper()
	eventually(t, strconv.Itoa(percent)+" % of the answers are the canary's", func() error {
		out, err := app("canary", "client", "get", "http://web/", "200")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if n := strings.Count(out, "200 v2"); n < percent || n > 3*percent { // 200 answers: twice as many are to be expected
			return fmt.Errorf("%d of 200", n)
		}
		return nil
	})
}

const canaries = `apiVersion: v1
kind: Namespace
metadata: {name: canary, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: canary}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: web-canary, namespace: canary}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: canary}
spec:
  hosts: [web]
  http:
  - name: primary
    route:
    - {destination: {host: web}, weight: 100}
    - {destination: {host: web-canary}, weight: 0}
---
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web, namespace: canary}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  strategy:
    canary:
      stableService: web
      canaryService: web-canary
      trafficRouting: {istio: {virtualService: {name: web, routes: [primary]}}}
      steps:
      - setWeight: 20
      - pause: {duration: 12s}
      - setWeight: 50
      - pause: {duration: 4s}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: app
        image: lab.local/app:1
        args: [serve]
        env: [{name: VERSION, value: v1}]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: canary}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: app, image: "lab.local/app:1", args: [serve]}]
`
