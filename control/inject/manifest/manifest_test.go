package manifest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/diff"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/encoding/protojson"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/inject"
)

var update = flag.Bool("update", false, "write what comes out into the fixtures")

// plain is the pod that fixtures are compared with: their last part is the difference between the two injected pods.
const plain = `apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  labels: {app: web}
spec:
  containers:
  - name: app
    image: web:1
    ports: [{name: http, containerPort: 8080}]
`

// fixture is one behaviour: parts in.yaml, and optionally config.yaml (--inject-config), mesh.yaml (ProxyConfig of the mesh) and objects.yaml (ProxyConfigs); told
// and out are what comes of it.
type fixture struct {
	path    string
	archive *txtar.Archive
}

func fixtures(t *testing.T) (all []fixture) {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no fixtures: ", err)
	}
	for _, p := range paths {
		a, err := txtar.ParseFile(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fixture{p, a})
	}
	return all
}

func (f fixture) part(name string) string {
	for _, x := range f.archive.Files {
		if x.Name == name {
			return string(x.Data)
		}
	}
	return ""
}

func (f fixture) set(name, text string) {
	for i, x := range f.archive.Files {
		if x.Name == name {
			f.archive.Files[i].Data = []byte(text)
			return
		}
	}
	if text != "" {
		f.archive.Files = append(f.archive.Files, txtar.File{Name: name, Data: []byte(text)})
	}
}

func (f fixture) settings(t *testing.T) *inject.Settings {
	t.Helper()
	c, err := inject.ParseConfig([]byte(f.part("config.yaml")))
	if err != nil {
		t.Fatal(f.path, ": ", err)
	}
	s := &inject.Settings{Config: c, Namespace: "istio-system", RootNamespace: "istio-system", TrustDomain: "cluster.local", ClusterID: "east", Mesh: &meshconfig.ProxyConfig{}}
	if text := f.part("mesh.yaml"); text != "" {
		raw, err := yaml.YAMLToJSON([]byte(text))
		if err == nil {
			err = protojson.Unmarshal(raw, s.Mesh)
		}
		if err != nil {
			t.Fatal(f.path, ": ", err)
		}
	}
	objects, problems := api.DecodeAll([]byte(f.part("objects.yaml")), "objects.yaml")
	if len(problems) > 0 {
		t.Fatal(f.path, ": ", problems)
	}
	for _, o := range objects {
		s.ProxyConfigs = append(s.ProxyConfigs, inject.ProxyConfig{Namespace: o.Meta.Namespace, Name: o.Meta.Name, Spec: o.Spec.(*networking.ProxyConfig)})
	}
	return s
}

// run injects; told are the sentences and the error.
func run(s *inject.Settings, in string) (out, told string) {
	var say strings.Builder
	n := Injector{Settings: s, Namespace: "shop", Tell: func(text string) { say.WriteString(text + "\n") }}
	text, err := n.Inject([]byte(in))
	if err != nil {
		say.WriteString("error: " + err.Error() + "\n")
		text = nil
	}
	return string(text), say.String()
}

func standard(t *testing.T) *inject.Settings {
	t.Helper()
	return fixture{archive: &txtar.Archive{}}.settings(t)
}

