package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/config/decode"
	"github.com/heddle-mesh/heddle/xds"
	"github.com/heddle-mesh/heddle/xds/client"
	"github.com/heddle-mesh/heddle/xds/nds"
)

// plane plays the control plane and the proxy around a Live.
type plane struct {
	t       *testing.T
	l       *Live
	mu      sync.Mutex
	asked   []string
	applied []*config.Config
	reject  func(*config.Config) error
}

func (p *plane) Subscribe(typeURL string, names ...string) {
	p.asked = append(p.asked, strings.TrimSpace("+"+xds.ShortType(typeURL)+" "+strings.Join(names, " ")))
}

func (p *plane) Unsubscribe(typeURL string, names ...string) {
	p.asked = append(p.asked, "-"+xds.ShortType(typeURL)+" "+strings.Join(names, " "))
}

// said is what was subscribed to since the last call.
func (p *plane) said() string {
	s := strings.Join(p.asked, ", ")
	p.asked = nil
	return s
}

func newPlane(t *testing.T, o Options) *plane {
	t.Helper()
	p := &plane{t: t}
	o.Decoder = &decode.Decoder{Identity: o.Identity != nil}
	o.Log = slog.New(slog.DiscardHandler)
	if o.Secret == nil {
		o.Secret = func(string, *config.SecretRef) {}
	}
	o.Apply = func(c *config.Config) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.reject != nil {
			if err := p.reject(c); err != nil {
				return err
			}
		}
		p.applied = append(p.applied, c)
		return nil
	}
	p.l = New(o)
	t.Cleanup(p.l.Close)
	return p
}

