package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestSharedStore runs a second server on the first one's etcd, as replicas do
// on a cluster of it, and with a definition of a user's own.
func TestSharedStore(t *testing.T) {
	first := start(t, t.TempDir(), "--crds=istio")
	extra := t.TempDir()
	own := `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: things.example.com}, spec: {group: example.com, scope: Namespaced, names: {kind: Thing, plural: things}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}`
	if err := os.WriteFile(filepath.Join(extra, "thing.yaml"), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	second := start(t, t.TempDir(), "--crds=istio", "--crd-dirs", extra,
		"--etcd-servers", "unix://"+filepath.Join(first.dir, "etcd.sock"), "--service-cidrs", "10.96.0.0/16")
	if _, err := os.Stat(filepath.Join(second.dir, "etcd")); err == nil {
		t.Error("the second server made a store of its own")
	}
	second.must(`{apiVersion: example.com/v1, kind: Thing, metadata: {name: one}}`, "create", "-f", "-")
	eventually(t, "the object at the first server", func() bool {
		out, err := first.kubectl("admin.kubeconfig", "", "get", "things.v1.example.com", "one")
		return err == nil && strings.Contains(out, "one")
	})
	// A definition that a user replaced is left alone by the next start.
	first.must("", "annotate", "crd", "things.example.com", "heddle.dev/crd-hash-")
	first.must("", "label", "crd", "things.example.com", "mine=yes")
	if _, err := second.terminate(); err != nil {
		t.Fatal(err)
	}
	third := start(t, second.dir, "--crds=istio", "--crd-dirs", extra, "--etcd-servers", "unix://"+filepath.Join(first.dir, "etcd.sock"))
	if got := third.must("", "get", "crd", "things.example.com", "-o", "jsonpath={.metadata.labels.mine}"); got != "yes" {
		t.Errorf("the user's definition was overwritten: label %q", got)
	}
}

// TestDualStack gives a service addresses of both families.
func TestDualStack(t *testing.T) {
	s := start(t, t.TempDir(), "--crds=", "--service-cidrs", "10.97.0.0/16,fd00:97::/112")
	s.must(`{apiVersion: v1, kind: Service, metadata: {name: both}, spec: {ipFamilyPolicy: RequireDualStack, ports: [{port: 80}]}}`, "create", "-f", "-")
	svc, err := s.admin.CoreV1().Services("default").Get(context.Background(), "both", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if ips := svc.Spec.ClusterIPs; len(ips) != 2 || !strings.HasPrefix(ips[0], "10.97.") || !strings.HasPrefix(ips[1], "fd00:97::") {
		t.Errorf("addresses %v", ips)
	}
}

// TestParentDeath kills the shell that started a server.
func TestParentDeath(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server")
	}
	dir := t.TempDir()
	script := fmt.Sprintf("%s --data-dir %s --address 127.0.0.1:0 --crds= --parent-death >%s/out 2>&1 & echo $!; wait", binary, dir, dir)
	shell := exec.Command("sh", "-c", script)
	out, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 32)
	n, err := out.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	eventually(t, "the server is ready", func() bool {
		line, _ := os.ReadFile(filepath.Join(dir, "out"))
		return strings.Contains(string(line), "ready ")
	})
	_ = shell.Process.Kill()
	_ = shell.Wait()
	// A process that ended but was not reaped by its new parent counts as gone.
	eventually(t, "the server ends with its parent", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}
