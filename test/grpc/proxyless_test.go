package grpc

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

var update = flag.Bool("update", false, "rewrite the table in docs/features/grpc.md")

// bench is what one feature is tried with: a lab with three servers, one client, and a target.
type bench struct {
	*lab
	t                 *testing.T
	feature, language string
	client            program
	servers           map[string]*echo
}

const greeter = "xds:///greeter.test:7000"

// calls makes calls of a method of a target over a channel of the feature's own.
func (b *bench) calls(a ask) []got {
	if a.Target == "" {
		a.Target = greeter
	}
	if a.Path == "" {
		a.Path = "/echo.Echo/Get"
	}
	if a.N == 0 {
		a.N = 1
	}
	if a.TimeoutMS == 0 {
		a.TimeoutMS = 20_000
	}
	a.Channel += b.feature
	return b.client.do(a)
}

// at says which servers answered how often; failures count under their codes.
func (b *bench) at(a ask) map[string]int {
	b.t.Helper()
	out := map[string]int{}
	for _, g := range b.calls(a) {
		if g.Code != codes.OK {
			out[g.Code.String()]++
			continue
		}
		out[g.seen().Server]++
	}
	return out
}

// all demands that every call ends at one place.
func (b *bench) all(where string, a ask) {
	b.t.Helper()
	if a.N == 0 {
		a.N = 5
	}
	if at := b.at(a); at[where] != a.N {
		b.t.Errorf("%+v: %v, want all at %s", a, at, where)
	}
}

// told demands a problem in status.
func (b *bench) told(parts ...string) {
	b.t.Helper()
	b.until(fmt.Sprint("status tells ", parts), func() bool {
		return slices.ContainsFunc(b.problems(), func(p string) bool {
			return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(p, part) })
		})
	})
}

// untold demands that no problem is told of an object.
func (b *bench) untold(object string) {
	b.t.Helper()
	b.until("status tells nothing of "+object, func() bool {
		return !slices.ContainsFunc(b.problems(), func(p string) bool { return strings.Contains(p, object) })
	})
}

// even demands that calls are spread over all servers alike.
func (b *bench) even() {
	b.t.Helper()
	b.until("there is a connection to every server", func() bool { return len(b.at(ask{N: 6})) == 3 })
	at := b.at(ask{N: 30})
	for _, name := range []string{"v1", "v2", "v3"} {
		if at[name] < 8 || at[name] > 12 {
			b.t.Errorf("%v, want 10 each", at)
		}
	}
}

const subsets = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: greeter, namespace: shop}
spec: {host: greeter.test, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}, {name: v3, labels: {version: v3}}]}
---
`

// route is the VirtualService of the greeter.
func route(rules string) string {
	return "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: greeter, namespace: shop}\nspec: {hosts: [greeter.test], http: [" + rules + "]}\n---\n"
}

// policy is the traffic policy of the greeter.
func policy(text string) string {
	return "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: greeter, namespace: shop}\nspec: {host: greeter.test, trafficPolicy: " + text + "}\n---\n"
}

func to(subset string) string {
	return "route: [{destination: {host: greeter.test, subset: " + subset + "}}]"
}

// services are those of the lab.
func services(servers map[string]*echo) string {
	var b strings.Builder
	b.WriteString("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: greeter, namespace: shop}\nspec:\n  hosts: [greeter.test]\n  location: MESH_INTERNAL\n  resolution: STATIC\n" +
		"  ports: [{number: 7000, name: grpc, protocol: GRPC}, {number: 7001, name: opaque, protocol: TCP}]\n  endpoints:\n")
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		fmt.Fprintf(&b, "  - {address: 127.0.0.1, ports: {grpc: %d, opaque: %[1]d}, labels: {version: %s}, serviceAccount: greeter}\n", servers[name].port, name)
	}
	fmt.Fprintf(&b, `---
