package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// oneOfEach is an object of each kind that a mesh reads.
const oneOfEach = `
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: cart, namespace: shop}}
---
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: cart-1, namespace: shop, labels: {kubernetes.io/service-name: cart}}, addressType: IPv6, endpoints: [{addresses: ["fd00::1"]}], ports: [{name: http, port: 8080}]}
---
{apiVersion: v1, kind: Endpoints, metadata: {name: cart, namespace: shop}, subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{name: http, port: 8080}]}]}
---
{apiVersion: v1, kind: Pod, metadata: {name: cart-1, namespace: shop}, spec: {serviceAccountName: cart, containers: [{name: c, image: none}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: laptop}}
---
{apiVersion: v1, kind: Secret, metadata: {name: tls, namespace: shop}, stringData: {a: b}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: shop}, data: {a: b}}
---
{apiVersion: v1, kind: Event, metadata: {name: happened, namespace: shop}, involvedObject: {kind: Service, name: cart, namespace: shop}, reason: Test}
---
{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: leader, namespace: shop}, spec: {holderIdentity: me}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: reader, namespace: shop}, rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]}
---
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: none}, spec: {matchConstraints: {resourceRules: [{apiGroups: [example.com], apiVersions: [v1], operations: [CREATE], resources: [things]}]}, validations: [{expression: "true"}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: cart, namespace: shop}, spec: {hosts: [cart], http: [{route: [{destination: {host: cart}}]}]}}
---
{apiVersion: networking.istio.io/v1beta1, kind: DestinationRule, metadata: {name: cart, namespace: shop}, spec: {host: cart}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: in, namespace: shop}, spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}}
---
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: out, namespace: shop}, spec: {hosts: [example.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}}
---
{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: w, namespace: shop}, spec: {address: "fd00::2"}}
---
{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: none, namespace: shop}, spec: {}}
---
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default, namespace: shop}, spec: {mtls: {mode: STRICT}}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: heddle}, spec: {controllerName: heddle.dev/gateway-controller}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: gw, namespace: shop}, spec: {gatewayClassName: heddle, listeners: [{name: http, port: 80, protocol: HTTP}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: cart, namespace: shop}, spec: {parentRefs: [{name: gw}], rules: [{backendRefs: [{name: cart, port: 80}]}]}}
`

func TestServesTheKindsOfAMesh(t *testing.T) {
	s := start(t, t.TempDir())
	t.Run("apply", func(t *testing.T) {
		out := s.must(oneOfEach, "apply", "-f", "-")
		if want := strings.Count(oneOfEach, "---") + 1; strings.Count(out, " created") != want {
			t.Errorf("created %d objects, want %d:\n%s", strings.Count(out, " created"), want, out)
		}
		// Nothing is added to a stored Istio spec, so a second apply is no change.
		again := s.must(oneOfEach, "apply", "-f", "-")
		for _, line := range strings.Split(again, "\n") {
			if strings.Contains(line, "istio.io/") && !strings.HasSuffix(line, " unchanged") {
				t.Errorf("a second apply of the same: %s", line)
			}
		}
		ip := s.must("", "get", "service", "cart", "-n", "shop", "-o", "jsonpath={.spec.clusterIP}")
		if !strings.HasPrefix(ip, "10.96.") {
			t.Errorf("cluster address %q, want one of 10.96.0.0/16", ip)
		}
	})
	t.Run("server-side apply and patch", func(t *testing.T) {
		dr := `{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: ssa, namespace: shop}, spec: {host: cart}}`
		s.must(dr, "apply", "--server-side", "--field-manager=one", "-f", "-")
		out, err := s.kubectl("admin.kubeconfig", strings.Replace(dr, "host: cart", "host: other", 1),
			"apply", "--server-side", "--field-manager=two", "-f", "-")
		if err == nil || !strings.Contains(out, "conflict") {
			t.Errorf("two owners of one field gave no conflict: %v %s", err, out)
		}
		s.must("", "patch", "destinationrule", "ssa", "-n", "shop", "--type=merge", "-p", `{"spec":{"host":"patched"}}`)
		if got := s.must("", "get", "destinationrule", "ssa", "-n", "shop", "-o", "jsonpath={.spec.host}"); got != "patched" {
			t.Errorf("host %q after the patch", got)
		}
	})
	t.Run("schema", func(t *testing.T) {
		out, err := s.kubectl("admin.kubeconfig", `{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: typo, namespace: shop}, spec: {hots: [a]}}`, "apply", "-f", "-")
		if err == nil || !strings.Contains(out, `unknown field "spec.hots"`) {
			t.Errorf("unknown field: %v %s", err, out)
		}
	})
	t.Run("CEL", func(t *testing.T) {
		// Istio's rule: port.targetPort and a resolution that needs endpoints.
		out, err := s.kubectl("admin.kubeconfig", `{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: bad, namespace: shop}, spec: {hosts: [a.com], addresses: [1.2.3.4], ports: [{number: 80, name: a}, {number: 80, name: b}]}}`, "apply", "-f", "-")
		if err == nil || !strings.Contains(out, "port number cannot be duplicated") {
			t.Errorf("two equal ports: %v %s", err, out)
		}
		out, err = s.kubectl("admin.kubeconfig", `{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: bad, namespace: shop}, spec: {gatewayClassName: heddle, listeners: [{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP}]}}`, "apply", "-f", "-")
		if err == nil || !strings.Contains(out, "must be unique") {
			t.Errorf("two equal listeners: %v %s", err, out)
		}
	})
	t.Run("explain", func(t *testing.T) {
		for kind, want := range map[string]string{
			"service.spec.ports": "targetPort", "virtualservice.spec.http": "corsPolicy",
			"httproute.spec.rules": "backendRefs", "crd.spec": "versions",
		} {
			if out := s.must("", "explain", kind); !strings.Contains(out, want) {
				t.Errorf("explain %s has no %q:\n%s", kind, want, out)
			}
		}
	})
	t.Run("unserved", func(t *testing.T) {
		out, err := s.kubectl("admin.kubeconfig", `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}`, "apply", "-f", "-")
		if err == nil || !strings.Contains(out, `no matches for kind "Deployment"`) {
			t.Errorf("a kind that means nothing here: %v %s", err, out)
		}
	})
	t.Run("discovery", func(t *testing.T) { checkDiscovery(t, s) })
	t.Run("watch", func(t *testing.T) { checkWatch(t, s) })
	t.Run("deletion", func(t *testing.T) { checkDeletion(t, s) })
}

