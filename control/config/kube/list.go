package kube

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/heddle-mesh/heddle/api"
)

// pageSize is how many objects are asked for at a time. All Pods of a cluster at once would be most of what heddled ever holds, and what they leave between what stays
// would stay for good.
const pageSize = 250

// list reads all objects of a kind, page by page, and keeps of each what is read. The version that the caller would be content with is left out: from its cache the API gives
// all objects at once, whatever the limit.
func list(ctx context.Context, k *api.Kind, read func(context.Context, metav1.ListOptions) (*unstructured.UnstructuredList, error), o metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	o.Limit, o.ResourceVersion, o.ResourceVersionMatch, o.Continue = pageSize, "", "", ""
	var all *unstructured.UnstructuredList
	for {
		page, err := read(ctx, o)
		if err != nil {
			return nil, err
		}
		for i := range page.Items {
			slim(k, &page.Items[i])
		}
		if all == nil {
			all = page
		} else {
			all.Items = append(all.Items, page.Items...)
			all.SetResourceVersion(page.GetResourceVersion())
		}
		if o.Continue = page.GetContinue(); o.Continue == "" {
			all.SetContinue("")
			return all, nil
		}
	}
}

// slim takes away what nobody reads: who wrote which field, and of a Pod all that trimPod does not keep.
func slim(k *api.Kind, u *unstructured.Unstructured) {
	unstructured.RemoveNestedField(u.Object, "metadata", "managedFields")
	if k.Group != api.GroupCore || k.Kind != "Pod" {
		return
	}
	keep(u.Object, "spec", "nodeName", "serviceAccountName", "hostNetwork", "initContainers", "containers")
	keep(u.Object, "status", "phase", "podIP", "podIPs")
	spec, _ := u.Object["spec"].(map[string]any)
	for _, field := range []string{"initContainers", "containers"} {
		containers, _ := spec[field].([]any)
		for i := range containers {
			if c, ok := containers[i].(map[string]any); ok {
				containers[i] = only(c, "name", "ports")
			}
		}
	}
}

// keep leaves an object's field with those of its own fields that are named.
func keep(o map[string]any, field string, names ...string) {
	if m, ok := o[field].(map[string]any); ok {
		o[field] = only(m, names...)
	}
}

func only(m map[string]any, names ...string) map[string]any {
	out := map[string]any{}
	for _, name := range names {
		if v, ok := m[name]; ok {
			out[name] = v
		}
	}
	return out
}
