package mesh_test

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/heddle-mesh/heddle/test/mesh"
)

// A whole mesh in a few lines: a route changes, and requests follow it.
func TestRouteChanges(t *testing.T) {
	m := mesh.Start(t)
	m.Service("web", nil)
	m.Version("web", "v2", nil)
	client := m.From("client")
	if r := client.Get("http://web/hello"); r.Status != 200 || r.Saw().Path != "/hello" {
		t.Fatal(r.Status, r.Body)
	}
	m.Apply(versions + route(`{route: [{destination: {host: web, subset: v2}}]}`))
	for range 10 {
		if r := client.Get("http://web/"); r.Saw().Endpoint != "web-v2" {
			t.Fatal(r.Status, r.Body)
		}
	}
}

// versions are the subsets of web.
const versions = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec: {host: web, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
`

// route is the VirtualService of web.
func route(rules string) string {
	return "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web}\nspec: {hosts: [web], http: [" + rules + "]}\n"
}

func TestWeights(t *testing.T) {
	m := mesh.Start(t)
	m.Service("web", nil)
	m.Version("web", "v2", nil)
	m.Apply(versions + route(`{route: [{destination: {host: web, subset: v1}, weight: 80}, {destination: {host: web, subset: v2}, weight: 20}]}`))
	client, count := m.From("client"), map[string]int{}
	for range 1000 {
		count[client.Get("http://web/").Saw().Endpoint]++
	}
	if n := count["web-v2"]; n < 140 || n > 260 || n+count["web-v1"] != 1000 {
		t.Errorf("%v, want 800 and 200", count)
	}
}

// The service knows who calls by the caller's certificate, whatever the caller says of itself.
func TestIdentityOfTheCaller(t *testing.T) {
	m := mesh.Start(t)
	m.Service("web", nil)
	for _, name := range []string{"client", "other"} {
		saw := m.From(name).Get("http://web/", "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/default/sa/admin").Saw()
		if got, want := strings.Join(saw.Headers.Values("x-forwarded-client-cert"), ","), "URI=spiffe://cluster.local/ns/default/sa/"+name; !strings.Contains(got, want) || strings.Contains(got, "admin") {
			t.Errorf("the service sees %q, want %s", got, want)
		}
	}
}

// A policy counts from the moment that it is there, for connections that are open too, and by who asks.
func TestPolicyDenies(t *testing.T) {
	m := mesh.Start(t)
	m.Service("web", nil)
	client, other := m.From("client"), m.From("other")
	statuses := func() string {
		return fmt.Sprint(client.Get("http://web/").Status, " ", other.Get("http://web/").Status)
	}
	if got := statuses(); got != "200 200" {
		t.Fatal("without a policy:", got)
	}
	m.Apply(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web}
spec: {selector: {matchLabels: {app: web}}, action: ALLOW, rules: [{from: [{source: {principals: [cluster.local/ns/default/sa/client]}}]}]}
`)
	if got := statuses(); got != "200 403" {
		t.Error("with a policy for one of them:", got)
	}
	m.Delete("AuthorizationPolicy/web")
	if got := statuses(); got != "200 200" {
		t.Error("after the policy went:", got)
	}
}

func TestRetries(t *testing.T) {
	m := mesh.Start(t)
	m.Service("web", nil)
	client := m.From("client")
	fails := func(key string) int { return client.Get("http://web/", "x-echo-fail: 2", "x-echo-key: "+key).Status }
	if got := fails("a"); got != 503 {
		t.Fatal("without retries:", got)
	}
	m.Apply(route(`{retries: {attempts: 2, retryOn: 5xx}, route: [{destination: {host: web}}]}`))
	if got := fails("b"); got != 200 {
		t.Error("with two retries:", got)
	}
}

// Without the control plane traffic goes on; with it again, proxies hear what changed meanwhile.
func TestControlPlaneIsAway(t *testing.T) {
	m := mesh.Start(t)
	m.Service("web", nil)
	client := m.From("client")
	client.Get("http://web/")
	m.StopControl()
	for range 50 {
		if r := client.Get("http://web/"); r.Status != 200 {
			t.Fatal(r.Status, r.Body)
		}
	}
	m.Apply(route(`{directResponse: {status: 418}}`)) // nobody reads it yet
	if r := client.Get("http://web/"); r.Status != 200 {
		t.Fatal(r.Status)
	}
	m.StartControl()
	m.Apply("")
	if r := client.Get("http://web/"); r.Status != 418 {
		t.Error("what changed meanwhile is not in effect:", r.Status)
	}
}

