package kube

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/heddle-mesh/heddle/api"
)

// Webhook is where the API finds heddled's validating webhook.
type Webhook struct {
	Name string // of the configuration object
	// URL is where the webhook is; https://NAME.NAMESPACE.svc is registered as that Service, which the API finds without DNS.
	URL    string
	Owners []metav1.OwnerReference
	CA     []byte // PEM of what vouches for it
	// Asks are expressions (CEL) that tell the Services which ask the mesh for something from the others.
	Asks []string
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
				log.Info("validating webhook registered", "api", c.Role.String(), "name", w.Name, "url", w.URL)
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
	want := w.configuration(c.Role)
	have, err := hooks.Get(ctx, w.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = hooks.Create(ctx, want, metav1.CreateOptions{FieldManager: fieldManager})
	} else if err == nil && !current(have, want) {
		want.ResourceVersion = have.ResourceVersion
		_, err = hooks.Update(ctx, want, metav1.UpdateOptions{FieldManager: fieldManager})
	}
	if err != nil {
		return fmt.Errorf("register the validating webhook %s: %w", w.Name, c.explain(err))
	}
	return nil
}

// current says whether the registration is ours as it should be; what the API fills in is not looked at.
func current(have, want *admissionregistrationv1.ValidatingWebhookConfiguration) bool {
	return owned(have, want.OwnerReferences) && slices.EqualFunc(have.Webhooks, want.Webhooks, func(a, b admissionregistrationv1.ValidatingWebhook) bool {
		return a.Name == b.Name && reflect.DeepEqual(a.ClientConfig, b.ClientConfig) &&
			a.FailurePolicy != nil && *a.FailurePolicy == *b.FailurePolicy && len(a.Rules) == len(b.Rules) && slices.Equal(a.MatchConditions, b.MatchConditions)
	})
}

// configuration has a webhook for each way to answer. Without heddled, security kinds cannot be written, since nobody could say whether they are enforced; the others can.
// Of Kubernetes' own kinds only objects come that ask the mesh for something, and they are always let through; where another API has these kinds, whoever writes one is told.
func (w Webhook) configuration(role Role) *admissionregistrationv1.ValidatingWebhookConfiguration {
	none, timeout := admissionregistrationv1.SideEffectClassNone, int32(5)
	out := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: w.Name, OwnerReferences: w.Owners}}
	hook := func(name string, policy admissionregistrationv1.FailurePolicyType, covers func(*api.Kind) bool, conditions ...admissionregistrationv1.MatchCondition) {
		out.Webhooks = append(out.Webhooks, admissionregistrationv1.ValidatingWebhook{Name: name, Rules: rules(covers), FailurePolicy: &policy, SideEffects: &none, TimeoutSeconds: &timeout,
			AdmissionReviewVersions: []string{"v1"}, ClientConfig: w.client(), MatchConditions: conditions})
	}
	if role != Cluster {
		dialect := func(k *api.Kind) bool { return k.Istio() || k.Gateway() }
		hook("security.heddle.dev", admissionregistrationv1.Fail, func(k *api.Kind) bool { return dialect(k) && k.Security })
		hook("config.heddle.dev", admissionregistrationv1.Ignore, func(k *api.Kind) bool { return dialect(k) && !k.Security })
	}
	asks := admissionregistrationv1.MatchCondition{Name: "asks-the-mesh", Expression: w.asks()}
	switch role {
	case Config:
		w.URL += Elsewhere
		// Namespaces are needed there too, and only what is asked of one is asked in vain. The API's own accounts write for itself.
		wrong := admissionregistrationv1.MatchCondition{Name: "is-not-read", Expression: `!request.userInfo.username.startsWith("system:") && (request.kind.kind != "Namespace" || ` + w.asks() + ")"}
		hook("elsewhere.heddle.dev", admissionregistrationv1.Ignore, func(k *api.Kind) bool { return !role.Reads(k) }, wrong)
	default:
		hook("core.heddle.dev", admissionregistrationv1.Ignore, (*api.Kind).Conditioned, asks)
	}
	return out
}

// Elsewhere is put behind the path of the webhook for kinds that are read from another API.
const Elsewhere = "/elsewhere"

// client is how the API calls the webhook.
func (w Webhook) client() admissionregistrationv1.WebhookClientConfig {
	at, err := url.Parse(w.URL)
	if err != nil || !strings.HasSuffix(at.Host, ".svc") || strings.Count(at.Host, ".") != 2 {
		return admissionregistrationv1.WebhookClientConfig{URL: &w.URL, CABundle: w.CA}
	}
	parts := strings.Split(at.Host, ".")
	return admissionregistrationv1.WebhookClientConfig{CABundle: w.CA,
		Service: &admissionregistrationv1.ServiceReference{Name: parts[0], Namespace: parts[1], Path: &at.Path, Port: new(int32(443))}}
}

func (w Webhook) asks() string {
	out := api.MarksExpression()
	if len(w.Asks) > 0 {
		out += ` || request.kind.kind == "Service" && (` + strings.Join(w.Asks, " || ") + ")"
	}
	return out
}

func rules(covers func(*api.Kind) bool) (out []admissionregistrationv1.RuleWithOperations) {
	for _, k := range api.Kinds {
		if !covers(k) {
			continue
		}
		out = append(out, admissionregistrationv1.RuleWithOperations{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
			Rule:       admissionregistrationv1.Rule{APIGroups: []string{k.Group}, APIVersions: k.Versions, Resources: []string{k.Plural}},
		})
	}
	return out
}
