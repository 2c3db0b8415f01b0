package apis

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/heddle-mesh/heddle/control/server"
)

const (
	virtualService = "networking.istio.io/v1 VirtualService"
	gateway        = "gateway.networking.k8s.io/v1 Gateway"
	account        = "v1 ServiceAccount" // of a gateway's workloads
	owner          = "heddled-test"
)

// what the cluster has: a Service of the mesh, what heddled is told to keep, and what owns that.
const clusterObjects = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: ` + owner + `}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: injector}
webhooks:
- name: pods.heddle.dev
  admissionReviewVersions: [v1]
  sideEffects: None
  clientConfig: {url: "https://127.0.0.1:1/inject"}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: front, namespace: shop}
data: {serviceAccount: "metadata: {annotations: {parameters: of-the-cluster}}"}
`

// what users configure; the Service and the ConfigMap beside it are no part of the mesh.
const configObjects = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: only-here}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: front, namespace: shop}
data: {serviceAccount: "metadata: {annotations: {parameters: of-the-other}}"}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: heddle}
spec: {controllerName: heddle.dev/gateway-controller}
`

func virtual(name, hosts string) string {
	return "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: " + name + ", namespace: shop}\nspec: {hosts: [" + hosts + "], http: [{timeout: 3s, route: [{destination: {host: web}}]}]}\n"
}

func front(namespace string) string {
	return "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: front, namespace: " + namespace + "}\nspec:\n  gatewayClassName: heddle\n" +
		"  infrastructure: {parametersRef: {group: \"\", kind: ConfigMap, name: front}}\n  listeners: [{name: http, port: 80, protocol: HTTP}]\n"
}

// two is a mesh on two APIs.
type two struct {
	*testing.T
	config, cluster *api
	heddled         *control
}

func (m *two) options() server.Options {
	// The user of the configuration API may do no more there than that API gives to heddled.
	return server.Options{Kubeconfig: m.config.kubeconfig("heddled"), ClusterKubeconfig: m.cluster.kubeconfig("admin"),
		WebhookAddress: "127.0.0.1:0", InjectWebhook: "injector", CASecret: "heddle-ca", Owner: owner, LeaderElection: true}
}

// TestTwoAPIs is the life of a control plane on two APIs. Each step needs the ones before it.
func TestTwoAPIs(t *testing.T) {
	m := &two{T: t, config: startAPI(t), cluster: startAPI(t, "--crds", "")}
	m.cluster.apply(clusterObjects)
	m.config.apply(configObjects)
	m.heddled = startControl(t, m.options())
	until(t, "heddled is ready", func() bool { code, _ := m.heddled.ready(); return code == http.StatusOK })
	for _, step := range []struct {
		name string
		run  func(*two, *testing.T)
	}{
		{"each kind from its API, and answered there", (*two).answers},
		{"addresses that are given to ServiceEntries", (*two).addresses},
		{"Ingresses", (*two).ingresses},
		{"what heddled keeps is in the cluster", (*two).keeps},
		{"admission", (*two).admits},
		{"a gateway's workloads", (*two).deploys},
		{"a namespace of one API only", (*two).strangers},
		{"the configuration API is away", (*two).configAway},
		{"the cluster's API is away", (*two).clusterAway},
		{"started while one is away", (*two).startsLate},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(m, t) }) {
			return
		}
	}
}

