package machine

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const meshFile = `
defaultConfig:
  discoveryAddress: istiod.istio-system.svc:15012
  concurrency: 0
  proxyMetadata: {POD_NAMESPACE: old, TRUST_DOMAIN: td, ISTIO_META_AUTO_REGISTER_GROUP: vms}
  readinessProbe: {tcpSocket: {port: 9080}}
`

func TestRead(t *testing.T) {
	dir := folder(t, map[string]string{"mesh.yaml": meshFile, "istio-token": "secret", "root-cert.pem": "pem", "cluster.env": `# of a group
POD_NAMESPACE=shop
export SERVICE_ACCOUNT="web"
ISTIO_METAJSON_LABELS='{"app":"web","say":"it'"'"'s"}'
ISTIO_SVC_IP=10.0.0.7
`})
	flags, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Flag{
		{"xds-address", "istiod.istio-system.svc:15012"}, {"namespace", "shop"}, {"service-account", "web"}, {"trust-domain", "td"}, {"register-group", "vms"}, {"label", "app=web"},
		{"label", "say=it's"}, {"ip", "10.0.0.7"}, {"concurrency", "0"}, {"token-file", filepath.Join(dir, "istio-token")}, {"root-cert", filepath.Join(dir, "root-cert.pem")},
	} {
		if !slices.Contains(flags, want) {
			t.Errorf("%v is missing in %v", want, flags)
		}
	}
	if i := slices.IndexFunc(flags, func(f Flag) bool { return f.Name == "proxy-config" }); i < 0 || !strings.Contains(flags[i].Value, `"readinessProbe":{"tcpSocket":{"port":9080}}`) {
		t.Errorf("%v", flags)
	}
	if i := slices.IndexFunc(flags, func(f Flag) bool { return f.Name == "name" }); i < 0 || flags[i].Value == "" {
		t.Errorf("%v", flags)
	}
}

func TestMistakesNameTheFile(t *testing.T) {
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{nil, "heddle workload entry configure writes them"},
		{map[string]string{"mesh.yaml": "{"}, "mesh.yaml"},
		{map[string]string{"mesh.yaml": "defaultConfig: {concurrency: many}"}, "mesh.yaml"},
		{map[string]string{"mesh.yaml": meshFile, "cluster.env": "A=b\nB"}, "cluster.env: line 2"},
		{map[string]string{"mesh.yaml": meshFile, "cluster.env": "A='b"}, "cluster.env: line 1"},
		{map[string]string{"mesh.yaml": meshFile, "cluster.env": "ISTIO_METAJSON_LABELS=x"}, "ISTIO_METAJSON_LABELS"},
	} {
		if _, err := Read(folder(t, c.files)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