apiVersion: v1
kind: Service
metadata: {name: short, namespace: shop}
spec: {clusterIP: 10.9.0.1, selector: {app: short}, ports: [{name: grpc, port: 7000}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: short, namespace: shop}
spec: {address: 127.0.0.1, ports: {grpc: %d}, labels: {app: short}, serviceAccount: short}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: named, namespace: shop}
spec:
  hosts: [named.test]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{number: 7000, name: grpc, protocol: GRPC}]
  endpoints: [{address: localhost, ports: {grpc: %d}}]
`, servers["v1"].port, servers["v2"].port)
	return b.String()
}

// TestProxylessGo tries every feature with grpc-go.
func TestProxylessGo(t *testing.T) { tryFeatures(t, "go") }

// TestProxylessForeign tries every feature with grpc-java and grpc-js.
func TestProxylessForeign(t *testing.T) { tryForeign(t, tryFeatures) }

// tryForeign tries something in each of the other languages.
func tryForeign(t *testing.T, try func(t *testing.T, language string)) {
	if !*peers {
		t.Skip("make conformance tries the other languages (-peers)")
	}
	for _, language := range languages[1:] {
		t.Run(language, func(t *testing.T) { try(t, language) })
	}
}

func tryFeatures(t *testing.T, language string) {
	servers := map[string]*echo{}
	for _, name := range []string{"v1", "v2", "v3"} {
		servers[name] = newEcho(t, name)
	}
	l := newLab(t, services(servers))
	bootstrap := l.workload("client", "client", map[string]string{"app": "client"})
	var client program
	if language == "go" {
		client = newGo(t, bootstrap)
	} else {
		client = newForeign(t, language, bootstrap)
	}
	for _, f := range features {
		t.Run(f.name, func(t *testing.T) {
			l.t = t
			f.try(&bench{lab: l, t: t, feature: f.name, language: language, client: client, servers: servers})
		})
	}
	l.t = t
}

// feature is one thing that a client without a proxy does as the objects say.
type feature struct {
	name, gRFC string // gRFC: its number, or "told" where nothing is done but to tell it in status
	try        func(*bench)
	limits     map[string]string // by language: what is different there
}

var features = []feature{
	{"balancing by turns", "A27", func(b *bench) {
		b.apply("")
		b.even()
	}, nil},
	{"short names", "A27", func(b *bench) {
		b.apply("")
		for _, target := range []string{"short:7000", "short.shop:7000", "short.shop.svc:7000", "short.shop.svc.cluster.local:7000", "short"} {
			b.all("v1", ask{Target: "xds:///" + target, N: 1})
		}
	}, nil},
	{"ports without a protocol", "A27", func(b *bench) {
		b.apply(subsets + route("{"+to("v2")+"}"))
		b.all("v2", ask{Target: "xds:///greeter.test:7001"})
	}, nil},
	{"subsets", "A28", func(b *bench) {
		b.apply(subsets + route("{"+to("v3")+"}"))
		b.all("v3", ask{})
		b.untold("greeter")
	}, nil},
	{"weights", "A28", func(b *bench) {
		b.apply(subsets + route("{route: [{destination: {host: greeter.test, subset: v1}, weight: 80}, {destination: {host: greeter.test, subset: v2}, weight: 20}]}"))
		if at := b.at(ask{N: 500}); at["v1"]+at["v2"] != 500 || at["v2"] < 60 || at["v2"] > 145 {
			b.t.Errorf("%v, want 400 and 100", at)
		}
	}, nil},
	{"routes by header", "A28, A63", tryHeaders, nil},
	{"routes by method", "A28", tryMethods, nil},
	{"what every call has alike", "A28", func(b *bench) {
		b.apply(subsets + route("{match: [{method: {exact: GET}}], "+to("v1")+"}, {match: [{scheme: {exact: https}}], "+to("v1")+"}, {match: [{queryParams: {a: {exact: b}}}], "+to("v1")+
			"}, {match: [{authority: {prefix: other}}], "+to("v1")+"}, {match: [{method: {exact: POST}, authority: {regex: 'greeter[.]test:7.*'}}], "+to("v2")+"}, {"+to("v3")+"}"))
		b.all("v2", ask{})
	}, nil},
	{"routes of the Gateway API", "A28", tryGatewayAPI, nil},
	{"retries", "A44", func(b *bench) {
		b.apply(route("{retries: {attempts: 3, retryOn: 'unavailable,cancelled'}, route: [{destination: {host: greeter.test}}]}"))
		if g := b.calls(ask{Headers: map[string]string{"x-fail": "1", "x-key": b.key("good")}}); g[0].Code != codes.OK {
			b.t.Errorf("with retries: %+v", g[0])
		}
		b.apply(route("{retries: {attempts: 0}, route: [{destination: {host: greeter.test}}]}"))
		if g := b.calls(ask{Headers: map[string]string{"x-fail": "1", "x-key": b.key("bad")}}); g[0].Code != codes.Unavailable || b.tries(b.key("bad")) != 1 {
			b.t.Errorf("without retries: %+v after %d attempts", g[0], b.tries(b.key("bad")))
		}
		b.apply(route("{retries: {attempts: 3, retryOn: 'resource-exhausted'}, route: [{destination: {host: greeter.test}}]}"))
		if g := b.calls(ask{Headers: map[string]string{"x-fail": "9", "x-key": b.key("all"), "x-code": "8"}}); g[0].Code != codes.ResourceExhausted || b.tries(b.key("all")) != 4 {
			b.t.Errorf("%+v after %d attempts, want RESOURCE_EXHAUSTED after 4", g[0], b.tries(b.key("all")))
		}
	}, nil},
	{"time-outs", "A31", func(b *bench) {
		b.apply(route("{timeout: 0.3s, route: [{destination: {host: greeter.test}}]}"))
		if g := b.calls(ask{Headers: map[string]string{"x-sleep": "3000"}}); g[0].Code != codes.DeadlineExceeded {
			b.t.Errorf("%+v, want DEADLINE_EXCEEDED", g[0])
		}
	}, nil},
	{"faults", "A33", func(b *bench) {
		b.apply(route("{fault: {abort: {grpcStatus: RESOURCE_EXHAUSTED, percentage: {value: 100}}}, match: [{headers: {x: {exact: a}}}], route: [{destination: {host: greeter.test}}]}, " +
			"{fault: {abort: {httpStatus: 403, percentage: {value: 100}}}, match: [{headers: {x: {exact: b}}}], route: [{destination: {host: greeter.test}}]}, " +
			"{fault: {delay: {fixedDelay: 3s, percentage: {value: 100}}}, match: [{headers: {x: {exact: c}}}], route: [{destination: {host: greeter.test}}]}, {route: [{destination: {host: greeter.test}}]}"))
		b.all("ResourceExhausted", ask{Headers: map[string]string{"x": "a"}})
		b.all("PermissionDenied", ask{Headers: map[string]string{"x": "b"}})
		b.all("DeadlineExceeded", ask{Headers: map[string]string{"x": "c"}, TimeoutMS: 500, N: 1})
		b.untold("VirtualService/shop/greeter")
	}, nil},
	{"answers without a server", "A33", func(b *bench) {
		b.apply(route("{match: [{uri: {exact: /echo.Echo/Admin}}], directResponse: {status: 403}}, {match: [{headers: {x: {exact: a}}}], redirect: {uri: /other}}, {route: [{destination: {host: greeter.test}}]}"))
		b.all("PermissionDenied", ask{Path: "/echo.Echo/Admin"})
		b.all("Unknown", ask{Headers: map[string]string{"x": "a"}})
		b.even()
		b.told("VirtualService/shop/greeter", "NotEnforced", "spec.http.redirect")
	}, nil},
	{"outlier detection", "A50", tryOutliers, nil},
	{"consistent hash by header", "A42", func(b *bench) {
		b.apply(policy("{loadBalancer: {consistentHash: {httpHeaderName: x-user}}}"))
		b.sticks()
		b.untold("DestinationRule/shop/greeter")
	}, nil},
	{"consistent hash of the client", "A42", func(b *bench) {
		b.apply(policy("{loadBalancer: {consistentHash: {useSourceIp: true}}}"))
		if at := b.at(ask{N: 20}); len(at) != 1 {
			b.t.Errorf("one channel is at %v", at)
		}
		b.told("DestinationRule/shop/greeter", "NotEnforced", "useSourceIp")
	}, nil},
	{"consistent hash by cookie", "told", func(b *bench) {
		b.apply(policy("{loadBalancer: {consistentHash: {httpCookie: {name: user, ttl: 0s}}}}"))
		b.even()
		b.told("DestinationRule/shop/greeter", "NotEnforced", "httpCookie")
	}, nil},
	{"the least requests", "A48", func(b *bench) {
		b.apply(policy("{loadBalancer: {simple: LEAST_REQUEST}}"))
		if at := b.at(ask{N: 60}); at["v1"]+at["v2"]+at["v3"] != 60 {
			b.t.Errorf("%v, want 60 answers", at)
		}
		if b.language == "node" {
			b.told("DestinationRule/shop/greeter", "NotEnforced", "loadBalancer.simple")
		} else {
			b.untold("DestinationRule/shop/greeter")
		}
	}, map[string]string{"node": "told; by turns"}},
	{"most requests under way", "A32", tryBreakers, map[string]string{"java": "told"}},
	{"names that the client resolves", "A37", func(b *bench) {
		b.apply("")
		b.all("v2", ask{Target: "xds:///named.test:7000"})
	}, nil},
	{"localities", "A27", tryLocalities, nil},
	{"backends that do not exist", "A57", func(b *bench) {
		b.apply(subsets + route("{match: [{headers: {x: {exact: a}}}], route: [{destination: {host: greeter.test, subset: v9}}]}, {match: [{headers: {x: {exact: b}}}], route: [{destination: {host: nobody.test}}]}, {"+to("v1")+"}"))
		b.all("v1", ask{TimeoutMS: 5000})
		b.all("Unavailable", ask{Headers: map[string]string{"x": "a"}, TimeoutMS: 5000})
		b.all("Unavailable", ask{Headers: map[string]string{"x": "b"}, TimeoutMS: 5000})
	}, nil},
	{"TLS that is not the mesh's", "denied", func(b *bench) {
		b.apply(policy("{tls: {mode: SIMPLE, sni: greeter.test}}"))
		b.all("Unavailable", ask{TimeoutMS: 5000})
		b.told("DestinationRule/shop/greeter", "Denied", "tls.mode")
	}, nil},
	{"fields that are not read", "told", func(b *bench) {
		b.apply(policy("{connectionPool: {tcp: {maxConnections: 3, connectTimeout: 1s}, http: {maxRequestsPerConnection: 5}}}") +
			route("{mirrors: [{destination: {host: short.shop.svc.cluster.local}}], headers: {request: {set: {x: y}}}, rewrite: {uri: /x}, retries: {attempts: 2, perTryTimeout: 1s, retryOn: 'gateway-error,unavailable'}, route: [{destination: {host: greeter.test}}]}"))
		b.even()
		for _, field := range []string{"mirrors", "headers", "rewrite", "retries.perTryTimeout", "retries.retryOn"} {
			b.told("VirtualService/shop/greeter", "NotEnforced", "spec.http."+field)
		}
		for _, field := range []string{"tcp.maxConnections", "tcp.connectTimeout", "http.maxRequestsPerConnection"} {
			b.told("DestinationRule/shop/greeter", "NotEnforced", "connectionPool."+field)
		}
	}, nil},
	{"changes", "A27, A53", tryChanges, map[string]string{"node": "yes; a listener that comes back as it was is heard of by new channels"}},
}

// key is a key of the feature's own.
func (b *bench) key(s string) string { return fmt.Sprintf("%p %s", b.t, s) }

// tries is how often all servers were tried with a key.
func (b *bench) tries(key string) (n int) {
	for _, e := range b.servers {
		n += e.attempts(key)
	}
	return n
}

// sticks demands that each user has a server, and that not all have the same.
func (b *bench) sticks() {
	b.t.Helper()
	used := map[string]bool{}
	for i := range 20 {
		at := b.at(ask{N: 5, Headers: map[string]string{"x-user": fmt.Sprint("user-", i)}})
		if len(at) != 1 {
			b.t.Errorf("user %d is at %v", i, at)
		}
		for name := range at {
			used[name] = true
		}
	}
	if len(used) != 3 {
		b.t.Errorf("all users are at %v", used)
	}
}

func tryHeaders(b *bench) {
	b.apply(subsets + route("{match: [{headers: {x: {exact: a}}}], "+to("v1")+"}, {match: [{headers: {x: {prefix: b}}}], "+to("v2")+"}, {match: [{headers: {x: {regex: 'c[0-9]+'}}}], "+to("v3")+"}, "+
		"{match: [{headers: {present: {}}}], "+to("v1")+"}, {match: [{headers: {y: {exact: z}}, withoutHeaders: {no: {exact: way}}}], "+to("v2")+"}, {"+to("v3")+"}"))
	for _, c := range []struct {
		want string
		with map[string]string
	}{
		{"v1", map[string]string{"x": "a"}}, {"v3", map[string]string{"x": "aa"}}, {"v2", map[string]string{"x": "bcd"}}, {"v3", map[string]string{"x": "c12"}}, {"v3", map[string]string{"x": "c"}},
		{"v1", map[string]string{"present": "yes"}}, {"v2", map[string]string{"y": "z"}}, {"v2", map[string]string{"y": "z", "no": "matter"}}, {"v3", map[string]string{"y": "z", "no": "way"}}, {"v3", nil},
	} {
		b.all(c.want, ask{Headers: c.with, N: 3})
	}
	b.untold("greeter")
}

func tryMethods(b *bench) {
	b.apply(subsets + route("{match: [{uri: {exact: /echo.Echo/Admin}}], "+to("v1")+"}, {match: [{uri: {prefix: /echo.Echo/S}}], "+to("v2")+"}, {match: [{uri: {regex: '/[a-z.]+Echo/R.*'}}], "+to("v3")+"}, "+
		"{match: [{uri: {exact: /ECHO.echo/fold}, ignoreUriCase: true}], "+to("v2")+"}, {"+to("v3")+"}"))
	for path, want := range map[string]string{"/echo.Echo/Admin": "v1", "/echo.Echo/Set": "v2", "/echo.Echo/Run": "v3", "/echo.Echo/Fold": "v2", "/echo.Echo/Get": "v3"} {
		b.all(want, ask{Path: path, N: 3})
	}
}

func tryGatewayAPI(b *bench) {
	b.apply(fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: plain, namespace: shop}
spec: {clusterIP: 10.9.0.2, selector: {app: plain}, ports: [{name: grpc, port: 7000}]}
---
apiVersion: v1
kind: Service
metadata: {name: extra, namespace: shop}
spec: {clusterIP: 10.9.0.3, selector: {app: extra}, ports: [{name: grpc, port: 7000}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: plain, namespace: shop}
spec: {address: 127.0.0.1, ports: {grpc: %d}, labels: {app: plain}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: extra, namespace: shop}
spec: {address: 127.0.0.1, ports: {grpc: %d}, labels: {app: extra}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: plain, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: plain, port: 7000}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /echo.Echo}, headers: [{name: x, value: a}]}]
    backendRefs: [{name: extra, port: 7000}]
  - backendRefs: [{name: plain, port: 7000}]
`, b.servers["v2"].port, b.servers["v3"].port))
	const target = "xds:///plain.shop.svc.cluster.local:7000"
	b.all("v2", ask{Target: target})
	b.all("v3", ask{Target: target, Headers: map[string]string{"x": "a"}})
	b.all("v2", ask{Target: target, Headers: map[string]string{"x": "a"}, Path: "/echo.Echoes/Get"})
}

