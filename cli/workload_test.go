package cli

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/register/bootstrap"
)

// What only the cluster has: the group, the mesh's settings, the gateway's address, and a token for the group's account.
func TestMachineFromCluster(t *testing.T) {
	group := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "networking.istio.io/v1", "kind": "WorkloadGroup", "metadata": map[string]any{"name": "vms", "namespace": "shop"},
		"spec": map[string]any{"template": map[string]any{"serviceAccount": "web"}}}}
	d := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		{Group: api.GroupNetworking, Version: "v1", Resource: "workloadgroups"}: "WorkloadGroupList"}, group)
	f := configuring{name: "vms", namespace: "shop", plane: "istio-system", ingressService: "gate.edge", life: 2 * time.Hour}
	if err := f.findGroup(t.Context(), d); err != nil || bootstrap.Account(f.group) != "web" {
		t.Fatal(err, f.group)
	}
	if err := (&configuring{name: "other", namespace: "shop"}).findGroup(t.Context(), d); err == nil || !strings.Contains(err.Error(), "WorkloadGroup shop/other") {
		t.Error(err)
	}
	typed := fake.NewClientset(
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "heddled", Namespace: "istio-system"}, Data: map[string]string{"mesh.yaml": "trustDomain: td\ndefaultConfig: {concurrency: 7}"}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "heddled-bad", Namespace: "istio-system"}, Data: map[string]string{"mesh.yaml": "nothing: 1"}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "gate", Namespace: "edge"}, Spec: corev1.ServiceSpec{ExternalIPs: []string{"203.0.113.7"}}, Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{Hostname: "a.test"}}}}})
	typed.PrependReactor("create", "serviceaccounts", func(a k8stesting.Action) (bool, runtime.Object, error) {
		c := a.(k8stesting.CreateActionImpl)
		r := c.Object.(*authenticationv1.TokenRequest)
		if c.Name != "web" || a.GetNamespace() != "shop" || r.Spec.Audiences[0] != "istio-ca" || *r.Spec.ExpirationSeconds != 7200 {
			return true, nil, errors.New("no such account")
		}
		r.Status = authenticationv1.TokenRequestStatus{Token: "secret"}
		return true, r, nil
	})
	o := bootstrap.Options{}
	if err := f.meshOf(t.Context(), typed, &o); err != nil || o.TrustDomain != "td" || o.Proxies.GetConcurrency().GetValue() != 7 {
		t.Error(err, o)
	}
	if err := f.meshOf(t.Context(), typed, &bootstrap.Options{Service: "heddled-bad"}); err == nil || !strings.Contains(err.Error(), "ConfigMap istio-system/heddled-bad: mesh.yaml") {
		t.Error(err)
	}
	if err := f.meshOf(t.Context(), typed, &bootstrap.Options{Service: "heddled-none"}); err != nil {
		t.Error("the defaults count: ", err)
	}
	if ip := f.ingressOf(t.Context(), typed); ip != netip.MustParseAddr("203.0.113.7") {
		t.Error(ip)
	}
	f.ingressService = "other"
	if ip := f.ingressOf(t.Context(), typed); ip.IsValid() {
		t.Error(ip)
	}
	if err := f.issue(t.Context(), typed); err != nil || f.token != "secret" {
		t.Error(err)
	}
	f.life = time.Hour
	if err := f.issue(context.Background(), typed); err == nil || !strings.Contains(err.Error(), "kubectl create serviceaccount web -n shop") {
		t.Error(err)
	}
}
