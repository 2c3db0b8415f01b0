// Package install puts Heddle into a Kubernetes cluster and takes it out again.
//
// In: what charts rendered. Out: objects applied by server-side apply, waited for, and written down in an inventory inside the cluster, from which uninstalling
// knows what to remove. Safe to run again: a second installation is an upgrade.
package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// fieldManager names the installation in the API's records of who wrote what.
const fieldManager = "heddle-install"

// Cluster is where to install.
type Cluster struct {
	Dynamic dynamic.Interface
	Say     func(string)  // progress, one line at a time
	Every   time.Duration // between two looks at what is waited for; 0 is half a second
}

// resource is where the API has a kind. The kinds of the chart all have the regular plural.
func resource(gvk schema.GroupVersionKind) schema.GroupVersionResource {
	plural, _ := meta.UnsafeGuessKindToResource(gvk)
	return plural
}

func (c *Cluster) at(gvk schema.GroupVersionKind, namespace string) dynamic.ResourceInterface {
	r := c.Dynamic.Resource(resource(gvk))
	if namespace == "" {
		return r
	}
	return r.Namespace(namespace)
}

func (c *Cluster) apply(ctx context.Context, u *unstructured.Unstructured) error {
	_, err := c.at(u.GroupVersionKind(), u.GetNamespace()).Apply(ctx, u.GetName(), u, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	if err != nil {
		return fmt.Errorf("apply %s: %w", refOf(u), err)
	}
	return nil
}

func (c *Cluster) get(ctx context.Context, r ref) (*unstructured.Unstructured, error) {
	u, err := c.at(r.kind(), r.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", r, err)
	}
	return u, nil
}

// remove deletes an object and what it owns; one that is gone is fine.
func (c *Cluster) remove(ctx context.Context, r ref) error {
	err := c.at(r.kind(), r.Namespace).Delete(ctx, r.Name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationForeground)})
	if err != nil && !gone(err) {
		return fmt.Errorf("remove %s: %w", r, err)
	}
	return nil
}

// gone says that there is no such object, or no such kind.
func gone(err error) bool { return apierrors.IsNotFound(err) || meta.IsNoMatchError(err) }

// patience is how long something is waited for before it is said.
const patience = 2 * time.Second

// wait asks until it is done, and says what it waits for when that takes a while. The last reason becomes the error.
func (c *Cluster) wait(ctx context.Context, done func(context.Context) (reason string, err error)) error {
	every := cmp.Or(c.Every, 500*time.Millisecond)
	last, since, said := "", time.Now(), false
	for {
		reason, err := done(ctx)
		switch {
		case ctx.Err() != nil && last != "":
			return errors.New(last)
		case err != nil:
			return err
		case reason == "":
			return nil
		case reason != last:
			last, since, said = reason, time.Now(), false
		case !said && time.Since(since) > patience:
			c.Say("  waiting: " + reason)
			said = true
		}
		select {
		case <-ctx.Done():
			return errors.New(reason)
		case <-time.After(every):
		}
	}
}