func (m *two) answers(t *testing.T) {
	m.config.apply(virtual("web", "web"))
	until(t, "a host of the cluster is known to a rule of the other API", func() bool {
		return strings.HasPrefix(m.config.condition(virtualService, "shop", "web", "Accepted"), "True")
	})
	// A Service beside the rules is not the mesh's: no host of that name is known.
	m.config.apply("apiVersion: v1\nkind: Service\nmetadata: {name: decoy, namespace: shop}\nspec: {ports: [{name: http, port: 80}]}\n---\n" + strings.Replace(virtual("decoy", "decoy"), "host: web", "host: decoy", 1))
	until(t, "a host that only the configuration API has", func() bool {
		return strings.Contains(m.config.condition(virtualService, "shop", "decoy", "Accepted")+m.config.condition(virtualService, "shop", "decoy", "Enforced"), "no service has the host")
	})
	m.cluster.apply("apiVersion: v1\nkind: Service\nmetadata: {name: sticky, namespace: shop}\nspec: {sessionAffinity: ClientIP, ports: [{name: http, port: 80}]}\n")
	until(t, "a Service of the cluster is answered there", func() bool {
		return strings.HasPrefix(m.cluster.condition("v1 Service", "shop", "sticky", "heddle.dev/Enforced"), "False")
	})
}

const serviceEntry = "networking.istio.io/v1 ServiceEntry"

// entryAddresses is HOST VALUE of each address in the status of an entry.
func (m *two) entryAddresses(name string) (out []string) {
	u := m.config.get(serviceEntry, "shop", name)
	if u == nil {
		return nil
	}
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "addresses")
	for _, x := range list {
		a, _ := x.(map[string]any)
		out = append(out, fmt.Sprint(a["host"], " ", a["value"]))
	}
	return out
}

// addresses: heddled writes what it gives, keeps what is written, puts back what somebody takes away, and takes back what is not wanted any more.
func (m *two) addresses(t *testing.T) {
	entry := func(name, labels string) string {
		return "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: " + name + ", namespace: shop, labels: {" + labels + "}}\n" +
			"spec: {hosts: [" + name + ".example.com], resolution: DNS, ports: [{name: tcp, number: 9000, protocol: TCP}]}\n"
	}
	patch := func(name, status string) {
		if _, err := m.config.at(serviceEntry, "shop").Patch(t.Context(), name, types.MergePatchType, []byte(`{"status":{"addresses":`+status+`}}`), metav1.PatchOptions{}, "status"); err != nil {
			t.Fatal(err)
		}
	}
	m.config.apply(entry("given", "") + "---\n" + entry("written", ""))
	var given, written []string
	until(t, "addresses are written", func() bool {
		given, written = m.entryAddresses("given"), m.entryAddresses("written")
		return len(given) == 2 && len(written) == 2 && strings.HasPrefix(given[0], "given.example.com 240.240.") && strings.HasPrefix(given[1], "given.example.com 2001:2:")
	})
	patch("given", "[]")
	until(t, "what was taken away is there again", func() bool { return slices.Equal(m.entryAddresses("given"), given) })
	patch("written", `[{"host":"written.example.com","value":"240.240.0.1"},{"host":"written.example.com","value":"2001:2::1"}]`)
	want := []string{"written.example.com 240.240.0.1", "written.example.com 2001:2::1"}
	m.heddled.stop()
	m.heddled = startControl(m.T, m.options()) // its folder is another one
	m.config.apply(entry("marker", ""))
	until(t, "a new heddled writes", func() bool { return len(m.entryAddresses("marker")) == 2 })
	if got := m.entryAddresses("written"); !slices.Equal(got, want) {
		t.Errorf("after a restart %v, before %v", got, want)
	}
	if got := m.entryAddresses("given"); !slices.Equal(got, given) {
		t.Errorf("after a restart %v, before %v", got, given)
	}
	m.config.apply(entry("given", `networking.istio.io/enable-autoallocate-ip: "false"`))
	until(t, "what is not wanted goes", func() bool { return len(m.entryAddresses("given")) == 0 })
	for _, name := range []string{"given", "written", "marker"} {
		m.config.remove(serviceEntry, "shop", name)
	}
}

