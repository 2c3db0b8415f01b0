package kube

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/mesh"
)

// Entries writes the objects of workloads that register themselves. Every change is bound to the version that was read.
type Entries struct{ Source *Source }

// at is where the objects of a kind are, in the version that is watched.
func (e Entries) at(k *api.Kind, namespace string) dynamic.ResourceInterface {
	resource, ok := e.Source.Served(k)
	if !ok {
		resource = schema.GroupVersionResource{Group: k.Group, Version: k.Version, Resource: k.Plural}
	}
	return e.Source.client.dynamic.Resource(resource).Namespace(namespace)
}

// Read gives an object as it is in the API now.
func (e Entries) Read(ctx context.Context, ref mesh.Ref) (api.Object, error) {
	k := api.Find(ref.Group, ref.Kind)
	u, err := e.at(k, string(ref.Namespace)).Get(ctx, ref.Name, metav1.GetOptions{})
	if err != nil {
		return api.Object{}, e.failed("read", ref, err)
	}
	o, _ := decode(k, u)
	return o, nil
}

// Create makes an object that goes when its owner goes.
func (e Entries) Create(ctx context.Context, o, owner api.Object) error {
	spec, err := json.Marshal(o.Spec)
	if err != nil {
		return fmt.Errorf("create %s: %w", o.Ref(), err)
	}
	fields := map[string]any{}
	if err := json.Unmarshal(spec, &fields); err != nil {
		return fmt.Errorf("create %s: %w", o.Ref(), err)
	}
	u := &unstructured.Unstructured{Object: map[string]any{"spec": fields}}
	u.SetAPIVersion(o.Kind.APIVersion())
	u.SetKind(o.Kind.Kind)
	u.SetName(o.Meta.Name)
	u.SetNamespace(o.Meta.Namespace)
	u.SetLabels(o.Meta.Labels)
	u.SetAnnotations(o.Meta.Annotations)
	if owner.Meta.UID != "" {
		u.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: owner.Kind.APIVersion(), Kind: owner.Kind.Kind, Name: owner.Meta.Name, UID: types.UID(owner.Meta.UID), Controller: new(true)}})
	}
	_, err = e.at(o.Kind, o.Meta.Namespace).Create(ctx, u, metav1.CreateOptions{FieldManager: fieldManager})
	return e.failed("create", o.Ref(), err)
}

// Annotate sets annotations; an empty value removes one.
func (e Entries) Annotate(ctx context.Context, o api.Object, set map[string]string) error {
	marks := map[string]any{}
	for k, v := range set {
		if marks[k] = v; v == "" {
			marks[k] = nil
		}
	}
	return e.patch(ctx, o, map[string]any{"metadata": map[string]any{"resourceVersion": o.Meta.ResourceVersion, "annotations": marks}})
}

// WriteStatus makes the status of an object this one.
func (e Entries) WriteStatus(ctx context.Context, o api.Object, status map[string]any) error {
	return e.patch(ctx, o, map[string]any{"metadata": map[string]any{"resourceVersion": o.Meta.ResourceVersion}, "status": status}, "status")
}

func (e Entries) patch(ctx context.Context, o api.Object, change map[string]any, part ...string) error {
	patch, err := json.Marshal(change)
	if err != nil {
		return fmt.Errorf("change %s: %w", o.Ref(), err)
	}
	_, err = e.at(o.Kind, o.Meta.Namespace).Patch(ctx, o.Meta.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}, part...)
	return e.failed("change", o.Ref(), err)
}

// Delete removes an object, if it is still the one that was read.
func (e Entries) Delete(ctx context.Context, o api.Object) error {
	err := e.at(o.Kind, o.Meta.Namespace).Delete(ctx, o.Meta.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: new(types.UID(o.Meta.UID)), ResourceVersion: new(o.Meta.ResourceVersion)}})
	return e.failed("delete", o.Ref(), err)
}

// failed is an error in the words of config.
func (e Entries) failed(what string, ref mesh.Ref, err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsNotFound(err):
		return config.ErrGone
	case apierrors.IsConflict(err):
		return config.ErrStale
	case apierrors.IsAlreadyExists(err):
		return config.ErrExists
	}
	return fmt.Errorf("%s %s: %w", what, ref, e.Source.client.explain(err))
}
