package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/heddle-mesh/heddle/api"
)

// oldest is the first minor version of Kubernetes 1 that has native sidecars without a feature gate.
const oldest = 29

func kubernetesAPI() []one {
	const category = "kubernetes-api"
	return []one{
		{category, "the API answers", "look at the cluster, or give --kubeconfig and --context of another", true, answers},
		{category, fmt.Sprintf("Kubernetes is 1.%d or newer", oldest), "upgrade the cluster, or install with --set injection.nativeSidecars=false", false, recent},
	}
}

func before() []one {
	const category = "pre-installation"
	return []one{
		{category, "you may create what an installation consists of", "ask for these rights, or let somebody install who has them", false, rights},
		{category, "the namespace is not being removed", "wait until it is gone, or look at its finalizers", false, namespaceStays},
		{category, "nobody else injects pods", "take care that no namespace is injected by both: give Heddle a --revision, and label namespaces with istio.io/rev", false, alone},
		{category, "definitions of others have the versions that Heddle reads", "upgrade these definitions", false, definitions},
	}
}

func answers(_ context.Context, s *state) (err error) {
	s.server, err = s.Typed.Discovery().ServerVersion()
	return err
}

func recent(_ context.Context, s *state) error {
	major, err := strconv.Atoi(s.server.Major)
	minor, err2 := strconv.Atoi(strings.TrimRight(s.server.Minor, "+"))
	if err := errors.Join(err, err2); err != nil {
		return warn("it says that it is %s", s.server.GitVersion)
	}
	if major == 1 && minor < oldest {
		return fmt.Errorf("it is %s", s.server.GitVersion)
	}
	return nil
}

// rights asks the API for each kind of the chart.
func rights(ctx context.Context, s *state) error {
	var missing []string
	for _, r := range []authorizationv1.ResourceAttributes{
		{Resource: "namespaces"}, {Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}, {Group: "rbac.authorization.k8s.io", Resource: "clusterroles"},
		{Group: "rbac.authorization.k8s.io", Resource: "clusterrolebindings"}, {Group: "admissionregistration.k8s.io", Resource: "mutatingwebhookconfigurations"},
		{Namespace: s.Namespace, Resource: "serviceaccounts"}, {Namespace: s.Namespace, Resource: "configmaps"}, {Namespace: s.Namespace, Resource: "services"},
		{Namespace: s.Namespace, Group: "apps", Resource: "deployments"}, {Namespace: s.Namespace, Group: "apps", Resource: "daemonsets"}, {Namespace: s.Namespace, Group: "rbac.authorization.k8s.io", Resource: "roles"},
		{Namespace: s.Namespace, Group: "rbac.authorization.k8s.io", Resource: "rolebindings"}, {Namespace: s.Namespace, Group: "policy", Resource: "poddisruptionbudgets"},
	} {
		for _, verb := range []string{"create", "patch", "delete"} {
			r.Verb = verb
			review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &r}}
			got, err := s.Typed.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
			if err != nil {
				return err
			}
			if !got.Status.Allowed {
				missing = append(missing, verb+" "+schema.GroupResource{Group: r.Group, Resource: r.Resource}.String())
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("you may not: %s", some(missing))
	}
	return nil
}

func namespaceStays(ctx context.Context, s *state) error {
	ns, err := s.Typed.CoreV1().Namespaces().Get(ctx, s.Namespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil && ns.DeletionTimestamp != nil {
		return fmt.Errorf("namespace %s is being removed since %s", ns.Name, ns.DeletionTimestamp.UTC().Format("15:04:05"))
	}
	return err
}

func alone(ctx context.Context, s *state) error {
	list, err := s.Typed.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var others []string
	for _, c := range list.Items {
		for _, h := range c.Webhooks {
			selects := h.NamespaceSelector != nil && slices.ContainsFunc(h.NamespaceSelector.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool {
				return r.Key == "istio-injection" || r.Key == "istio.io/rev"
			})
			if selects && c.Labels["app.kubernetes.io/part-of"] != "heddle" {
				others = append(others, c.Name)
				break
			}
		}
	}
	if len(others) > 0 {
		return warn("there is %s", some(others))
	}
	return nil
}

// definitions looks at those that are there already: an installation leaves those of others alone.
func definitions(ctx context.Context, s *state) error {
	var wrong []string
	crds := s.Dynamic.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	for _, k := range api.Kinds {
		if !k.Istio() && !k.Gateway() {
			continue
		}
		u, err := crds.Get(ctx, k.Plural+"."+k.Group, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		if !serves(u, k.Versions) {
			wrong = append(wrong, fmt.Sprintf("%s does not serve %s", u.GetName(), strings.Join(k.Versions, " or ")))
		}
	}
	if len(wrong) > 0 {
		return errors.New(some(wrong))
	}
	return nil
}

func serves(definition *unstructured.Unstructured, versions []string) bool {
	list, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
	return slices.ContainsFunc(list, func(x any) bool {
		m, _ := x.(map[string]any)
		name, _ := m["name"].(string)
		return m["served"] == true && slices.Contains(versions, name)
	})
}
