package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

var front = mesh.Ref{Group: api.GroupGateway, Kind: "Gateway", Namespace: "shop", Name: "front"}

const frontGateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec: {gatewayClassName: heddle, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
`

// gateStatus is the gateway's condition Programmed, the listeners' one and the addresses.
func (r *rig) gateStatus() string {
	r.t.Helper()
	s := r.b.Status(front)
	if s == nil {
		return "none"
	}
	var out []string
	for _, c := range s.Conditions {
		if c.Type == "Programmed" {
			out = append(out, c.Status+"/"+c.Reason)
		}
	}
	for _, c := range s.Listeners[0].Conditions {
		if c.Type == "Programmed" {
			out = append(out, c.Status+"/"+c.Reason)
		}
	}
	for _, a := range s.Addresses {
		out = append(out, a.Type+" "+a.Value)
	}
	return strings.Join(out, ", ")
}

// A Gateway's addresses follow its workloads and the Services in front of them, and each change is told.
func TestGatewayAddresses(t *testing.T) {
	const labels = "{gateway.networking.k8s.io/gateway-name: front}"
	service := func(more, status string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: front, namespace: shop}\nspec: {selector: %s, ports: [{name: http, port: 80}]%s}\nstatus: {%s}\n", labels, more, status)
	}
	r := newRig(t)
	for _, step := range []struct{ name, put, want string }{
		{"nothing serves it", frontGateway, "False/AddressNotAssigned, False/Pending"},
		{"a workload elsewhere is none of its own", "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: other, namespace: far}\nspec: {address: 10.0.0.8, labels: " + labels + "}\n",
			"False/AddressNotAssigned, False/Pending"},
		{"its workload", "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: front-1, namespace: shop}\nspec: {address: 10.0.0.9, labels: " + labels + "}\n",
			"True/Programmed, True/Programmed, IPAddress 10.0.0.9"},
		{"a Service with an address that was given", service("", ""), "True/Programmed, True/Programmed, IPAddress 10.0.0.9"},
		{"the Service's address", service(", clusterIP: 10.1.0.1", ""), "True/Programmed, True/Programmed, IPAddress 10.1.0.1"},
		{"a load balancer that has no address yet", service(", clusterIP: 10.1.0.1, type: LoadBalancer", ""), "False/AddressNotAssigned, True/Programmed"},
		{"the load balancer's addresses", service(", clusterIP: 10.1.0.1, type: LoadBalancer", "loadBalancer: {ingress: [{ip: 192.0.2.1}, {hostname: lb.example.com}]}"),
			"True/Programmed, True/Programmed, IPAddress 192.0.2.1, Hostname lb.example.com"},
	} {
		_, told := r.put(step.put).apply()
		if got := r.gateStatus(); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
		if changed := !strings.Contains(step.name, "elsewhere"); changed && !slices.Contains(told, front) {
			t.Errorf("%s: not told", step.name)
		}
	}
}

// The addresses that a gateway asks for are those that count, and it is not programmed while one of them is missing.
func TestGatewayAsksForAddresses(t *testing.T) {
	r := newRig(t)
	r.b.now.Settings.Injects = true
	r.put(strings.Replace(frontGateway, "listeners:", "addresses: [{value: 192.0.2.1}], listeners:", 1)).apply()
	const service = "apiVersion: v1\nkind: Service\nmetadata: {name: front, namespace: shop}\nspec: {selector: {gateway.networking.k8s.io/gateway-name: front}, ports: [{name: http, port: 80}], type: LoadBalancer}\nstatus: {loadBalancer: {ingress: [%s]}}\n"
	for _, step := range []struct{ ingress, want string }{
		{"", "False/AddressNotUsable, True/Programmed"},
		{"{ip: 192.0.2.9}", "False/AddressNotUsable, True/Programmed"},
		{"{ip: 192.0.2.9}, {ip: 192.0.2.1}", "True/Programmed, True/Programmed, IPAddress 192.0.2.1"},
	} {
		r.put(fmt.Sprintf(service, step.ingress)).apply()
		if got := r.gateStatus(); got != step.want {
			t.Errorf("%s: %s, want %s", step.ingress, got, step.want)
		}
	}
}

// A gateway that names a Service is served by its workloads, wherever they are; so it is compiled for them, and reached where they are.
func TestGatewayBoundToService(t *testing.T) {
	r := newRig(t)
	r.put(strings.Replace(frontGateway, "listeners:", "addresses: [{type: Hostname, value: ingress.edge.svc.cluster.local}], listeners:", 1)).apply()
	if got := r.gateStatus(); got != "False/AddressNotUsable, False/Pending" {
		t.Error("without the Service:", got)
	}
	r.put(`
apiVersion: v1
kind: Service
metadata: {name: ingress, namespace: edge}
spec: {selector: {app: ingress}, ports: [{name: http, port: 80}], externalIPs: [192.0.2.7]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: ingress-1, namespace: edge}
spec: {address: 10.0.0.9, labels: {app: ingress}}
`).apply()
	if got := r.gateStatus(); got != "True/Programmed, True/Programmed, IPAddress 192.0.2.7" {
		t.Error(got)
	}
	g, _ := r.snap.Gateways.Get(mesh.GatewayID{Dialect: mesh.GatewayAPI, Namespace: "shop", Name: "front"})
	if g.Namespace != "edge" || g.Selector["app"] != "ingress" {
		t.Errorf("served by %v in %s", g.Selector, g.Namespace)
	}
}
