package kube

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
)

var nodePid = flag.String("node-pid", "", "process in whose namespaces the cluster's first node is")

const conflist = "/etc/cni/net.d/10-lab.conflist"

// onNode runs a program on the node.
func onNode(input string, args ...string) (string, error) {
	return run(input, "nsenter", append([]string{"-t", *nodePid, "-m", "-n", "--"}, args...)...)
}

// TestNode is the life of the node agent, from nothing to nothing. Each step needs the ones before it.
func TestNode(t *testing.T) {
	if *kubeconfig == "" || *nodePid == "" {
		t.Skip("needs a cluster: make e2e-kube")
	}
	objects, files := inventory(t), nodeFiles(t)
	chain := do(t, func() (string, error) { return onNode("", "cat", conflist) })
	defer collect(t)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"install", func(t *testing.T) {
			t.Log(h(t, "install", "--profile", "demo", "--set", "node.enabled=true,gateway.enabled=false"))
			t.Log(h(t, "check"))
			chained(t, true)
		}},
		{"a node that lacks something", lacking},
		{"pods without privileges", unprivileged},
		{"the node's network", hostNetwork},
		{"agent killed under load", func(t *testing.T) {
			loaded(t, "100", "15s", func() {
				k(t, "-n", "istio-system", "delete", "pod", "-l", "app=heddle-node", "--force", "--grace-period=0")
				k(t, "-n", "istio-system", "rollout", "status", "daemonset/heddle-node", "--timeout=120s")
			})
		}},
		{"agent upgraded under load", func(t *testing.T) {
			loaded(t, "100", "15s", func() {
				k(t, "-n", "istio-system", "rollout", "restart", "daemonset/heddle-node")
				k(t, "-n", "istio-system", "rollout", "status", "daemonset/heddle-node", "--timeout=120s")
			})
			chained(t, true)
		}},
		{"somebody rewrites the network configuration", func(t *testing.T) {
			do(t, func() (string, error) { return onNode(chain+"\n", "tee", conflist) })
			chained(t, true)
		}},
		{"agent missing", func(t *testing.T) { missing(t, chain) }},
		{"uninstall", func(t *testing.T) {
			k(t, "delete", "namespace", "shop", "outside")
			t.Log(h(t, "uninstall"))
		}},
	} {
		if !t.Run(step.name, step.run) {
			return
		}
	}
	if after := do(t, func() (string, error) { return onNode("", "cat", conflist) }); after != chain {
		t.Errorf("the network configuration was\n%s\nand is\n%s", chain, after)
	}
	if after := nodeFiles(t); after != files {
		t.Errorf("files of the node were\n%s\nand are\n%s", files, after)
	}
	left(t, objects)
}

// nodeFiles lists what is in the folders that the agent writes to.
func nodeFiles(t *testing.T) string {
	t.Helper()
	return do(t, func() (string, error) {
		return onNode("", "find", "/opt/cni/bin", "/etc/cni/net.d", "/run/heddle-node", "/sys/fs/bpf", "-printf", "%p %m %s\n")
	})
}

// lacking takes from the node what capture by eBPF needs: the next way takes its place, and heddle check says so. Given back, it is used.
func lacking(t *testing.T) {
	do(t, func() (string, error) { return onNode("", "mount", "-t", "tmpfs", "tmpfs", "/sys/fs/bpf") })
	apply(t, `apiVersion: v1
kind: Namespace
metadata: {name: lacking, labels: {istio-injection: enabled}}
`)
	captured := func(pod, want string) {
		apply(t, `apiVersion: v1
kind: Pod
metadata: {name: `+pod+`, namespace: lacking}
spec: {terminationGracePeriodSeconds: 1, containers: [{name: app, image: "lab.local/app:1", args: [serve]}]}
`)
		k(t, "-n", "lacking", "wait", "--for=condition=Ready", "pod/"+pod, "--timeout=120s")
		if out := h(t, "check"); !strings.Contains(out, want) {
			t.Errorf("heddle check does not say %q:\n%s", want, out)
		}
	}
	captured("without", "node1 by nftables, because ebpf does not work: there is no BPF file system at /sys/fs/bpf")
	do(t, func() (string, error) { return onNode("", "umount", "/sys/fs/bpf") })
	captured("with", "(node1: ebpf)")
	k(t, "delete", "namespace", "lacking", "--wait=false")
}