// ingresses: an Ingress of the cluster has the addresses of the Service in front of the gateways, as long as it is the mesh's.
func (m *two) ingresses(t *testing.T) {
	const ingress = "networking.k8s.io/v1 Ingress"
	at := func(name string) string {
		u := m.cluster.get(ingress, "shop", name)
		if u == nil {
			return "none"
		}
		list, _, _ := unstructured.NestedSlice(u.Object, "status", "loadBalancer", "ingress")
		return fmt.Sprint(list)
	}
	front := func(status string) {
		if _, err := m.cluster.at("v1 Service", "istio-system").Patch(t.Context(), "istio-ingressgateway", types.MergePatchType, []byte(`{"status":{"loadBalancer":{"ingress":`+status+`}}}`), metav1.PatchOptions{}, "status"); err != nil {
			t.Fatal(err)
		}
	}
	m.cluster.apply("apiVersion: v1\nkind: Service\nmetadata: {name: istio-ingressgateway, namespace: istio-system}\nspec: {type: LoadBalancer, ports: [{name: http, port: 80}]}\n---\n" +
		"apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: istio}\nspec: {controller: istio.io/ingress-controller}\n")
	front(`[{"ip":"192.0.2.1"},{"hostname":"lb.example.com"}]`)
	object := func(name, annotations, class string) string {
		return "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: " + name + ", namespace: shop, annotations: {" + annotations + "}}\nspec: {" + class + "defaultBackend: {service: {name: web, port: {number: 80}}}}\n"
	}
	m.cluster.apply(object("of-the-class", "", "ingressClassName: istio, ") + "---\n" + object("annotated", "kubernetes.io/ingress.class: istio", "") + "---\n" + object("of-others", "kubernetes.io/ingress.class: other", ""))
	both := "[map[ip:192.0.2.1] map[hostname:lb.example.com]]"
	until(t, "both have the addresses of the Service", func() bool { return at("of-the-class") == both && at("annotated") == both })
	front(`[{"ip":"192.0.2.2"}]`)
	until(t, "they follow", func() bool {
		return at("of-the-class") == "[map[ip:192.0.2.2]]" && at("annotated") == "[map[ip:192.0.2.2]]"
	})
	if got := at("of-others"); got != "[]" {
		t.Errorf("the Ingress of another controller has %s", got)
	}
	for _, name := range []string{"of-the-class", "annotated", "of-others"} {
		m.cluster.remove(ingress, "shop", name)
	}
	m.cluster.remove("v1 Service", "istio-system", "istio-ingressgateway")
}

func (m *two) keeps(t *testing.T) {
	for _, x := range [][3]string{{"coordination.k8s.io/v1 Lease", "istio-system", "heddled-leader"}, {"v1 Secret", "istio-system", "heddle-ca"}, {"v1 ConfigMap", "shop", "istio-ca-root-cert"}} {
		until(t, x[0]+" in the cluster", func() bool { return m.cluster.get(x[0], x[1], x[2]) != nil })
		if m.config.get(x[0], x[1], x[2]) != nil {
			t.Errorf("%v is in the configuration API", x)
		}
	}
	until(t, "the webhook that injects is vouched for", func() bool {
		u := m.cluster.get("admissionregistration.k8s.io/v1 MutatingWebhookConfiguration", "", "injector")
		return strings.Contains(text(t, u), "caBundle: ")
	})
}

func (m *two) admits(t *testing.T) {
	const registration = "admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration"
	for a, owners := range map[*api]int{m.config: 0, m.cluster: 1} {
		until(t, "the validating webhook", func() bool { return a.get(registration, "", "heddled-istio-system") != nil })
		if got := a.get(registration, "", "heddled-istio-system").GetOwnerReferences(); len(got) != owners {
			t.Errorf("what an API has not cannot own there: %v", got)
		}
	}
	until(t, "a mistake is refused", func() bool {
		err := m.config.try(virtual("broken", "web, web"))
		return err != nil && strings.Contains(err.Error(), "heddle.dev") && strings.Contains(err.Error(), "spec.hosts[1]")
	})
	m.config.apply("apiVersion: v1\nkind: Service\nmetadata: {name: decoy-2, namespace: shop}\nspec: {ports: [{name: http, port: 80}]}\n")
	if said := m.config.said.String(); !strings.Contains(said, "a Service in this API has no effect") {
		t.Errorf("a Service that nobody reads: %q", said)
	}
	m.cluster.apply("apiVersion: v1\nkind: Service\nmetadata: {name: sticky-2, namespace: shop}\nspec: {sessionAffinity: ClientIP, ports: [{name: http, port: 80}]}\n")
	if said := m.cluster.said.String(); !strings.Contains(said, "spec.sessionAffinity") || strings.Contains(said, "in this API") {
		t.Errorf("a Service that asks in vain: %q", said)
	}
}

