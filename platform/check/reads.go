package check

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/heddle-mesh/heddle/api"
)

// reads asks the API whether the control plane may list and watch each kind of which the mesh is made.
func reads(ctx context.Context, s *state) error {
	d, err := s.Typed.AppsV1().Deployments(s.Namespace).Get(ctx, s.name(), metav1.GetOptions{})
	if err != nil {
		return err
	}
	var missing []string
	for _, k := range api.Kinds {
		if elsewhere(d) && (k.Istio() || k.Gateway()) {
			continue
		}
		for _, verb := range []string{"list", "watch"} {
			allowed, err := s.may(ctx, d, authorizationv1.ResourceAttributes{Verb: verb, Group: k.Group, Resource: k.Plural})
			if apierrors.IsForbidden(err) {
				return warn("you may not ask for the rights of others (create subjectaccessreviews.authorization.k8s.io)")
			}
			if err != nil {
				return err
			}
			if !allowed {
				missing = append(missing, verb+" "+schema.GroupResource{Group: k.Group, Resource: k.Plural}.String())
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the ServiceAccount %s/%s may not: %s", s.Namespace, d.Spec.Template.Spec.ServiceAccountName, some(missing))
	}
	return nil
}

// elsewhere says whether what users configure is in another API than that of the cluster.
func elsewhere(d *appsv1.Deployment) bool {
	return slices.ContainsFunc(d.Spec.Template.Spec.Containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Args, func(a string) bool { return strings.HasPrefix(a, "--cluster-kubeconfig=") })
	})
}

// may says whether the account of a Deployment has a right.
func (s *state) may(ctx context.Context, d *appsv1.Deployment, r authorizationv1.ResourceAttributes) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + s.Namespace + ":" + d.Spec.Template.Spec.ServiceAccountName,
		Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + s.Namespace, "system:authenticated"},
		ResourceAttributes: &r,
	}}
	got, err := s.Typed.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return got.Status.Allowed, nil
}
