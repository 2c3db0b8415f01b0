package kube

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// volume is a folder of the node that the API of the mesh's own keeps its objects in; the cluster has no storage class.
const volume = `apiVersion: v1
kind: PersistentVolume
metadata: {name: heddle-hosted}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: by-hand
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: /var/lib/heddle-hosted}
`

// own reaches the API of the mesh's own as the documentation says: a kubeconfig from a Secret, and a forwarded port.
type own struct{ kubeconfig, server string }

func (o *own) kubectl(input string, args ...string) (string, error) {
	return run(input, filepath.Join(*bin, "kubectl"), append([]string{"--kubeconfig", o.kubeconfig, "--server", o.server}, args...)...)
}

func (o *own) k(t *testing.T, args ...string) string {
	t.Helper()
	return do(t, func() (string, error) { return o.kubectl("", args...) })
}

func (o *own) apply(t *testing.T, text string) {
	t.Helper()
	do(t, func() (string, error) { return o.kubectl(text, "apply", "-f", "-") })
}

// reach forwards a port until the test ends.
func reach(t *testing.T) *own {
	t.Helper()
	text, err := base64.StdEncoding.DecodeString(k(t, "-n", "istio-system", "get", "secret", "heddle-config-api-admin", "-o", "jsonpath={.data.kubeconfig}"))
	if err != nil {
		t.Fatal(err)
	}
	o := &own{kubeconfig: filepath.Join(t.TempDir(), "mesh.kubeconfig")}
	if err := os.WriteFile(o.kubeconfig, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(*bin, "kubectl"), "--kubeconfig", *kubeconfig, "-n", "istio-system", "port-forward", "service/heddle-config-api", ":443")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "Forwarding from 127.0.0.1:"); ok {
			port, _, _ := strings.Cut(rest, " ")
			o.server = "https://127.0.0.1:" + port
			return o
		}
	}
	t.Fatal("no port is forwarded")
	return nil
}

// TestHosted is a mesh whose users write to an API of its own beside the cluster's, from nothing to nothing. Each step needs the ones before it.
func TestHosted(t *testing.T) {
	if *kubeconfig == "" || *nodePid == "" {
		t.Skip("needs a cluster: make e2e-kube-more")
	}
	if _, err := os.Stat("../../dist/heddle-apiserver.tar"); err != nil {
		t.Skip("needs the image of heddle-apiserver: make e2e-kube-more, which builds it")
	}
	before := inventory(t)
	defer collect(t)
	defer func() {
		if t.Failed() {
			for _, what := range [][]string{{"describe", "pod", "heddle-config-api-0"}, {"logs", "heddle-config-api-0"}, {"logs", "deployment/heddled", "--previous", "--tail=200"}} {
				out, err := kubectl(append([]string{"-n", "istio-system"}, what...)...)
				t.Logf("%v: %v\n%s", what, err, out)
			}
		}
	}()
	do(t, func() (string, error) { return onNode("", "rm", "-rf", "/var/lib/heddle-hosted") }) // of a run that failed
	do(t, func() (string, error) {
		return onNode("", "install", "-d", "-o", "65532", "-g", "65532", "/var/lib/heddle-hosted")
	})
	apply(t, volume)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"install", hosted},
		{"rules", obeyed},
		{"mistakes are refused", refused},
		{"gateways", hostedGateways},
		{"API away", hostedAway},
		{"uninstall", func(t *testing.T) {
			k(t, "delete", "namespace", "shop", "outside")
			if out := h(t, "uninstall"); !strings.Contains(out, "PersistentVolumeClaim istio-system/heddle-config-api") {
				t.Errorf("it is not said that the volume stays: %s", out)
			}
		}},
		{"install again", func(t *testing.T) {
			hosted(t)
			if got := reach(t).k(t, "-n", "shop", "get", "virtualservice", "web", "-o", "name"); !strings.Contains(got, "virtualservice") {
				t.Errorf("what users wrote is lost: %q", got)
			}
		}},
		{"uninstall all", func(t *testing.T) { t.Log(h(t, "uninstall", "--purge")) }},
	} {
		if !t.Run(step.name, step.run) {
			return
		}
	}
	k(t, "delete", "persistentvolume", "heddle-hosted")
	do(t, func() (string, error) { return onNode("", "rm", "-r", "/var/lib/heddle-hosted") })
	left(t, before)
}

func hosted(t *testing.T) {
	t.Log(h(t, "install", "--profile", "demo", "--set", "configAPI.enabled=true,configAPI.storage.className=by-hand"))
	if out := h(t, "check"); !strings.Contains(out, "√ the API for what users configure answers") {
		t.Error(out)
	}
	if got := k(t, "get", "customresourcedefinitions", "-o", "name"); strings.Contains(got, "istio.io") || strings.Contains(got, "gateway.networking") {
		t.Errorf("the cluster got definitions: %s", got)
	}
}

