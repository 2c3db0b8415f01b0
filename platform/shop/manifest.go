package shop

import (
	"fmt"
	"strings"
)

// Step is a file of objects for a Kubernetes cluster, of those that show a mesh with the shop.
type Step struct {
	Name, About string
	objects     func(image string) string
}

// Steps are the files in the order in which they are applied.
func Steps() []Step {
	return []Step{
		{"shop", "the services of the shop in a namespace that is injected, and the page behind the ingress gateway", services},
		{"mtls", "only proxies of the mesh may call the shop, by mutual TLS; only checkout may pay", func(string) string { return policies }},
		{"canary", "a tenth of the catalog's requests go to its version 2", func(string) string { return versions(90, 10) }},
	}
}

// Objects is the file; image is that of heddle-sample.
func (s *Step) Objects(image string) string { return s.objects(image) }

func services(image string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {istio-injection: enabled}}\n", Namespace)
	seen := map[string]bool{}
	for _, p := range Parts() {
		if !seen[p.Name] {
			seen[p.Name] = true
			protocol := "http"
			if p.TCP {
				protocol = "tcp"
			}
			fmt.Fprintf(&b, `---
apiVersion: v1
kind: ServiceAccount
metadata: {name: %[1]s, namespace: %[2]s}
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: %[2]s, labels: {app: %[1]s}}
spec:
  selector: {app: %[1]s}
  ports: [{name: %[3]s, port: %[4]d, targetPort: %[4]d}]
`, p.Name, Namespace, protocol, p.Port)
		}
		fmt.Fprintf(&b, `---
# %[6]s
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s-%[2]s, namespace: %[3]s, labels: {app: %[1]s, version: %[2]s}}
spec:
  selector: {matchLabels: {app: %[1]s, version: %[2]s}}
  template:
    metadata: {labels: {app: %[1]s, version: %[2]s}}
    spec:
      serviceAccountName: %[1]s
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: %[1]s
        image: %[5]s
        args: [--version, %[2]s, --listen, "[::]:%[4]d", %[1]s]
        ports: [{containerPort: %[4]d}]
        readinessProbe: {tcpSocket: {port: %[4]d}, periodSeconds: 2}
        resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi}}
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
`, p.Name, p.Version, Namespace, p.Port, image, p.About)
	}
	fmt.Fprintf(&b, `---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop, namespace: %[1]s}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*"]
---
`, Namespace)
	return b.String() + Routes("shop")
}

// Routes lead from an Istio Gateway, by its name or NAMESPACE/NAME, to the page, and all requests for the catalog to its version 1.
func Routes(gateway string) string {
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: %[1]s}
spec:
  hosts: ["*"]
  gateways: [%[2]s]
  http:
  - name: page
    route: [{destination: {host: web}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: catalog, namespace: %[1]s}
spec:
  host: catalog
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
---
`, Namespace, gateway) + versions(100, 0)
}

// versions shares the catalog's requests between its versions, in percent.
func versions(one, two int) string {
	return fmt.Sprintf(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog, namespace: %[1]s}
spec:
  hosts: [catalog]
  http:
  - name: versions
    route:
    - {destination: {host: catalog, subset: v1}, weight: %[2]d}
    - {destination: {host: catalog, subset: v2}, weight: %[3]d}
`, Namespace, one, two)
}

const policies = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: ` + Namespace + `}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: payment, namespace: ` + Namespace + `}
spec:
  selector: {matchLabels: {app: payment}}
  action: ALLOW
  rules: [{from: [{source: {principals: [cluster.local/ns/` + Namespace + `/sa/checkout]}}]}]
`
