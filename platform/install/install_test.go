package install

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	k8stesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/charts"
)

// api is a cluster without controllers: what is applied is stored, with a status that says that it works.
type api struct {
	t    *testing.T
	dyn  *fake.FakeDynamicClient
	c    *Cluster
	said []string
	fail string // kind whose apply fails
}

func newAPI(t *testing.T, objects ...string) *api {
	kinds := map[schema.GroupVersionResource]string{}
	for _, k := range []string{"v1 Namespace", "v1 ConfigMap", "v1 Service", "v1 Secret", "v1 Pod", "apps/v1 Deployment", "apps/v1 StatefulSet", "v1 PersistentVolumeClaim", "coordination.k8s.io/v1 Lease", "apiextensions.k8s.io/v1 CustomResourceDefinition",
		"admissionregistration.k8s.io/v1 MutatingWebhookConfiguration", "shop.example/v1 Widget"} {
		gv, kind, _ := strings.Cut(k, " ")
		kinds[resource(schema.FromAPIVersionAndKind(gv, kind))] = kind + "List"
	}
	var stored []runtime.Object
	for _, text := range objects {
		stored = append(stored, object(t, text))
	}
	a := &api{t: t, dyn: fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, stored...)}
	a.dyn.PrependReactor("patch", "*", a.apply)
	a.c = &Cluster{Dynamic: a.dyn, Every: time.Millisecond, Say: func(line string) { a.said = append(a.said, line) }}
	return a
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

func (a *api) apply(action k8stesting.Action) (bool, runtime.Object, error) {
	p := action.(k8stesting.PatchAction)
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(p.GetPatch()); err != nil { // numbers as the API's client has them
		a.t.Fatal(err)
	}
	if u.GetKind() == a.fail {
		return true, nil, errors.New(`deployments.apps is forbidden: User "me" cannot patch resource "deployments"`)
	}
	switch u.GetKind() {
	case "Deployment", "StatefulSet":
		u.Object["status"] = map[string]any{"updatedReplicas": int64(1), "availableReplicas": int64(1), "replicas": int64(1)}
	case "CustomResourceDefinition":
		u.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Established", "status": "True"}}}
	}
	tracker, at := a.dyn.Tracker(), p.GetResource()
	if tracker.Create(at, u, p.GetNamespace()) != nil {
		if err := tracker.Update(at, u, p.GetNamespace()); err != nil {
			a.t.Fatal(err)
		}
	}
	return true, u, nil
}

func (a *api) has(kind, namespace, name string) bool {
	gv := map[string]string{"Deployment": "apps/v1", "CustomResourceDefinition": "apiextensions.k8s.io/v1"}[kind]
	if gv == "" {
		gv = "v1"
	}
	k := schema.FromAPIVersionAndKind(gv, kind)
	_, err := a.c.get(a.t.Context(), ref{k.Group, k.Version, k.Kind, namespace, name})
	return err == nil
}

