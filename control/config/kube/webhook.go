package kube

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/heddle-mesh/heddle/api"
)

// Webhook is where the API finds heddled's validating webhook.
type Webhook struct {
	Name string // of the configuration object
	URL  string
	CA   []byte // PEM of what vouches for it
}

// Register keeps the API told of the webhook until ctx ends: it is written anew when somebody changes or removes it.
func (c *Client) Register(ctx context.Context, w Webhook, log *slog.Logger) error {
	said := ""
	for {
		err := c.register(ctx, w)
		pause := time.Minute
		switch {
		case err == nil:
			if said != "done" {
				log.Info("validating webhook registered", "name", w.Name, "url", w.URL)
			}
			said = "done"
		case ctx.Err() == nil:
			if said != err.Error() {
				log.Warn("validating webhook is not registered; trying again", "error", err)
			}
			said, pause = err.Error(), 2*time.Second
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (c *Client) register(ctx context.Context, w Webhook) error {
	hooks := c.typed.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	want := w.configuration()
	have, err := hooks.Get(ctx, w.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = hooks.Create(ctx, want, metav1.CreateOptions{FieldManager: fieldManager})
	} else if err == nil && !w.current(have) {
		want.ResourceVersion = have.ResourceVersion
		_, err = hooks.Update(ctx, want, metav1.UpdateOptions{FieldManager: fieldManager})
	}
	if err != nil {
		return fmt.Errorf("register the validating webhook %s: %w", w.Name, err)
	}
	return nil
}

// current says whether the registration is ours as it should be; what the API fills in is not looked at.
func (w Webhook) current(have *admissionregistrationv1.ValidatingWebhookConfiguration) bool {
	want := w.configuration()
	return slices.EqualFunc(have.Webhooks, want.Webhooks, func(a, b admissionregistrationv1.ValidatingWebhook) bool {
		return a.Name == b.Name && a.ClientConfig.URL != nil && *a.ClientConfig.URL == w.URL && string(a.ClientConfig.CABundle) == string(w.CA) &&
			a.FailurePolicy != nil && *a.FailurePolicy == *b.FailurePolicy && len(a.Rules) == len(b.Rules)
	})
}

// configuration has two webhooks: without heddled, security kinds cannot be written, since nobody could say whether they are enforced; the others can.
func (w Webhook) configuration() *admissionregistrationv1.ValidatingWebhookConfiguration {
	none, timeout := admissionregistrationv1.SideEffectClassNone, int32(5)
	hook := func(name string, policy admissionregistrationv1.FailurePolicyType, security bool) admissionregistrationv1.ValidatingWebhook {
		return admissionregistrationv1.ValidatingWebhook{Name: name, Rules: rules(security), FailurePolicy: &policy, SideEffects: &none, TimeoutSeconds: &timeout,
			AdmissionReviewVersions: []string{"v1"}, ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: &w.URL, CABundle: w.CA}}
	}
	return &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: w.Name}, Webhooks: []admissionregistrationv1.ValidatingWebhook{
		hook("security.heddle.dev", admissionregistrationv1.Fail, true), hook("config.heddle.dev", admissionregistrationv1.Ignore, false),
	}}
}

func rules(security bool) (out []admissionregistrationv1.RuleWithOperations) {
	for _, k := range api.Kinds {
		if !k.Istio() && !k.Gateway() || k.Security != security {
			continue
		}
		out = append(out, admissionregistrationv1.RuleWithOperations{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
			Rule:       admissionregistrationv1.Rule{APIGroups: []string{k.Group}, APIVersions: k.Versions, Resources: []string{k.Plural}},
		})
	}
	return out
}