func tryOutliers(b *bench) {
	b.apply(policy("{outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 60s, maxEjectionPercent: 50}}"))
	failing := ask{N: 30, Headers: map[string]string{"x-fail-at": "v1", "x-code": "13"}}
	if at := b.at(failing); at["Internal"] == 0 {
		b.t.Errorf("%v, want failures at first", at)
	}
	b.until("v1 is ejected", func() bool { return b.at(failing)["Internal"] == 0 })
	if at := b.at(ask{N: 20}); at["v1"] != 0 || at["v2"] == 0 || at["v3"] == 0 {
		b.t.Errorf("%v, want v1 to be left out", at)
	}
	b.told("DestinationRule/shop/greeter", "NotEnforced", "outlierDetection", "consecutive")
}

func tryBreakers(b *bench) {
	b.apply(policy("{connectionPool: {http: {http2MaxRequests: 2}}}"))
	if b.language == "java" {
		b.even()
		b.told("DestinationRule/shop/greeter", "NotEnforced", "http2MaxRequests")
		return
	}
	b.at(ask{}) // connects
	done := make(chan map[string]int, 1)
	go func() {
		out := map[string]int{}
		for _, g := range b.calls(ask{N: 6, Together: true, GapMS: 50, Headers: map[string]string{"x-hold": "yes"}}) {
			out[g.Code.String()]++
		}
		done <- out
	}()
	b.until("two calls are held", func() bool { return b.held() == 2 })
	for end := time.Now().Add(2 * time.Second); b.held() == 2 && time.Now().Before(end) && len(done) == 0; { // for more of them, if there are
		time.Sleep(10 * time.Millisecond)
	}
	for _, e := range b.servers {
		close(e.hold)
	}
	if out := <-done; out["OK"] != 2 || out["Unavailable"] != 4 {
		b.t.Errorf("%v, want 2 answers and 4 refused", out)
	}
}