func chained(t *testing.T, want bool) {
	t.Helper()
	eventually(t, fmt.Sprintf("the plug-in is chained: %t", want), func() error {
		text, err := onNode("", "cat", conflist)
		if is := strings.Contains(text, `"type":"heddle-cni"`); err != nil || is != want {
			return errors.Join(fmt.Errorf("%s", text), err)
		}
		return nil
	})
}

// unprivileged looks at pods whose traffic the node captures: they speak mutual TLS, and have no right for it.
func unprivileged(t *testing.T) {
	apply(t, shop)
	rollout(t, "shop", "web-v1", "web-v2")
	for _, ns := range []string{"shop", "outside"} {
		k(t, "-n", ns, "wait", "--for=condition=Ready", "pod/client", "--timeout=120s")
	}
	all := k(t, "-n", "shop", "get", "pods", "-o", "json")
	if strings.Contains(all, "NET_ADMIN") || strings.Contains(all, "istio-init") || !strings.Contains(all, "istio-validation") {
		t.Error("a pod has a privilege, or nobody looks whether it is captured")
	}
	answers(t, "shop", "client", "http://web/", "URI=spiffe://cluster.local/ns/shop/sa/client")
	apply(t, rules)
	answers(t, "outside", "client", "http://web.shop/", "0 Get")
	answers(t, "shop", "client", "http://web/", "200 v1")
}

// hostNetwork pods are not injected, and are told why.
func hostNetwork(t *testing.T) {
	apply(t, `apiVersion: v1
kind: Pod
metadata: {name: host, namespace: shop}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 1
  containers: [{name: app, image: "lab.local/app:1", args: [serve]}]
`)
	happens(t, "shop", "host", "NotInjected", "spec.hostNetwork")
	k(t, "-n", "shop", "delete", "pod", "host")
}

// happens waits for an event of a pod.
func happens(t *testing.T, namespace, pod, reason, text string) {
	t.Helper()
	eventually(t, reason+" of "+pod, func() error {
		got := k(t, "-n", namespace, "get", "events", "--field-selector", "involvedObject.name="+pod+",reason="+reason, "-o", "jsonpath={.items[*].message}")
		if !strings.Contains(got, text) {
			return fmt.Errorf("events: %q", got)
		}
		return nil
	})
}

// missing takes the agent from the node: pods with a proxy wait, others start, and traffic goes on. A pod that starts while nothing is chained gets no further, and is made
// anew when the agent is back.
func missing(t *testing.T, chain string) {
	away := func() {
		k(t, "-n", "istio-system", "patch", "daemonset", "heddle-node", "--type=merge", "-p", `{"spec":{"template":{"spec":{"nodeSelector":{"kubernetes.io/os":"none"}}}}}`)
		k(t, "-n", "istio-system", "wait", "--for=delete", "pod", "-l", "app=heddle-node", "--timeout=60s")
		chained(t, true)
	}
	back := func() { h(t, "install", "--profile", "demo", "--set", "node.enabled=true,gateway.enabled=false") }

	away()
	for _, ns := range []string{"shop", "outside"} {
		apply(t, `apiVersion: v1
kind: Pod
metadata: {name: late, namespace: `+ns+`}
spec: {terminationGracePeriodSeconds: 1, containers: [{name: app, image: "lab.local/app:1", args: [serve]}]}
`)
	}
	k(t, "-n", "outside", "wait", "--for=condition=Ready", "pod/late", "--timeout=60s")
	happens(t, "shop", "late", "FailedCreatePodSandBox", "pod shop/late waits for the Heddle node agent")
	answers(t, "shop", "client", "http://web/", "200")
	if out, err := run("", *heddle, "check", "-o", "short"); err == nil || !strings.Contains(out, "node-agent") && !strings.Contains(out, "is ready on every node") {
		t.Errorf("%v: %s", err, out)
	}
	back()
	k(t, "-n", "shop", "wait", "--for=condition=Ready", "pod/late", "--timeout=180s")
	answers(t, "shop", "late", "http://web/", "200")

	away()
	do(t, func() (string, error) { return onNode(chain+"\n", "tee", conflist) })
	k(t, "-n", "shop", "rollout", "restart", "deployment/web-v2")
	eventually(t, "a pod that nothing captures gets no further", func() error {
		got := k(t, "-n", "shop", "get", "pods", "-l", "version=v2", "-o", `jsonpath={.items[*].status.initContainerStatuses[?(@.name=="istio-validation")].lastState.terminated.exitCode}`)
		if !strings.Contains(got, "126") {
			return fmt.Errorf("exit codes: %q", got)
		}
		return nil
	})
	back()
	rollout(t, "shop", "web-v2")
	chained(t, true)
}
