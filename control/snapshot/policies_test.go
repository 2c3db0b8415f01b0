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

// An HTTPRoute and a GRPCRoute that share a host at a listener: the younger one is told that it has lost it, and when it has it again.
func TestRivalRoutes(t *testing.T) {
	const of = "apiVersion: gateway.networking.k8s.io/v1\nkind: %s\nmetadata: {name: r, namespace: shop, creationTimestamp: %q}\nspec: {parentRefs: [{name: front}], hostnames: [%s], rules: [{backendRefs: [{name: web, port: 80}]}]}\n"
	old, young := fmt.Sprintf(of, "HTTPRoute", "2026-01-01T00:00:00Z", "a.com"), func(host string) string { return fmt.Sprintf(of, "GRPCRoute", "2026-01-02T00:00:00Z", host) }
	loser := mesh.Ref{Group: api.GroupGateway, Kind: "GRPCRoute", Namespace: "shop", Name: "r"}
	r := newRig(t)
	r.put("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: front, namespace: shop}\nspec: {gatewayClassName: heddle, listeners: [{name: http, port: 80, protocol: HTTP}]}\n").apply()
	for _, step := range []struct {
		name, put, want string
		attached        int32
	}{
		{"alone", young("a.com"), "True/Accepted", 1},
		{"an older one comes", old, "False/Conflicted", 1},
		{"with another host", young("b.com"), "True/Accepted", 2},
		{"with its host again", young("'*.com'"), "False/Conflicted", 1},
		{"the older one goes elsewhere", strings.Replace(old, "a.com", "a.org", 1), "True/Accepted", 2},
	} {
		_, told := r.put(step.put).apply()
		c := r.b.Status(loser).Parents[0].Conditions[0]
		if got := c.Status + "/" + c.Reason; got != step.want || !slices.Contains(told, loser) {
			t.Errorf("%s: %s, want %s; told %v", step.name, got, step.want, told)
		}
		if got := r.b.Status(mesh.Ref{Group: api.GroupGateway, Kind: "Gateway", Namespace: "shop", Name: "front"}).Listeners[0].AttachedRoutes; got != step.attached {
			t.Errorf("%s: %d routes are attached, want %d", step.name, got, step.attached)
		}
	}
}
