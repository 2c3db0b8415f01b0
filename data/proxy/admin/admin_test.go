package admin

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/config/decode"
	"github.com/heddle-mesh/heddle/data/proxy/config/live"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/xds"
)

const bootstrap = `{"node": {"id": "x"}, "static_resources": {"clusters": [{"name": "a", "type": "STATIC", "load_assignment": {"cluster_name": "a", "endpoints": [{"priority": 1, "locality": {"zone": "z"},
 "lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}}}}, {"endpoint": {"address": {"socket_address": {"address": "fd00::1", "port_value": 80}}}, "health_status": "DRAINING"}]}]}}],
 "listeners": [{"name": "front", "address": {"socket_address": {"address": "127.0.0.1", "port_value": 80}}, "filter_chains": [{"filters": [{"name": "hcm", "typed_config": {
  "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "rds": {"route_config_name": "80", "config_source": {"ads": {}}},
  "http_filters": [{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}]}}`

type none struct{}

func (none) Subscribe(string, ...string)   {}
func (none) Unsubscribe(string, ...string) {}

// world is a proxy with a static cluster, a static listener whose route configuration has come and of which one virtual host came by itself, and a refused listener.
func world(t *testing.T) (*Server, *httptest.Server, *map[string]int) {
	t.Helper()
	d := &decode.Decoder{}
	b, err := d.Bootstrap([]byte(bootstrap))
	if err != nil {
		t.Fatal(err)
	}
	l := live.New(live.Options{Decoder: d, Apply: func(*config.Config) error { return nil }, Secret: func(string, *config.SecretRef) {}, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(l.Close)
	if err := l.Static(b); err != nil {
		t.Fatal(err)
	}
	l.Follow(none{}, true, xds.Listener)
	table, _ := xds.New(xds.Name{TypeURL: xds.Route, Name: "80"}, &routev3.RouteConfiguration{Name: "80", Vhds: &routev3.Vhds{ConfigSource: &corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_Ads{}}}})
	host, _ := xds.New(xds.Name{TypeURL: xds.VirtualHost, Name: "80/web"}, &routev3.VirtualHost{Name: "80/web", Domains: []string{"web"}})
	if err := l.OnResponse(xds.Route, []*xds.Resource{table}, nil); err != nil {
		t.Fatal(err)
	}
	if err := l.OnResponse(xds.VirtualHost, []*xds.Resource{host}, nil); err != nil {
		t.Fatal(err)
	}
	if err := l.OnResponse(xds.Listener, []*xds.Resource{xds.FromBytes(xds.Name{TypeURL: xds.Listener, Name: "bad"}, []byte{0xff})}, nil); err == nil {
		t.Fatal("a broken listener was accepted")
	}
	packed, err := Pack(b.Message)
	if err != nil {
		t.Fatal(err)
	}
	registry := stats.New()
	registry.NewShard().Add(registry.Counter(stats.Desc{Name: "envoy_x_total", Dotted: "x.total"}), 3)
	registry.Counter(stats.Desc{Name: "envoy_y_total", Dotted: "y.total"})
	calls := map[string]int{}
	ready := true
	s := New(Options{
		Version: "test", Live: l, Stats: registry, Level: new(slog.LevelVar), Node: b.Node, Bootstrap: packed, Ready: func() bool { return ready },
		Sockets: func() []Socket { return []Socket{{"l", "127.0.0.1:80"}, {"u", "/run/x.sock"}} },
		Host: func(_ *config.Cluster, e *config.Endpoint) Host {
			return Host{Ejected: e.Health == config.HealthUnknown, RequestsTotal: 7}
		},
		Drain:    func(inbound, graceful, skipExit bool) { calls["drain"]++ },
		Quit:     func() { calls["quit"]++ },
		Draining: func() bool { return calls["drain"] > 0 }, Succeeded: func() bool { return calls["succeed"] > 0 },
	})
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return s, srv, &calls
}

func get(t *testing.T, method, url string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestPages(t *testing.T) {
	_, srv, calls := world(t)
	for _, c := range []struct {
		method, path string
		code         int
		want         string
	}{
		{"GET", "/ready", 200, "LIVE\n"},
		{"GET", "/server_info", 200, `"id":"x"`},
		{"GET", "/stats", 200, "x.total: 3\ny.total: 0\n"},
		{"GET", "/stats?usedonly&filter=^x", 200, "x.total: 3\n"},
		{"GET", "/stats?filter=(", 400, "filter: "},
		{"GET", "/stats?type=Gauges", 200, ""},
		{"GET", "/stats?type=Meters", 400, "is not one of All"},
		{"GET", "/stats?format=html", 400, "usage: /stats?format="},
		{"GET", "/stats?format=json&filter=^x", 200, `{"stats":[{"name":"x.total","value":3}]}`},
		{"GET", "/stats?format=json&histogram_buckets=detailed", 400, "usage: /stats?histogram_buckets="},
		{"GET", "/stats/prometheus?usedonly&filter=total", 200, "# TYPE envoy_x_total counter\nenvoy_x_total 3\n"},
		{"GET", "/stats/prometheus", 200, "envoy_x_total 3"},
		{"GET", "/stats/prometheus", 200, "\ngo_goroutines "},
		{"GET", "/stats?format=prometheus", 200, "envoy_x_total 3"},
		{"GET", "/clusters", 200, "a::10.0.0.1:80::health_flags::/failed_outlier_check\n"},
		{"GET", "/clusters", 200, "a::[fd00::1]:80::health_flags::/failed_eds_health\n"},
		{"GET", "/listeners", 200, "l::127.0.0.1:80\nu::/run/x.sock\n"},
		{"GET", "/listeners?format=json", 200, `"path":"/run/x.sock"`},
		{"GET", "/certs", 200, `"certificates":`},
		{"GET", "/", 200, "/config_dump: "},
		{"GET", "/nothing", 404, ""},
		{"GET", "/quitquitquit", 405, "Method GET not allowed, POST required."},
		{"GET", "/config_dump?resource=nope", 404, "nope not found in config dump"},
		{"GET", "/config_dump?resource=clusters", 200, `"name": "a"`},
		{"GET", "/config_dump?name_regex=(", 400, "Error while parsing name_regex"},
		{"GET", "/config_dump?resource=static_clusters&mask=cluster.name,nope", 400, "could not be successfully applied"},
		{"POST", "/logging?level=warning", 200, "active loggers:\n  heddle: warning\n"},
		{"POST", "/logging?heddle=error", 200, "heddle: error\n"},
		{"POST", "/logging?paths=heddle:debug", 200, "heddle: debug\n"},
		{"POST", "/logging?paths=http:debug", 400, "the only one is heddle"},
		{"POST", "/logging?level=loud", 400, `"loud" is not one of`},
		{"GET", "/logging?level=info", 405, "POST required"},
		{"POST", "/logging", 200, "heddle: debug\n"},
		{"GET", "/hot_restart_version", 200, "disabled\n"},
		{"POST", "/healthcheck/fail", 200, "OK"},
		{"GET", "/ready", 503, "DRAINING\n"},
		{"POST", "/healthcheck/ok", 200, "OK"},
		{"GET", "/ready", 200, "LIVE\n"},
		{"POST", "/reset_counters", 200, "OK"},
		{"GET", "/stats", 200, "x.total: 0\ny.total: 0\n"},
		{"POST", "/drain_listeners?inboundonly&graceful", 200, "OK"},
		{"GET", "/ready", 503, "DRAINING\n"},
		{"POST", "/quitquitquit", 200, "OK"},
	} {
		code, body := get(t, c.method, srv.URL+c.path)
		if code != c.code || !strings.Contains(strings.ReplaceAll(strings.ReplaceAll(body, ": \"", ":\""), ":  \"", ":\""), strings.ReplaceAll(c.want, ": \"", ":\"")) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, code, body, c.code, c.want)
		}
	}
	if (*calls)["quit"] != 1 {
		t.Error("quit was not called once")
	}
}

