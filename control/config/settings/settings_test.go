package settings

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle-mesh/heddle/mesh"
)

func read(t *testing.T, text string) (*mesh.Settings, []mesh.Problem, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mesh.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Read(path)
}

func TestRead(t *testing.T) {
	got, problems, err := read(t, `
rootNamespace: mesh-root
trustDomain: example.org
outboundTrafficPolicy: {mode: REGISTRY_ONLY}
enableAutoMtls: false
accessLogFile: /dev/stdout
accessLogEncoding: JSON
connectTimeout: 3s
protocolDetectionTimeout: 100ms
proxyHttpPort: 15080
pathNormalization: {normalization: MERGE_SLASHES}
defaultHttpRetryPolicy: {attempts: 5}
defaultConfig: {gatewayTopology: {proxyProtocol: {}}}
`)
	want := &mesh.Settings{TrustDomain: "example.org", RootNamespace: "mesh-root", RegistryOnly: true, AccessLogFile: "/dev/stdout", AccessLogJSON: true,
		ConnectTimeout: 3 * time.Second, DetectionTimeout: 100 * time.Millisecond, ClusterDomain: "cluster.local", HTTPProxyPort: 15080, Proxy: mesh.ProxyConfig{ProxyProtocol: true}, Paths: mesh.MergeSlashes, Retry: &mesh.Retry{Attempts: 5}}
	if d := cmp.Diff(want, got); d != "" || err != nil || len(problems) > 0 {
		t.Error(d, err, problems)
	}
	got, _, err = read(t, "")
	if d := cmp.Diff(Default(), got); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestPathForms(t *testing.T) {
	for text, want := range map[string]mesh.PathForm{
		"": mesh.BasePaths, "{}": mesh.BasePaths, "{normalization: DEFAULT}": mesh.BasePaths, "{normalization: BASE}": mesh.BasePaths, "{normalization: NONE}": mesh.PathsAsTheyAre,
		"{normalization: MERGE_SLASHES}": mesh.MergeSlashes, "{normalization: DECODE_AND_MERGE_SLASHES}": mesh.DecodeSlashes,
	} {
		if got, problems, err := read(t, "pathNormalization: "+text+"\n"); err != nil || len(problems) > 0 || got.Paths != want {
			t.Errorf("%q: %v %v %v", text, got, problems, err)
		}
	}
}

func TestWhatIsNotHonoured(t *testing.T) {
	_, problems, err := read(t, "enablePrometheusMerge: true\noutboundTrafficPolicy: {mode: ALLOW_ANY}\ndefaultConfig: {statNameLength: 3, concurrency: 3}\n")
	if err != nil || len(problems) != 2 || problems[0].Field != "defaultConfig.statNameLength" || problems[1].Field != "enablePrometheusMerge" {
		t.Error(problems, err)
	}
	for text, want := range map[string]string{
		"ca: {address: x}":                         "ca is not enforced yet",
		"pathNormalization: {normalization: SOME}": "SOME",
		"rootNamespase: x":                         "there is no field rootNamespase",
		"outboundTrafficPolicy: {mod: X}":          "there is no field outboundTrafficPolicy.mod",
		"trustDomain: UPPER":                       "trustDomain",
		"connectTimeout: 0s":                       "connectTimeout",
		"proxyHttpPort: 70000":                     "proxyHttpPort",
		"a: [":                                     "mesh.yaml",
	} {
		if _, _, err := read(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, _, err := Read("/nothing/here"); err == nil || !strings.Contains(err.Error(), "--mesh-config") {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("trustDomain: a.b\nconnectTimeout: 5m"))
	f.Add([]byte("defaultHttpRetryPolicy: {attempts: 1}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, _, err := Parse(b); err == nil && (s.TrustDomain == "" || s.ConnectTimeout <= 0) {
			t.Errorf("%+v", s)
		}
	})
}

func TestExports(t *testing.T) {
	for text, want := range map[string]string{
		`defaultServiceExportTo: [".", shop]`:                                        "{Private:true Nobody:false Namespaces:[shop]}",
		`defaultServiceExportTo: ["~"]`:                                              "{Private:false Nobody:true Namespaces:[]}",
		`defaultServiceExportTo: ["*"]`:                                              "{Private:false Nobody:false Namespaces:[]}",
		`defaultServiceExportTo: ["*", shop]`:                                        `field defaultServiceExportTo: "*" and "~" stand alone`,
		`defaultVirtualServiceExportTo: [Shop]`:                                      `field defaultVirtualServiceExportTo: "Shop" is neither a namespace, ".", "*" nor "~"`,
		`{defaultDestinationRuleExportTo: ["."], defaultServiceExportTo: [a, b, c]}`: "{Private:false Nobody:false Namespaces:[a b c]}",
	} {
		s, problems, err := Parse([]byte(text))
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprintf("%+v", s.Exports.Services)
		}
		if got != want || len(problems) > 0 {
			t.Errorf("%s: %s, %v, want %s", text, got, problems, want)
		}
	}
}
