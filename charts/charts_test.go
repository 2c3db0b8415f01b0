package charts

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/diff"
	"golang.org/x/tools/txtar"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/inject"
)

var update = flag.Bool("update", false, "write what comes out into the fixtures")

func text(t *testing.T, objects []*unstructured.Unstructured) string {
	t.Helper()
	var b strings.Builder
	for _, u := range objects {
		raw, err := yaml.Marshal(u.Object)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("---\n" + string(raw))
	}
	return b.String()
}

func standard(t *testing.T) *Rendered {
	t.Helper()
	r, err := Render(Release{Name: "heddle", Namespace: "istio-system", Version: "v1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestGolden renders each testdata file: its values (with the keys profile and namespace beside them) in, the objects out; all but default.txtar as the
// difference to it.
func TestGolden(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) < 4 {
		t.Fatal(paths, err)
	}
	base := text(t, standard(t).Objects)
	for _, p := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(p), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(p)
			if err != nil {
				t.Fatal(err)
			}
			var in struct {
				Profile, Namespace string
				Values             map[string]any
			}
			if err := yaml.UnmarshalStrict(a.Files[0].Data, &in); err != nil {
				t.Fatal(err)
			}
			name := "heddle"
			if rev, ok := in.Values["revision"].(string); ok {
				name += "-" + rev
			}
			got := ""
			if r, err := Render(Release{Name: name, Namespace: in.Namespace, Profile: in.Profile, Values: in.Values, Version: "v1.2.3"}); err != nil {
				got = "error: " + err.Error() + "\n"
			} else if got = text(t, r.Objects); filepath.Base(p) != "default.txtar" {
				got = string(diff.Diff("default", []byte(base), "this", []byte(got)))
			}
			if *update {
				a.Files = []txtar.File{a.Files[0], {Name: "out", Data: []byte(got)}}
				if err := os.WriteFile(p, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if len(a.Files) != 2 || string(a.Files[1].Data) != got {
				t.Errorf("%s gives\n%s", p, got)
			}
		})
	}
}

// TestRights compares what heddled may do with the kinds that it reads and answers.
func TestRights(t *testing.T) {
	var rules []rbacv1.PolicyRule
	for _, u := range standard(t).Objects {
		if u.GetKind() == "ClusterRole" {
			var role rbacv1.ClusterRole
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &role); err != nil {
				t.Fatal(err)
			}
			rules = role.Rules
		}
	}
	may := func(group, resource, verb string) bool {
		return slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool {
			_, sub, _ := strings.Cut(resource, "/")
			named := slices.Contains(r.Resources, resource) || slices.Contains(r.Resources, "*") || sub != "" && slices.Contains(r.Resources, "*/"+sub)
			return len(r.ResourceNames) == 0 && slices.Contains(r.APIGroups, group) && named && slices.Contains(r.Verbs, verb)
		})
	}
	for _, k := range api.Kinds {
		if !may(k.Group, k.Plural, "list") || !may(k.Group, k.Plural, "watch") {
			t.Errorf("heddled may not watch %s", k.Name())
		}
		if (k.Istio() || k.Gateway() || k.Conditioned()) && !may(k.Group, k.Plural+"/status", "patch") {
			t.Errorf("heddled may not write the status of %s", k.Name())
		}
	}
	for _, x := range [][3]string{{"", "secrets", "create"}, {"", "pods", "delete"}, {"", "configmaps", "update"}, {"", "nodes/status", "patch"}} {
		if may(x[0], x[1], x[2]) {
			t.Errorf("heddled may %s all %s", x[2], x[1])
		}
	}
}

// TestPods looks at what pods of Heddle's own are allowed.
func TestPods(t *testing.T) {
	r, err := Render(Release{Name: "heddle", Namespace: "istio-system", Values: map[string]any{"node": map[string]any{"enabled": true}, "configAPI": map[string]any{"enabled": true}}})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, u := range r.Objects {
		if !slices.Contains([]string{"Deployment", "StatefulSet", "DaemonSet"}, u.GetKind()) {
			continue
		}
		seen++
		// The node agent writes files of the node's root, and is root without any capability.
		ordinary := u.GetKind() != "DaemonSet"
		containers, _, _ := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
		for _, c := range containers {
			sc, _, _ := unstructured.NestedMap(c.(map[string]any), "securityContext")
			drop, _, _ := unstructured.NestedStringSlice(sc, "capabilities", "drop")
			if sc["readOnlyRootFilesystem"] != true || sc["allowPrivilegeEscalation"] != false || sc["runAsNonRoot"] != ordinary || !slices.Equal(drop, []string{"ALL"}) {
				t.Errorf("a container of %s may too much: %v", u.GetName(), sc)
			}
		}
	}
	if seen != 4 {
		t.Errorf("%d workloads are looked at", seen)
	}
}

