package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/heddle-mesh/heddle/platform/laptop"
)

func TestTableIsAligned(t *testing.T) {
	tab := newTable("NAME", "B", "LAST")
	tab.add("a-long-name", "x", "end")
	tab.add("s", "", "")
	var out bytes.Buffer
	if err := tab.print(&out); err != nil {
		t.Fatal(err)
	}
	want := "NAME          B   LAST\na-long-name   x   end\ns                 \n"
	if out.String() != want {
		t.Errorf("printed\n%q, want\n%q", out.String(), want)
	}
}

func TestNameParts(t *testing.T) {
	for name, want := range map[string][4]string{
		"outbound|80|v1|web.shop.svc.cluster.local": {"outbound", "80", "v1", "web.shop.svc.cluster.local"},
		"outbound|80||web.shop.svc.cluster.local":   {"outbound", "80", "-", "web.shop.svc.cluster.local"},
		"inbound|8080||":     {"inbound", "8080", "-", ""},
		"PassthroughCluster": {"-", "-", "-", "PassthroughCluster"},
		"a|b":                {"-", "-", "-", "a|b"},
	} {
		direction, port, subset, host := nameParts(name)
		if got := [4]string{direction, port, subset, host}; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if clusterOrder("outbound|80||a.b") > clusterOrder("outbound|443||a.b") {
		t.Error("ports are ordered as text, not as numbers")
	}
}

func TestSynced(t *testing.T) {
	for _, c := range []struct{ sent, acked, want string }{{"", "", "NOT SENT"}, {"n1", "n1", "SYNCED"}, {"n2", "n1", "STALE"}, {"n1", "", "STALE"}} {
		if got := synced(c.sent, c.acked); got != c.want {
			t.Errorf("sent %q acknowledged %q: %s, want %s", c.sent, c.acked, got, c.want)
		}
	}
	if got := extension(syncStatus{}); got != "IGNORED" {
		t.Errorf("no extension configuration: %s", got)
	}
}

func TestProxiesAreFoundByNameOrWithNamespace(t *testing.T) {
	list := []syncStatus{{ProxyID: "web-v1.shop"}, {ProxyID: "web-v1.other"}, {ProxyID: "web-v10.shop"}}
	for name, want := range map[string]int{"web-v1": 2, "web-v1.shop": 1, "web": 0} {
		if got := len(named(list, name)); got != want {
			t.Errorf("%s finds %d, want %d", name, got, want)
		}
	}
}

func TestDomainsAreShortened(t *testing.T) {
	for _, c := range []struct {
		all  []string
		want string
	}{{nil, "*"}, {[]string{"b.c", "a"}, "a, b.c"}, {[]string{"aaaa", "a", "aa", "aaa"}, "a, aa + 2 more..."}} {
		if got := domains(c.all); got != c.want {
			t.Errorf("%v: %s, want %s", c.all, got, c.want)
		}
	}
}

// dumpPage is what a proxy answers to /config_dump: one listener, one route configuration, two clusters.
const dumpPage = `{"configs":[
{"@type":"type.googleapis.com/envoy.admin.v3.ListenersConfigDump","dynamicListeners":[{"name":"0.0.0.0_8080","activeState":{"listener":{
 "@type":"type.googleapis.com/envoy.config.listener.v3.Listener","name":"0.0.0.0_8080","address":{"socketAddress":{"address":"0.0.0.0","portValue":8080}},
 "filterChains":[{"filterChainMatch":{"transportProtocol":"raw_buffer","applicationProtocols":["http/1.1"]},"filters":[{"name":"http","typedConfig":{
  "@type":"type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager","statPrefix":"x","rds":{"routeConfigName":"8080"}}}]}],
 "defaultFilterChain":{"filters":[{"name":"tcp","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy","statPrefix":"x","cluster":"PassthroughCluster"}}]}}}}]},
{"@type":"type.googleapis.com/envoy.admin.v3.RoutesConfigDump","dynamicRouteConfigs":[{"routeConfig":{"@type":"type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
 "name":"8080","virtualHosts":[{"name":"web.shop.svc.cluster.local:8080","domains":["web","web.shop"],"routes":[{"match":{"prefix":"/"},"route":{"cluster":"outbound|8080||web.shop.svc.cluster.local"},
  "metadata":{"filterMetadata":{"istio":{"config":"/apis/networking.istio.io/v1/namespaces/shop/virtual-service/web"}}}}]}]}}]},
{"@type":"type.googleapis.com/envoy.admin.v3.ClustersConfigDump","dynamicActiveClusters":[
 {"cluster":{"@type":"type.googleapis.com/envoy.config.cluster.v3.Cluster","name":"outbound|8080|v1|web.shop.svc.cluster.local","type":"EDS",
  "metadata":{"filterMetadata":{"istio":{"config":"/apis/networking.istio.io/v1/namespaces/shop/destination-rule/web"}}}}},
 {"cluster":{"@type":"type.googleapis.com/envoy.config.cluster.v3.Cluster","name":"PassthroughCluster","type":"ORIGINAL_DST"}}]}]}`

const datagramPage = `{"configs":[{"@type":"type.googleapis.com/envoy.admin.v3.ListenersConfigDump","dynamicListeners":[{"activeState":{"listener":{
 "@type":"type.googleapis.com/envoy.config.listener.v3.Listener","name":"udp_0.0.0.0_53","address":{"socketAddress":{"protocol":"UDP","address":"0.0.0.0","portValue":53}},
 "listenerFilters":[{"name":"envoy.filters.udp_listener.udp_proxy","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig","statPrefix":"x",
  "matcher":{"onNoMatch":{"action":{"name":"route","typedConfig":{"@type":"type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route","cluster":"udp|53||dns.shop.svc.cluster.local"}}}}}}]}}}]}]}`

func TestViewsHaveIstioctlsColumns(t *testing.T) {
	for _, c := range []struct {
		view view
		page string
		want []string
	}{
		{listenerView, dumpPage, []string{"ADDRESSES PORT MATCH DESTINATION", "0.0.0.0 8080 Trans: raw_buffer; App: http/1.1 Route: 8080", "0.0.0.0 8080 FALLBACK Cluster: PassthroughCluster"}},
		{listenerView, datagramPage, []string{"ADDRESSES PORT MATCH DESTINATION", "0.0.0.0 53 UDP Cluster: udp|53||dns.shop.svc.cluster.local"}},
		{routeView, dumpPage, []string{"NAME VHOST NAME DOMAINS MATCH VIRTUAL SERVICE", "8080 web.shop.svc.cluster.local:8080 web, web.shop /* web.shop"}},
		{clusterView, dumpPage, []string{"SERVICE FQDN PORT SUBSET DIRECTION TYPE DESTINATION RULE", "PassthroughCluster - - - ORIGINAL_DST", "web.shop.svc.cluster.local 8080 v1 outbound EDS web.shop"}},
		{endpointView, `{"clusterStatuses":[{"name":"outbound|80||a","hostStatuses":[{"address":{"socketAddress":{"address":"fd00::1","portValue":80}},"healthStatus":{"failedOutlierCheck":true}}]}]}`,
			[]string{"ENDPOINT STATUS OUTLIER CHECK CLUSTER", "[fd00::1]:80 HEALTHY FAILED outbound|80||a"}},
		{secretView, `{"certificates":[{"certChain":[{"path":"default","serialNumber":"1f","validFrom":"2020-01-01T00:00:00Z","expirationTime":"2099-01-01T00:00:00Z"}]}]}`,
			[]string{"RESOURCE NAME TYPE STATUS VALID CERT SERIAL NUMBER NOT AFTER NOT BEFORE", "default Cert Chain ACTIVE true 1f 2099-01-01T00:00:00Z 2020-01-01T00:00:00Z"}},
	} {
		tab, err := c.view.rows([]byte(c.page), false)
		if err != nil {
			t.Errorf("%s: %v", c.view.name, err)
			continue
		}
		var got []string
		for _, r := range append([][]string{tab.header}, tab.rows...) {
			got = append(got, strings.TrimSpace(strings.Join(r, " ")))
		}
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", c.view.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
		if list, err := c.view.messages([]byte(c.page)); err != nil || len(list) == 0 {
			t.Errorf("%s: %d messages, %v", c.view.name, len(list), err)
		}
	}
}

func TestWideViewsSayMore(t *testing.T) {
	split := strings.Replace(dumpPage, `"route":{"cluster":"outbound|8080||web.shop.svc.cluster.local"}`,
		`"route":{"weightedClusters":{"clusters":[{"name":"a","weight":90},{"name":"b","weight":10}]}}`, 1)
	for _, c := range []struct {
		view view
		page string
		want string // the end of the first row
	}{
		{listenerView, dumpPage, "0.0.0.0_8080"},
		{routeView, dumpPage, "web, web.shop|/*|web.shop|outbound|8080||web.shop.svc.cluster.local"},
		{routeView, split, "a weight 90, b weight 10"},
		{clusterView, dumpPage, "ROUND_ROBIN|PassthroughCluster"},
		{endpointView, `{"clusterStatuses":[{"name":"c","hostStatuses":[{"weight":3,"locality":{"region":"r","zone":"z"},"stats":[{"name":"rq_active","type":"GAUGE","value":"2"}]}]}]}`, "c|3|r/z|2"},
	} {
		tab, err := c.view.rows([]byte(c.page), true)
		if err != nil || len(tab.rows) == 0 {
			t.Errorf("%s: %v", c.view.name, err)
			continue
		}
		if got := strings.Join(tab.rows[0], "|"); !strings.HasSuffix(got, "|"+c.want) || len(tab.header) != len(tab.rows[0]) {
			t.Errorf("%s: %s, want %s at the end", c.view.name, got, c.want)
		}
	}
	for answer, r := range map[string]*routev3.Route{
		"redirect": {Action: &routev3.Route_Redirect{}}, "502": {Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 502}}}, "-": nil,
	} {
		if got := destinationOf(r); got != answer {
			t.Errorf("%v leads to %s, want %s", r, got, answer)
		}
	}
}

