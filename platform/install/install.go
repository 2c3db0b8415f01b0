package install

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/heddle-mesh/heddle/charts"
)

// managedBy is the label by which definitions of ours are told from those of others.
const managedBy = "app.kubernetes.io/managed-by"

// Plan is one installation.
type Plan struct {
	Release, Namespace, Version string
	Rendered                    *charts.Rendered
	Definitions                 bool // also the CustomResourceDefinitions
	Wait                        bool // until everything works
}

// Install applies a plan, and waits if the plan says so. What an earlier installation of the same name had and this one has not is removed.
func (c *Cluster) Install(ctx context.Context, p Plan) error {
	old, err := c.inventory(ctx, p.Namespace, p.Release)
	if err != nil {
		return err
	}
	now := &inventory{Version: p.Version}
	if old != nil {
		now.MadeNamespace, now.Definitions = old.MadeNamespace, old.Definitions
	}
	made, err := c.namespace(ctx, p.Namespace)
	if err != nil {
		return err
	}
	now.MadeNamespace = now.MadeNamespace || made
	var missing []*unstructured.Unstructured
	if p.Definitions && !p.Rendered.Elsewhere {
		if missing, err = c.missing(ctx, p.Rendered.Definitions); err != nil {
			return err
		}
		for _, d := range missing {
			if !slices.Contains(now.Definitions, d.GetName()) {
				now.Definitions = append(now.Definitions, d.GetName())
			}
		}
	}
	if old != nil {
		_, kept := divide(old.Objects, ref.holdsData)
		now.Objects = kept // also if it is not part of it any more
	}
	for _, u := range p.Rendered.Objects {
		if r := refOf(u); !slices.Contains(now.Objects, r) {
			now.Objects = append(now.Objects, r)
		}
	}
	// Written first, with all that may be there: an installation that breaks off can be removed.
	whole := *now
	if old != nil {
		whole.Objects = union(old.Objects, now.Objects)
	}
	if err := c.writeInventory(ctx, p.Namespace, p.Release, &whole); err != nil {
		return err
	}
	if err := c.define(ctx, missing); err != nil {
		return err
	}
	if err := c.applyAll(ctx, p.Rendered.Objects, p.Wait); err != nil {
		return err
	}
	if err := c.prune(ctx, whole.Objects, now.Objects); err != nil {
		return err
	}
	return c.writeInventory(ctx, p.Namespace, p.Release, now)
}

// applyAll applies objects in their order. It waits after each StatefulSet and Deployment: the pods of the next one may need the API or the webhook of the one before.
func (c *Cluster) applyAll(ctx context.Context, objects []*unstructured.Unstructured, wait bool) error {
	c.Say(fmt.Sprintf("%d objects", len(objects)))
	waited := 0
	for i, u := range objects {
		if err := c.apply(ctx, u); err != nil {
			return err
		}
		if wait && (u.GetKind() == "StatefulSet" || u.GetKind() == "Deployment" || i == len(objects)-1) {
			if err := c.ready(ctx, objects[waited:i+1]); err != nil {
				return err
			}
			waited = i + 1
		}
	}
	return nil
}

// namespace makes the namespace unless it is there.
func (c *Cluster) namespace(ctx context.Context, name string) (made bool, err error) {
	r := ref{Version: "v1", Kind: "Namespace", Name: name}
	u, err := c.get(ctx, r)
	switch {
	case err == nil && u.GetDeletionTimestamp() != nil:
		return false, fmt.Errorf("namespace %s is being removed; wait until it is gone, or look at its finalizers with: kubectl get namespace %s -o yaml", name, name)
	case err == nil:
		return false, nil
	case !apierrors.IsNotFound(err):
		return false, err
	}
	c.Say("namespace " + name)
	return true, c.apply(ctx, &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"name": name, "labels": map[string]any{managedBy: "heddle"}}}})
}

// missing are the definitions that are not there, and those that an earlier heddle brought. Those of others are left alone.
func (c *Cluster) missing(ctx context.Context, all []*unstructured.Unstructured) (missing []*unstructured.Unstructured, err error) {
	if len(all) == 0 {
		return nil, errors.New("this heddle was built without the CustomResourceDefinitions; build it with make, or give --crds=false and bring them yourself")
	}
	others := 0
	for _, d := range all {
		have, err := c.get(ctx, refOf(d))
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
		if err == nil && have.GetLabels()[managedBy] != "heddle" {
			others++
			continue
		}
		d = d.DeepCopy()
		labels := d.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[managedBy] = "heddle"
		d.SetLabels(labels)
		missing = append(missing, d)
	}
	if others > 0 {
		c.Say(fmt.Sprintf("%d definitions of others are left as they are", others))
	}
	return missing, nil
}

// define applies definitions and waits until the API serves them.
func (c *Cluster) define(ctx context.Context, definitions []*unstructured.Unstructured) error {
	if len(definitions) == 0 {
		return nil
	}
	c.Say(fmt.Sprintf("%d definitions of the Istio and Gateway APIs", len(definitions)))
	for _, d := range definitions {
		if err := c.apply(ctx, d); err != nil {
			return err
		}
	}
	return c.wait(ctx, func(ctx context.Context) (string, error) {
		for _, d := range definitions {
			have, err := c.get(ctx, refOf(d))
			if err != nil {
				return "", err
			}
			if condition(have, "Established") != "True" {
				return "the API serves " + d.GetName(), nil
			}
		}
		return "", nil
	})
}

func (c *Cluster) prune(ctx context.Context, before, now []ref) error {
	for _, r := range slices.Backward(before) {
		if !slices.Contains(now, r) {
			c.Say("removing " + r.String() + ", which is not part of it any more")
			if err := c.remove(ctx, r); err != nil {
				return err
			}
			if r.Kind == "DaemonSet" { // a node agent takes its plug-in from the nodes, and needs its rights for that
				if err := c.vanish(ctx, r); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// condition is the status of a condition, or "".
func condition(u *unstructured.Unstructured, name string) string {
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, x := range list {
		if m, ok := x.(map[string]any); ok && m["type"] == name {
			status, _ := m["status"].(string)
			return status
		}
	}
	return ""
}
