package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const proxyContainer = "istio-proxy"

func webhooks() []one {
	const category = "webhooks"
	return []one{
		{category, "the API can verify the webhook that injects", "look at the log of heddled, which writes caBundle", false, vouched},
		{category, "a pod would be injected", "look at the log of heddled, and whether the API reaches its Service", false, wouldBeInjected},
		{category, "pods wait while the control plane is away", "install with --set injection.failurePolicy=Fail if pods must never start without a proxy", false, failsClosed},
		{category, "objects are checked before they are stored", "look at the log of heddled, which registers this webhook", false, validated},
	}
}

// injector is the webhook configuration of the revision.
func (s *state) injector(ctx context.Context) (*admissionregistrationv1.MutatingWebhookConfiguration, error) {
	list, err := s.Typed.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=heddle"})
	if err != nil {
		return nil, err
	}
	for _, c := range list.Items {
		if len(c.Webhooks) > 0 && c.Webhooks[0].ClientConfig.Service != nil && c.Webhooks[0].ClientConfig.Service.Name == s.name() && c.Webhooks[0].ClientConfig.Service.Namespace == s.Namespace {
			return &c, nil
		}
	}
	return nil, fmt.Errorf("there is no MutatingWebhookConfiguration that calls the Service %s/%s", s.Namespace, s.name())
}

func vouched(ctx context.Context, s *state) error {
	c, err := s.injector(ctx)
	if err != nil {
		return err
	}
	for _, h := range c.Webhooks {
		bundle := string(h.ClientConfig.CABundle)
		switch {
		case bundle == "":
			return fmt.Errorf("%s has no caBundle", c.Name)
		case s.roots != "" && strings.TrimSpace(bundle) != strings.TrimSpace(s.roots):
			return fmt.Errorf("the caBundle of %s is that of another authority", c.Name)
		}
	}
	return nil
}

// wouldBeInjected asks the API to take a pod without storing it: the webhook is called as for any other.
func wouldBeInjected(ctx context.Context, s *state) error {
	labels := map[string]string{"sidecar.istio.io/inject": "true"}
	if s.Revision != "" && s.Revision != "default" {
		labels["istio.io/rev"] = s.Revision
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "heddle-check-", Namespace: s.Namespace, Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "none"}}}}
	got, err := s.Typed.CoreV1().Pods(s.Namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return err
	}
	if proxyOf(got) == nil {
		return errors.New("the API takes a pod with sidecar.istio.io/inject: true as it is")
	}
	return nil
}

// proxyOf is the proxy's container, native or not.
func proxyOf(p *corev1.Pod) *corev1.Container {
	all := slices.Concat(p.Spec.InitContainers, p.Spec.Containers)
	if i := slices.IndexFunc(all, func(c corev1.Container) bool { return c.Name == proxyContainer }); i >= 0 {
		return &all[i]
	}
	return nil
}

func failsClosed(ctx context.Context, s *state) error {
	c, err := s.injector(ctx)
	if err != nil {
		return err
	}
	for _, h := range c.Webhooks {
		if h.FailurePolicy != nil && *h.FailurePolicy == admissionregistrationv1.Ignore {
			return warn("they start without a proxy (failurePolicy: Ignore)")
		}
	}
	return nil
}

func validated(ctx context.Context, s *state) error {
	list, err := s.Typed.AdmissionregistrationV1().ValidatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, c := range list.Items {
		for _, h := range c.Webhooks {
			at := h.ClientConfig.Service
			if at == nil || at.Name != s.name() || at.Namespace != s.Namespace {
				continue
			}
			if s.roots != "" && strings.TrimSpace(string(h.ClientConfig.CABundle)) != strings.TrimSpace(s.roots) {
				return fmt.Errorf("the caBundle of %s is that of another authority", c.Name)
			}
			return nil
		}
	}
	return fmt.Errorf("there is no ValidatingWebhookConfiguration that calls the Service %s/%s", s.Namespace, s.name())
}