func (m *two) deploys(t *testing.T) {
	m.config.apply(front("shop"))
	until(t, "the gateway's workloads", func() bool {
		return m.cluster.get(account, "shop", "front-heddle") != nil && m.cluster.get("v1 Service", "shop", "front-heddle") != nil
	})
	u := m.cluster.get(account, "shop", "front-heddle")
	if got := u.GetOwnerReferences(); len(got) != 1 || got[0].Kind != "ClusterRole" || got[0].Name != owner {
		t.Errorf("it is owned by %v", got)
	}
	if got := u.GetAnnotations()["parameters"]; got != "of-the-cluster" {
		t.Errorf("its parameters are %q", got)
	}
	if m.config.get(account, "shop", "front-heddle") != nil {
		t.Error("the configuration API got workloads")
	}
	parameters := func(key string) {
		m.cluster.remove("v1 ConfigMap", "shop", "front")
		m.cluster.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: front, namespace: shop}\ndata: {" + key + ": \"metadata: {annotations: {parameters: of-the-cluster}}\"}\n")
	}
	parameters("mistake")
	until(t, "a mistake in the parameters is told", func() bool {
		return strings.HasPrefix(m.config.condition(gateway, "shop", "front", "Accepted"), "False InvalidParameters")
	})
	if now := m.cluster.get(account, "shop", "front-heddle"); now == nil || now.GetUID() != u.GetUID() || now.GetDeletionTimestamp() != nil {
		t.Errorf("it cost the gateway its workloads: %v", now)
	}
	parameters("serviceAccount")
	until(t, "the gateway is accepted again", func() bool {
		return strings.HasPrefix(m.config.condition(gateway, "shop", "front", "Accepted"), "True")
	})
	m.config.remove(gateway, "shop", "front")
	until(t, "they go with the gateway", func() bool { return m.cluster.get(account, "shop", "front-heddle") == nil })
	m.config.apply(front("shop"))
	until(t, "they are made again", func() bool { return m.cluster.get(account, "shop", "front-heddle") != nil })
}

func (m *two) strangers(t *testing.T) {
	m.config.apply(strings.Replace(front("only-here"), "  infrastructure: {parametersRef: {group: \"\", kind: ConfigMap, name: front}}\n", "", 1))
	until(t, "the log says what is missing", func() bool {
		return strings.Contains(m.heddled.log.String(), "there is no namespace only-here in the cluster's API")
	})
	m.config.apply(virtual("later", "web"))
	until(t, "everything else goes on", func() bool { return m.config.condition(virtualService, "shop", "later", "Accepted") != "" })
	if m.cluster.get("v1 Namespace", "", "only-here") != nil || m.config.get("v1 ConfigMap", "only-here", "istio-ca-root-cert") != nil {
		t.Error("a namespace of the one API got into the other")
	}
	m.config.remove(gateway, "only-here", "front")
}

func (m *two) configAway(t *testing.T) {
	m.config.kill()
	until(t, "the log says which API is away", func() bool { return m.heddled.log.count("the configuration API is away") == 1 })
	m.cluster.apply("apiVersion: v1\nkind: Service\nmetadata: {name: sticky-3, namespace: shop}\nspec: {sessionAffinity: ClientIP, ports: [{name: http, port: 80}]}\n")
	until(t, "the cluster is followed", func() bool {
		return strings.HasPrefix(m.cluster.condition("v1 Service", "shop", "sticky-3", "heddle.dev/Enforced"), "False")
	})
	if code, body := m.heddled.ready(); code != http.StatusOK {
		t.Errorf("%d %s: what was last seen is served", code, body)
	}
	if m.cluster.get(account, "shop", "front-heddle") == nil {
		t.Error("a gateway's workloads went with the API")
	}
	m.config.start()
	until(t, "the log says that it is back", func() bool { return m.heddled.log.count("the configuration API answers again") == 1 })
	m.config.apply(virtual("back", "web"))
	until(t, "it is followed again", func() bool { return m.config.condition(virtualService, "shop", "back", "Accepted") != "" })
	if n := m.heddled.log.count("API is away"); n != 1 {
		t.Errorf("it was said %d times that an API is away", n)
	}
}