// A broken object keeps its last good form, which a restart of heddled does not forget, and the rest of the mesh goes on.
func TestBrokenObjectKeepsTheLastGood(t *testing.T) {
	m := mesh.Start(t)
	m.Service("web", nil)
	client := m.From("client")
	m.Apply(route(`{directResponse: {status: 418}}`))
	m.Apply(strings.Replace(route(`{directResponse: {status: 419}}`), "hosts:", "hozts:", 1))
	check := func(when string) {
		t.Helper()
		if r := client.Get("http://web/"); r.Status != 418 {
			t.Errorf("%s: status %d", when, r.Status)
		}
		if !slices.ContainsFunc(m.Problems(), func(p string) bool {
			return strings.Contains(p, "VirtualService/default/web") && strings.Contains(p, "spec.hozts")
		}) {
			t.Errorf("%s: nobody says what is wrong: %v", when, m.Problems())
		}
	}
	check("while it is broken")
	m.StopControl()
	m.StartControl()
	m.Service("more", nil)
	check("after a restart")
	if r := client.Get("http://more/"); r.Status != 200 {
		t.Error("another service:", r.Status)
	}
	m.Apply(route(`{directResponse: {status: 420}}`))
	if r := client.Get("http://web/"); r.Status != 420 {
		t.Error("after the correction:", r.Status)
	}
}

// What a proxy cannot put into force it refuses; it keeps what it had, takes the rest, and the author of the object hears of it.
func TestProxyRefuses(t *testing.T) {
	m := mesh.Start(t)
	web := m.Service("web", nil)
	client := m.From("client")
	busy, err := net.Listen("tcp", web.IP+":15555")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	m.Apply(fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}, {name: http-more, port: 81}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: web-v1, annotations: {heddle.dev/proxied: "true"}}
spec: {address: %s, ports: {http: %d, http-more: 15555}, labels: {app: web, version: v1}, serviceAccount: web}
---
`, web.IP, mesh.InboundPort) + route(`{headers: {request: {set: {x-after: "1"}}}, route: [{destination: {host: web, port: {number: 80}}}]}`))
	if saw := client.Get("http://web/").Saw(); saw.Headers.Get("x-after") != "1" {
		t.Error("what came beside the refused part is not in effect")
	}
	m.Until("the refusal is told", func() bool {
		return slices.ContainsFunc(m.Problems(), func(p string) bool { return strings.Contains(p, "Rejected") && strings.Contains(p, "15555") })
	})
}

func TestServiceComesAndGoes(t *testing.T) {
	m := mesh.Start(t)
	client := m.From("client")
	if r := client.Get("http://web/"); r.Status != 502 {
		t.Fatal("before it is there:", r.Status, r.Body)
	}
	m.Service("web", nil)
	if r := client.Get("http://web/"); r.Status != 200 {
		t.Fatal(r.Status, r.Body)
	}
	m.Delete("Service/web")
	m.Delete("WorkloadEntry/web-v1")
	if r := client.Get("http://web/"); r.Status != 502 {
		t.Error("after it went:", r.Status, r.Body)
	}
}

// One version takes over from the other under load, and no request fails.
func TestRollingOver(t *testing.T) {
	m := mesh.Start(t)
	old := m.Service("web", nil)
	client := m.From("client")
	stop, failed := make(chan struct{}), make(chan string, 1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if r, err := client.Try("http://web/"); err != nil || r.Status != 200 {
					select {
					case failed <- fmt.Sprint(r, err):
					default:
					}
					return
				}
			}
		})
	}
	m.Version("web", "v2", nil)
	old.Stop()
	if r := client.Get("http://web/"); r.Saw().Endpoint != "web-v2" {
		t.Error("after the old one went:", r.Saw().Endpoint)
	}
	close(stop)
	wg.Wait()
	select {
	case why := <-failed:
		t.Error("a request failed:", why)
	default:
	}
}
