package kube

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal("in vain: ", what)
}

func TestKeepSecret(t *testing.T) {
	c := &Client{typed: fake.NewClientset(&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "heddled", UID: "u1"}}, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "heddled-2", UID: "u2"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "mesh", Name: "given"}, Data: map[string][]byte{"a": []byte("given")}})}
	keep := func(name, content string) string {
		t.Helper()
		data, err := c.KeepSecret(t.Context(), "mesh", name, func() (map[string][]byte, error) { return map[string][]byte{"a": []byte(content)}, nil })
		if err != nil {
			t.Fatal(err)
		}
		return string(data["a"])
	}
	if got := keep("made", "first") + " " + keep("made", "second") + " " + keep("given", "third"); got != "first first given" {
		t.Error(got)
	}
	for name, want := range map[string]string{"made": "heddled", "given": ""} {
		s, err := c.typed.CoreV1().Secrets("mesh").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || s.Labels[ownLabel] != want || len(s.OwnerReferences) > 0 {
			t.Errorf("%s: %+v %v; what was given must outlive Heddle, and no role may take trust along", name, s, err)
		}
	}
	if _, err := c.KeepSecret(t.Context(), "mesh", "other", func() (map[string][]byte, error) { return nil, errors.New("no") }); err == nil || err.Error() != "no" {
		t.Error(err)
	}
	if owners, err := c.Owners(t.Context(), "heddled"); err != nil || len(owners) != 1 || owners[0].UID != "u1" {
		t.Error(owners, err)
	}
	if _, err := c.Owners(t.Context(), "nobody"); err == nil {
		t.Error("an owner that is not there")
	}
}

func TestSpread(t *testing.T) {
	typed := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "a"}})
	c := &Client{typed: typed}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	r := Roots{Name: "roots", Data: map[string]string{"root-cert.pem": "one"}, Owners: []metav1.OwnerReference{{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Name: "heddled", UID: "u1"}}}
	go func() { defer close(done); c.Spread(ctx, r, slog.New(slog.DiscardHandler)) }()
	has := func(namespace string) func() bool {
		return func() bool {
			m, err := typed.CoreV1().ConfigMaps(namespace).Get(t.Context(), "roots", metav1.GetOptions{})
			return err == nil && r.current(m)
		}
	}
	within(t, "a namespace that was there", has("a"))
	if _, err := typed.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "b"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	within(t, "a new namespace", has("b"))
	if err := typed.CoreV1().ConfigMaps("a").Delete(t.Context(), "roots", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	within(t, "a ConfigMap that was removed", has("a"))
	cancel()
	<-done
}

func TestVouch(t *testing.T) {
	typed := fake.NewClientset(&admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "injector"},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{Name: "one"}, {Name: "two", ClientConfig: admissionregistrationv1.WebhookClientConfig{CABundle: []byte("old")}}}})
	go (&Client{typed: typed}).Vouch(t.Context(), "injector", []byte("roots"), slog.New(slog.DiscardHandler))
	hooks := typed.AdmissionregistrationV1().MutatingWebhookConfigurations()
	vouched := func() bool {
		h, err := hooks.Get(t.Context(), "injector", metav1.GetOptions{})
		return err == nil && string(h.Webhooks[0].ClientConfig.CABundle) == "roots" && string(h.Webhooks[1].ClientConfig.CABundle) == "roots"
	}
	within(t, "both webhooks", vouched)
	h, err := hooks.Get(t.Context(), "injector", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	h.Webhooks[0].ClientConfig.CABundle = nil
	if _, err := hooks.Update(t.Context(), h, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	within(t, "a bundle that was taken away", vouched)
}

func TestWebhookOfAService(t *testing.T) {
	got := Webhook{URL: "https://heddled.istio-system.svc/validate"}.client()
	if got.URL != nil || got.Service == nil || got.Service.Name != "heddled" || got.Service.Namespace != "istio-system" || *got.Service.Path != "/validate" || *got.Service.Port != 443 {
		t.Errorf("%+v", got)
	}
	for _, url := range []string{"https://127.0.0.1:15017/validate", "https://heddled.svc/validate", "https://a.b.svc.example/x"} {
		if got := (Webhook{URL: url}).client(); got.Service != nil || *got.URL != url {
			t.Errorf("%s becomes %+v", url, got)
		}
	}
}
