package laptop

import (
	"fmt"
	"strings"
)

// ours is the label of the objects that stand for workloads of this machine: they come and go with the workloads.
const ours = "app.kubernetes.io/managed-by: " + manager

// accountObject is the identity of a workload.
func accountObject(w *workload) string {
	return fmt.Sprintf(`apiVersion: v1
kind: ServiceAccount
metadata: {name: %s, namespace: %s, labels: {%s}}
`, w.account, w.namespace, ours)
}

// serviceObject is the service that a workload is called by.
func serviceObject(w *workload) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: %[2]s, labels: {app: %[1]s, %[5]s}}
spec:
  selector: {app: %[1]s}
  ipFamilyPolicy: PreferDualStack
  ports: [{name: %[3]s, port: %[4]d, targetPort: %[4]d}]
`, w.app, w.namespace, w.protocol(), w.port, ours)
}

// protocol is the name of the port of a service that is made for the workload, which says what it speaks.
func (w *workload) protocol() string {
	if w.tcp {
		return "tcp"
	}
	return "http"
}

// ingressObject is the Service in front of the ingress. Gateways of the Gateway API name it to be served there (spec.addresses), and take their address from
// its status.
func ingressObject(w *workload) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: %[2]s, labels: {app: %[1]s, %[3]s}}
spec:
  type: LoadBalancer
  selector: {app: %[1]s}
  ports: [{name: http, port: 80, targetPort: 80}]
`, w.app, w.namespace, ours)
}

// entryObject is the workload itself, which its service selects. It is healthy while its proxy's stream lives and, unless ready is false, takes traffic.
func entryObject(w *workload, ready bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, `apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata:
  name: %[1]s
  namespace: %[2]s
  labels: {app: %[3]s, version: %[4]s, %[7]s}
  annotations: {heddle.dev/proxied: "true", heddle.dev/ready: "%[8]t"}
spec:
  address: %[5]s
  serviceAccount: %[6]s
  labels: {app: %[3]s, version: %[4]s}
`, w.name, w.namespace, w.app, w.version, w.reached, w.account, ours, ready)
	if w.entryPort != 0 {
		fmt.Fprintf(&b, "  ports: {%q: %d}\n", w.portName, w.entryPort)
	}
	if w.locality != "" {
		fmt.Fprintf(&b, "  locality: %q\n", w.locality)
	}
	return b.String()
}

// namespaceObject is one namespace.
func namespaceObject(name string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", name)
}

// gatewayObjects open the ingress for every host and lead to the front page; catalog starts at version 1.
func gatewayObjects() string {
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: ingress, namespace: %[1]s}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*"]
---
`, ingressNamespace)
}
