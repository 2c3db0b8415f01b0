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
metadata: {name: front, namespace: shop, labels: {istio.io/rev: canary}, annotations: {networking.istio.io/service-type: ClusterIP}}
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
	if got := world.Report(world.Load(settings, []byte(objects), "")); strings.Count(got, "is not honoured") < 3 {
		t.Errorf("nobody makes workloads, and so nobody looks at infrastructure, revision and type: %s", got)
	}
}
