package install

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/heddle-mesh/heddle/control/deploy"
)

// ErrNone says that there is nothing to remove.
var ErrNone = errors.New("not installed")

var deployments = schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}

// madeBy is the label of what the control plane makes itself; such objects are owned by the ClusterRole and go with it.
const madeBy = "heddle.dev/made-by"

// Removal says how far removing goes.
type Removal struct {
	Release, Namespace string
	Proxies            bool // also when pods have proxies, which would be left alone
	Purge              bool // also what users wrote: definitions of which there are objects, with those objects, and the volume of the mesh's own API
}

// Uninstall removes what an installation applied, in the opposite order, and waits until it is gone.
func (c *Cluster) Uninstall(ctx context.Context, o Removal) error {
	have, err := c.inventory(ctx, o.Namespace, o.Release)
	if err != nil {
		return err
	}
	if have == nil {
		return fmt.Errorf("%s in namespace %s: %w", o.Release, o.Namespace, ErrNone)
	}
	if !o.Proxies {
		if err := c.orphans(ctx, have, o.Namespace); err != nil {
			return err
		}
	}
	// One kind after the other, each waited for: the control plane must be gone before what it would write anew, and node agents take their plug-in from the nodes.
	going, kept := have.Objects, []ref(nil)
	if !o.Purge {
		going, kept = divide(have.Objects, ref.holdsData)
	}
	if err := c.removeAll(ctx, going); err != nil {
		return err
	}
	rest, err := c.Releases(ctx, o.Namespace)
	if err != nil {
		return err
	}
	if rest = slices.DeleteFunc(rest, func(name string) bool { return name == o.Release }); len(rest) > 0 {
		c.Say("definitions and namespace stay, since there are other revisions: " + strings.Join(rest, ", "))
		if err := c.bequeath(ctx, o, have, rest[0]); err != nil {
			return err
		}
		return c.end(ctx, o, have, kept, false)
	}
	if err := c.remove(ctx, ref{Group: "coordination.k8s.io", Version: "v1", Kind: "Lease", Namespace: o.Namespace, Name: "heddled-leader"}); err != nil {
		return err
	}
	if err := c.distrust(ctx, o.Namespace); err != nil {
		return err
	}
	if err := c.collected(ctx); err != nil {
		return err
	}
	if err := c.undefine(ctx, have.Definitions, o.Purge); err != nil {
		return err
	}
	return c.end(ctx, o, have, kept, have.MadeNamespace)
}

// end removes the inventory, and the namespace with it. While something is kept both stay, so that it can be removed later.
func (c *Cluster) end(ctx context.Context, o Removal, have *inventory, kept []ref, namespace bool) error {
	if len(kept) == 0 {
		return c.forget(ctx, o, namespace)
	}
	c.Say(fmt.Sprintf("kept, because it holds what users wrote (a new installation goes on with it, --purge removes it): %s", kept[0]))
	have.Objects, have.Definitions = kept, nil
	return c.writeInventory(ctx, o.Namespace, o.Release, have)
}

// removeAll removes objects in the opposite order, and waits until they are gone.
func (c *Cluster) removeAll(ctx context.Context, objects []ref) error {
	for _, r := range slices.Backward(objects) {
		if err := c.remove(ctx, r); err != nil {
			return err
		}
		if r.Kind == "Deployment" || r.Kind == "StatefulSet" || r.Kind == "DaemonSet" { // whose pods need their rights to the end
			if err := c.vanish(ctx, r); err != nil {
				return err
			}
		}
	}
	for _, r := range objects {
		if err := c.vanish(ctx, r); err != nil {
			return err
		}
	}
	c.Say(fmt.Sprintf("%d objects are gone", len(objects)))
	return nil
}

// divide gives the objects that are not kept, and those that are, in their order.
func divide(all []ref, keep func(ref) bool) (going, kept []ref) {
	for _, r := range all {
		if keep(r) {
			kept = append(kept, r)
		} else {
			going = append(going, r)
		}
	}
	return going, kept
}

