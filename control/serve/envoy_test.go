package serve

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/heddle-mesh/heddle/xds"
)

const envoyBinary = "../../.cache/envoy/envoy"

// rig is a stock Envoy that a server of ours feeds.
type rig struct {
	*desk
	t        *testing.T
	observer *recorder
	port     int
	backends map[string]int
}

func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{ResourceApiVersion: corev3.ApiVersion_V3, ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}
}

func anyOf(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func socket(port int) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func startEnvoy(t *testing.T, api string) *rig {
	t.Helper()
	if _, err := os.Stat(envoyBinary); err != nil {
		t.Skip("no stock Envoy; run make envoy")
	}
	dir := t.TempDir()
	g := &rig{t: t, observer: newRecorder(), port: freePort(t), backends: map[string]int{}}
	g.desk = &desk{server: New(Options{Authenticator: fixed{alice}, Observer: g.observer})}
	l, err := Listen("test", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bootstrap := fmt.Sprintf(`
node: {id: "%s", cluster: c}
dynamic_resources:
  ads_config: {api_type: %s, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}
  cds_config: {resource_api_version: V3, ads: {}}
  lds_config: {resource_api_version: V3, ads: {}}
static_resources:
  clusters:
  - name: xds
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]}
`, sidecar, api, l.Addr().(*net.TCPAddr).Port)
	file := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(file, []byte(bootstrap), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = g.server.Run(t.Context(), []Endpoint{{Name: "test", Listener: l}}) }()
	cmd := exec.Command(envoyBinary, "-c", file, "--disable-hot-restart", "--concurrency", "1", "-l", "warning", "--log-path", filepath.Join(dir, "log"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-done
		if b, err := os.ReadFile(filepath.Join(dir, "log")); err == nil && t.Failed() {
			t.Logf("Envoy's log:\n%s\nevents:\n%s", b, strings.Join(g.observer.log(), "\n"))
		}
	})
	return g
}

// backend is a server that answers with its name.
func (g *rig) backend(name string) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
	g.t.Cleanup(s.Close)
	g.backends[name] = s.Listener.Addr().(*net.TCPAddr).Port
}

func (g *rig) cluster(name string, timeout time.Duration) *xds.Resource {
	return mustNew(g.t, xds.Cluster, name, &clusterv3.Cluster{
		Name: name, ConnectTimeout: durationpb.New(timeout), ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{EdsConfig: ads()},
	})
}

func (g *rig) endpoints(name string) *xds.Resource {
	return mustNew(g.t, xds.Endpoints, name, &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{
		LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socket(g.backends[name])}}}},
	}}})
}

func (g *rig) listener(name string, port int, bad bool) *xds.Resource {
	h := &hcmv3.HttpConnectionManager{
		StatPrefix: "x", RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{ConfigSource: ads(), RouteConfigName: "80"}},
		HttpFilters: []*hcmv3.HttpFilter{{Name: "envoy.filters.http.router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: anyOf(g.t, &routerv3.Router{})}}},
	}
	if bad {
		h.StatPrefix = "" // the proto says min_len 1
	}
	return mustNew(g.t, xds.Listener, name, &listenerv3.Listener{Name: name, Address: socket(port), FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
		Name: "envoy.filters.network.http_connection_manager", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: anyOf(g.t, h)},
	}}}}})
}

func (g *rig) host(name, cluster string, domains ...string) *xds.Resource {
	r := mustNew(g.t, xds.VirtualHost, name, &routev3.VirtualHost{Name: name, Domains: domains, Routes: []*routev3.Route{{
		Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster}}},
	}}})
	for _, d := range domains {
		r.Claims = append(r.Claims, "80/"+d)
	}
	return r
}

func (g *rig) get(host string) string {
	req, _ := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", g.port), nil)
	req.Host = host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s", resp.StatusCode, b)
}

func (g *rig) until(what string, ok func() bool) {
	g.t.Helper()
	g.observer.until(g.t, what, ok)
}

