package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
)

// ownLabel marks what heddled made itself.
const ownLabel = "heddle.dev/made-by"

// Owners are the references to a ClusterRole: the cluster removes what has them together with the role. "" gives none.
func (c *Client) Owners(ctx context.Context, clusterRole string) ([]metav1.OwnerReference, error) {
	if clusterRole == "" {
		return nil, nil
	}
	role, err := c.typed.RbacV1().ClusterRoles().Get(ctx, clusterRole, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("find the owner of what heddled makes: %w", c.explain(err))
	}
	return []metav1.OwnerReference{{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Name: role.Name, UID: role.UID}}, nil
}

// apply is the form of owners that server-side apply takes. Each control plane is a field manager of its own, so that those of several revisions add up.
func apply(owners []metav1.OwnerReference) (manager string, list []*applymetav1.OwnerReferenceApplyConfiguration) {
	manager = fieldManager
	for _, o := range owners {
		manager = fieldManager + "-" + o.Name
		list = append(list, applymetav1.OwnerReference().WithAPIVersion(o.APIVersion).WithKind(o.Kind).WithName(o.Name).WithUID(o.UID))
	}
	return manager, list
}

// KeepSecret gives the content of a Secret. When there is none it is created with what create makes; of several replicas that do so at once, the first one's
// counts. Nothing owns it: trust must not go with a role that somebody removes.
func (c *Client) KeepSecret(ctx context.Context, namespace, name string, create func() (map[string][]byte, error)) (map[string][]byte, error) {
	secrets := c.typed.CoreV1().Secrets(namespace)
	have, err := secrets.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		content, e := create()
		if e != nil {
			return nil, e
		}
		want := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: map[string]string{ownLabel: "heddled"}}, Data: content}
		if have, err = secrets.Create(ctx, want, metav1.CreateOptions{FieldManager: fieldManager}); apierrors.IsAlreadyExists(err) {
			have, err = secrets.Get(ctx, name, metav1.GetOptions{})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("keep the Secret %s/%s: %w", namespace, name, c.explain(err))
	}
	return have.Data, nil
}

// owned says whether an object has all owners.
func owned(o metav1.Object, owners []metav1.OwnerReference) bool {
	return !slices.ContainsFunc(owners, func(want metav1.OwnerReference) bool {
		return !slices.ContainsFunc(o.GetOwnerReferences(), func(have metav1.OwnerReference) bool { return have.UID == want.UID })
	})
}

// Roots is a ConfigMap that every namespace gets: what proxies verify the control plane with.
type Roots struct {
	Name   string
	Data   map[string]string
	Owners []metav1.OwnerReference
}

func (r Roots) current(have *corev1.ConfigMap) bool {
	return maps.Equal(have.Data, r.Data) && owned(have, r.Owners)
}

// put writes the ConfigMap into one namespace. A namespace that ends takes nothing any more.
func (r Roots) put(ctx context.Context, c *Client, namespace string) error {
	manager, list := apply(r.Owners)
	m := applycorev1.ConfigMap(r.Name, namespace).WithLabels(map[string]string{ownLabel: "heddled"}).WithData(r.Data).WithOwnerReferences(list...)
	_, err := c.typed.CoreV1().ConfigMaps(namespace).Apply(ctx, m, metav1.ApplyOptions{FieldManager: manager, Force: true})
	if apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write the ConfigMap %s/%s: %w", namespace, r.Name, c.explain(err))
	}
	return nil
}