// obeyed writes rules to the mesh's own API, and looks at pods of the cluster.
func obeyed(t *testing.T) {
	apply(t, shop)
	rollout(t, "shop", "web-v1", "web-v2")
	for _, ns := range []string{"shop", "outside"} {
		k(t, "-n", ns, "wait", "--for=condition=Ready", "pod/client", "--timeout=120s")
	}
	answers(t, "outside", "client", "http://web.shop/", "200")
	o := reach(t)
	o.apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")
	o.apply(t, rules)
	answers(t, "outside", "client", "http://web.shop/", "0 Get")
	answers(t, "shop", "client", "http://web/", "200 v1")
	o.k(t, "-n", "shop", "patch", "virtualservice", "web", "--type=json", "-p",
		`[{"op":"replace","path":"/spec/http/0/route/0/weight","value":0},{"op":"replace","path":"/spec/http/0/route/1/weight","value":100}]`)
	answers(t, "shop", "client", "http://web/", "200 v2")
	eventually(t, "status of the rule", func() error {
		got := o.k(t, "-n", "shop", "get", "virtualservice", "web", "-o", `jsonpath={.metadata.generation} {.status.observedGeneration} {.status.conditions[?(@.type=="Enforced")].status}`)
		if f := strings.Fields(got); len(f) != 3 || f[0] != f[1] || f[2] != "True" {
			return fmt.Errorf("generation, observed generation, Enforced: %s", got)
		}
		return nil
	})
}

// refused: the API calls heddled's webhook, and says what has no effect there.
func refused(t *testing.T) {
	o := reach(t)
	out, err := o.kubectl(strings.Replace(rules, "weight: 100", "wait: 100", 1), "apply", "-f", "-")
	if err == nil || !strings.Contains(out, "wait") {
		t.Errorf("%v: %s", err, out)
	}
	out, err = o.kubectl("apiVersion: v1\nkind: Service\nmetadata: {name: decoy, namespace: shop}\nspec: {ports: [{port: 80}]}\n", "apply", "-f", "-")
	if err != nil || !strings.Contains(out, "has no effect") {
		t.Errorf("%v: %s", err, out)
	}
}

// hostedGateways are workloads in the cluster for objects of another API, which collect them when the objects go.
func hostedGateways(t *testing.T) {
	gateway(t)
	o := reach(t)
	o.apply(t, front("shop", "web", ""))
	o.k(t, "-n", "shop", "wait", "--for=condition=Programmed", "gateway/front", "--timeout=120s")
	address := o.k(t, "-n", "shop", "get", "gateway", "front", "-o", "jsonpath={.status.addresses[0].value}")
	eventually(t, "a call through the deployed gateway", func() error { return call(address, "any.example") })
	if net.ParseIP(address) == nil {
		t.Errorf("the address is %q", address)
	}
	// Longer than the cluster needs to collect what has no owner.
	time.Sleep(5 * time.Second)
	k(t, "-n", "shop", "get", "deployment", "front-heddle")
	o.k(t, "-n", "shop", "delete", "gateway/front", "httproute/web")
	eventually(t, "its workloads go", func() error {
		if got := k(t, "-n", "shop", "get", "deployment,service,serviceaccount", "-o", "name"); strings.Contains(got, "front-heddle") {
			return errors.New(got)
		}
		return nil
	})
}

// hostedAway takes the API's pod away under load: traffic goes on, and what users wrote is there again with the next pod.
func hostedAway(t *testing.T) {
	loaded(t, "100", "20s", func() {
		k(t, "-n", "istio-system", "delete", "pod", "heddle-config-api-0", "--force", "--grace-period=0")
		k(t, "-n", "istio-system", "rollout", "status", "statefulset/heddle-config-api", "--timeout=120s")
	})
	o := reach(t)
	o.k(t, "-n", "shop", "patch", "virtualservice", "web", "--type=json", "-p",
		`[{"op":"replace","path":"/spec/http/0/route/0/weight","value":100},{"op":"replace","path":"/spec/http/0/route/1/weight","value":0}]`)
	answers(t, "shop", "client", "http://web/", "200 v1")
	log := k(t, "-n", "istio-system", "logs", "deployment/heddled")
	if strings.Count(log, "the configuration API is away") != 1 || strings.Count(log, "the configuration API answers again") != 1 {
		t.Errorf("the log does not say once each that the API is away and back:\n%s", log)
	}
}
