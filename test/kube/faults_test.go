package kube

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	lab     = flag.String("lab", "", "folder of the scripts of the cluster; without it its API server is not taken away")
	apiGone = flag.Duration("api-gone", 30*time.Second, "how long the API server is taken away")
)

// failOpen takes the control plane away where pods may start without a proxy: one does, and heddle check tells of both.
func failOpen(t *testing.T) {
	h(t, "install", "--profile", "demo", "--set", "injection.failurePolicy=Ignore")
	if out := h(t, "check", "-o", "short"); !strings.Contains(out, "they start without a proxy (failurePolicy: Ignore)") {
		t.Errorf("heddle check does not tell that pods may start without a proxy: %s", out)
	}
	scale(t, 0)
	k(t, "-n", "shop", "run", "late", "--image=lab.local/app:1", "--", "serve")
	if got := k(t, "-n", "shop", "get", "pod", "late", "-o", "jsonpath={.spec.initContainers}"); got != "" {
		t.Errorf("injected by nobody: %s", got)
	}
	scale(t, 1)
	eventually(t, "heddle check names the pod", func() error {
		out, _ := run("", *heddle, "check", "-o", "short")
		if !strings.Contains(out, "shop/late") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	k(t, "-n", "shop", "delete", "pod", "late", "--now")
	h(t, "install", "--profile", "demo")
}

// scale sets the number of the control plane's pods, and waits until it is so.
func scale(t *testing.T, n int) {
	t.Helper()
	k(t, "-n", "istio-system", "scale", "deployment/heddled", fmt.Sprintf("--replicas=%d", n))
	if n > 0 {
		rollout(t, "istio-system", "heddled")
		return
	}
	eventually(t, "the control plane is gone", func() error {
		if out := k(t, "-n", "istio-system", "get", "endpointslices", "-l", "kubernetes.io/service-name=heddled", "-o", "jsonpath={.items[*].endpoints[*].addresses[*]}"); out != "" {
			return fmt.Errorf("it is at %s", out)
		}
		return nil
	})
}

// rightMissing takes a right away from the control plane: heddle check and the log name the verb and the kind, what was in force stays, and the next installation mends it.
func rightMissing(t *testing.T) {
	const role = "heddled-istio-system"
	before := k(t, "get", "clusterrole", role, "-o", "json")
	cut := strings.ReplaceAll(before, `"networking.istio.io",`, "")
	if cut == before {
		t.Fatalf("the role does not name the API group: %s", before)
	}
	do(t, func() (string, error) { return run(cut, filepath.Join(*bin, "kubectl"), "replace", "-f", "-") })
	out, err := run("", *heddle, "check", "-o", "short")
	if err == nil || !strings.Contains(out, "list virtualservices.networking.istio.io") {
		t.Errorf("heddle check (%v) does not name what is missing: %s", err, out)
	}
	answers(t, "shop", "client", "http://web/", "200")
	h(t, "install", "--profile", "demo")
	eventually(t, "the right is back", func() error {
		out, err := run("", *heddle, "check", "-o", "short")
		if err != nil {
			return errors.New(out)
		}
		return nil
	})
}

// terminating keeps a namespace of the mesh from ending: it is left alone, and all others are served as before.
func terminating(t *testing.T) {
	apply(t, `apiVersion: v1
kind: Namespace
metadata: {name: stuck, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: holds, namespace: stuck, finalizers: [example.com/never]}
`)
	eventually(t, "the namespace has the roots", func() error {
		_, err := kubectl("-n", "stuck", "get", "configmap", "istio-ca-root-cert")
		return err
	})
	k(t, "delete", "namespace", "stuck", "--wait=false")
	eventually(t, "it is on its way", func() error {
		if got := k(t, "get", "namespace", "stuck", "-o", "jsonpath={.status.phase}"); got != "Terminating" {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
	begun := time.Now()
	k(t, "create", "namespace", "fresh")
	eventually(t, "another namespace has the roots", func() error {
		_, err := kubectl("-n", "fresh", "get", "configmap", "istio-ca-root-cert")
		return err
	})
	h(t, "check")
	if log := k(t, "-n", "istio-system", "logs", "deployment/heddled", fmt.Sprintf("--since=%ds", int(time.Since(begun).Seconds())+1)); strings.Count(log, "stuck") > 3 {
		t.Errorf("the log speaks of it again and again:\n%s", log)
	}
	k(t, "-n", "stuck", "patch", "configmap", "holds", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	k(t, "delete", "namespace", "fresh", "stuck", "--ignore-not-found")
}

// deletedEarly deletes pods while they start, at many points of it: each is gone soon, and those that follow start.
func deletedEarly(t *testing.T) {
	for i := range 10 {
		name := fmt.Sprintf("early-%d", i)
		k(t, "-n", "shop", "run", name, "--image=lab.local/app:1", "--", "serve")
		time.Sleep(time.Duration(i) * 150 * time.Millisecond)
		k(t, "-n", "shop", "delete", "pod", name, "--wait=false", "--grace-period=2")
	}
	eventually(t, "all of them are gone", func() error {
		if out := k(t, "-n", "shop", "get", "pods", "-l", "run", "-o", "name"); out != "" {
			return fmt.Errorf("left: %s", out)
		}
		return nil
	})
	k(t, "-n", "shop", "run", "after", "--image=lab.local/app:1", "--", "serve")
	k(t, "-n", "shop", "wait", "--for=condition=Ready", "pod/after", "--timeout=60s")
	eventually(t, "it is in the mesh", func() error {
		out, err := kubectl("-n", "shop", "exec", "after", "-c", "after", "--", "/usr/local/bin/app", "get", "http://web/", "5")
		if err != nil || strings.Count(out, "200") < 5 {
			return errors.Join(errors.New(out), err)
		}
		return nil
	})
	k(t, "-n", "shop", "delete", "pod", "after", "--now")
}

// apiAway kills the cluster's API server, and heddled as well while it is away: traffic goes on, and afterwards changes are obeyed again.
func apiAway(t *testing.T) {
	if *lab == "" {
		t.Skip("without -lab: nothing of the cluster's own is stopped")
	}
	address := k(t, "-n", "istio-system", "get", "service", "heddle-ingressgateway", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
	node := func(script string) string {
		return do(t, func() (string, error) { return run("", "bash", "-c", ". "+filepath.Join(*lab, "lib.sh")+"; "+script) })
	}
	visit := visitor(address, "shop.example", 50)
	node("stop kube-apiserver")
	time.Sleep(*apiGone / 2)
	// The kubelet starts it again without the API.
	node("in_node 1 pkill -9 -x heddled")
	time.Sleep(*apiGone / 2)
	do(t, func() (string, error) { return run("", filepath.Join(*lab, "up.sh")) })
	eventually(t, "the control plane is back", func() error {
		out, err := run("", *heddle, "check", "-o", "short")
		if err != nil {
			return errors.New(out)
		}
		return nil
	})
	k(t, "-n", "shop", "patch", "virtualservice", "web", "--type=json", "-p", `[{"op":"add","path":"/spec/http/0/headers","value":{"response":{"set":{"x-after":"yes"}}}}]`)
	eventually(t, "the change is obeyed", func() error {
		answer, err := ask(address, "shop.example")
		if err != nil || answer.Header.Get("x-after") != "yes" {
			return errors.Join(fmt.Errorf("not yet"), err)
		}
		return nil
	})
	k(t, "-n", "shop", "patch", "virtualservice", "web", "--type=json", "-p", `[{"op":"remove","path":"/spec/http/0/headers"}]`)
	asked, failures := visit()
	if t.Logf("%d requests while the API server was away for %s", asked, *apiGone); len(failures) > 0 || asked == 0 {
		t.Errorf("requests failed:\n%s", strings.Join(failures, "\n"))
	}
}

// visitor asks a gateway RATE times a second from outside of the cluster until its answer is called, which tells what came of it, and when.
func visitor(address, host string, rate int) func() (asked int, failures []string) {
	var mu sync.Mutex
	asked := 0
	bad := map[int]int{} // by the second
	text := map[int]string{}
	begun, end := time.Now(), make(chan struct{})
	var clients sync.WaitGroup
	clients.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
			}
			second := int(time.Since(begun).Seconds())
			clients.Go(func() {
				err := call(address, host)
				mu.Lock()
				defer mu.Unlock()
				if asked++; err != nil {
					bad[second]++
					text[second] = err.Error()
				}
			})
		}
	})
	return func() (int, []string) {
		close(end)
		clients.Wait()
		var failures []string
		for _, second := range slices.Sorted(maps.Keys(bad)) {
			failures = append(failures, fmt.Sprintf("second %d: %d, such as %s", second, bad[second], text[second]))
		}
		return asked, failures
	}
}

// TestMistakes is what heddle says to who gives it a cluster that is none.
func TestMistakes(t *testing.T) {
	if *kubeconfig == "" {
		t.Skip("needs a cluster: make e2e-kube")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	_ = l.Close()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"check", "--kubeconfig", "/does/not/exist"}, "/does/not/exist"},
		{[]string{"check", "--context", "elsewhere"}, `context "elsewhere" does not exist`},
		{[]string{"install", "--kubeconfig", kubeconfigFor(t, "https://"+nobody)}, nobody},
	} {
		out, err := run("", *heddle, c.args...)
		if err == nil || !strings.Contains(out, c.want) || strings.Contains(out, "goroutine") {
			t.Errorf("heddle %s: %v: %s", strings.Join(c.args, " "), err, out)
		}
	}
}

// kubeconfigFor writes one for a server.
func kubeconfigFor(t *testing.T, server string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	k(t, "config", "set-cluster", "nobody", "--server", server, "--kubeconfig", file)
	k(t, "config", "set-context", "nobody", "--cluster", "nobody", "--kubeconfig", file)
	k(t, "config", "use-context", "nobody", "--kubeconfig", file)
	return file
}
