package main

import (
	"bytes"
	"crypto/x509"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

func TestParseBytes(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "17": 17, "17B": 17, "3KiB": 3 << 10, "280MiB": 280 << 20, "2GiB": 2 << 30,
		"": -1, "MiB": -1, "-1MiB": -1, "1.5GiB": -1, "280MB": -1, "99999999999GiB": -1,
	} {
		got, err := parseBytes(in)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: %d, want %d (%v)", in, got, want, err)
		}
	}
}

func TestParseFlags(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string // part of the error; empty for none
	}{
		"least":         {[]string{"--data-dir", "x"}, ""},
		"two families":  {[]string{"--data-dir", "x", "--service-cidrs", "10.0.0.0/16,fd00::/112"}, ""},
		"no crds":       {[]string{"--data-dir", "x", "--crds", ""}, ""},
		"no folder":     {nil, "--data-dir is missing"},
		"address":       {[]string{"--data-dir", "x", "--address", "6443"}, "not host:port"},
		"one family":    {[]string{"--data-dir", "x", "--service-cidrs", "10.0.0.0/16,10.1.0.0/16"}, "same family"},
		"tiny range":    {[]string{"--data-dir", "x", "--service-cidrs", "10.0.0.0/30"}, "wrong size"},
		"huge range":    {[]string{"--data-dir", "x", "--service-cidrs", "fd00::/48"}, "wrong size"},
		"no range":      {[]string{"--data-dir", "x", "--service-cidrs", "ten"}, "not a range"},
		"level":         {[]string{"--data-dir", "x", "--log-level", "loud"}, "not known"},
		"memory":        {[]string{"--data-dir", "x", "--memory-limit", "much"}, "not a size"},
		"stray tls":     {[]string{"--data-dir", "x", "--etcd-cafile", "ca"}, "only with --etcd-servers"},
		"prefix":        {[]string{"--data-dir", "x", "--etcd-prefix", "mesh"}, "slash"},
		"no crd folder": {[]string{"--data-dir", "x", "--crd-dirs", "/nowhere"}, "not a folder"},
		"server URL":    {[]string{"--data-dir", "x", "--server-url", "api.mesh.svc"}, "not a URL"},
		"namespace":     {[]string{"--data-dir", "x", "--root-namespace", "Mesh"}, "cannot be the name"},
		"percent":       {[]string{"--data-dir", "x", "--gc-percent", "0"}, "at least 1"},
	} {
		cfg, err := parseFlags(c.args, io.Discard)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want == "" && !filepath.IsAbs(cfg.dataDir):
			t.Errorf("%s: data folder %q is not absolute", name, cfg.dataDir)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestPKI goes through the years of a data folder.
func TestPKI(t *testing.T) {
	dir, err := openDataDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.close()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	read := func(name string) string {
		text, err := os.ReadFile(dir.file("pki", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first, err := openPKI(dir, []string{"127.0.0.1", "localhost"}, now)
	if err != nil {
		t.Fatal(err)
	}
	ca, accounts, serving, admin := read("ca.crt"), read("service-accounts.key"), read("serving.crt"), read("admin.crt")
	if !first.fresh("serving", now, []string{"localhost", "127.0.0.1"}) || first.fresh("serving", now, []string{"other"}) {
		t.Error("the names of the serving certificate are wrong")
	}
	// A day later nothing is old; another name costs only the serving pair.
	if _, err := openPKI(dir, []string{"localhost", "other"}, now.AddDate(0, 0, 1)); err != nil {
		t.Fatal(err)
	}
	if read("serving.crt") == serving || read("admin.crt") != admin {
		t.Error("a further name must renew the serving certificate and no other")
	}
	// After nine months leaves are renewed; the CA and the token key never are.
	later := now.AddDate(0, 9, 0)
	third, err := openPKI(dir, []string{"localhost", "other"}, later)
	if err != nil {
		t.Fatal(err)
	}
	if read("admin.crt") == admin || !third.fresh("admin", later, nil) {
		t.Error("an old client certificate was not renewed")
	}
	if read("ca.crt") != ca || read("service-accounts.key") != accounts {
		t.Error("the CA or the key of tokens was replaced")
	}
	// A key that does not belong to the CA is an error, not a new CA.
	if err := os.WriteFile(dir.file("pki", "ca.key"), []byte(accounts), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openPKI(dir, nil, later); err == nil || !strings.Contains(err.Error(), "do not belong together") {
		t.Errorf("a foreign CA key: %v", err)
	}
	if err := os.WriteFile(dir.file("pki", "ca.key"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openPKI(dir, nil, later); err == nil || !strings.Contains(err.Error(), "cannot be used") {
		t.Errorf("a broken CA key: %v", err)
	}
}

// TestPublish: what is in the Secrets is a working kubeconfig wherever it is put.
func TestPublish(t *testing.T) {
	dir, err := openDataDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.close()
	keys, err := openPKI(dir, []string{"api.mesh.svc"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	typed := fake.NewClientset()
	p := &publisher{secrets: typed.CoreV1().Secrets("mesh"), namespace: "mesh", prefix: "api"}
	for range 2 { // a renewal writes over what is there
		if err := p.publish(t.Context(), keys, "https://api.mesh.svc"); err != nil {
			t.Fatal(err)
		}
	}
	for name, user := range map[string]string{"api-admin": "heddle:admin", "api-heddled": "heddle:heddled"} {
		secret, err := typed.CoreV1().Secrets("mesh").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		at := t.TempDir()
		for file, text := range secret.Data {
			if err := os.WriteFile(filepath.Join(at, file), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cfg, err := clientcmd.BuildConfigFromFlags("", filepath.Join(at, "kubeconfig"))
		if err != nil || cfg.Host != "https://api.mesh.svc" {
			t.Fatal(cfg, err)
		}
		pair, err := rest.TLSConfigFor(cfg)
		if err != nil || pair.RootCAs == nil {
			t.Fatal(name, err)
		}
		got, err := pair.GetClientCertificate(nil)
		if err != nil || len(got.Certificate) == 0 {
			t.Fatal(name, err)
		}
		if leaf, err := x509.ParseCertificate(got.Certificate[0]); err != nil || leaf.Subject.CommonName != user {
			t.Errorf("%s is for %v (%v), want %s", name, leaf.Subject, err, user)
		}
	}
}

func TestKubeconfigs(t *testing.T) {
	dir, err := openDataDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.close()
	p, err := openPKI(dir, []string{"::1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.writeKubeconfigs("https://[::1]:6443", ""); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"admin.kubeconfig", "heddled.kubeconfig"} {
		cfg, err := clientcmd.BuildConfigFromFlags("", dir.file(name))
		if err != nil || cfg.Host != "https://[::1]:6443" {
			t.Errorf("%s: %v %v", name, cfg, err)
		}
	}
}

func TestReadDefinitions(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	good := "# comment\n---\nkind: CustomResourceDefinition\nmetadata: {name: a.b}\n---\nkind: CustomResourceDefinition\nmetadata: {name: c.d}\n"
	all, err := readDefinitions(write("good.yaml", good))
	if err != nil || len(all) != 2 || all[0].name != "a.b" || all[1].name != "c.d" {
		t.Fatalf("%v %v", all, err)
	}
	again, err := readDefinitions(filepath.Join(dir, "good.yaml"))
	if err != nil || again[0].hash != all[0].hash || all[0].hash == "" || all[0].hash == all[1].hash {
		t.Errorf("hashes: %v then %v (%v)", all, again, err)
	}
	for name, text := range map[string]string{"service.yaml": "kind: Service\nmetadata: {name: a}", "text.yaml": "no yaml: ["} {
		if _, err := readDefinitions(write(name, text)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDefinition feeds the reader of definitions: what it accepts has a name, a
// hash, and reads the same again.
func FuzzDefinition(f *testing.F) {
	f.Add([]byte(`{"kind":"CustomResourceDefinition","metadata":{"name":"a.b"}}`))
	f.Add([]byte(`{"kind":"CustomResourceDefinition","metadata":{"name":"a.b","annotations":{"x":"y"}},"spec":{"versions":[1,null]}}`))
	f.Add([]byte(`{"metadata":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		stamped, err := stamp(body)
		if err != nil {
			return
		}
		d, err := readDefinition(stamped)
		if err != nil {
			return
		}
		if d.name == "" || d.hash == "" {
			t.Fatalf("no name or hash: %q", stamped)
		}
		again, err := readDefinition(d.body)
		if err != nil || again.name != d.name || !bytes.Equal(again.body, d.body) {
			t.Fatalf("%v, then %v (%v)", d, again, err)
		}
	})
}

// FuzzParseBytes checks that no size overflows or is negative.
func FuzzParseBytes(f *testing.F) {
	for _, s := range []string{"0", "280MiB", "9007199254740993KiB", "-1B", "1GiB "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := parseBytes(s); err == nil && n < 0 {
			t.Fatalf("%q is %d", s, n)
		}
	})
}
