package kube

import (
	"errors"
	"log/slog"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	k8stesting "k8s.io/client-go/testing"
)

func serviceOf(name string, marks map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": name, "namespace": "shop", "labels": marks}}}
}

func TestDeploy(t *testing.T) {
	ours := map[string]any{"made-by": "us"}
	dyn := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{services: "ServiceList"},
		serviceOf("foreign", nil), serviceOf("left-over", ours), serviceOf("stays", ours))
	var mu sync.Mutex
	broken, applied, looked := true, 0, 0
	dyn.PrependReactor("patch", "*", func(a k8stesting.Action) (bool, runtime.Object, error) {
		p, u := a.(k8stesting.PatchAction), &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(p.GetPatch()); err != nil {
			return true, nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		if broken {
			broken = false
			return true, nil, errors.New("the API is away")
		}
		applied++
		return true, u, dyn.Tracker().Add(u)
	})
	want, known, changed := []*unstructured.Unstructured(nil), false, make(chan struct{}, 1)
	go (&Client{dynamic: dyn}).Deploy(t.Context(), Deployment{Mark: map[string]string{"made-by": "us"}, Kinds: []schema.GroupVersionKind{{Version: "v1", Kind: "Service"}}, Changed: changed,
		Want: func() (Wanted, bool) {
			mu.Lock()
			defer mu.Unlock()
			looked++
			return Wanted{want, []types.NamespacedName{{Namespace: "shop", Name: "stays"}}}, known
		}}, slog.New(slog.DiscardHandler))
	has := func(name string) bool {
		_, err := dyn.Resource(services).Namespace("shop").Get(t.Context(), name, metav1.GetOptions{})
		return err == nil
	}
	within(t, "a look", func() bool { mu.Lock(); defer mu.Unlock(); return looked > 0 })
	changed <- struct{}{}
	within(t, "another, so that the first is over", func() bool { mu.Lock(); defer mu.Unlock(); return looked > 1 })
	if !has("left-over") {
		t.Fatal("before it is known what is wanted, something is removed")
	}
	mu.Lock()
	want, known = []*unstructured.Unstructured{serviceOf("front", ours), serviceOf("foreign", ours)}, true
	mu.Unlock()
	changed <- struct{}{}
	within(t, "what is wanted, after the API was away", func() bool { return has("front") })
	within(t, "what is not wanted goes", func() bool { return !has("left-over") })
	if !has("stays") {
		t.Error("what is to stay as it is went")
	}
	if u, err := dyn.Resource(services).Namespace("shop").Get(t.Context(), "foreign", metav1.GetOptions{}); err != nil || len(u.GetLabels()) > 0 {
		t.Errorf("an object of somebody else was changed: %v %v", u, err)
	}
	mu.Lock()
	want = nil
	mu.Unlock()
	changed <- struct{}{}
	within(t, "a gateway that goes", func() bool { return !has("front") })
	mu.Lock()
	defer mu.Unlock()
	if applied != 1 || !has("foreign") {
		t.Errorf("applied %d times, want once", applied)
	}
}