func TestFixtures(t *testing.T) {
	base, told := run(standard(t), plain)
	if told != "" {
		t.Fatal(told)
	}
	for _, f := range fixtures(t) {
		t.Run(strings.TrimSuffix(filepath.Base(f.path), ".txtar"), func(t *testing.T) {
			out, told := run(f.settings(t), f.part("in.yaml"))
			if out == f.part("in.yaml") {
				out = ""
			} else if out != "" && !strings.HasPrefix(filepath.Base(f.path), "whole-") {
				out = changes(base, out)
			}
			if *update {
				f.set("told", told)
				f.set("out", out)
				if err := os.WriteFile(f.path, txtar.Format(f.archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(f.part("told"), told); d != "" {
				t.Error("told: ", d)
			}
			if d := cmp.Diff(f.part("out"), out); d != "" {
				t.Error("out: ", d)
			}
		})
	}
}

// changes are the lines that differ, with their neighbours.
func changes(a, b string) string {
	text := string(diff.Diff("plain", []byte(a), "this", []byte(b)))
	_, text, _ = strings.Cut(text, "+++ this\n")
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "@@") { // line numbers would change with every other change
			line = "@@\n"
		}
		out.WriteString(line)
	}
	return out.String()
}

// TestTwiceIsOnce: the API may call the webhook again when another one has changed the pod.
func TestTwiceIsOnce(t *testing.T) {
	for _, f := range fixtures(t) {
		s := f.settings(t)
		once, _ := run(s, f.part("in.yaml"))
		if once == "" {
			continue
		}
		twice, told := run(s, once)
		if d := cmp.Diff(once, twice); d != "" {
			t.Errorf("%s: %s%s", f.path, told, d)
		}
	}
}

// TestAContainerThatComesLaterIsInjectedToo is what the second call is for.
func TestAContainerThatComesLaterIsInjectedToo(t *testing.T) {
	s := standard(t)
	once, _ := run(s, plain)
	later := "  - name: late\n    image: late:1\n    livenessProbe: {tcpSocket: {port: 9000}}\n"
	var o object
	if err := yaml.Unmarshal([]byte(once), &o); err != nil {
		t.Fatal(err)
	}
	spec := o["spec"].(object)
	spec["containers"] = append(spec["containers"].([]any), object{"name": "late", "image": "late:1", "livenessProbe": object{"tcpSocket": object{"port": 9000}}})
	raw, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	twice, _ := run(s, string(raw))
	want, _ := run(s, plain+later)
	if d := cmp.Diff(want, twice); d != "" || !strings.Contains(twice, "/app-health/late/livez") {
		t.Error(d)
	}
}

func TestWhatIsNoPodPassesByteForByte(t *testing.T) {
	in := "# top\n---   # first\nkind: Other\napiVersion: x/v1\na:   [1,\n 2]\n--- \n---\n" + "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: |\n  --- not a marker\n }\n"
	in = strings.Replace(in, "data: {k: |\n  --- not a marker\n }\n", "data:\n  k: |\n    --- no marker\n", 1)
	for _, text := range []string{in, "", "\n", "---\n", "{\"kind\": \"Secret\",   \"apiVersion\": \"v1\"}", "a: b # no newline at the end"} {
		if out, told := run(standard(t), text); out != text || told != "" {
			t.Errorf("%q became %q (%s)", text, out, told)
		}
	}
	out, told := run(standard(t), in+"---\n"+plain)
	if !strings.HasPrefix(out, in+"---\n") || told != "" {
		t.Errorf("%s\n%s", told, out)
	}
}

func TestUnknownFieldsStay(t *testing.T) {
	in := strings.Replace(plain, "    image: web:1\n", "    image: web:1\n    fromTheFuture: {big: 9007199254740993}\n", 1) + "  alsoNew: [1]\n"
	out, _ := run(standard(t), in)
	if !strings.Contains(out, "big: 9007199254740993") || !strings.Contains(out, "alsoNew:") || !strings.Contains(out, "name: istio-proxy") {
		t.Error(out)
	}
}

func TestKinds(t *testing.T) {
	pod := "{metadata: {labels: {app: web}}, spec: {containers: [{name: app, image: a}]}}"
	for version, kinds := range map[string][]string{"apps/v1": {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"}, "v1": {"ReplicationController"}, "batch/v1": {"Job"}} {
		for _, kind := range kinds {
			in := "apiVersion: " + version + "\nkind: " + kind + "\nmetadata: {name: web}\nspec: {template: " + pod + "}\n"
			if out, told := run(standard(t), in); !strings.Contains(out, "name: istio-proxy") || told != "" {
				t.Errorf("%s: %s%s", kind, told, out)
			}
			if _, told := run(standard(t), "apiVersion: "+version+"\nkind: "+kind+"\nmetadata: {name: web}\nspec: {}\n"); !strings.Contains(told, kind+" web: spec.template is missing") {
				t.Errorf("%s without a template: %s", kind, told)
			}
		}
	}
	cron := "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: night}\nspec: {jobTemplate: {spec: {template: " + pod + "}}}\n"
	list := "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: s}}\n- {apiVersion: batch/v1, kind: Job, metadata: {name: once}, spec: {template: " + pod + "}}\n"
	for _, in := range []string{cron, list} {
		if out, told := run(standard(t), in); strings.Count(out, "name: istio-proxy") != 1 || told != "" {
			t.Errorf("%s%s", told, out)
		}
	}
	raw, err := yaml.YAMLToJSON([]byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	if out, told := run(standard(t), string(raw)); !json.Valid([]byte(out)) || !strings.Contains(out, "istio-proxy") || told != "" {
		t.Errorf("JSON in: %s%s", told, out)
	}
}

func TestNamespacesOfTheTextDecide(t *testing.T) {
	ns := func(labels string) string {
		return "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {" + labels + "}}\n---\n"
	}
	for labels, want := range map[string]string{"istio-injection: disabled": "the namespace is labelled istio-injection=disabled", "": "neither its namespace", "istio.io/rev: other": "asks for the revision other"} {
		if out, told := run(standard(t), ns(labels)+plain); out != ns(labels)+plain || !strings.Contains(told, "Pod web stays as it is: ") || !strings.Contains(told, want) {
			t.Errorf("%s: %s\n%s", labels, told, out)
		}
	}
	if out, _ := run(standard(t), ns("istio-injection: enabled")+plain); !strings.Contains(out, "istio-proxy") {
		t.Error(out)
	}
}

func FuzzInject(f *testing.F) {
	f.Add([]byte(plain))
	f.Add([]byte("apiVersion: v1\nkind: List\nitems: [{}, 1, null]\n---\nkind: Pod\napiVersion: v1"))
	c, err := inject.ParseConfig(nil)
	if err != nil {
		f.Fatal(err)
	}
	s := &inject.Settings{Config: c, Namespace: "istio-system", RootNamespace: "istio-system", TrustDomain: "cluster.local"}
	f.Fuzz(func(t *testing.T, in []byte) {
		n := Injector{Settings: s, Tell: func(string) {}}
		once, err := n.Inject(in)
		if err != nil {
			return
		}
		twice, err := n.Inject(once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%q: %v\nonce  %q\ntwice %q", in, err, once, twice)
		}
	})
}
