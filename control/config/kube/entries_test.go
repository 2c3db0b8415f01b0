package kube

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	k8stesting "k8s.io/client-go/testing"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
)

var workloadEntries = schema.GroupVersionResource{Group: api.GroupNetworking, Version: "v1", Resource: "workloadentries"}

// The entry of a workload is made with its owner, changed only as it was read, and removed only if it is still that one.
func TestEntries(t *testing.T) {
	l := newLab(t)
	e := Entries{Source: l.src}
	owner := api.Object{Kind: api.Find(api.GroupNetworking, "WorkloadGroup"), Meta: api.Meta{Name: "vms", Namespace: "shop", UID: "u-1"}}
	o := api.Object{Kind: api.Find(api.GroupNetworking, "WorkloadEntry"), Meta: api.Meta{Name: "vms-1", Namespace: "shop", Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"a": "1", "b": "2"}},
		Spec: &networking.WorkloadEntry{Address: "10.0.0.1", Ports: map[string]uint32{"http": 80}}}
	ctx := context.Background()
	if _, err := e.Read(ctx, o.Ref()); !errors.Is(err, config.ErrGone) {
		t.Fatal(err)
	}
	if err := e.Create(ctx, o, owner); err != nil {
		t.Fatal(err)
	}
	if err := e.Create(ctx, o, owner); !errors.Is(err, config.ErrExists) {
		t.Error(err)
	}
	u, err := l.dyn.Resource(workloadEntries).Namespace("shop").Get(ctx, "vms-1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if refs := u.GetOwnerReferences(); len(refs) != 1 || refs[0].UID != "u-1" || refs[0].Kind != "WorkloadGroup" || refs[0].APIVersion != "networking.istio.io/v1" || !*refs[0].Controller {
		t.Errorf("%+v", refs)
	}
	o, err = e.Read(ctx, o.Ref())
	if err != nil || o.Spec.(*networking.WorkloadEntry).GetPorts()["http"] != 80 || o.Meta.Labels["app"] != "web" {
		t.Fatal(err, o)
	}
	o.Meta.ResourceVersion = "7"
	var patches []string
	l.dyn.PrependReactor("patch", "workloadentries", func(a k8stesting.Action) (bool, runtime.Object, error) {
		p := a.(k8stesting.PatchAction)
		patches = append(patches, p.GetSubresource()+" "+string(p.GetPatch()))
		return false, nil, nil
	})
	if err := e.Annotate(ctx, o, map[string]string{"a": "", "c": "3"}); err != nil {
		t.Fatal(err)
	}
	if err := e.WriteStatus(ctx, o, map[string]any{"conditions": []any{}}); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{` {"metadata":{"annotations":{"a":null,"c":"3"},"resourceVersion":"7"}}`, `status {"metadata":{"resourceVersion":"7"},"status":{"conditions":[]}}`} {
		if patches[i] != want {
			t.Errorf("%s, want %s", patches[i], want)
		}
	}
	var deletes []string
	l.dyn.PrependReactor("delete", "workloadentries", func(a k8stesting.Action) (bool, runtime.Object, error) {
		raw, _ := json.Marshal(a.(k8stesting.DeleteActionImpl).DeleteOptions.Preconditions)
		deletes = append(deletes, string(raw))
		if len(deletes) == 1 {
			return true, nil, apierrors.NewConflict(workloadEntries.GroupResource(), "vms-1", errors.New("changed"))
		}
		return false, nil, nil
	})
	o.Meta.UID = "u-2"
	if err := e.Delete(ctx, o); !errors.Is(err, config.ErrStale) {
		t.Error(err)
	}
	if err := e.Delete(ctx, o); err != nil || deletes[1] != `{"uid":"u-2","resourceVersion":"7"}` {
		t.Error(err, deletes)
	}
	if err := e.Delete(ctx, o); !errors.Is(err, config.ErrGone) {
		t.Error(err)
	}
}
