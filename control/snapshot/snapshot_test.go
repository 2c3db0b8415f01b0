package snapshot

import (
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
	"github.com/heddle-mesh/heddle/control/config/accepted"
	"github.com/heddle-mesh/heddle/control/registry"
	"github.com/heddle-mesh/heddle/control/registry/vip"
	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
)

type fataler interface {
	Helper()
	Fatal(...any)
}

// rig is a store with a builder behind it.
type rig struct {
	t     fataler
	store *config.Store
	feed  *config.Feed
	b     *Builder
	snap  *mesh.Snapshot
	opts  registry.Options
}

func newRig(t fataler) *rig {
	addresses, err := vip.Open("")
	if err != nil {
		t.Fatal(err)
	}
	trust, _ := identity.ParseTrustDomain("cluster.local")
	r := &rig{t: t, store: config.New(), opts: registry.Options{Cluster: "c1", Network: "n1", TrustDomain: trust, Addresses: addresses}}
	r.feed, r.b = r.store.Feed(), r.builder(memory(t))
	r.snap = &mesh.Snapshot{}
	return r
}

func memory(t fataler) *accepted.Versions {
	v, err := accepted.Open("", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (r *rig) builder(v Accepted) *Builder {
	return NewBuilder(&mesh.Settings{TrustDomain: "cluster.local", RootNamespace: "istio-system", ClusterDomain: "cluster.local"}, r.opts, r.store, v)
}

func (r *rig) put(yaml string) *rig {
	r.t.Helper()
	objects, problems := api.DecodeAll([]byte(yaml), "")
	by := map[api.Ref][]api.Problem{}
	for _, p := range problems {
		by[p.Object] = append(by[p.Object], p)
	}
	for _, o := range objects {
		r.store.Put("test", o, by[o.Ref()])
	}
	return r
}

func (r *rig) apply() (changed bool, told []mesh.Ref) {
	refs, _, _ := r.feed.Take()
	snap, told := r.b.Apply(refs, nil)
	if snap != nil {
		r.snap = snap
	}
	return snap != nil, told
}

const webService = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.0.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
`

const webRoute = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec: {hosts: [web], http: [{route: [{destination: {host: web, subset: v1}}]}]}
---
`

const webRule = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec: {host: web, subsets: [{name: v1, labels: {version: v1}}]}
---
`

func ref(kind, name string) mesh.Ref {
	group := api.GroupNetworking
	switch kind {
	case "Service":
		group = api.GroupCore
	case "AuthorizationPolicy":
		group = api.GroupSecurity
	}
	return mesh.Ref{Group: group, Kind: kind, Namespace: "shop", Name: name}
}

func has(ps []mesh.Problem, text string) bool {
	return slices.ContainsFunc(ps, func(p mesh.Problem) bool { return strings.Contains(p.String(), text) })
}

// A route is translated again when, and only when, what it asked about changes.
func TestAnswersThatChangeTranslateAgain(t *testing.T) {
	r := newRig(t).put(webRoute)
	r.apply()
	route := func() *mesh.Route { x, _ := r.snap.Routes.Get(ref("VirtualService", "web")); return x }
	if route().HTTP[0].Backends[0].Invalid == "" || !has(r.b.Problems(ref("VirtualService", "web")), "no service has the host") {
		t.Fatalf("%+v", route().HTTP[0].Backends[0])
	}
	r.put(webService)
	r.apply()
	if !has(r.b.Problems(ref("VirtualService", "web")), "subset v1") {
		t.Fatal(r.b.Problems(ref("VirtualService", "web")))
	}
	r.put(webRule)
	r.apply()
	if route().HTTP[0].Backends[0].Invalid != "" || len(r.b.Problems(ref("VirtualService", "web"))) > 0 {
		t.Fatal(r.b.Problems(ref("VirtualService", "web")))
	}
	before := route()
	r.put(strings.ReplaceAll(webService, "web", "other"))
	r.apply()
	if route() != before {
		t.Error("a service that nobody asked about made a new route")
	}
	r.store.Delete("test", ref("Service", "web"))
	r.apply()
	if route().HTTP[0].Backends[0].Invalid == "" {
		t.Error("the route did not hear that its service is gone")
	}
	if n := len(slices.Collect(keys(r.snap.MeshRoutes.All()))); n != 1 {
		t.Errorf("%d hosts with routes", n)
	}
}

func keys[K, V any](all iter.Seq2[K, V]) iter.Seq[K] {
	return func(yield func(K) bool) {
		for k := range all {
			if !yield(k) {
				return
			}
		}
	}
}

func TestEndpointChangeTouchesOnlyEndpoints(t *testing.T) {
	slice := func(ip string) string {
		return fmt.Sprintf("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-a, namespace: shop, labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints: [{addresses: [%s]}]\n", ip)
	}
	r := newRig(t).put(webService + webRule + webRoute + slice("10.1.0.1"))
	r.apply()
	before := r.snap
	r.put(slice("10.1.0.2"))
	r.apply()
	for k := range mesh.Diff(before, r.snap) {
		if k.Noun != mesh.OfEndpoints {
			t.Errorf("%v changed", k)
		}
	}
	if r.snap == before {
		t.Error("no new snapshot")
	}
	if changed, _ := r.put(slice("10.1.0.2")).apply(); changed {
		t.Error("nothing differs, yet there is a new snapshot")
	}
}

func TestReadinessOfAWorkloadTouchesOnlyEndpoints(t *testing.T) {
	entry := func(ready string) string {
		return "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: web-1, namespace: shop, annotations: {heddle.dev/ready: \"" + ready + "\"}}\nspec: {address: 10.1.0.1, labels: {app: web}}\n"
	}
	service := "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec:\n  selector: {app: web}\n  ports: [{name: http, port: 8080}]\n"
	r := newRig(t).put(service + "---\n" + entry("false"))
	r.apply()
	id := mesh.ServiceID{Namespace: "shop", Host: "web.shop.svc.cluster.local"}
	health := func() mesh.Health {
		set, ok := r.snap.Endpoints.Get(id)
		if !ok || len(set.Endpoints) != 1 {
			t.Fatalf("endpoints %+v", set)
		}
		return set.Endpoints[0].Health
	}
	if health() != mesh.Unhealthy {
		t.Error("it takes traffic before it is ready")
	}
	before := r.snap
	r.put(entry("true"))
	r.apply()
	if health() != mesh.Healthy {
		t.Error("it takes no traffic although it is ready")
	}
	for k := range mesh.Diff(before, r.snap) {
		if k.Noun != mesh.OfEndpoints {
			t.Errorf("%v changed", k)
		}
	}
}

func TestLastGoodStaysAndSecurityFailsClosed(t *testing.T) {
	r := newRig(t).put(webService + webRule + webRoute)
	r.apply()
	good, _ := r.snap.Routes.Get(ref("VirtualService", "web"))
	for what, broken := range map[string]string{
		"unknown field":   strings.Replace(webRoute, "hosts: [web]", "hosts: [web], hozts: [x]", 1),
		"translation":     strings.Replace(webRoute, "hosts: [web]", "hosts: [web, web]", 1),
		"a type mismatch": strings.Replace(webRoute, "hosts: [web]", "hosts: 7", 1),
	} {
		r.put(broken)
		r.apply()
		now, _ := r.snap.Routes.Get(ref("VirtualService", "web"))
		if now != good || !has(r.b.Problems(good.Origin), "the last version that was valid stays") {
			t.Errorf("%s: %+v, %v", what, now, r.b.Problems(good.Origin))
		}
	}
	// A restart that finds the broken object still knows what was good.
	again := &rig{t: t, store: r.store, feed: r.store.Feed(), opts: r.opts, b: r.builder(r.b.accepted)}
	again.apply()
	if now, _ := again.snap.Routes.Get(good.Origin); now == nil || len(now.Hosts) != 1 {
		t.Error("the last good route is lost by a restart")
	}
	r.put(webRoute)
	r.apply()
	if len(r.b.Problems(good.Origin)) > 0 {
		t.Error(r.b.Problems(good.Origin))
	}
	policy := "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {selector: {matchLabels: {app: web}}, rules: [{from: [{source: {namespaces: [shop]}}]}]}\n"
	r.put(policy)
	r.apply()
	if a, _ := r.snap.Authz.Get("shop"); len(a) != 1 || r.snap.Denials.Len() != 0 {
		t.Fatal(a, r.b.Problems(ref("AuthorizationPolicy", "p")))
	}
	r.put(strings.Replace(policy, "namespaces:", "namezpaces:", 1))
	r.apply()
	a, _ := r.snap.Authz.Get("shop")
	d, _ := r.snap.Denials.Get("shop")
	if len(a) != 0 || len(d) != 1 || d[0].Scope.Selector["app"] != "web" || !has(r.b.Problems(ref("AuthorizationPolicy", "p")), "refuse every request") {
		t.Error(a, d, r.b.Problems(ref("AuthorizationPolicy", "p")))
	}
}

func TestConflictsAreToldAndTakenBack(t *testing.T) {
	second := strings.Replace(webRoute, "name: web,", "name: web2,", 1)
	r := newRig(t).put(webService + webRule + webRoute + second)
	r.apply()
	for _, n := range []string{"web", "web2"} {
		if !has(r.b.Problems(ref("VirtualService", n)), "claims host") {
			t.Errorf("%s: %v", n, r.b.Problems(ref("VirtualService", n)))
		}
	}
	r.store.Delete("test", ref("VirtualService", "web2"))
	if _, told := r.apply(); !slices.Contains(told, ref("VirtualService", "web")) || len(r.b.Problems(ref("VirtualService", "web"))) > 0 {
		t.Errorf("told %v; %v", told, r.b.Problems(ref("VirtualService", "web")))
	}
}

var comparers = []cmp.Option{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b mesh.Address) bool { return a == b }), cmp.Comparer(func(a, b identity.ID) bool { return a == b }), cmpopts.EquateEmpty(),
}

// flat is a snapshot as plain maps.
func flat(s *mesh.Snapshot) map[string]any {
	out := map[string]any{}
	collect(out, "service", s.Services.All())
	collect(out, "host", s.Hosts.All())
	collect(out, "endpoints", s.Endpoints.All())
	collect(out, "workload", s.Workloads.All())
	collect(out, "route", s.Routes.All())
	collect(out, "mesh route", s.MeshRoutes.All())
	collect(out, "gate route", s.GateRoutes.All())
	collect(out, "traffic", s.Traffic.All())
	collect(out, "gateway", s.Gateways.All())
	collect(out, "authn", s.Authn.All())
	collect(out, "authz", s.Authz.All())
	collect(out, "denials", s.Denials.All())
	collect(out, "secret", s.Secrets.All())
	collect(out, "backend TLS", s.BackendTLS.All())
	collect(out, "called", s.Called.All())
	collect(out, "sidecars", s.Sidecars.All())
	collect(out, "filters", s.Filters.All())
	collect(out, "telemetry", s.Telemetry.All())
	return out
}

func collect[K, V any](out map[string]any, what string, all iter.Seq2[K, V]) {
	for k, v := range all {
		out[fmt.Sprint(what, " ", k)] = v
	}
}

// pieces are objects that refer to each other; %[1]s is a name, %[2]s another, %[3]d a small number.
var pieces = []string{
	"apiVersion: v1\nkind: Service\nmetadata: {name: %[1]s, namespace: shop}\nspec: {selector: {app: %[2]s}, ports: [{name: http, port: 8%[3]d}]}\n",
	"apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: %[1]s, namespace: shop}\nspec: {address: 10.0.0.%[3]d, labels: {app: %[2]s}, serviceAccount: %[2]s}\n",
	"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: %[1]s, namespace: shop}\nspec: {hosts: [%[2]s.shop.svc.cluster.local, \"*.example.com\"], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 8%[3]d, name: http, protocol: HTTP}], workloadSelector: {labels: {app: %[2]s}}}\n",
	"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: %[1]s, namespace: shop}\nspec: {host: %[2]s, subsets: [{name: v%[3]d, labels: {version: v%[3]d}}]}\n",
	"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: %[1]s, namespace: shop}\nspec: {hosts: [%[2]s], gateways: [mesh, %[1]s], http: [{route: [{destination: {host: %[1]s, subset: v%[3]d}}]}, {route: [{destination: {host: x.example.com}}]}]}\n",
	"apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: %[1]s, namespace: shop}\nspec: {selector: {app: %[2]s}, servers: [{port: {number: 8%[3]d, name: http, protocol: HTTP}, hosts: [\"*\"]}]}\n",
	"apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: %[1]s, namespace: shop}\nspec: {selector: {matchLabels: {app: %[2]s}}, mtls: {mode: STRICT}}\n",
	"apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: %[1]s, namespace: shop}\nspec: {selector: {matchLabels: {app: %[2]s}}, action: %[4]s, rules: [{to: [{operation: {ports: [\"8%[3]d\"]}}]}]}\n",
	"apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: %[1]s, namespace: istio-system}\nspec: {selector: {matchLabels: {app: %[2]s}}}\n",
	"apiVersion: v1\nkind: Secret\nmetadata: {name: %[1]s, namespace: shop}\nstringData: {tls.crt: c%[3]d, tls.key: k}\n",
	"apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: %[1]s}\nspec: {controllerName: heddle.dev/gateway-controller}\n",
	"apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: %[1]s, namespace: shop}\nspec: {gatewayClassName: %[2]s, allowedListeners: {namespaces: {from: Same}}, listeners: [{name: l, port: 8%[3]d, protocol: HTTPS, tls: {certificateRefs: [{name: %[2]s}, {name: %[1]s, namespace: far}]}, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {a: %[2]s}}}}}, {name: m, port: 90, protocol: HTTP}]}\n",
	"apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: %[1]s, namespace: shop}\nspec: {parentRefs: [{name: %[2]s}], rules: [{backendRefs: [{name: %[1]s, port: 8%[3]d}, {name: x, namespace: far, port: 80}]}]}\n",
	"apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: %[1]s, namespace: far}\nspec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}], to: [{group: \"\", kind: Service}]}\n",
	"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {a: %[2]s}}\n",
	"apiVersion: v1\nkind: Service\nmetadata: {name: x, namespace: far}\nspec: {ports: [{name: http, port: 80}]}\n",
	"apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: %[1]s, namespace: shop}\nspec: {workloadSelector: {labels: {app: %[2]s}}, egress: [{port: {number: 8%[3]d, name: http, protocol: HTTP}, hosts: [\"./%[2]s.shop.svc.cluster.local\"]}]}\n",
	"apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: %[1]s, namespace: shop}\nspec: {workloadSelector: {labels: {app: %[2]s}}, priority: %[3]d, configPatches: [{applyTo: CLUSTER, patch: {operation: REMOVE}}]}\n",
	"apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: %[1]s, namespace: shop}\nspec: {selector: {matchLabels: {app: %[2]s}}, accessLogging: [{providers: [{name: p%[3]d}]}]}\n",
	"apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: %[1]s, namespace: shop}\nspec: {targetRefs: [{group: '', kind: Service, name: %[2]s}], validation: {hostname: a%[3]d.example.com, caCertificateRefs: [{group: '', kind: ConfigMap, name: %[1]s}]}}\n",
	"apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: %[1]s, namespace: shop}\nspec: {targetRefs: [{group: '', kind: Service, name: %[2]s}, {group: '', kind: Service, name: %[1]s}], validation: {hostname: a%[3]d.example.com, wellKnownCACertificates: System}}\n",
	"apiVersion: gateway.networking.k8s.io/v1\nkind: ListenerSet\nmetadata: {name: %[1]s, namespace: shop}\nspec: {parentRef: {name: %[2]s}, listeners: [{name: s, port: 9%[3]d, protocol: HTTP}]}\n",
	"apiVersion: gateway.networking.k8s.io/v1\nkind: TCPRoute\nmetadata: {name: %[1]s, namespace: shop}\nspec: {parentRefs: [{kind: ListenerSet, name: %[2]s}, {name: %[1]s}], rules: [{backendRefs: [{name: %[2]s, port: 8%[3]d}]}]}\n",
}

// TestAnAnswerOutdatedByAnotherAsker: a Gateway waits for its class; when the class comes together with another Gateway of it, which is looked at first, both are served.
func TestAnAnswerOutdatedByAnotherAsker(t *testing.T) {
	gate := "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: %s, namespace: shop}\nspec: {gatewayClassName: ours, listeners: [{name: m, port: 90, protocol: HTTP}]}\n---\n"
	r := newRig(t).put(fmt.Sprintf(gate, "first"))
	r.apply()
	r.put(fmt.Sprintf(gate, "second") + "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: ours}\nspec: {controllerName: heddle.dev/gateway-controller}\n")
	r.apply()
	for _, name := range []string{"first", "second"} {
		if _, ok := r.b.now.Gateways.Get(mesh.GatewayID{Dialect: mesh.GatewayAPI, Namespace: "shop", Name: name}); !ok {
			t.Errorf("gateway %s is not served", name)
		}
	}
}

// After any edits in any batches, the snapshot, the problems and the statuses are those that a new builder makes from the end state.
func TestIncrementalEqualsFromScratch(t *testing.T) {
	name := rapid.SampledFrom([]string{"a", "b", "c"})
	rapid.Check(t, func(t *rapid.T) {
		r := newRig(t)
		seen := map[api.Ref]bool{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			yaml := fmt.Sprintf(rapid.SampledFrom(pieces).Draw(t, "piece"), name.Draw(t, "name"), name.Draw(t, "other"), rapid.IntRange(0, 2).Draw(t, "number"),
				rapid.SampledFrom([]string{"ALLOW", "DENY", "AUDIT"}).Draw(t, "action"))
			yaml, _, _ = strings.Cut(yaml, "%!(EXTRA")
			o, problems := api.Decode([]byte(yaml))
			if len(problems) > 0 {
				t.Fatal(yaml, problems)
			}
			if seen[o.Ref()] = true; rapid.IntRange(0, 3).Draw(t, "drop") == 0 {
				r.store.Delete("test", o.Ref())
			} else {
				r.store.Put("test", o, nil)
			}
			if rapid.Bool().Draw(t, "apply") {
				r.apply()
			}
		}
		r.apply()
		scratch := &rig{t: t, store: r.store, feed: r.store.Feed(), opts: r.opts, b: r.builder(memory(t)), snap: &mesh.Snapshot{}}
		scratch.apply()
		if d := cmp.Diff(flat(scratch.snap), flat(&r.b.now), comparers...); d != "" {
			t.Fatal(d)
		}
		for o := range seen {
			if d := cmp.Diff(scratch.b.Problems(o), r.b.Problems(o), comparers...); d != "" {
				t.Fatal(o, d)
			}
			if d := cmp.Diff(scratch.b.Status(o), r.b.Status(o), comparers...); d != "" {
				t.Fatal(o, d)
			}
		}
	})
}