func resource[M proto.Message](t *testing.T, url, name, body string, m M) *xds.Resource {
	t.Helper()
	if err := protojson.Unmarshal([]byte(body), m); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	x, err := xds.New(xds.Name{TypeURL: url, Name: name}, m)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func (p *plane) cluster(name, more string) *xds.Resource {
	return resource(p.t, xds.Cluster, name, `{"name": "`+name+`", "type": "EDS", "edsClusterConfig": {"edsConfig": {"ads": {}}}`+more+`}`, &clusterv3.Cluster{})
}

func (p *plane) endpoints(name string, ports ...int) *xds.Resource {
	var list []string
	for _, n := range ports {
		list = append(list, fmt.Sprintf(`{"endpoint": {"address": {"socketAddress": {"address": "10.0.0.1", "portValue": %d}}}}`, n))
	}
	return resource(p.t, xds.Endpoints, name, `{"clusterName": "`+name+`", "endpoints": [{"lbEndpoints": [`+strings.Join(list, ",")+`]}]}`, &endpointv3.ClusterLoadAssignment{})
}

func (p *plane) listener(name string, port int, route string) *xds.Resource {
	return resource(p.t, xds.Listener, name, fmt.Sprintf(`{"name": "%s", "address": {"socketAddress": {"address": "127.0.0.1", "portValue": %d}}, "filterChains": [{"filters": [{"name": "hcm", "typedConfig": {
	 "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "rds": {"routeConfigName": "%s", "configSource": {"ads": {}}},
	 "httpFilters": [{"name": "router", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}`, name, port, route), &listenerv3.Listener{})
}

func (p *plane) routes(name, more string) *xds.Resource {
	return resource(p.t, xds.Route, name, `{"name": "`+name+`"`+more+`}`, &routev3.RouteConfiguration{})
}

func (p *plane) host(name, domain string) *xds.Resource {
	return resource(p.t, xds.VirtualHost, name, `{"name": "`+name+`", "domains": ["`+domain+`"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "a"}}]}`, &routev3.VirtualHost{})
}

func (p *plane) respond(url string, added ...*xds.Resource) {
	p.t.Helper()
	if err := p.l.OnResponse(url, added, nil); err != nil {
		p.t.Errorf("%s was refused: %v", xds.ShortType(url), err)
	}
}

func (p *plane) expect(what, got, want string) {
	p.t.Helper()
	if got != want {
		p.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func (p *plane) inForce() string {
	c := p.l.Current()
	var out []string
	for _, x := range c.Listeners {
		out = append(out, x.Name)
	}
	for _, name := range sortedKeys(c.Clusters) {
		n := 0
		if e := c.Clusters[name].Endpoints; e != nil {
			for _, l := range e.Localities {
				n += len(l.Endpoints)
			}
		}
		out = append(out, fmt.Sprintf("%s:%d", name, n))
	}
	for _, name := range sortedKeys(c.Routes) {
		out = append(out, fmt.Sprintf("%s/%d", name, len(c.Routes[name].Hosts)))
	}
	return strings.Join(out, " ")
}

func follow(p *plane) {
	p.l.Follow(p, true, xds.Listener, xds.Cluster)
	p.said()
}

func TestWarmingMakesBeforeItBreaks(t *testing.T) {
	p := newPlane(t, Options{})
	follow(p)
	p.respond(xds.Cluster, p.cluster("a", ""), p.cluster("b", ""))
	p.expect("subscriptions", p.said(), "+eds a b")
	p.expect("in force", p.inForce(), "")
	p.respond(xds.Endpoints, p.endpoints("a", 1, 2))
	p.expect("in force", p.inForce(), "a:2")
	p.respond(xds.Listener, p.listener("l", 80, "r"))
	p.expect("subscriptions", p.said(), "+rds r")
	if p.l.Ready() {
		t.Error("ready while b and l are warming")
	}
	p.expect("waiting", strings.Join(p.l.Waiting(), "; "), "cluster b for its endpoints or certificates; listener l for its routes r")
	p.respond(xds.Route, p.routes("r", ""))
	p.expect("in force, the first time as a whole", p.inForce(), "a:2 r/0")
	if err := p.l.OnResponse(xds.Endpoints, nil, []string{"b"}); err != nil {
		t.Error(err)
	}
	p.expect("in force", p.inForce(), "l a:2 b:0 r/0")
	if !p.l.Ready() {
		t.Errorf("not ready: %v", p.l.Waiting())
	}

	// A changed cluster keeps its endpoints; a changed listener stays until its new routes are there.
	p.respond(xds.Cluster, p.cluster("a", `, "connectTimeout": "1s"`))
	p.expect("in force", p.inForce(), "l a:2 b:0 r/0")
	if got := p.l.Current().Clusters["a"].ConnectTimeout; got != time.Second {
		t.Errorf("connect time-out %v", got)
	}
	p.respond(xds.Listener, p.listener("l", 80, "r2"))
	p.expect("route", p.l.Current().Listeners[0].Chains[0].HTTP.RouteName, "r")
	p.respond(xds.Route, p.routes("r2", ""))
	p.expect("route", p.l.Current().Listeners[0].Chains[0].HTTP.RouteName, "r2")
	p.expect("subscriptions", p.said(), "+rds r2, -rds r")

	if err := p.l.OnResponse(xds.Cluster, nil, []string{"b"}); err != nil {
		t.Error(err)
	}
	p.expect("subscriptions", p.said(), "-eds b")
}

func TestEndpointsRebuildNothingElse(t *testing.T) {
	p := newPlane(t, Options{})
	follow(p)
	p.respond(xds.Cluster, p.cluster("a", ""), p.cluster("b", ""))
	p.respond(xds.Endpoints, p.endpoints("a", 1), p.endpoints("b", 1))
	p.respond(xds.Listener, p.listener("l", 80, "r"))
	p.respond(xds.Route, p.routes("r", ""))
	before := p.l.Current()
	n := len(p.applied)
	p.respond(xds.Endpoints, p.endpoints("a", 1, 2))
	after := p.l.Current()
	if len(p.applied) != n+1 || after.Clusters["a"] == before.Clusters["a"] || after.Clusters["b"] != before.Clusters["b"] || after.Listeners[0] != before.Listeners[0] || after.Routes["r"] != before.Routes["r"] {
		t.Error("more than the endpoints of a was rebuilt")
	}
	p.respond(xds.Cluster)
	if len(p.applied) != n+1 {
		t.Error("published without a change")
	}
}

func TestARefusedResourceNamesItsFieldAndChangesNothing(t *testing.T) {
	p := newPlane(t, Options{})
	follow(p)
	p.respond(xds.Cluster, p.cluster("a", ""))
	p.respond(xds.Endpoints, p.endpoints("a", 1))
	err := p.l.OnResponse(xds.Cluster, []*xds.Resource{p.cluster("a", `, "lbPolicy": "LOAD_BALANCING_POLICY_CONFIG"`), p.cluster("b", "")}, nil)
	var r *client.Rejection
	if !errors.As(err, &r) || len(r.Resources) != 1 || r.Resources[0].Name != "a" || !strings.HasPrefix(r.Resources[0].Reason, "lb_policy: ") {
		t.Errorf("error %v", err)
	}
	p.expect("in force", p.inForce(), "a:1")
	dump := p.l.Dump(xds.Cluster)
	if len(dump) != 2 || dump[0].Fault == nil || dump[0].State != Active || dump[1].State != Warming {
		t.Errorf("dump %+v", dump)
	}
	p.respond(xds.Cluster, p.cluster("a", ""))
	if dump := p.l.Dump(xds.Cluster); dump[0].Fault != nil {
		t.Error("the fault outlives the good version")
	}
}

func TestTheCulpritIsIsolated(t *testing.T) {
	p := newPlane(t, Options{})
	follow(p)
	p.respond(xds.Cluster, p.cluster("a", ""))
	p.respond(xds.Endpoints, p.endpoints("a", 1))
	p.respond(xds.Listener, p.listener("good", 80, "r"))
	p.respond(xds.Route, p.routes("r", ""))
	p.reject = func(c *config.Config) error {
		for _, l := range c.Listeners {
			if l.Address.Port() == 99 {
				return errors.New("listener bad: port 99 is taken")
			}
		}
		for _, r := range c.Routes {
			for _, h := range r.Hosts {
				if h.Domains[0] == "bad" {
					return errors.New("the domain is bad")
				}
			}
		}
		return nil
	}
	err := p.l.OnResponse(xds.Listener, []*xds.Resource{p.listener("new", 81, "r"), p.listener("good", 99, "r")}, nil)
	var r *client.Rejection
	if !errors.As(err, &r) || len(r.Resources) != 1 || r.Resources[0].Name != "good" || !strings.Contains(r.Resources[0].Reason, "port 99") {
		t.Errorf("error %v", err)
	}
	p.expect("in force", p.inForce(), "good new a:1 r/0")
	if port := p.l.Current().Listeners[0].Address.Port(); port != 80 {
		t.Errorf("the last good listener is at port %d", port)
	}

	p.respond(xds.Route, p.routes("r", `, "vhds": {"configSource": {"ads": {}}}`))
	p.expect("subscriptions", p.said(), "+eds a, +rds r, +vhds")
	err = p.l.OnResponse(xds.VirtualHost, []*xds.Resource{p.host("r/x", "x"), p.host("r/bad", "bad"), p.host("r/y", "y")}, nil)
	if !errors.As(err, &r) || len(r.Resources) != 1 || r.Resources[0].Name != "r/bad" {
		t.Errorf("error %v", err)
	}
	p.expect("in force", p.inForce(), "good new a:1 r/2")
	if err := p.l.OnResponse(xds.VirtualHost, nil, []string{"r/x"}); err != nil {
		t.Error(err)
	}
	p.expect("in force", p.inForce(), "good new a:1 r/1")
}

func TestWhatAFailureComesLateWithDoesNotBlock(t *testing.T) {
	p := newPlane(t, Options{})
	follow(p)
	p.reject = func(c *config.Config) error {
		if c.Clusters["bad"] != nil {
			return errors.New("cluster bad: its certificate cannot be read")
		}
		return nil
	}
	p.respond(xds.Cluster, p.cluster("bad", ""))
	p.respond(xds.Endpoints, p.endpoints("bad", 1)) // the endpoints are fine; the cluster that they complete is not
	p.respond(xds.Cluster, p.cluster("a", ""))
	p.respond(xds.Endpoints, p.endpoints("a", 1))
	p.expect("in force", p.inForce(), "a:1")
	if d := p.l.Dump(xds.Cluster); len(d) != 2 || d[1].State != Refused || !strings.Contains(d[1].Fault.Reason, "certificate") {
		t.Errorf("dump %+v", d)
	}
}

func TestWarmingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, Options{})
		var log strings.Builder
		p.l.opts.Log = slog.New(slog.NewTextHandler(&log, nil))
		follow(p)
		p.respond(xds.Cluster, p.cluster("a", ""))
		p.respond(xds.Listener, p.listener("l", 80, "r"))
		time.Sleep(14 * time.Second)
		p.expect("in force", p.inForce(), "")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		p.expect("in force", p.inForce(), "l a:0")
		if !p.l.Ready() {
			t.Error("not ready")
		}
		for _, want := range []string{`kind=cluster name=a lacks="endpoints or certificates" after=15s`, `kind=listener name=l lacks="routes r" after=15s`} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log does not say %s:\n%s", want, log.String())
			}
		}
	})
}

func TestAnEmptyAnswerIsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(t, Options{})
		follow(p)
		p.l.OnStream(true, nil)
		p.respond(xds.Cluster, p.cluster("a", ""))
		p.respond(xds.Endpoints, p.endpoints("a", 1))
		if p.l.Ready() {
			t.Error("ready although listeners may still come")
		}
		time.Sleep(settle + time.Second)
		synctest.Wait()
		if !p.l.Ready() {
			t.Error("a mesh without listeners is never ready")
		}
	})
}

// TestNoVirtualHostsIsAnAnswer: a listener waits for the word of the server about its virtual hosts, and "there are none" is one.
func TestNoVirtualHostsIsAnAnswer(t *testing.T) {
	vhds := `, "vhds": {"configSource": {"ads": {}}}`
	p := newPlane(t, Options{})
	follow(p)
	p.respond(xds.Cluster)
	p.respond(xds.Listener, p.listener("one", 80, "r"), p.listener("two", 81, "q"))
	p.respond(xds.Route, p.routes("r", vhds), p.routes("q", vhds))
	p.expect("subscriptions", p.said(), "+rds q r, +vhds")
	p.expect("waiting", strings.Join(p.l.Waiting(), "; "), "listener one for its virtual hosts r; listener two for its virtual hosts q")
	p.respond(xds.VirtualHost, p.host("q/a", "a"))
	p.expect("waiting", strings.Join(p.l.Waiting(), "; "), "listener one for its virtual hosts r; listener two for its companions")
	p.expect("in force, the first time as a whole", p.inForce(), "q/1 r/0")
	if p.l.Ready() {
		t.Error("ready while one is warming")
	}
	p.respond(xds.VirtualHost)
	p.expect("in force", p.inForce(), "one two q/1 r/0")
	if !p.l.Ready() {
		t.Errorf("not ready: %v", p.l.Waiting())
	}

	// A refused host and a removed one are answers too.
	refused := resource(t, xds.VirtualHost, "s/a", `{"name": "s/a"}`, &routev3.VirtualHost{})
	p.respond(xds.Listener, p.listener("three", 82, "s"), p.listener("four", 83, "u"))
	p.respond(xds.Route, p.routes("s", vhds), p.routes("u", vhds))
	if err := p.l.OnResponse(xds.VirtualHost, []*xds.Resource{refused}, []string{"u/a"}); err == nil {
		t.Error("a virtual host without a domain is accepted")
	}
	p.expect("in force", p.inForce(), "four one three two q/1 r/0 s/0 u/0")

	// What is given up takes its hosts along: they come again with it.
	if err := p.l.OnResponse(xds.Listener, nil, []string{"two"}); err != nil {
		t.Error(err)
	}
	p.said()
	p.respond(xds.Listener, p.listener("two", 81, "q"))
	p.respond(xds.Route, p.routes("q", vhds))
	p.expect("subscriptions", p.said(), "+rds q")
	p.expect("waiting", strings.Join(p.l.Waiting(), "; "), "listener two for its virtual hosts q")
	p.respond(xds.VirtualHost, p.host("q/b", "b"))
	p.expect("in force", p.inForce(), "four one three two q/1 r/0 s/0 u/0")
	if got := p.l.Current().Routes["q"].Hosts[0].Domains[0]; got != "b" {
		t.Errorf("the host of before is back: %s", got)
	}
}

