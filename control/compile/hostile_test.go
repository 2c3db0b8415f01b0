package compile

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// hostile are what somebody who may write objects into one namespace could write to slow others: each gives objects of the namespace evil.
var hostile = []struct {
	name    string
	objects func() string
}{
	{"claims-of-a-foreign-host", func() string {
		return each(2000, "networking.istio.io/v1", "VirtualService", "{hosts: [s1.shop.svc.cluster.local], http: [{route: [{destination: {host: s1.shop.svc.cluster.local}}]}]}")
	}},
	{"rules-for-every-host", func() string {
		return each(500, "networking.istio.io/v1", "DestinationRule", "{host: \"*.svc.cluster.local\", trafficPolicy: {loadBalancer: {simple: RANDOM}}, subsets: ["+items(50, "{name: vNUMBER, labels: {v: vNUMBER}}")+"]}")
	}},
	{"ten-thousand-routes", func() string {
		return each(1, "networking.istio.io/v1", "VirtualService", "{hosts: [evil.example], http: ["+items(10000, "{match: [{uri: {prefix: /pNUMBER}}], route: [{destination: {host: s1.shop.svc.cluster.local}}]}")+"]}")
	}},
	{"hosts-times-routes", func() string {
		return each(1, "networking.istio.io/v1", "VirtualService", "{hosts: ["+items(500, "hNUMBER.example")+"], http: ["+items(1000, "{match: [{uri: {prefix: /pNUMBER}}], route: [{destination: {host: s1.shop.svc.cluster.local}}]}")+"]}") +
			each(1, "networking.istio.io/v1", "ServiceEntry", "{hosts: [\"*.example\"], resolution: NONE, ports: [{number: 80, name: http, protocol: HTTP}]}")
	}},
	{"long-matchers", func() string {
		return each(1, "networking.istio.io/v1", "VirtualService", "{hosts: [evil.example], http: ["+items(100, "{match: [{uri: {prefix: /NUMBER"+strings.Repeat("x", 50<<10)+"}}], route: [{destination: {host: s1.shop.svc.cluster.local}}]}")+"]}")
	}},
	{"delegates-that-multiply", func() string {
		return each(1, "networking.istio.io/v1", "VirtualService", "{hosts: [evil.example], http: ["+items(100, "{match: ["+items(20, "{headers: {h: {exact: aNUMBER}}}")+"], delegate: {name: d}}")+"]}") +
			strings.ReplaceAll(each(1, "networking.istio.io/v1", "VirtualService", "{http: ["+items(100, "{match: ["+items(20, "{headers: {k: {exact: bNUMBER}}}")+"], route: [{destination: {host: s1.shop.svc.cluster.local}}]}")+"]}"), "name: o0", "name: d")
	}},
	{"hosts-times-ports", func() string {
		return each(4, "networking.istio.io/v1", "ServiceEntry", "{hosts: ["+items(200, "hNUMBER.oMINE.example")+"], resolution: DNS, ports: ["+items(100, "{number: 2NUMBER, name: http-NUMBER, protocol: HTTP}")+"]}")
	}},
	{"entries-of-one-host", func() string {
		return each(2000, "networking.istio.io/v1", "ServiceEntry", "{hosts: [evil.example], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 10.0.0.1}]}")
	}},
	{"entries-of-a-foreign-host", func() string {
		return each(2000, "networking.istio.io/v1", "ServiceEntry", "{hosts: [s1.shop.svc.cluster.local], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 10.0.0.1}]}")
	}},
	{"workloads-of-many-entries", func() string {
		return each(100, "networking.istio.io/v1", "ServiceEntry", "{hosts: [oMINE.example], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], workloadSelector: {labels: {app: x}}}") +
			each(2000, "networking.istio.io/v1", "WorkloadEntry", "{address: 10.1.2.3, labels: {app: x}}")
	}},
	{"sidecars", func() string {
		return each(1000, "networking.istio.io/v1", "Sidecar", "{workloadSelector: {labels: {a: oMINE}}, egress: [{hosts: ["+items(200, "\"*/hNUMBER.example\"")+"]}]}")
	}},
	{"patches", func() string {
		return each(500, "networking.istio.io/v1alpha3", "EnvoyFilter", "{configPatches: ["+items(20, "{applyTo: CLUSTER, match: {cluster: {name: cNUMBER}}, patch: {operation: MERGE, value: {alt_stat_name: n}}}")+"]}")
	}},
	{"servers", func() string {
		return each(100, "networking.istio.io/v1", "Gateway", "{selector: {istio: ingressgateway}, servers: ["+items(100, "{port: {number: 80, name: http, protocol: HTTP}, hosts: [\"hNUMBER.example\"]}")+"]}") +
			each(500, "networking.istio.io/v1", "VirtualService", "{hosts: [\"*.example\"], gateways: ["+items(100, "oNUMBER")+"], http: [{route: [{destination: {host: s1.shop.svc.cluster.local}}]}]}")
	}},
	{"routes-of-one-gateway", func() string {
		return each(1, "gateway.networking.k8s.io/v1", "Gateway", "{gatewayClassName: heddle, listeners: ["+items(64, "{name: lNUMBER, port: 8080, protocol: HTTP, hostname: hNUMBER.example}")+"]}") +
			each(1000, "gateway.networking.k8s.io/v1", "HTTPRoute", "{parentRefs: [{name: o0}], rules: ["+items(16, "{matches: ["+items(8, "{path: {value: /aNUMBER}}")+"], backendRefs: [{name: s, port: 80}]}")+"]}")
	}},
	{"routes-of-a-foreign-service", func() string {
		return each(1000, "gateway.networking.k8s.io/v1", "HTTPRoute", "{parentRefs: [{group: \"\", kind: Service, name: s1, namespace: shop}], rules: ["+items(16, "{matches: ["+items(8, "{path: {value: /aNUMBER}}")+"], backendRefs: [{name: s, port: 80}]}")+"]}")
	}},
	{"policies", func() string {
		return each(500, "security.istio.io/v1", "AuthorizationPolicy", "{rules: ["+items(50, "{from: [{source: {namespaces: [nNUMBER]}}], to: [{operation: {paths: [/pNUMBER]}}]}")+"]}")
	}},
}

