package snapshot

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/translate/condition"
	"github.com/heddle-mesh/heddle/mesh"
)

func ingressRef(name string) mesh.Ref {
	return mesh.Ref{Group: api.GroupIngress, Kind: "Ingress", Namespace: "shop", Name: name}
}

const twoIngresses = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: ours, namespace: shop}
spec: {ingressClassName: edge, rules: [{host: a.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}], defaultBackend: {service: {name: web, port: {name: http}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: others, namespace: shop, annotations: {kubernetes.io/ingress.class: other}}
spec: {ingressClassName: edge, defaultBackend: {service: {name: web, port: {number: 80}}}}
---
`

// TestIngresses: an Ingress counts while its class is that of the mesh, has the addresses of the Service in front of the gateways, and nothing is written into that of another controller.
func TestIngresses(t *testing.T) {
	r := newRig(t).put(webService + twoIngresses)
	r.apply()
	if s := r.b.Status(ingressRef("ours")); s != nil || r.snap.Gateways.Len() != 0 || r.snap.Routes.Len() != 0 {
		t.Errorf("without its class the Ingress counts: %v", s)
	}
	class := "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: edge}\nspec: {controller: istio.io/ingress-controller}\n"
	r.put(class).apply()
	if s := r.b.Status(ingressRef("ours")); r.snap.Gateways.Len() != 1 || r.snap.Routes.Len() != 2 || s == nil || len(s.LoadBalancer.Ingress) != 0 {
		t.Errorf("%d gateways, %d routes, status %v", r.snap.Gateways.Len(), r.snap.Routes.Len(), s)
	}
	r.put("apiVersion: v1\nkind: Service\nmetadata: {name: istio-ingressgateway, namespace: istio-system}\nspec: {clusterIP: 10.0.0.9, externalIPs: [192.0.2.9], ports: [{port: 80}]}\n" +
		"status: {loadBalancer: {ingress: [{ip: 192.0.2.1}, {hostname: lb.example.com}]}}\n").apply()
	want := &condition.Status{LoadBalancer: &condition.Balancer{Ingress: []condition.BalancerAddress{{IP: "192.0.2.1"}, {Hostname: "lb.example.com"}, {IP: "192.0.2.9"}}}}
	if d := cmp.Diff(want, r.b.Status(ingressRef("ours"))); d != "" {
		t.Error(d)
	}
	if s := r.b.Status(ingressRef("others")); s != nil {
		t.Errorf("status of another controller's Ingress: %v", s)
	}
	r.put(class[:len(class)-len("istio.io/ingress-controller}\n")] + "example.com/other}\n").apply()
	if r.snap.Gateways.Len() != 0 || r.snap.Routes.Len() != 0 {
		t.Error("an Ingress of another class counts")
	}
}