func (b *bench) held() (n int) {
	for _, e := range b.servers {
		e.mu.Lock()
		n += e.held
		e.mu.Unlock()
	}
	return n
}

func tryLocalities(b *bench) {
	b.apply(fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: zoned, namespace: shop}
spec:
  hosts: [zoned.test]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 7000, name: grpc, protocol: GRPC}]
  endpoints:
  - {address: 127.0.0.1, ports: {grpc: %d}, locality: r1/z1}
  - {address: 127.0.0.1, ports: {grpc: %d}, locality: r2/z1}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: zoned, namespace: shop}
spec: {host: zoned.test, trafficPolicy: {loadBalancer: {localityLbSetting: {enabled: true, distribute: [{from: "*", to: {"r1/*": 75, "r2/*": 25}}]}}}}
`, b.servers["v1"].port, b.servers["v2"].port))
	if at := b.at(ask{Target: "xds:///zoned.test:7000", N: 400}); at["v1"]+at["v2"] != 400 || at["v2"] < 60 || at["v2"] > 145 {
		b.t.Errorf("%v, want 300 and 100", at)
	}
}

// tryChanges: calls follow what changes, and a service that goes and comes again.
func tryChanges(b *bench) {
	entry := func(server string) string {
		return fmt.Sprintf("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: moving, namespace: shop}\nspec: {hosts: [moving.test], location: MESH_INTERNAL, resolution: STATIC, "+
			"ports: [{number: 7000, name: grpc, protocol: GRPC}], endpoints: [{address: 127.0.0.1, ports: {grpc: %d}}]}\n---\n", b.servers[server].port)
	}
	moving := ask{Target: "xds:///moving.test:7000"}
	b.apply(entry("v1"))
	b.all("v1", moving)
	b.apply(entry("v2"))
	b.until("calls move", func() bool { return b.at(moving)["v2"] == 1 })
	b.apply("")
	b.until("calls fail", func() bool { return b.at(moving)["Unavailable"] == 1 })
	b.apply(entry("v3"))
	if b.language == "node" { // grpc-js-xds 1.14 does not tell a channel of a listener that comes back as it was
		moving.Channel = "new "
	}
	b.until("calls are answered again", func() bool { return b.at(moving)["v3"] == 1 })
	b.apply(entry("v3") + strings.NewReplacer("greeter", "moving").Replace(route("{match: [{headers: {x: {exact: a}}}], route: [{destination: {host: short.shop.svc.cluster.local}}]}, {route: [{destination: {host: greeter.test}}]}")))
	b.until("a new route to a new cluster is taken", func() bool {
		return b.at(ask{Target: moving.Target, Channel: moving.Channel, Headers: map[string]string{"x": "a"}})["v1"] == 1
	})
}