func TestTourNamesTheMeshInEveryCommand(t *testing.T) {
	dir := t.TempDir()
	e := &Env{Self: filepath.Join(dir, "bin", "heddle"), RunDir: filepath.Join(dir, "run"), usualDir: "/run/heddle"}
	if got := e.command(); !strings.HasSuffix(got, " --run-dir "+e.RunDir) {
		t.Errorf("another folder is not named: %s", got)
	}
	e.RunDir = "/tmp/the mesh's"
	if got := e.command(); !strings.HasSuffix(got, ` --run-dir '/tmp/the mesh'\''s'`) {
		t.Errorf("a shell takes it apart: %s", got)
	}
	e.usualDir = e.RunDir
	if got := e.command(); strings.Contains(got, "--run-dir") {
		t.Errorf("the usual folder is named: %s", got)
	}
	var out bytes.Buffer
	tour(&out, &laptop.Status{Mode: laptop.ModeRoot, Gateway: "http://127.0.0.1:81"}, "bin/heddle --run-dir x", false)
	for line := range strings.Lines(out.String()) {
		if strings.Contains(line, "heddle ") && strings.HasPrefix(line, "     ") && !strings.Contains(line, "bin/heddle --run-dir x ") {
			t.Errorf("does not name the mesh: %s", line)
		}
		if strings.Contains(line, "%!") {
			t.Errorf("is not printed well: %s", line)
		}
	}
}