// TestReadyIsOfThePlace: who asks a process that another has succeeded is told how the place is, which is served.
func TestReadyIsOfThePlace(t *testing.T) {
	s, srv, calls := world(t)
	(*calls)["drain"], (*calls)["succeed"] = 1, 1
	status := httptest.NewServer(s.StatusHandler())
	defer status.Close()
	if code, _ := get(t, "GET", status.URL+"/healthz/ready"); code != 200 {
		t.Errorf("/healthz/ready: %d", code)
	}
	if code, body := get(t, "GET", srv.URL+"/ready"); code != 200 || body != "LIVE\n" {
		t.Errorf("/ready: %d %q", code, body)
	}
	if _, body := get(t, "GET", srv.URL+"/server_info"); !strings.Contains(body, "DRAINING") {
		t.Errorf("/server_info does not tell that this process drains: %s", body)
	}
}

func TestWebPagesAreRefused(t *testing.T) {
	_, srv, calls := world(t)
	if code, _ := get(t, "POST", srv.URL+"/quitquitquit", "Origin", "http://evil.example"); code != 403 || (*calls)["quit"] != 0 {
		t.Errorf("status %d", code)
	}
}

func TestConfigDumpIsEnvoys(t *testing.T) {
	_, srv, _ := world(t)
	_, body := get(t, "GET", srv.URL+"/config_dump?include_eds")
	dump := &adminv3.ConfigDump{}
	if err := protojson.Unmarshal([]byte(body), dump); err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	clusters, listeners, routes := &adminv3.ClustersConfigDump{}, &adminv3.ListenersConfigDump{}, &adminv3.RoutesConfigDump{}
	for _, a := range dump.GetConfigs() {
		switch {
		case a.MessageIs(clusters):
			_ = a.UnmarshalTo(clusters)
		case a.MessageIs(listeners):
			_ = a.UnmarshalTo(listeners)
		case a.MessageIs(routes):
			_ = a.UnmarshalTo(routes)
		}
	}
	if len(clusters.GetStaticClusters()) != 1 || clusters.GetStaticClusters()[0].GetCluster() == nil {
		t.Errorf("clusters %v", clusters)
	}
	if d := listeners.GetDynamicListeners(); len(d) != 1 || d[0].GetName() != "bad" || !strings.Contains(d[0].GetErrorState().GetDetails(), "does not decode") || d[0].GetClientStatus() != adminv3.ClientResourceStatus_NACKED {
		t.Errorf("listeners %v", listeners)
	}
	if d := routes.GetDynamicRouteConfigs(); len(d) != 0 {
		m := &routev3.RouteConfiguration{}
		if err := d[0].GetRouteConfig().UnmarshalTo(m); err != nil || len(m.GetVirtualHosts()) != 1 {
			t.Errorf("routes %v, %v", m, err)
		}
	}
}

