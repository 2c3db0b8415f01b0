package laptop

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/platform/shop"
)

func TestRunRequestIsChecked(t *testing.T) {
	r := RunRequest{Name: "hello"}
	if err := r.check(); err != nil || r.Namespace != "default" || r.Version != "v1" {
		t.Errorf("%+v, %v", r, err)
	}
	for _, bad := range []RunRequest{{}, {Name: "Hello"}, {Name: "a.b"}, {Name: "-a"}, {Name: "a-"}, {Name: strings.Repeat("a", 41)}, {Name: "a", Namespace: "../x"}, {Name: "a", Version: "v 1"}} {
		if err := bad.check(); err == nil || !strings.Contains(err.Error(), "is not a name") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestLocalityOfARun(t *testing.T) {
	for text, good := range map[string]bool{"": true, "eu": true, "eu/eu-a": true, "eu/eu-a/1": true, "eu/eu-a/1/2": false, "eu/": false, "eu/*": false, "EU": false, "a\nb": false} {
		r := RunRequest{Name: "hello", Locality: text}
		err := r.check()
		if (err == nil) != good || err != nil && !strings.Contains(err.Error(), "is not a place") {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil {
			continue
		}
		var o struct{ Spec struct{ Locality string } }
		if err := yaml.Unmarshal([]byte(entryObject(&workload{name: "hello", namespace: "default", app: "hello", version: "v1", account: "hello", locality: text, reached: netip.MustParseAddr("10.78.0.1")}, true)), &o); err != nil || o.Spec.Locality != text {
			t.Errorf("%q: %+v %v", text, o, err)
		}
	}
}

func TestModeIsPicked(t *testing.T) {
	auto := Options{Mode: ModeAuto, Deadline: time.Minute, ProxyMemory: DefaultProxyMemory}
	if err := auto.pick(); err != nil {
		t.Fatal(err)
	}
	if want := map[bool]Mode{true: ModeRoot, false: ModeRootless}[os.Geteuid() == 0]; auto.Mode != want || auto.why == "" {
		t.Errorf("auto is %s because %q, want %s", auto.Mode, auto.why, want)
	}
	unknown := Options{Mode: "magic", Deadline: time.Minute, ProxyMemory: DefaultProxyMemory}
	if err := unknown.pick(); err == nil || !strings.Contains(err.Error(), "--mode magic is not known") {
		t.Errorf("unknown mode: %v", err)
	}
}

func TestBusyPorts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	busy := l.Addr().(*net.TCPAddr).Port
	var out strings.Builder
	m := &meshRun{opts: Options{Out: &out}}
	got, err := m.listen("gateway", "--port", 0, busy, false)
	if err != nil {
		t.Fatal(err)
	}
	got.Close()
	if got.Addr().(*net.TCPAddr).Port == busy || !strings.Contains(out.String(), "is busy, so the gateway takes") {
		t.Errorf("a busy default port: %s, told %q", got.Addr(), out.String())
	}
	if _, err := m.listen("gateway", "--port", busy, 8080, true); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "--port") {
		t.Errorf("a busy port that was asked for: %v", err)
	}
}

// TestObjectsOfWorkloads: what stands for a workload is valid, and the service selects the entry.
func TestObjectsOfWorkloads(t *testing.T) {
	m := &meshRun{}
	for _, p := range shop.Parts() {
		w := sample(p)
		m.place(w)
		kinds := map[string]map[string]any{}
		for doc := range strings.SplitSeq(accountObject(w)+"---\n"+serviceObject(w)+"---\n"+entryObject(w, true), "\n---\n") {
			var o map[string]any
			if err := yaml.UnmarshalStrict([]byte(doc), &o); err != nil {
				t.Fatalf("%s: %v\n%s", p.Name, err, doc)
			}
			kinds[o["kind"].(string)] = o
		}
		spec := kinds["Service"]["spec"].(map[string]any)
		labels := kinds["WorkloadEntry"]["spec"].(map[string]any)["labels"].(map[string]any)
		for k, v := range spec["selector"].(map[string]any) {
			if labels[k] != v {
				t.Errorf("%s: the service selects %s=%v, the entry has %v", p.Name, k, v, labels[k])
			}
		}
		for kind, o := range kinds {
			if o["metadata"].(map[string]any)["labels"].(map[string]any)["app.kubernetes.io/managed-by"] != manager {
				t.Errorf("%s: %s would be left behind", p.Name, kind)
			}
		}
	}
}

func TestAddressesAndNamesAreUnique(t *testing.T) {
	m := &meshRun{}
	seen := map[string]bool{}
	for range 600 {
		for _, a := range m.allocate() {
			if seen[a.String()] || a.String() == "10.78.0.1" || a.String() == "fd78:6864::1" {
				t.Fatalf("%s is given twice, or is the bridge's", a)
			}
			seen[a.String()] = true
		}
	}
	for i, w := range []*workload{{namespace: "shop", name: "catalog-v1", app: "catalog"}, {namespace: "shop", name: "catalog-v2", app: "catalog"}, {namespace: "default", name: "catalog", app: "catalog"},
		{namespace: "shop", name: "catalog", app: "catalog"}, {namespace: "shop", name: "catalog-v1", app: "catalog-v1"}} {
		if got, want := m.add(w) == nil, i < 3; got != want {
			t.Errorf("%s: added %v, want %v", w.id(), got, want)
		}
	}
}

func TestEnvironmentOfWorkloadsHasNoSecrets(t *testing.T) {
	m := &meshRun{opts: Options{Env: []string{"PATH=/bin", "HOME=/root", "AWS_SECRET_ACCESS_KEY=x", "http_proxy=y"}}}
	if got := m.environment([]string{"A=b"}); !slices.Equal(got, []string{"PATH=/bin", "HOME=/root", "A=b"}) {
		t.Errorf("%v", got)
	}
}

func TestTailIsTheLastLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("one\ntwo\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := tail(path); got != "two" {
		t.Errorf("%q", got)
	}
}