// TestTwoAPIs looks at what is said of an API beside that of the cluster, and at what heddled may not do there then.
func TestTwoAPIs(t *testing.T) {
	render := func(values map[string]any) *Rendered {
		r, err := Render(Release{Name: "heddle", Namespace: "mesh", Values: map[string]any{"configAPI": values}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	trial := render(map[string]any{"enabled": true, "storage": map[string]any{"ephemeral": true}})
	if !strings.Contains(trial.Notes, "LOST") || !strings.Contains(trial.Notes, "heddle-config-api-admin") || strings.Contains(text(t, trial.Objects), "PersistentVolumeClaim") {
		t.Error(trial.Notes)
	}
	if kept := render(map[string]any{"enabled": true}); strings.Contains(kept.Notes, "LOST") || !strings.Contains(text(t, kept.Objects), "PersistentVolumeClaim") {
		t.Error(kept.Notes)
	}
	for what, r := range map[string]*Rendered{"its own": trial, "another": render(map[string]any{"kubeconfigSecret": "elsewhere"})} {
		if !r.Elsewhere || r.Definitions != nil {
			t.Error("the cluster needs no definitions beside ", what)
		}
		for _, u := range r.Objects {
			if raw := text(t, []*unstructured.Unstructured{u}); u.GetKind() == "ClusterRole" && strings.Contains(raw, "istio.io") {
				t.Errorf("heddled may read kinds in the cluster that come from %s API: %s", what, raw)
			}
		}
	}
}

// TestInjectionSettingsAreRead gives what the chart writes to the one who reads it.
func TestInjectionSettingsAreRead(t *testing.T) {
	r, err := Render(Release{Name: "heddle-x", Namespace: "mesh", Profile: "demo", Values: map[string]any{"revision": "x", "tags": []any{"prod"}, "injection": map[string]any{"proxy": "envoy"},
		"image": map[string]any{"pullSecrets": []any{"key"}}}, Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range r.Objects {
		if u.GetKind() != "ConfigMap" {
			continue
		}
		text, _, _ := unstructured.NestedString(u.Object, "data", "inject.yaml")
		c, err := inject.ParseConfig([]byte(text))
		if err != nil || c.Revision != "x" || c.Tags[0] != "prod" || c.Proxy != "envoy" || c.Image != "heddle.dev/heddle-proxy:v1" || c.DiscoveryAddress != "heddled-x.mesh.svc:15012" ||
			c.ImagePullSecrets[0] != "key" || c.Resources.Requests.Cpu().String() != "10m" {
			t.Errorf("%+v %v", c, err)
		}
		return
	}
	t.Error("no ConfigMap")
}

func kindsOf(objects []*unstructured.Unstructured) (kinds []string) {
	for _, u := range objects {
		kinds = append(kinds, u.GetKind())
	}
	return kinds
}

func TestOrderAndNotes(t *testing.T) {
	r := standard(t)
	at := func(kind string) int {
		return slices.IndexFunc(r.Objects, func(u *unstructured.Unstructured) bool { return u.GetKind() == kind })
	}
	if at("ServiceAccount") != 0 || at("MutatingWebhookConfiguration") > at("Deployment") {
		t.Errorf("the first is %s; the webhook is number %d and the first Deployment, whose pods may need it, %d", r.Objects[0].GetKind(), at("MutatingWebhookConfiguration"), at("Deployment"))
	}
	two, err := Render(Release{Name: "heddle", Namespace: "istio-system", Values: map[string]any{"configAPI": map[string]any{"enabled": true}}})
	if err != nil {
		t.Fatal(err)
	}
	// heddle install waits for what it has applied so far: the webhook is ready when heddled is, and heddled when its API is.
	if kinds := kindsOf(two.Objects); slices.Index(kinds, "StatefulSet") > slices.Index(kinds, "MutatingWebhookConfiguration") {
		t.Errorf("the API comes after what waits for it: %v", kinds)
	}
	if !strings.Contains(r.Notes, "istio-injection=enabled") {
		t.Error(r.Notes)
	}
}

func TestMistakes(t *testing.T) {
	for want, r := range map[string]Release{
		`there is no profile "big"; there are default, demo, minimal`: {Profile: "big"},
		"controlPlane":                     {Values: map[string]any{"controlPlane": map[string]any{"replica": 2}}},
		"revision":                         {Values: map[string]any{"revision": "Upper"}},
		"one node agent for all revisions": {Values: map[string]any{"revision": "x", "node": map[string]any{"enabled": true}}},
		"one API for all revisions":        {Values: map[string]any{"revision": "x", "configAPI": map[string]any{"enabled": true}}},
		"give one of the two":              {Values: map[string]any{"configAPI": map[string]any{"enabled": true, "kubeconfigSecret": "x"}}},
		"exclude each other":               {Values: map[string]any{"configAPI": map[string]any{"enabled": true, "storage": map[string]any{"ephemeral": true, "existingClaim": "x"}}}},
		"repair":                           {Values: map[string]any{"node": map[string]any{"repair": "evict"}}},
		"Kubernetes":                       {Kubernetes: "x"},
	} {
		r.Name, r.Namespace = "heddle", "istio-system"
		if _, err := Render(r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", r, err, want)
		}
	}
}