func TestClustersJSON(t *testing.T) {
	_, srv, _ := world(t)
	_, body := get(t, "GET", srv.URL+"/clusters?format=json")
	m := &adminv3.Clusters{}
	if err := protojson.Unmarshal([]byte(body), m); err != nil {
		t.Fatal(err)
	}
	h := m.GetClusterStatuses()[0].GetHostStatuses()
	if len(h) != 2 || h[0].GetAddress().GetSocketAddress().GetAddress() != "10.0.0.1" || !h[0].GetHealthStatus().GetFailedOutlierCheck() || h[0].GetPriority() != 1 || h[0].GetLocality().GetZone() != "z" {
		t.Errorf("%v", m)
	}
}

func TestStatusPort(t *testing.T) {
	s, _, _ := world(t)
	srv := httptest.NewServer(s.StatusHandler())
	defer srv.Close()
	if code, _ := get(t, "GET", srv.URL+"/healthz/ready"); code != 200 {
		t.Errorf("ready: %d", code)
	}
	if code, _ := get(t, "GET", srv.URL+"/config_dump"); code != 404 {
		t.Errorf("the status port shows the configuration: %d", code)
	}
	s.Drain(false, true, false)
	if code, _ := get(t, "GET", srv.URL+"/healthz/ready"); code != 503 {
		t.Errorf("draining: %d", code)
	}
}
