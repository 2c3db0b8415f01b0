package check

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Marks of injection.
const (
	labelInjection = "istio-injection"
	labelRevision  = "istio.io/rev"
	labelInject    = "sidecar.istio.io/inject"
	markStatus     = "sidecar.istio.io/status"
)

func dataPlane() []one {
	const category = "data-plane"
	return []one{
		{category, "every namespace names a control plane that there is", "install that revision or give it the tag, or change the label istio.io/rev", false, known},
		{category, "every pod of the mesh has a proxy", "start them again: kubectl -n NAMESPACE rollout restart deployment", false, covered},
		{category, "every proxy is ready", "look at: kubectl -n NAMESPACE logs POD -c " + proxyContainer, false, proxiesReady},
		{category, "every proxy has the version of the control plane", "start the pods again: kubectl -n NAMESPACE rollout restart deployment", false, current},
		{category, "every LoadBalancer of Heddle has an address", "the cluster gives them; kubectl -n NAMESPACE get services says which are pending", false, addressed},
	}
}

// revisions are the names that the control planes of the cluster answer to.
func (s *state) revisions(ctx context.Context) (names []string, err error) {
	list, err := s.Typed.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, c := range list.Items {
		for _, h := range c.Webhooks {
			if h.NamespaceSelector == nil {
				continue
			}
			for _, r := range h.NamespaceSelector.MatchExpressions {
				if r.Key == labelRevision && r.Operator == metav1.LabelSelectorOpIn {
					names = append(names, r.Values...)
				}
			}
		}
	}
	return names, nil
}

func known(ctx context.Context, s *state) error {
	there, err := s.revisions(ctx)
	if err != nil {
		return err
	}
	spaces, err := s.Typed.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: labelRevision})
	if err != nil {
		return err
	}
	var bad []string
	for _, ns := range spaces.Items {
		if rev := ns.Labels[labelRevision]; !slices.Contains(there, rev) {
			bad = append(bad, fmt.Sprintf("%s asks for %s", ns.Name, rev))
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("%s; no pod of it is injected", some(bad))
	}
	return nil
}

// pods gives the pods that live, each with whether its namespace asks for proxies.
func (s *state) pods(ctx context.Context, see func(p *corev1.Pod, asked bool)) error {
	spaces, err := s.Typed.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	asked := map[string]bool{}
	for _, ns := range spaces.Items {
		asked[ns.Name] = ns.Labels[labelInjection] == "enabled" || ns.Labels[labelInjection] == "" && ns.Labels[labelRevision] != ""
	}
	list, err := s.Typed.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range list.Items {
		p := &list.Items[i]
		if p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			see(p, asked[p.Namespace])
		}
	}
	return nil
}

func covered(ctx context.Context, s *state) error {
	var without []string
	err := s.pods(ctx, func(p *corev1.Pod, asked bool) {
		refuses := p.Labels[labelInject] == "false" || p.Labels[labelInject] == "" && p.Annotations[labelInject] == "false"
		if asked && !refuses && !p.Spec.HostNetwork && p.Annotations[markStatus] == "" {
			without = append(without, p.Namespace+"/"+p.Name)
		}
	})
	if err == nil && len(without) > 0 {
		return warn("none in %s", some(without))
	}
	return err
}

func proxiesReady(ctx context.Context, s *state) error {
	var bad []string
	err := s.pods(ctx, func(p *corev1.Pod, _ bool) {
		if p.Annotations[markStatus] == "" {
			return
		}
		statuses := slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses)
		i := slices.IndexFunc(statuses, func(c corev1.ContainerStatus) bool { return c.Name == proxyContainer })
		if i < 0 || !statuses[i].Ready {
			bad = append(bad, p.Namespace+"/"+p.Name)
		}
	})
	if err == nil && len(bad) > 0 {
		return fmt.Errorf("not in %s", some(bad))
	}
	return err
}

// current compares the proxies with the version of the installation.
func current(ctx context.Context, s *state) error {
	d, err := s.Typed.AppsV1().Deployments(s.Namespace).Get(ctx, s.name(), metav1.GetOptions{})
	if err != nil {
		return err
	}
	want := d.Labels["app.kubernetes.io/version"]
	var old []string
	err = s.pods(ctx, func(p *corev1.Pod, _ bool) {
		if c := proxyOf(p); c != nil && p.Annotations[markStatus] != "" && !strings.HasSuffix(c.Image, ":"+want) {
			old = append(old, p.Namespace+"/"+p.Name+" ("+c.Image[strings.LastIndex(c.Image, ":")+1:]+")")
		}
	})
	if err == nil && len(old) > 0 {
		return warn("not %s: %s", want, some(old))
	}
	return err
}

func addressed(ctx context.Context, s *state) error {
	list, err := s.Typed.CoreV1().Services(s.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=heddle"})
	if err != nil {
		return err
	}
	var without []string
	for _, svc := range list.Items {
		if svc.Spec.Type == corev1.ServiceTypeLoadBalancer && len(svc.Status.LoadBalancer.Ingress) == 0 {
			without = append(without, svc.Name)
		}
	}
	if len(without) > 0 {
		return warn("none: %s", some(without))
	}
	return nil
}
