package kube

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

func gateway(t *testing.T) {
	address := k(t, "-n", "istio-system", "get", "service", "heddle-ingressgateway", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
	eventually(t, "a call through the gateway", func() error { return call(address, "shop.example") })
}

// call asks a gateway from outside of the cluster; anything but 200 is an error.
func call(address, host string) error {
	_, err := ask(address, host)
	return err
}

// ask is call for who wants to see the answer, whose body is read.
func ask(address, host string) (*http.Response, error) {
	r, err := http.NewRequest(http.MethodGet, "http://"+net.JoinHostPort(address, "80")+"/", nil)
	if err != nil {
		return nil, err
	}
	r.Host = host
	answer, err := (&http.Client{Timeout: 3 * time.Second}).Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", answer.StatusCode)
	}
	return answer, nil
}

// front is a Gateway that names no workloads, with spec beside its listener, and its route to port 80 of a Service of its namespace.
func front(namespace, service, spec string) string {
	return fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: heddle}
spec: {controllerName: heddle.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: %[1]s}
spec:
  gatewayClassName: heddle
  listeners: [{name: http, port: 80, protocol: HTTP}]
  %[3]s
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  parentRefs: [{name: front}]
  rules: [{backendRefs: [{name: %[2]s, port: 80}]}]
---
`, namespace, service, spec)
}

// deployed is a Gateway that names no workloads: they are made for it as its parameters ask, are replaced and become fewer under load without a bad answer, and go with it.
func deployed(t *testing.T) {
	apply(t, front("shop", "web", "infrastructure: {parametersRef: {group: \"\", kind: ConfigMap, name: front}}")+pods(2, 3))
	k(t, "-n", "shop", "wait", "--for=condition=Programmed", "gateway/front", "--timeout=120s")
	address := k(t, "-n", "shop", "get", "gateway", "front", "-o", "jsonpath={.status.addresses[0].value}")
	eventually(t, "a call through the deployed gateway", func() error { return call(address, "any.example") })
	ready := func(n string) func() error {
		return func() error {
			if got := k(t, "-n", "shop", "get", "deployment", "front-heddle", "-o", "jsonpath={.status.readyReplicas} {.status.replicas}"); got != n+" "+n {
				return fmt.Errorf("ready and all pods: %s", got)
			}
			return nil
		}
	}
	eventually(t, "two pods", ready("2"))
	if got := k(t, "-n", "shop", "get", "poddisruptionbudget", "front-heddle", "-o", "jsonpath={.spec.minAvailable}"); got != "1" {
		t.Errorf("minAvailable of the disruption budget is %q", got)
	}
	loadedAt(t, "outside", "http://"+net.JoinHostPort(address, "80")+"/", "200", "60s", func() {
		k(t, "-n", "shop", "rollout", "restart", "deployment/front-heddle")
		rollout(t, "shop", "front-heddle")
		apply(t, pods(1, 1))
		eventually(t, "one pod", ready("1"))
	})
	k(t, "-n", "shop", "delete", "gateway/front", "httproute/web", "configmap/front")
	k(t, "delete", "gatewayclass/heddle")
	eventually(t, "its workloads go", func() error {
		if out := k(t, "-n", "shop", "get", "deployments,services,serviceaccounts,horizontalpodautoscalers,poddisruptionbudgets", "-l", "gateway.networking.k8s.io/gateway-name=front", "-o", "name"); out != "" {
			return fmt.Errorf("left: %s", out)
		}
		return nil
	})
}

// pods are the parameters of the gateway: how many pods it has, of which one must stay.
func pods(least, most int) string {
	return fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata: {name: front, namespace: shop}
data:
  horizontalPodAutoscaler: "spec: {minReplicas: %d, maxReplicas: %d}"
  podDisruptionBudget: "spec: {minAvailable: 1}"
`, least, most)
}

// egress leads the calls of a namespace to a server outside of the mesh through the egress gateway: the server sees the gateway's address.
func egress(t *testing.T) {
	h(t, "install", "--profile", "demo", "--set", "egressGateway.enabled=true")
	outside := k(t, "-n", "outside", "get", "pod", "client", "-o", "jsonpath={.status.podIP}")
	rules := fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: partner, namespace: shop}
spec:
  hosts: [partner.example]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 8080, name: http, protocol: HTTP}]
  endpoints: [{address: %s}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: partner, namespace: shop}
spec:
  selector: {istio: egressgateway}
  servers:
  - hosts: [partner.example]
    port: {name: http, number: 80, protocol: HTTP}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: partner, namespace: shop}
spec:
  hosts: [partner.example]
  gateways: [mesh, partner]
  http:
  - match: [{gateways: [mesh]}]
    route: [{destination: {host: heddle-egressgateway.istio-system.svc.cluster.local, port: {number: 80}}}]
  - match: [{gateways: [partner]}]
    route: [{destination: {host: partner.example, port: {number: 8080}}}]
`, outside)
	apply(t, rules)
	gateway := k(t, "-n", "istio-system", "get", "pods", "-l", "istio=egressgateway", "-o", "jsonpath={.items[*].status.podIP}")
	answers(t, "shop", "client", "http://partner.example:8080/", "from="+gateway+" ")
	k(t, "-n", "shop", "delete", "serviceentry/partner", "gateways.networking.istio.io/partner", "virtualservice/partner")
	h(t, "install", "--profile", "demo")
	eventually(t, "the egress gateway goes", func() error {
		if out := k(t, "-n", "istio-system", "get", "deployments,services", "-l", "istio=egressgateway", "-o", "name"); out != "" {
			return fmt.Errorf("left: %s", out)
		}
		return nil
	})
}