const (
	definition = `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: widgets.shop.example}, spec: {group: shop.example, names: {plural: widgets}, versions: [{name: v1, served: true}]}}`
	deployment = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: heddled, namespace: mesh}, spec: {replicas: 1, selector: {matchLabels: {app: heddled}}}}`
	service    = `{apiVersion: v1, kind: Service, metadata: {name: heddled, namespace: mesh}}`
	other      = `{apiVersion: v1, kind: Service, metadata: {name: other, namespace: mesh}}`
)

func (a *api) plan(release string, objects ...string) Plan {
	r := &charts.Rendered{Definitions: []*unstructured.Unstructured{object(a.t, definition)}}
	for _, o := range objects {
		r.Objects = append(r.Objects, object(a.t, o))
	}
	return Plan{Release: release, Namespace: "mesh", Version: "v1", Rendered: r, Definitions: true, Wait: true}
}

func (a *api) install(release string, objects ...string) {
	a.t.Helper()
	if err := a.c.Install(a.t.Context(), a.plan(release, objects...)); err != nil {
		a.t.Fatal(err)
	}
}

func (a *api) uninstall(o Removal) error {
	o.Namespace = "mesh"
	if o.Release == "" {
		o.Release = "heddle"
	}
	return a.c.Uninstall(a.t.Context(), o)
}

func TestInstallUpgradeUninstall(t *testing.T) {
	a := newAPI(t)
	a.install("heddle", service, other, deployment)
	a.install("heddle", service, deployment)
	if a.has("Service", "mesh", "other") || !a.has("Service", "mesh", "heddled") {
		t.Error("an upgrade removes what is not part of it any more, and nothing else")
	}
	if err := a.uninstall(Removal{}); err != nil {
		t.Fatal(err)
	}
	for _, r := range [][3]string{{"Namespace", "", "mesh"}, {"Service", "mesh", "heddled"}, {"Deployment", "mesh", "heddled"}, {"CustomResourceDefinition", "", "widgets.shop.example"}, {"ConfigMap", "mesh", "heddle-inventory"}} {
		if a.has(r[0], r[1], r[2]) {
			t.Errorf("%v is left", r)
		}
	}
	if err := a.uninstall(Removal{}); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
}

func TestWhatOthersHaveStays(t *testing.T) {
	a := newAPI(t, definition, `{apiVersion: v1, kind: Namespace, metadata: {name: mesh}}`)
	a.install("heddle", service)
	if err := a.uninstall(Removal{}); err != nil || !a.has("Namespace", "", "mesh") || !a.has("CustomResourceDefinition", "", "widgets.shop.example") {
		t.Error("a namespace and a definition that were there before go too; ", err)
	}
}

func TestTheAuthorityGoesUnlessItWasGiven(t *testing.T) {
	a := newAPI(t, `{apiVersion: v1, kind: Namespace, metadata: {name: mesh}}`, `{apiVersion: v1, kind: Secret, metadata: {name: made, namespace: mesh, labels: {heddle.dev/made-by: heddled}}}`,
		`{apiVersion: v1, kind: Secret, metadata: {name: given, namespace: mesh}}`)
	a.install("heddle", service)
	if err := a.uninstall(Removal{}); err != nil || a.has("Secret", "mesh", "made") || !a.has("Secret", "mesh", "given") {
		t.Error(err)
	}
}

func TestUsedDefinitionsStay(t *testing.T) {
	widget := `{apiVersion: shop.example/v1, kind: Widget, metadata: {name: mine, namespace: shop}}`
	a := newAPI(t, widget)
	a.install("heddle", service)
	if err := a.uninstall(Removal{}); err != nil || !a.has("CustomResourceDefinition", "", "widgets.shop.example") || !slices.ContainsFunc(a.said, func(s string) bool { return strings.Contains(s, "--purge") }) {
		t.Error(err, a.said)
	}
	b := newAPI(t, widget)
	b.install("heddle", service)
	if err := b.uninstall(Removal{Purge: true}); err != nil || b.has("CustomResourceDefinition", "", "widgets.shop.example") {
		t.Error(err, b.said)
	}
}

func TestTheLastRevisionTakesWhatIsShared(t *testing.T) {
	a := newAPI(t)
	a.install("heddle", service)
	a.install("heddle-canary", other)
	if err := a.uninstall(Removal{}); err != nil || !a.has("Namespace", "", "mesh") || !a.has("CustomResourceDefinition", "", "widgets.shop.example") || !a.has("Service", "mesh", "other") || a.has("Service", "mesh", "heddled") {
		t.Fatal(err, a.said)
	}
	if err := a.uninstall(Removal{Release: "heddle-canary"}); err != nil || a.has("Namespace", "", "mesh") || a.has("CustomResourceDefinition", "", "widgets.shop.example") {
		t.Error(err, a.said)
	}
}

// A volume holds what users wrote: it goes when somebody asks for that, and not by the way.
func TestVolumesStay(t *testing.T) {
	const claim = `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: mesh}}`
	const set = `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: api, namespace: mesh}, spec: {replicas: 1}}`
	a := newAPI(t)
	a.install("heddle", claim, set, service)
	a.install("heddle", service)
	if !a.has("PersistentVolumeClaim", "mesh", "data") || a.has("StatefulSet", "mesh", "api") {
		t.Error("an upgrade without the API removes its volume, or not the API")
	}
	if err := a.uninstall(Removal{}); err != nil || !a.has("PersistentVolumeClaim", "mesh", "data") || a.has("Service", "mesh", "heddled") || !slices.ContainsFunc(a.said, func(s string) bool { return strings.Contains(s, "PersistentVolumeClaim mesh/data") }) {
		t.Error(err, a.said)
	}
	a.install("heddle", claim, set, service)
	a.install("heddle-canary", other)
	if err := a.uninstall(Removal{}); err != nil || !a.has("PersistentVolumeClaim", "mesh", "data") {
		t.Error(err, a.said)
	}
	if err := a.uninstall(Removal{Release: "heddle-canary"}); err != nil || !a.has("PersistentVolumeClaim", "mesh", "data") {
		t.Error(err, a.said)
	}
	if err := a.uninstall(Removal{Purge: true}); err != nil || a.has("PersistentVolumeClaim", "mesh", "data") || a.has("Namespace", "", "mesh") {
		t.Error(err, a.said)
	}
}

func TestPodsThatEndHoldNothingUp(t *testing.T) {
	const pod = `{apiVersion: v1, kind: Pod, metadata: {name: %, namespace: shop, annotations: {sidecar.istio.io/status: "{}", istio.io/rev: default}`
	a := newAPI(t, strings.Replace(pod, "%", "once", 1)+`}, status: {phase: Succeeded}}`, strings.Replace(pod, "%", "ends", 1)+`, deletionTimestamp: "2026-01-01T00:00:00Z"}}`)
	a.install("heddle", service, `{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: injector, labels: {istio.io/rev: default}}}`)
	if err := a.uninstall(Removal{}); err != nil {
		t.Error(err)
	}
}

func TestPodsWithProxies(t *testing.T) {
	a := newAPI(t, `{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, annotations: {sidecar.istio.io/status: "{}", istio.io/rev: default}}}`)
	a.install("heddle", service, `{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: injector, labels: {istio.io/rev: default}}}`)
	if err := a.uninstall(Removal{}); err == nil || !strings.Contains(err.Error(), "1 in shop") || !a.has("Service", "mesh", "heddled") {
		t.Error(err)
	}
	if err := a.uninstall(Removal{Proxies: true}); err != nil || a.has("Service", "mesh", "heddled") {
		t.Error(err)
	}
}

func TestABrokenInstallationCanBeRemoved(t *testing.T) {
	a := newAPI(t)
	a.fail = "Deployment"
	if err := a.c.Install(t.Context(), a.plan("heddle", service, deployment)); err == nil || !strings.Contains(err.Error(), "apply Deployment mesh/heddled") || !strings.Contains(err.Error(), `cannot patch resource "deployments"`) {
		t.Fatal(err)
	}
	if err := a.uninstall(Removal{}); err != nil || a.has("Service", "mesh", "heddled") || a.has("Namespace", "", "mesh") {
		t.Error(err)
	}
}

func TestWaitingSaysWhy(t *testing.T) {
	broken := strings.Replace(deployment, "replicas: 1", "replicas: 2", 1)
	a := newAPI(t, `{apiVersion: v1, kind: Pod, metadata: {name: heddled-1, namespace: mesh, labels: {app: heddled}}, status: {containerStatuses: [{name: heddled, image: "x:1", state: {waiting: {reason: ErrImagePull, message: no such host}}}]}}`)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := a.c.Install(ctx, a.plan("heddle", broken))
	if want := "Deployment mesh/heddled is not ready: 1 of 2 pods of heddled are ready (container heddled of pod heddled-1: the image x:1 cannot be had)"; err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

func TestWaitingSaysWhyNoNodeTakesAPod(t *testing.T) {
	a := newAPI(t, `{apiVersion: v1, kind: Pod, metadata: {name: api-0, namespace: mesh, labels: {app: api}}, status: {conditions: [{type: PodScheduled, status: "False", message: pod has unbound immediate PersistentVolumeClaims}]}}`)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := a.c.Install(ctx, a.plan("heddle", `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: api, namespace: mesh}, spec: {replicas: 2, selector: {matchLabels: {app: api}}}}`))
	if want := "StatefulSet mesh/api is not ready: 1 of 2 pods of api are ready (pod api-0: pod has unbound immediate PersistentVolumeClaims)"; err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

func TestRefusals(t *testing.T) {
	a := newAPI(t, `{apiVersion: v1, kind: Namespace, metadata: {name: mesh, deletionTimestamp: "2026-01-01T00:00:00Z"}}`)
	if err := a.c.Install(t.Context(), a.plan("heddle", service)); err == nil || !strings.Contains(err.Error(), "is being removed") {
		t.Error(err)
	}
	a = newAPI(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: heddle-inventory, namespace: mesh}, data: {inventory.json: '{"format": 2, "version": "v9"}'}}`)
	if err := a.c.Install(t.Context(), a.plan("heddle", service)); err == nil || !strings.Contains(err.Error(), "newer heddle") {
		t.Error(err)
	}
	p := a.plan("other", service)
	p.Rendered.Definitions, p.Rendered.Elsewhere = nil, true
	if err := a.c.Install(t.Context(), p); err != nil {
		t.Error("another API has the definitions: ", err)
	}
	p.Rendered.Elsewhere = false
	if err := a.c.Install(t.Context(), p); err == nil || !strings.Contains(err.Error(), "--crds=false") {
		t.Error(err)
	}
}
