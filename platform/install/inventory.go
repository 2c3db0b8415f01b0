package install

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// format is the version of the inventory; a newer one is refused.
const format = 1

// inventoryLabel marks the ConfigMaps that hold inventories.
const inventoryLabel = "heddle.dev/inventory"

// ref names one object that was applied.
type ref struct {
	Group     string `json:"group,omitempty"`
	Version   string `json:"version"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

func refOf(u *unstructured.Unstructured) ref {
	g := u.GroupVersionKind()
	return ref{g.Group, g.Version, g.Kind, u.GetNamespace(), u.GetName()}
}

func (r ref) kind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: r.Group, Version: r.Version, Kind: r.Kind}
}

// holdsData says whether what users wrote goes with the object. Such an object goes only when that is asked for.
func (r ref) holdsData() bool { return r.Kind == "PersistentVolumeClaim" }

// String is KIND NAMESPACE/NAME.
func (r ref) String() string {
	if r.Namespace == "" {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.Namespace + "/" + r.Name
}

// inventory is what one installation consists of.
type inventory struct {
	Format        int      `json:"format"`
	Version       string   `json:"version"`       // of Heddle
	MadeNamespace bool     `json:"madeNamespace"` // the namespace was not there before
	Definitions   []string `json:"definitions"`   // CustomResourceDefinitions that were not there before
	Objects       []ref    `json:"objects"`       // in the order in which they were applied
}

var configMaps = schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}

func inventoryName(release string) string { return release + "-inventory" }

// inventory reads what an earlier installation wrote down; nil when there is none.
func (c *Cluster) inventory(ctx context.Context, namespace, release string) (*inventory, error) {
	u, err := c.get(ctx, ref{Version: "v1", Kind: "ConfigMap", Namespace: namespace, Name: inventoryName(release)})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	text, _, _ := unstructured.NestedString(u.Object, "data", "inventory.json")
	var i inventory
	if err := json.Unmarshal([]byte(text), &i); err != nil {
		return nil, fmt.Errorf("read the inventory %s/%s: %w", namespace, u.GetName(), err)
	}
	if i.Format > format {
		return nil, fmt.Errorf("the inventory %s/%s was written by a newer heddle (format %d, this one knows %d); use heddle %s", namespace, u.GetName(), i.Format, format, i.Version)
	}
	return &i, nil
}

func (c *Cluster) writeInventory(ctx context.Context, namespace, release string, i *inventory) error {
	i.Format = format
	text, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return c.apply(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": inventoryName(release), "namespace": namespace, "labels": map[string]any{inventoryLabel: release, "app.kubernetes.io/part-of": "heddle"}},
		"data":     map[string]any{"inventory.json": string(text)},
	}})
}

// Releases are the names of what is installed in a namespace.
func (c *Cluster) Releases(ctx context.Context, namespace string) (names []string, err error) {
	list, err := c.at(configMaps, namespace).List(ctx, metav1.ListOptions{LabelSelector: inventoryLabel})
	if err != nil {
		return nil, fmt.Errorf("look for installations in namespace %s: %w", namespace, err)
	}
	for _, u := range list.Items {
		names = append(names, u.GetLabels()[inventoryLabel])
	}
	slices.Sort(names)
	return names, nil
}

// union has every object once, the old ones first in their order.
func union(old, now []ref) []ref {
	all := slices.Clone(old)
	for _, r := range now {
		if !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	return all
}

// ReleaseOf is the name of the installation of a revision.
func ReleaseOf(revision string) string {
	if revision = cmp.Or(revision, "default"); revision != "default" {
		return "heddle-" + revision
	}
	return "heddle"
}