func TestSecretsAndTheOwnIdentity(t *testing.T) {
	identity := false
	var stored []string
	p := newPlane(t, Options{Identity: func() bool { return identity }, Secret: func(name string, s *config.SecretRef) { stored = append(stored, fmt.Sprint(name, s != nil)) }})
	follow(p)
	tls := func(cert string) string {
		return `, "transportSocket": {"name": "tls", "typedConfig": {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
		 "commonTlsContext": {"tlsCertificateSdsSecretConfigs": [{"name": "` + cert + `", "sdsConfig": {"ads": {}}}]}}}`
	}
	p.respond(xds.Cluster, p.cluster("own", tls("default")), p.cluster("other", tls("kubernetes://shop/cert")))
	p.expect("subscriptions", p.said(), "+eds other own, +sds kubernetes://shop/cert")
	p.respond(xds.Endpoints, p.endpoints("own", 1), p.endpoints("other", 1))
	p.expect("in force", p.inForce(), "")
	identity = true
	p.l.Wake()
	p.expect("in force", p.inForce(), "own:1")
	if err := p.l.OnResponse(xds.Secret, nil, []string{"kubernetes://shop/cert"}); err != nil {
		t.Error(err)
	}
	p.expect("in force", p.inForce(), "other:1 own:1")
	if !slices.Equal(stored, []string{"kubernetes://shop/certfalse"}) {
		t.Errorf("stored %v", stored)
	}
}

