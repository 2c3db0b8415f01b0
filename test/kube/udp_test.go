package kube

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// talk is a namespace with two pods that answer datagrams, a Service of each and of both, and two clients: the datagrams of one are captured.
const talk = `apiVersion: v1
kind: Namespace
metadata: {name: talk, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: both, namespace: talk}
spec: {selector: {app: answers}, ports: [{name: log, port: 514, targetPort: 8080, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: one, namespace: talk}
spec: {selector: {app: answers, version: v1}, ports: [{name: log, port: 514, targetPort: 8080, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: none, namespace: talk}
spec: {selector: {app: nobody}, ports: [{name: log, port: 514, targetPort: 8080, protocol: UDP}]}
` + answering + `---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: talk, labels: {app: client}, annotations: {heddle.dev/captureUDP: "true"}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: app, image: "lab.local/app:1", args: [serve]}]
---
apiVersion: v1
kind: Pod
metadata: {name: plain, namespace: talk, labels: {app: plain}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: app, image: "lab.local/app:1", args: [serve]}]
`

const answering = `---
apiVersion: v1
kind: Pod
metadata: {name: v1, namespace: talk, labels: {app: answers, version: v1}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: app, image: "lab.local/app:1", args: [serve], env: [{name: VERSION, value: v1}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: v2, namespace: talk, labels: {app: answers, version: v2}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: app, image: "lab.local/app:1", args: [serve], env: [{name: VERSION, value: v2}]}]
`

const leadAside = `apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {name: none, namespace: talk}
spec: {parentRefs: [{group: "", kind: Service, name: none, port: 514}], rules: [{backendRefs: [{name: one, port: 514}]}]}
`

// TestDatagrams: what a pod sends to Services in datagrams goes through its proxy, if it asks for that.
func TestDatagrams(t *testing.T) {
	if *kubeconfig == "" {
		t.Skip("needs a cluster: make e2e-kube-more")
	}
	objects := inventory(t)
	defer collect(t)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"install", func(t *testing.T) { t.Log(h(t, "install", "--profile", "demo", "--set", "gateway.enabled=false")) }},
		{"captured", func(t *testing.T) {
			apply(t, talk)
			for _, pod := range []string{"v1", "v2", "client", "plain"} {
				k(t, "-n", "talk", "wait", "--for=condition=Ready", "pod/"+pod, "--timeout=180s")
			}
			asked(t, "client", map[string]string{"one:514": "v1 v1", "both:514": "v"}, "one:514", "both:514", "one:514")
			asked(t, "client", map[string]string{"none:514": "nobody"}, "none:514")
			counted(t, "client", "udp|514||one.talk.svc.cluster.local", true)
			counted(t, "client", "udp|514||both.talk.svc.cluster.local", true)
			counted(t, "client", "udp|53||kube-dns.kube-system.svc.cluster.local", true)
		}},
		{"not captured", func(t *testing.T) {
			asked(t, "plain", map[string]string{"one:514": "v1 v1"}, "one:514")
			counted(t, "plain", "udp|514||one.talk.svc.cluster.local", false)
		}},
		{"another Service takes its place", func(t *testing.T) {
			if _, err := kubectl("get", "crd", "udproutes.gateway.networking.k8s.io"); err != nil {
				t.Skip("this cluster has no UDPRoute: the experimental channel of the Gateway API is not installed")
			}
			apply(t, leadAside)
			asked(t, "client", map[string]string{"none:514": "v1 v1"}, "none:514")
		}},
		{"a pod goes", func(t *testing.T) {
			k(t, "-n", "talk", "delete", "pod", "v2")
			asked(t, "client", map[string]string{"both:514": "v1 v1"}, "both:514", "both:514", "both:514", "both:514")
		}},
		{"uninstall", func(t *testing.T) {
			k(t, "delete", "namespace", "talk")
			t.Log(h(t, "uninstall"))
		}},
	} {
		if !t.Run(step.name, step.run) {
			return
		}
	}
	left(t, objects)
}

// asked lets a pod ask addresses from one socket until each answer begins as it must.
func asked(t *testing.T, pod string, want map[string]string, addresses ...string) {
	t.Helper()
	eventually(t, pod+" asks "+strings.Join(addresses, " "), func() error {
		out, err := app("talk", pod, append([]string{"ask"}, addresses...)...)
		lines := strings.Split(out, "\n")
		if err != nil || len(lines) != len(addresses) {
			return errors.Join(fmt.Errorf("%s", out), err)
		}
		for i, at := range addresses {
			if !strings.HasPrefix(lines[i], at+" "+want[at]) {
				return fmt.Errorf("%s", out)
			}
		}
		return nil
	})
}

// counted says whether a pod's proxy has had sessions for a cluster.
func counted(t *testing.T, pod, cluster string, want bool) {
	t.Helper()
	eventually(t, fmt.Sprintf("the proxy of %s has had sessions for %s: %t", pod, cluster, want), func() error {
		out, err := app("talk", pod, "get", "http://127.0.0.1:15090/stats/prometheus", "1")
		has := false
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, "envoy_udp_downstream_sess_total") && strings.Contains(line, cluster) && !strings.HasSuffix(strings.TrimSpace(line), " 0") {
				has = true
			}
		}
		if err != nil || has != want {
			return errors.Join(errors.New("it has not, or has"), err)
		}
		return nil
	})
}