func (m *two) clusterAway(t *testing.T) {
	m.cluster.kill()
	until(t, "the log says which API is away", func() bool { return m.heddled.log.count("the cluster's API is away") == 1 })
	if code, body := m.heddled.ready(); code != http.StatusOK {
		t.Errorf("%d %s: what was last seen is served", code, body)
	}
	m.cluster.start()
	until(t, "the log says that it is back", func() bool { return m.heddled.log.count("the cluster's API answers again") == 1 })
	// Whoever led may have to be elected again.
	m.config.apply(virtual("again", "web"))
	until(t, "rules are answered", func() bool { return m.config.condition(virtualService, "shop", "again", "Accepted") != "" })
}

func (m *two) startsLate(t *testing.T) {
	m.heddled.stop()
	m.config.kill()
	m.heddled = startControl(m.T, m.options())
	until(t, "it is said what is waited for", func() bool {
		code, body := m.heddled.ready()
		return code == http.StatusServiceUnavailable && strings.Contains(body, "the configuration API at https://") && !strings.Contains(body, "cluster's API")
	})
	until(t, "this replica leads", func() bool { return m.heddled.log.count("this replica leads") == 1 })
	if m.heddled.log.count("the configuration API cannot be used yet") != 1 {
		t.Error("the log does not say once which API cannot be used")
	}
	m.config.start()
	until(t, "heddled is ready", func() bool { code, _ := m.heddled.ready(); return code == http.StatusOK })
	if m.cluster.get(account, "shop", "front-heddle") == nil {
		t.Error("a gateway's workloads went while it was not known that they are wanted")
	}
}

// TestRights: what is not allowed is said with the API, the verb and the kind; and where credentials are wrong, which flag is.
func TestRights(t *testing.T) {
	a := startAPI(t)
	token, err := kubernetes.NewForConfigOrDie(a.config("admin")).CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	admin, nobody, wrong := a.kubeconfig("admin"), a.as(token.Status.Token), a.as("x.y.z")
	for _, c := range []struct {
		config, cluster string
		say             []string // in one line of the log
		waits           string
	}{
		{nobody, admin, []string{"the configuration API at https://", `cannot list resource \"virtualservices\"`}, "the configuration API"},
		{admin, nobody, []string{"the cluster's API at https://", `cannot list resource \"services\"`}, "the cluster's API"},
		{wrong, admin, []string{"the configuration API at https://", "does not accept heddled's credentials", "look at --kubeconfig"}, "the configuration API"},
		{admin, wrong, []string{"the cluster's API at https://", "does not accept heddled's credentials", "look at --cluster-kubeconfig"}, "the cluster's API"},
	} {
		heddled := startControl(t, server.Options{Kubeconfig: c.config, ClusterKubeconfig: c.cluster})
		until(t, strings.Join(c.say, " ... "), func() bool {
			for line := range strings.Lines(heddled.log.String()) {
				if !slices.ContainsFunc(c.say, func(s string) bool { return !strings.Contains(line, s) }) {
					return true
				}
			}
			return false
		})
		until(t, "only that API is waited for", func() bool {
			code, body := heddled.ready()
			return code == http.StatusServiceUnavailable && strings.HasSuffix(strings.TrimSpace(body), "waiting for "+c.waits+" at https://"+a.address)
		})
		heddled.stop()
	}
}