// each are n objects with a spec with their number in the place of MINE.
func each(n int, version, kind, spec string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "---\napiVersion: %s\nkind: %s\nmetadata: {name: o%d, namespace: evil}\nspec: %s\n", version, kind, i, strings.ReplaceAll(spec, "MINE", fmt.Sprint(i)))
	}
	return b.String()
}

// items are n of them with their number in the place of NUMBER.
func items(n int, item string) string {
	out := make([]string, n)
	for i := range out {
		out[i] = strings.ReplaceAll(item, "NUMBER", fmt.Sprint(i))
	}
	return strings.Join(out, ", ")
}

const neighbours = 50

// neighbour is what the namespace shop has, and changes: the services s0 to s49 with a VirtualService each.
func neighbour() string {
	return strings.ReplaceAll(each(neighbours, "v1", "Service", "{clusterIP: 10.7.0.MINE, ports: [{name: http, port: 80}]}")+
		each(neighbours, "networking.istio.io/v1", "VirtualService", "{hosts: [sMINE.shop.svc.cluster.local], http: [{route: [{destination: {host: sMINE.shop.svc.cluster.local}}]}]}"), "name: o", "name: s")
}

func decoded(t testing.TB, text string) []api.Object {
	objects, problems := api.DecodeAll([]byte(text), "objects.yaml")
	for _, p := range problems {
		t.Fatal(p)
	}
	return objects
}

// put takes objects into effect, and gives the processor time of it.
func (w *world) put(objects []api.Object) time.Duration {
	for _, o := range objects {
		w.store.Put("test", o, nil)
	}
	start := used()
	refs, _, _ := w.feed.Take()
	if snap, _ := w.build.Apply(refs, nil); snap != nil {
		w.now, _ = w.memo.Publish(snap)
	}
	return used() - start
}

// BenchmarkHostile puts hostile objects into one namespace. load is what they take to get into effect; alone and beside are what a change of a VirtualService in another
// namespace takes before and after, and times their ratio; first is what is compiled for a proxy of that namespace, before and after.
func BenchmarkHostile(b *testing.B) {
	for _, h := range hostile {
		b.Run(h.name, func(b *testing.B) {
			shop := decoded(b, strings.ReplaceAll(neighbour(), "namespace: evil", "namespace: shop"))
			evil := decoded(b, h.objects())
			one := func(i int) []api.Object {
				return decoded(b, fmt.Sprintf("{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: s7, namespace: shop}, spec: {hosts: [s7.shop.svc.cluster.local], http: [{timeout: %dms, route: [{destination: {host: s7.shop.svc.cluster.local}}]}]}}", 1+i))
			}
			for b.Loop() {
				w := newWorld(b, defaultSettings())
				w.put(shop)
				p := somebody("shop", map[string]string{"app": "s0"}, mesh.Sidecar, true)
				first := func() time.Duration {
					runtime.GC()
					start := used()
					held, _ := everythingOf(w.now, p)
					runtime.KeepAlive(held)
					return used() - start
				}
				const changes = 20
				edits := func(from int) (sum time.Duration) {
					for i := range changes {
						sum += w.put(one(from + i))
					}
					return sum / changes
				}
				quiet := first()
				alone := edits(0)
				load := w.put(evil)
				busy := first()
				beside := edits(100)
				last := evil[len(evil)-1:]
				w.store.Delete("test", last[0].Ref())
				own := w.put(nil) + w.put(last)
				b.ReportMetric(float64(load.Milliseconds()), "load-ms")
				b.ReportMetric(float64(alone.Microseconds()), "alone-µs")
				b.ReportMetric(float64(beside.Microseconds()), "beside-µs")
				b.ReportMetric(float64(quiet.Microseconds())/1000, "first-alone-ms")
				b.ReportMetric(float64(busy.Microseconds())/1000, "first-beside-ms")
				b.ReportMetric(float64(own.Microseconds())/1000, "own-ms")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}
