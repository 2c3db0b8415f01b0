package interop_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const adminFile = `
node: {id: node-1, cluster: c}
static_resources:
  listeners:
  - {name: front, traffic_direction: INBOUND, address: {socket_address: {address: 127.0.0.1, port_value: ${FRONT}}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h,
       http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}], route_config: {name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: app}}]}]}}}]}]}
  clusters:
  - {name: app, type: STATIC, load_assignment: {cluster_name: app, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${APP}}}}}]}]}}
  - {name: other, type: STATIC}
`

// TestAdminPages asks both data planes for the pages that people and istioctl know: what is allowed, how it answers, and that Envoy's own messages are what the JSON is of.
func TestAdminPages(t *testing.T) {
	told := map[string][]string{}
	onFiles(t, adminFile, nil, func(p *filed) (out []string) {
		ask := func(method, page string) string {
			req, err := http.NewRequest(method, "http://"+p.admin+page, nil)
			must(t, err)
			resp, err := http.DefaultClient.Do(req)
			must(t, err)
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			must(t, err)
			kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
			out = append(out, fmt.Sprintf("%s %s: %d %s", method, page, resp.StatusCode, kind))
			return strings.TrimSpace(string(b))
		}
		same := func(method, page string) { out = append(out, ask(method, page)) } // to the letter
		for _, page := range []string{"/ready", "/certs", "/listeners", "/listeners?format=json", "/hot_restart_version", "/quitquitquit", "/drain_listeners", "/reset_counters", "/healthcheck/fail", "/healthcheck/ok", "/logging",
			"/stats?filter=^http.h.downstream_rq_(2|5)xx", "/config_dump?resource=nope", "/config_dump?mask=nope", "/config_dump?resource=static_clusters&mask=cluster.name",
			"/config_dump?resource=static_clusters&mask=cluster.name,cluster.type&name_regex=^app$", "/config_dump?resource=static_listeners&mask=listener.name", "/config_dump?resource=static_route_configs&mask=route_config.name",
			"/config_dump?resource=static_endpoint_configs", "/config_dump?include_eds&resource=static_endpoint_configs&mask=endpoint_config.cluster_name&name_regex=app"} {
			same(http.MethodGet, page)
		}
		for _, form := range []string{"", "&histogram_buckets=cumulative", "&histogram_buckets=disjoint", "&histogram_buckets=summary", "&histogram_buckets=nope"} {
			out = append(out, form+": "+withoutIntervals(ask(http.MethodGet, "/stats?format=json&filter=^http.h.downstream_rq_time$"+form)))
		}
		for _, page := range []string{"/healthcheck/fail", "/healthcheck/ok", "/reset_counters"} {
			same(http.MethodPost, page)
			same(http.MethodGet, "/ready")
		}
		for _, page := range []string{"/runtime", "/memory", "/init_dump", "/clusters", "/clusters?format=json", "/stats", "/stats?format=json", "/stats?format=nope", "/stats?filter=(", "/stats/prometheus", "/config_dump", "/config_dump?include_eds", "/server_info", "/help", "/nothing"} {
			ask(http.MethodGet, page)
		}
		for _, page := range []string{"/clusters", "/logging", "/logging?level=warning", "/logging?level=loud", "/logging?nope=debug", "/drain_listeners?graceful&skip_exit"} {
			ask(http.MethodPost, page)
		}
		for page, m := range map[string]proto.Message{"/server_info": &adminv3.ServerInfo{}, "/clusters?format=json": &adminv3.Clusters{}, "/memory": &adminv3.Memory{}, "/certs": &adminv3.Certificates{}, "/config_dump?include_eds": &adminv3.ConfigDump{}, "/init_dump": &adminv3.UnreadyTargetsDumps{}} {
			text := ask(http.MethodGet, page)
			out = out[:len(out)-1] // the order is any
			if p.plane == "envoy" {
				continue // its own extensions need not be linked here
			}
			if err := protojson.Unmarshal([]byte(text), m); err != nil {
				t.Errorf("%s: %v\n%s", page, err, text)
			}
		}
		for _, word := range []string{"state", "version", "uptime_current_epoch", "uptime_all_epochs", "hot_restart_version", "restart_epoch", "concurrency", "command_line_options"} {
			if text := ask(http.MethodGet, "/server_info"); !strings.Contains(text, `"`+word+`":`) {
				t.Errorf("/server_info has no %s: %s", word, text)
			}
		}
		var kinds, lines []string
		for line := range strings.Lines(ask(http.MethodGet, "/config_dump?include_eds")) {
			if _, kind, ok := strings.Cut(line, `"@type": "type.googleapis.com/envoy.admin.v3.`); ok && strings.HasPrefix(line, "   \"@type") {
				kinds = append(kinds, strings.Trim(strings.TrimSpace(kind), `",`))
			}
		}
		for line := range strings.Lines(ask(http.MethodGet, "/clusters")) {
			key, _, _ := strings.Cut(strings.TrimSpace(line), "::cx_connect_fail")
			lines = append(lines, key[:strings.LastIndex(key, "::")+2])
		}
		told[p.plane] = lines
		return append(out, kinds...)
	})
	for _, line := range told["heddle-proxy"] {
		if !slices.Contains(told["envoy"], line) {
			t.Errorf("/clusters has a line that Envoy has not: %s", line)
		}
	}
}

// withoutIntervals is JSON in one form, without what is told of the latest interval, of which heddle-proxy knows nothing. What is no JSON is told as that.
func withoutIntervals(text string) string {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return "no JSON"
	}
	var strip func(any)
	strip = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				strip(e)
			}
		case map[string]any:
			delete(v, "interval")
			for _, e := range v {
				strip(e)
			}
		}
	}
	strip(v)
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
