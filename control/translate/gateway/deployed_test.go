package gateway_test

import (
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/control/translate/world"
)

// TestInfrastructureIsHonouredWhereWorkloadsAreMade translates one Gateway with and without a control plane that makes its workloads.
func TestInfrastructureIsHonouredWhereWorkloadsAreMade(t *testing.T) {
	const objects = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: heddle}
spec: {controllerName: heddle.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: shop, labels: {istio.io/rev: canary}, annotations: {networking.istio.io/service-type: ClusterIP, gateway.istio.io/name-override: edge, gateway.istio.io/service-account: edge}}
spec:
  gatewayClassName: heddle
  infrastructure: {labels: {team: a}, annotations: {note: b}}
  listeners: [{name: http, port: 80, protocol: HTTP}]
`
	injects := *settings
	injects.Injects = true
	if got := world.Report(world.Load(&injects, []byte(objects), "")); strings.Contains(got, "not honoured") {
		t.Error(got)
	}
	wrong := strings.Replace(objects, "service-account: edge", "service-account: Edge.1", 1)
	if got := world.Report(world.Load(&injects, []byte(wrong), "")); !strings.Contains(got, `"Edge.1" is no name for a Service, so NAME-CLASS counts`) || strings.Contains(got, "Account ") {
		t.Error(got)
	}
	if got := world.Report(world.Load(settings, []byte(objects), "")); strings.Count(got, "is not honoured") < 5 {
		t.Errorf("nobody makes workloads, and so nobody looks at infrastructure, revision and type: %s", got)
	}
}

// TestAddressesOfTheGatewaysOwnLoadBalancer can be asked for where workloads are made for gateways.
func TestAddressesOfTheGatewaysOwnLoadBalancer(t *testing.T) {
	injects := *settings
	injects.Injects = true
	for addresses, want := range map[string]string{
		`{value: 10.0.0.1}`:                               "- 10.0.0.1",
		`{type: IPAddress, value: "fd00::1"}`:             "- fd00::1",
		`{type: IPAddress}`:                               "status: Accepted=True/Accepted",
		`{type: Hostname}`:                                "status: Accepted=True/Accepted",
		`{value: ten}`:                                    `Accepted: spec.addresses[0].value: "ten" is not an IP address`,
		`{value: 10.0.0.1}, {type: Hostname, value: web}`: "Accepted: spec.addresses[1]: the host name of the Service",
		`{type: example.com/pool, value: blue}`:           "Accepted: spec.addresses[0].type: addresses of type example.com/pool are not possible",
	} {
		got := world.Report(world.Load(&injects, []byte(`
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec:
  gatewayClassName: heddle
  addresses: [`+addresses+`]
  listeners: [{name: http, port: 80, protocol: HTTP}]
`), ""))
		if !strings.Contains(got, want) {
			t.Errorf("%s: want %s in %s", addresses, want, got)
		}
	}
}
