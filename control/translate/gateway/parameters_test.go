package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/control/translate/world"
)

// TestParameters reads the ConfigMap of a gateway: a good one becomes overlays, of another the status tells the field.
func TestParameters(t *testing.T) {
	const gateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: heddle}
spec: {controllerName: heddle.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec:
  gatewayClassName: heddle
  infrastructure: {parametersRef: {group: %q, kind: %s, name: size}}
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: %s, namespace: shop}
data:
  %s: %q
`
	const class = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: heddle}
spec: {controllerName: heddle.dev/gateway-controller, parametersRef: {group: "", kind: ConfigMap, name: sizes%s}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front, namespace: shop}
spec: {gatewayClassName: heddle, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: %s, namespace: edge}
data: {deployment: %q}
`
	injects := *settings
	injects.Injects = true
	for _, c := range []struct{ name, group, kind, configMap, key, text, want string }{
		{"good", "", "ConfigMap", "size", "horizontalPodAutoscaler", "spec: {minReplicas: 2, maxReplicas: 5}", `"{\"spec\":{\"maxReplicas\":5,\"minReplicas\":2}}"`},
		{"directives are no fields", "", "ConfigMap", "size", "service", "spec: {ports: [{port: 15021, $patch: delete}]}", "$patch"},
		{"other kind", "x.io", "Params", "size", "deployment", "{}", "Params size is not understood; name a ConfigMap of the gateway's namespace"},
		{"missing", "", "ConfigMap", "other", "deployment", "{}", "there is no ConfigMap size in namespace shop"},
		{"unknown entry", "", "ConfigMap", "size", "pod", "{}", "ConfigMap size, data.pod: it is none of deployment, horizontalPodAutoscaler, podDisruptionBudget, service, serviceAccount"},
		{"unknown field", "", "ConfigMap", "size", "podDisruptionBudget", "spec: {minAvailabel: 1}", `ConfigMap size, data.podDisruptionBudget: unknown field "minAvailabel"`},
		{"wrong type", "", "ConfigMap", "size", "deployment", "spec: {replicas: many}", "ConfigMap size, data.deployment: cannot unmarshal string"},
		{"no YAML", "", "ConfigMap", "size", "deployment", "spec: {", "ConfigMap size, data.deployment: "},
		{"no object", "", "ConfigMap", "size", "deployment", "5", "want an object with metadata and spec"},
		{"no key", "", "ConfigMap", "size", "service", "spec: {ports: [{name: a}]}", "data.service: map: map[name:a] does not contain declared merge key: port"},
		{"a name", "", "ConfigMap", "size", "deployment", "metadata: {name: mine}", "data.deployment: metadata.name is the control plane's own; remove it"},
		{"a selector", "", "ConfigMap", "size", "service", "spec: {selector: {a: b}}", "data.service: spec.selector is the control plane's own; remove it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := world.Report(world.Load(&injects, []byte(fmt.Sprintf(gateway, c.group, c.kind, c.configMap, c.key, c.text)), ""))
			good := c.name == "good" || strings.HasPrefix(c.name, "directives")
			if !strings.Contains(got, c.want) || strings.Contains(got, "InvalidParameters") == good {
				t.Errorf("want %s in\n%s", c.want, got)
			}
		})
	}
	labelled := strings.Replace(fmt.Sprintf(gateway, "", "ConfigMap", "size", "deployment", "spec: {replicas: 4}"), "---", "---\napiVersion: v1\nkind: ConfigMap\n"+
		"metadata: {name: defaults, namespace: istio-system, labels: {gateway.istio.io/defaults-for-class: heddle}}\ndata: {deployment: 'spec: {replicas: 2}', podDisruptionBudget: 'spec: {minAvailable: 1}'}\n---", 1)
	if got := world.Report(world.Load(&injects, []byte(labelled), "")); !inOrder(got, `Patch "{\"spec\":{\"replicas\":2}}"`, `Patch "{\"spec\":{\"minAvailable\":1}}"`, `Patch "{\"spec\":{\"replicas\":4}}"`) {
		t.Error("the defaults of the class, then the gateway's own: ", got)
	}
	if got := world.Report(world.Load(&injects, []byte(strings.Replace(labelled, "{replicas: 2}", "{replicas: two}", 1)), "")); !strings.Contains(got, "Accepted: spec.gatewayClassName: ConfigMap defaults, data.deployment: ") {
		t.Error(got)
	}
	for _, c := range []struct{ name, namespace, configMap, text, want string }{
		{"the class's", ", namespace: edge", "sizes", "spec: {replicas: 3}", `"{\"spec\":{\"replicas\":3}}"`},
		{"of no namespace", "", "sizes", "{}", "spec.parametersRef: ConfigMap sizes is of no namespace; write parametersRef.namespace"},
		{"missing", ", namespace: edge", "other", "{}", "Accepted: spec.gatewayClassName: parametersRef of GatewayClass/heddle: there is no ConfigMap sizes in namespace edge"},
		{"wrong", ", namespace: edge", "sizes", "spec: {replicas: many}", "Accepted: spec.parametersRef: ConfigMap sizes, data.deployment: cannot unmarshal string"},
	} {
		t.Run("class/"+c.name, func(t *testing.T) {
			got := world.Report(world.Load(&injects, []byte(fmt.Sprintf(class, c.namespace, c.configMap, c.text)), ""))
			if !strings.Contains(got, c.want) || (strings.Count(got, "InvalidParameters") == 2) == (c.name == "the class's") {
				t.Errorf("want %s in\n%s", c.want, got)
			}
		})
	}
}

// inOrder says whether a text has these parts one behind the other.
func inOrder(text string, parts ...string) bool {
	for _, part := range parts {
		_, rest, ok := strings.Cut(text, part)
		if !ok {
			return false
		}
		text = rest
	}
	return true
}
