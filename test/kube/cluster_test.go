package kube

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	kubeconfig = flag.String("kubeconfig", "", "kubeconfig of the cluster; without it the tests are skipped")
	bin        = flag.String("bin", "", "folder of kubectl")
	heddle     = flag.String("heddle", "", "the heddle program")
)

// run runs a program, and gives its output whatever comes of it.
func run(input string, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+*kubeconfig)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func kubectl(args ...string) (string, error) { return run("", filepath.Join(*bin, "kubectl"), args...) }

// do is what must succeed.
func do(t *testing.T, what func() (string, error)) string {
	t.Helper()
	out, err := what()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return out
}

func k(t *testing.T, args ...string) string {
	t.Helper()
	return do(t, func() (string, error) { return kubectl(args...) })
}

func h(t *testing.T, args ...string) string {
	t.Helper()
	return do(t, func() (string, error) { return run("", *heddle, args...) })
}

func apply(t *testing.T, text string) {
	t.Helper()
	do(t, func() (string, error) { return run(text, filepath.Join(*bin, "kubectl"), "apply", "-f", "-") })
}

// app calls the application's program inside a pod.
func app(namespace, pod string, args ...string) (string, error) {
	return kubectl(append([]string{"-n", namespace, "exec", pod, "-c", "app", "--", "/usr/local/bin/app"}, args...)...)
}

// eventually waits for something to come true.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	err := errors.New("not tried")
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("in vain: %s: %v", what, err)
}

// answers asks from a pod until every one of the answers has a text.
func answers(t *testing.T, namespace, pod, url, want string) {
	t.Helper()
	eventually(t, pod+" in "+namespace+" asks "+url, func() error {
		out, err := app(namespace, pod, "get", url, "5")
		if n := strings.Count(out, want); err != nil || n != 5 {
			return errors.Join(fmt.Errorf("%d of 5 answers have %q: %s", n, want, out), err)
		}
		return nil
	})
}

// rollout waits until Deployments run.
func rollout(t *testing.T, namespace string, names ...string) {
	t.Helper()
	for _, name := range names {
		k(t, "-n", namespace, "rollout", "status", "deployment/"+name, "--timeout=240s")
	}
}

// inventory lists every object of the cluster that could be left over; events and leases of nodes come and go.
func inventory(t *testing.T) []string {
	t.Helper()
	kinds := strings.Fields(k(t, "api-resources", "--verbs=list", "-o", "name"))
	var out bytes.Buffer
	for _, kind := range kinds {
		if strings.HasPrefix(kind, "events") {
			continue
		}
		list, err := kubectl("get", kind, "-A", "--ignore-not-found", "-o", `jsonpath={range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name}{"\n"}{end}`)
		if err != nil {
			t.Fatalf("list %s: %v: %s", kind, err, list)
		}
		out.WriteString(list + "\n")
	}
	// A node makes its lease when it is up.
	return slices.DeleteFunc(strings.Fields(out.String()), func(o string) bool { return strings.HasPrefix(o, "Lease/kube-node-lease/") })
}

// left waits until the cluster has no object more than before.
func left(t *testing.T, before []string) {
	t.Helper()
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

// collect shows what is needed to find out why a test failed.
func collect(t *testing.T) {
	if !t.Failed() {
		return
	}
	for _, args := range [][]string{{"get", "pods", "-A", "-o", "wide"}, {"get", "events", "-A"}, {"-n", "istio-system", "logs", "deployment/heddled", "--tail=100"},
		{"-n", "istio-system", "logs", "deployment/heddle-ingressgateway", "--tail=50"},
		{"-n", "istio-system", "logs", "daemonset/heddle-node", "--tail=50"}} {
		out, err := kubectl(args...)
		t.Logf("kubectl %s (%v)\n%s", strings.Join(args, " "), err, out)
	}
}
