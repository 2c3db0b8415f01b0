package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// A BackendTLSPolicy's status names the Gateways whose routes lead to its target, and follows what else it depends on; each change is told.
func TestBackendTLSPolicyFollows(t *testing.T) {
	policy := mesh.Ref{Group: api.GroupGateway, Kind: "BackendTLSPolicy", Namespace: "shop", Name: "b"}
	const of = "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: %s, namespace: shop}\nspec: {targetRefs: [{group: '', kind: Service, name: web}], validation: {hostname: a.com, %s}}\n"
	const system, own = "wellKnownCACertificates: System", "caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]"
	route := func(service string) string {
		return "apiVersion: gateway.networking.k8s.io/v1\nkind: TCPRoute\nmetadata: {name: r, namespace: shop}\nspec: {parentRefs: [{name: front}], rules: [{backendRefs: [{name: " + service + ", port: 80}]}]}\n"
	}
	r := newRig(t)
	r.put("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: front, namespace: shop}\nspec: {gatewayClassName: heddle, listeners: [{name: tcp, port: 80, protocol: TCP}]}\n").apply()
	for _, step := range []struct{ name, put, want string }{
		{"no Service", fmt.Sprintf(of, "b", system), "web: False/TargetNotFound"},
		{"its Service", "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}\n", "web: True/Accepted"},
		{"a route leads there", route("web"), "front: True/Accepted"},
		{"the route leads elsewhere", route("gone"), "web: True/Accepted"},
		{"another policy goes before", fmt.Sprintf(of, "a", system), "web: False/Conflicted"},
	} {
		_, told := r.put(step.put).apply()
		var got []string
		for _, a := range r.b.Status(policy).Ancestors {
			got = append(got, a.AncestorRef.Name+": "+a.Conditions[0].Status+"/"+a.Conditions[0].Reason)
		}
		if s := strings.Join(got, ", "); s != step.want {
			t.Errorf("%s: %s, want %s", step.name, s, step.want)
		}
		if !slices.Contains(told, policy) {
			t.Errorf("%s: not told", step.name)
		}
	}
	r.put(fmt.Sprintf(of, "a", own)).apply()
	id := mesh.ServiceID{Namespace: "shop", Host: "web.shop.svc.cluster.local"}
	if list, _ := r.snap.BackendTLS.Get(id); len(list) != 1 || list[0].Origin.Name != "a" || list[0].TLS.Denied == "" {
		t.Errorf("without a ConfigMap: %v", list)
	}
	r.put(fmt.Sprintf(of, "a", system)).apply()
	if list, _ := r.snap.BackendTLS.Get(id); len(list) != 1 || list[0].TLS.Denied != "" {
		t.Errorf("with the system's authorities: %v", list)
	}
}