// TestStockEnvoyDelta plays the scripts that were learnt from Envoy on Envoy: virtual hosts one by one, a changed cluster, make before break, a domain that is taken
// over, and a refusal.
func TestStockEnvoyDelta(t *testing.T) {
	g := startEnvoy(t, "DELTA_GRPC")
	g.backend("old")
	g.backend("new")
	g.publish([]*xds.Resource{
		g.cluster("old", time.Second), g.endpoints("old"), g.listener("l", g.port, false), g.host("80/a", "old", "a.com"),
		mustNew(t, xds.Route, "80", &routev3.RouteConfiguration{Name: "80", Vhds: &routev3.Vhds{ConfigSource: ads()}}),
	})
	g.until("first request", func() bool { return g.get("a.com") == "200 old" })
	g.until("all acknowledged", func() bool { return slices.Contains(g.observer.log(), "acked vhds 80/a") })

	acks := func() (n int) {
		for _, e := range g.observer.log() {
			if e == "acked cds old" {
				n++
			}
		}
		return n
	}
	before, began := acks(), time.Now()
	g.publish([]*xds.Resource{g.cluster("old", 2*time.Second)})
	g.until("changed cluster acknowledged", func() bool { return acks() > before })
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("a changed cluster stayed warming for %v", d)
	}

	var failed, total atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			total.Add(1)
			if r := g.get("a.com"); !strings.HasPrefix(r, "200 ") {
				failed.Add(1)
				t.Log(r)
			}
		}
	}()
	// In one change: another cluster, a virtual host that takes over the domain, and both old ones gone.
	g.publish([]*xds.Resource{g.cluster("new", time.Second), g.endpoints("new"), g.host("80/b", "new", "a.com", "b.com")},
		cds("old"), eds("old"), xds.Name{TypeURL: xds.VirtualHost, Name: "80/a"})
	g.until("moved", func() bool { return g.get("b.com") == "200 new" && g.get("a.com") == "200 new" })
	time.Sleep(200 * time.Millisecond)
	close(stop)
	<-stopped
	if failed.Load() > 0 {
		t.Errorf("%d of %d requests failed while the route moved", failed.Load(), total.Load())
	}

	bad := freePort(t)
	g.publish([]*xds.Resource{g.listener("bad", bad, true), g.listener("good", freePort(t), false)})
	g.until("the bad listener refused", func() bool {
		return slices.ContainsFunc(g.observer.log(), func(e string) bool { return strings.HasPrefix(e, "rejected lds bad ") })
	})
	g.until("the good one taken", func() bool { return slices.Contains(g.observer.log(), "acked lds good") })
	if slices.ContainsFunc(g.observer.log(), func(e string) bool {
		return strings.HasPrefix(e, "rejected ") && !strings.HasPrefix(e, "rejected lds bad ")
	}) {
		t.Errorf("more was refused: %v", g.observer.log())
	}
}

// TestStockEnvoyWorld is the same without virtual hosts of their own, in the other form.
func TestStockEnvoyWorld(t *testing.T) {
	g := startEnvoy(t, "GRPC")
	g.backend("old")
	g.backend("new")
	routes := func(cluster string) *xds.Resource {
		var h routev3.VirtualHost
		if err := proto.Unmarshal(g.host("a", cluster, "a.com").Body, &h); err != nil {
			t.Fatal(err)
		}
		return mustNew(t, xds.Route, "80", &routev3.RouteConfiguration{Name: "80", VirtualHosts: []*routev3.VirtualHost{&h}})
	}
	g.publish([]*xds.Resource{g.cluster("old", time.Second), g.endpoints("old"), g.listener("l", g.port, false), routes("old")})
	g.until("first request", func() bool { return g.get("a.com") == "200 old" })
	g.publish([]*xds.Resource{g.cluster("new", time.Second), g.endpoints("new"), routes("new")}, cds("old"), eds("old"))
	g.until("moved", func() bool {
		r := g.get("a.com")
		if !strings.HasPrefix(r, "200 ") {
			t.Errorf("while the route moved: %s", r)
		}
		return r == "200 new"
	})
}