func checkDiscovery(t *testing.T, s *server) {
	raw := s.must("", "get", "--raw", "/apis")
	for _, group := range []string{"networking.istio.io", "gateway.networking.k8s.io", "apiextensions.k8s.io", "discovery.k8s.io"} {
		if !strings.Contains(raw, `"name":"`+group+`"`) {
			t.Errorf("the plain list of groups lacks %s", group)
		}
	}
	if v2 := s.must("", "get", "--raw", "/openapi/v2"); !strings.Contains(v2, "VirtualService") || !strings.Contains(v2, "EndpointSlice") {
		t.Error("the OpenAPI v2 document lacks native or custom kinds")
	}
	resp, err := http.Get(strings.Replace(s.url, "https", "http", 1) + "/readyz")
	if err == nil {
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			t.Errorf("plain HTTP is served: %s", body)
		}
	}
}

func checkWatch(t *testing.T, s *server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	services := s.any.Resource(schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}).Namespace("shop")
	w, err := services.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if ev := <-w.ResultChan(); ev.Type != "ADDED" {
		t.Fatalf("first event %s, want ADDED", ev.Type)
	}
	s.must("", "label", "virtualservice", "cart", "-n", "shop", "changed=yes")
	if ev := <-w.ResultChan(); ev.Type != "MODIFIED" {
		t.Fatalf("event %s after a change, want MODIFIED", ev.Type)
	}
}

func checkDeletion(t *testing.T, s *server) {
	uid := s.must("", "get", "service", "cart", "-n", "shop", "-o", "jsonpath={.metadata.uid}")
	s.must(`{apiVersion: v1, kind: ConfigMap, metadata: {name: owned, namespace: shop, ownerReferences: [{apiVersion: v1, kind: Service, name: cart, uid: `+strings.TrimSpace(uid)+`, blockOwnerDeletion: true}]}}`, "create", "-f", "-")
	s.must("", "delete", "service", "cart", "-n", "shop", "--cascade=foreground", "--timeout=30s")
	if out, err := s.kubectl("admin.kubeconfig", "", "get", "configmap", "owned", "-n", "shop"); err == nil {
		t.Errorf("an owned object outlived its owner: %s", out)
	}
	s.must("", "delete", "namespace", "shop", "--timeout=60s")
	s.must("", "create", "namespace", "shop")
	eventually(t, "default account of a new namespace", func() bool {
		_, err := s.admin.CoreV1().ServiceAccounts("shop").Get(context.Background(), "default", metav1.GetOptions{})
		return err == nil
	})
	if out := s.must("", "get", "virtualservices", "-n", "shop"); !strings.Contains(out, "No resources found") {
		t.Errorf("objects of the deleted namespace are still there: %s", out)
	}
}