// forget removes the inventory, which comes last so that removing can be resumed, and the namespace.
func (c *Cluster) forget(ctx context.Context, o Removal, namespace bool) error {
	last := []ref{{Version: "v1", Kind: "ConfigMap", Namespace: o.Namespace, Name: inventoryName(o.Release)}}
	if namespace {
		last = append(last, ref{Version: "v1", Kind: "Namespace", Name: o.Namespace})
	}
	for _, r := range last {
		if err := c.remove(ctx, r); err != nil {
			return err
		}
		if err := c.vanish(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// bequeath leaves to another revision what both use and this one brought, so that the last one to go takes it along.
func (c *Cluster) bequeath(ctx context.Context, o Removal, have *inventory, to string) error {
	heir, err := c.inventory(ctx, o.Namespace, to)
	if err != nil {
		return err
	}
	if heir != nil {
		heir.MadeNamespace = heir.MadeNamespace || have.MadeNamespace
		for _, name := range have.Definitions {
			if !slices.Contains(heir.Definitions, name) {
				heir.Definitions = append(heir.Definitions, name)
			}
		}
		return c.writeInventory(ctx, o.Namespace, to, heir)
	}
	return nil
}

// orphans refuses when pods have proxies of this installation: they would go on without anybody who renews their certificates.
func (c *Cluster) orphans(ctx context.Context, have *inventory, namespace string) error {
	revision := "default"
	for _, r := range have.Objects {
		if r.Kind == "MutatingWebhookConfiguration" {
			if u, err := c.get(ctx, r); err == nil {
				revision = u.GetLabels()["istio.io/rev"]
			}
		}
	}
	list, err := c.at(pods, "").List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("look for pods with proxies: %w", err)
	}
	counts := map[string]int{}
	for _, p := range list.Items {
		phase, _, _ := unstructured.NestedString(p.Object, "status", "phase")
		if p.GetDeletionTimestamp() != nil || phase == "Succeeded" || phase == "Failed" {
			continue // it needs no certificate any more
		}
		if p.GetAnnotations()["sidecar.istio.io/status"] != "" && p.GetAnnotations()["istio.io/rev"] == revision && p.GetNamespace() != namespace {
			counts[p.GetNamespace()]++
		}
	}
	if len(counts) == 0 {
		return nil
	}
	var where []string
	for ns, n := range counts {
		where = append(where, fmt.Sprintf("%d in %s", n, ns))
	}
	slices.Sort(where)
	return fmt.Errorf("pods have proxies of this installation (%s): take the labels istio-injection and istio.io/rev from their namespaces and restart them, or give --force", strings.Join(where, ", "))
}

func (c *Cluster) vanish(ctx context.Context, r ref) error {
	return c.wait(ctx, func(ctx context.Context) (string, error) {
		_, err := c.get(ctx, r)
		switch {
		case err == nil:
			return r.String() + " goes", nil
		case gone(errors.Unwrap(err)):
			return "", nil
		}
		return "", err
	})
}

// distrust removes the authority that the control plane made; one that was given stays.
func (c *Cluster) distrust(ctx context.Context, namespace string) error {
	list, err := c.at(schema.GroupVersionKind{Version: "v1", Kind: "Secret"}, namespace).List(ctx, metav1.ListOptions{LabelSelector: madeBy + "=heddled"})
	if err != nil {
		return fmt.Errorf("look for the authority: %w", err)
	}
	for _, s := range list.Items {
		if err := c.remove(ctx, ref{Version: "v1", Kind: "Secret", Namespace: namespace, Name: s.GetName()}); err != nil {
			return err
		}
	}
	return nil
}

// collected waits until the cluster has removed what the control plane made and its ClusterRole owned.
func (c *Cluster) collected(ctx context.Context) error {
	return c.wait(ctx, func(ctx context.Context) (string, error) {
		list, err := c.at(configMaps, "").List(ctx, metav1.ListOptions{LabelSelector: madeBy + "=heddled"})
		if err != nil {
			return "", fmt.Errorf("look for what the control plane made: %w", err)
		}
		if n := len(list.Items); n > 0 {
			return fmt.Sprintf("the cluster removes %d ConfigMaps of the control plane", n), nil
		}
		if list, err = c.at(deployments, "").List(ctx, metav1.ListOptions{LabelSelector: deploy.ManagedLabel + "=" + deploy.ManagedBy}); err != nil {
			return "", fmt.Errorf("look for workloads of gateways: %w", err)
		}
		n := 0
		for _, d := range list.Items {
			if slices.ContainsFunc(d.GetOwnerReferences(), func(o metav1.OwnerReference) bool { return o.Kind == "ClusterRole" }) {
				n++
			}
		}
		if n > 0 {
			return fmt.Sprintf("the cluster removes %d Deployments of gateways", n), nil
		}
		return "", nil
	})
}

// undefine removes the definitions that came with Heddle, unless somebody has objects of them.
func (c *Cluster) undefine(ctx context.Context, names []string, purge bool) error {
	definitions := schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}
	var kept []string
	var removed []ref
	for _, name := range names {
		r := ref{definitions.Group, definitions.Version, definitions.Kind, "", name}
		u, err := c.get(ctx, r)
		if err != nil {
			if gone(errors.Unwrap(err)) {
				continue
			}
			return err
		}
		used, err := c.used(ctx, u)
		if err != nil {
			return err
		}
		if used && !purge {
			kept = append(kept, name)
			continue
		}
		if err := c.remove(ctx, r); err != nil {
			return err
		}
		removed = append(removed, r)
	}
	for _, r := range removed {
		if err := c.vanish(ctx, r); err != nil {
			return err
		}
	}
	if len(removed) > 0 {
		c.Say(fmt.Sprintf("%d definitions are gone", len(removed)))
	}
	if len(kept) > 0 {
		c.Say("kept, because there are objects of them (--purge removes both): " + strings.Join(kept, ", "))
	}
	return nil
}