func TestStaticResources(t *testing.T) {
	p := newPlane(t, Options{})
	b, err := p.l.opts.Decoder.Bootstrap([]byte(`{"static_resources": {"clusters": [{"name": "a", "type": "STATIC"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.l.Static(b); err != nil {
		t.Fatal(err)
	}
	p.expect("in force", p.inForce(), "a:0")
	follow(p)
	err = p.l.OnResponse(xds.Cluster, []*xds.Resource{p.cluster("a", "")}, []string{"a"})
	if err == nil || !strings.Contains(err.Error(), "static") {
		t.Errorf("error %v", err)
	}
	p.expect("in force", p.inForce(), "a:0")
	if d := p.l.Dump(xds.Cluster); len(d) != 1 || !d[0].Static || len(d[0].Body) == 0 {
		t.Errorf("dump %+v", d)
	}
}

func TestNames(t *testing.T) {
	var got nds.Table
	p := newPlane(t, Options{Names: func(t nds.Table) { got = t }})
	follow(p)
	x := func(ip string) *xds.Resource {
		return xds.FromBytes(xds.Name{TypeURL: xds.NameTable}, nds.Table{"a.test": {IPs: []string{ip}}}.Marshal())
	}
	p.respond(xds.NameTable, x("10.0.0.1"))
	if got["a.test"].IPs[0] != "10.0.0.1" {
		t.Errorf("names %v", got)
	}
	if err := p.l.OnResponse(xds.NameTable, []*xds.Resource{x("ten")}, nil); err == nil || !strings.Contains(err.Error(), `table["a.test"].ips: "ten"`) {
		t.Errorf("error %v", err)
	}
}

// book resolves from a map.
type book struct {
	mu  sync.Mutex
	m   map[string][]netip.Addr
	ttl time.Duration
}

func (b *book) Lookup(_ context.Context, _, host string) ([]netip.Addr, time.Duration, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ips, ok := b.m[host]; ok {
		return slices.Clone(ips), b.ttl, nil
	}
	return nil, 0, errors.New("no such host")
}

func TestHostNamesAreLookedUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{m: map[string][]netip.Addr{"web": {netip.MustParseAddr("10.0.0.1")}}}
		p := newPlane(t, Options{Resolve: b, Names: func(nds.Table) {}})
		follow(p)
		dns := func(more string) *xds.Resource {
			return resource(t, xds.Cluster, "d", `{"name": "d", "type": "STRICT_DNS", "loadAssignment": {"clusterName": "d", "endpoints": [{"lbEndpoints": [
			 {"endpoint": {"address": {"socketAddress": {"address": "web", "portValue": 80}}}}, {"endpoint": {"address": {"socketAddress": {"address": "gone", "portValue": 80}}}}]}]}`+more+`}`, &clusterv3.Cluster{})
		}
		p.respond(xds.Cluster, dns(""))
		synctest.Wait()
		p.expect("in force", p.inForce(), "d:1")
		e := p.l.Current().Clusters["d"].Endpoints.Localities[0].Endpoints[0]
		if e.Address.String() != "10.0.0.1:80" || e.Hostname != "web" || e.Host != "" {
			t.Errorf("endpoint %+v", e)
		}
		b.mu.Lock()
		b.m["web"] = append(b.m["web"], netip.MustParseAddr("10.0.0.2"))
		b.m["gone"] = []netip.Addr{netip.MustParseAddr("10.0.0.3")}
		b.mu.Unlock()
		time.Sleep(6 * time.Second)
		synctest.Wait()
		p.expect("in force", p.inForce(), "d:3")
		b.mu.Lock()
		clear(b.m)
		b.mu.Unlock()
		time.Sleep(6 * time.Second)
		synctest.Wait()
		p.expect("in force while the name server is away", p.inForce(), "d:3")
		b.mu.Lock()
		b.m["web"] = []netip.Addr{netip.MustParseAddr("10.0.0.7")}
		b.m["gone"] = nil
		b.mu.Unlock()
		p.respond(xds.NameTable, xds.FromBytes(xds.Name{TypeURL: xds.NameTable}, nds.Table{}.Marshal()))
		synctest.Wait()
		p.expect("in force as soon as the names of the mesh changed", p.inForce(), "d:1")
		p.l.Close()
	})
}
