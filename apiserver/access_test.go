package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

// TestAccess is one server for what identity decides: RBAC, tokens, webhooks.
func TestAccess(t *testing.T) {
	copyOf := filepath.Join(t.TempDir(), "copy.kubeconfig")
	s := start(t, t.TempDir(), "--kubeconfig-out", copyOf)
	t.Run("files", func(t *testing.T) {
		for _, name := range []string{copyOf, filepath.Join(s.dir, "admin.kubeconfig"), filepath.Join(s.dir, "heddled.kubeconfig"), filepath.Join(s.dir, "pki", "ca.key")} {
			if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v %v, want mode 0600", name, st, err)
			}
		}
	})
	t.Run("heddled", func(t *testing.T) { checkHeddled(t, s) })
	t.Run("anonymous", func(t *testing.T) { checkAnonymous(t, s) })
	t.Run("tokens", func(t *testing.T) { checkTokens(t, s) })
	t.Run("webhook", func(t *testing.T) { checkWebhook(t, s) })
}

// checkHeddled asks the server what the control plane's user may do, and tries
// the two requests that matter most.
func checkHeddled(t *testing.T, s *server) {
	ctx := context.Background()
	heddled := kubernetes.NewForConfigOrDie(s.config("heddled.kubeconfig"))
	for _, c := range []struct {
		verb, group, resource, sub, ns string
		want                           bool
	}{
		{"list", "", "services", "", "", true},
		{"watch", "discovery.k8s.io", "endpointslices", "", "", true},
		{"list", "", "secrets", "", "", true},
		{"watch", "networking.istio.io", "virtualservices", "", "", true},
		{"update", "networking.istio.io", "virtualservices", "status", "shop", true},
		{"patch", "gateway.networking.k8s.io", "httproutes", "status", "shop", true},
		{"patch", "", "services", "status", "shop", true},
		{"patch", "", "namespaces", "status", "", true},
		{"patch", "", "namespaces", "", "", false},
		{"create", "", "serviceaccounts", "token", "shop", true},
		{"create", "authentication.k8s.io", "tokenreviews", "", "", true},
		{"create", "coordination.k8s.io", "leases", "", "istio-system", true},
		{"create", "", "events", "", "shop", true},
		{"create", "", "secrets", "", "istio-system", true},
		{"update", "networking.istio.io", "virtualservices", "", "shop", false},
		{"delete", "networking.istio.io", "virtualservices", "", "shop", false},
		{"create", "networking.istio.io", "workloadentries", "", "shop", true},
		{"delete", "networking.istio.io", "workloadentries", "", "shop", true},
		{"create", "networking.istio.io", "workloadgroups", "", "shop", false},
		{"create", "gateway.networking.k8s.io", "gateways", "", "shop", false},
		{"update", "", "services", "", "shop", false},
		{"create", "", "secrets", "", "shop", false},
		{"create", "coordination.k8s.io", "leases", "", "kube-system", false},
		{"update", "rbac.authorization.k8s.io", "clusterroles", "", "", false},
		{"create", "apiextensions.k8s.io", "customresourcedefinitions", "", "", false},
		{"impersonate", "", "users", "", "", false},
		{"delete", "", "namespaces", "", "", false},
	} {
		review, err := heddled.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: c.verb, Group: c.group, Resource: c.resource, Subresource: c.sub, Namespace: c.ns}}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if review.Status.Allowed != c.want {
			t.Errorf("heddled may %s %s.%s/%s in %q: %v, want %v", c.verb, c.resource, c.group, c.sub, c.ns, review.Status.Allowed, c.want)
		}
	}
	s.must(`{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: rbac, namespace: default}, spec: {hosts: [a], http: [{route: [{destination: {host: a}}]}]}}`, "create", "-f", "-")
	services := dynamic.NewForConfigOrDie(s.config("heddled.kubeconfig")).
		Resource(schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}).Namespace("default")
	obj, err := services.Get(ctx, "rbac", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	obj.Object["spec"] = map[string]any{"hosts": []any{"stolen"}}
	if _, err := services.Update(ctx, obj, metav1.UpdateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("heddled wrote a spec: %v", err)
	}
	obj.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Reconciled", "status": "True"}}}
	got, err := services.UpdateStatus(ctx, obj, metav1.UpdateOptions{})
	if err != nil {
		t.Fatalf("heddled could not write status: %v", err)
	}
	if hosts := got.Object["spec"].(map[string]any)["hosts"].([]any); hosts[0] != "a" {
		t.Errorf("a status write changed the spec: %v", hosts)
	}
}

func checkAnonymous(t *testing.T, s *server) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for path, want := range map[string]int{"/readyz": 200, "/version": 200, "/api/v1/secrets": 403} {
		resp, err := client.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s without credentials: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

// checkTokens issues a token for one audience and reviews it, as proxies and
// heddled will.
func checkTokens(t *testing.T, s *server) {
	ctx := context.Background()
	heddled := kubernetes.NewForConfigOrDie(s.config("heddled.kubeconfig"))
	lifetime := int64(3600)
	token, err := heddled.CoreV1().ServiceAccounts("default").CreateToken(ctx, "default", &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"istio-ca"}, ExpirationSeconds: &lifetime}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for audience, want := range map[string]bool{"istio-ca": true, "another": false} {
		review, err := heddled.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
			Spec: authenticationv1.TokenReviewSpec{Token: token.Status.Token, Audiences: []string{audience}}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if review.Status.Authenticated != want {
			t.Errorf("token for istio-ca, asked for %s: authenticated %v, want %v (%s)", audience, review.Status.Authenticated, want, review.Status.Error)
		}
		if want && review.Status.User.Username != "system:serviceaccount:default:default" {
			t.Errorf("user %q", review.Status.User.Username)
		}
	}
}

// checkWebhook registers a webhook as heddled and sees it refuse an object.
func checkWebhook(t *testing.T, s *server) {
	ctx := context.Background()
	hook := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		refused := bytes.Contains(review.Request.Object.Raw, []byte("forbidden.example"))
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: !refused,
			Result: &metav1.Status{Message: "spec.hosts[0]: forbidden.example is not allowed"}}
		_ = json.NewEncoder(w).Encode(review)
	}))
	defer hook.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hook.Certificate().Raw})
	fail, none := admissionregv1.Fail, admissionregv1.SideEffectClassNone
	heddled := kubernetes.NewForConfigOrDie(s.config("heddled.kubeconfig"))
	_, err := heddled.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(ctx, &admissionregv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "heddle-test"},
		Webhooks: []admissionregv1.ValidatingWebhook{{
			Name: "test.heddle.dev", FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionregv1.WebhookClientConfig{URL: &hook.URL, CABundle: ca},
			Rules: []admissionregv1.RuleWithOperations{{Operations: []admissionregv1.OperationType{"CREATE"},
				Rule: admissionregv1.Rule{APIGroups: []string{"networking.istio.io"}, APIVersions: []string{"*"}, Resources: []string{"virtualservices"}}}},
		}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	object := func(name, host string) string {
		return `{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: ` + name + `, namespace: default}, spec: {hosts: [` + host + `], http: [{route: [{destination: {host: a}}]}]}}`
	}
	// The configuration takes effect by a watch inside the server, so not at once.
	time.Sleep(time.Second)
	out, err := s.kubectl("admin.kubeconfig", object("refused", "forbidden.example"), "create", "-f", "-")
	if err == nil || !strings.Contains(out, "forbidden.example is not allowed") {
		t.Errorf("the webhook's answer was not used: %v %s", err, out)
	}
	s.must(object("allowed", "fine.example"), "create", "-f", "-")
}
