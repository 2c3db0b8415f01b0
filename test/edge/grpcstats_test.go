package edge

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/test/pair"
)

func grpcStatsFilter(config string) string {
	return `
- name: envoy.filters.http.grpc_stats
  typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig` + config + `}`
}

// TestGRPCStats: calls, their statuses and their messages are counted in the same names.
func TestGRPCStats(t *testing.T) {
	one := message(0, "hello")
	two := append(message(0, "first message"), message(0, strings.Repeat("long ", 20_000))...)
	calls := []struct{ path, kind, body string }{
		{"/shop.v1.Cart/Add", "application/grpc", string(two)},
		{"/shop.v1.Cart/Add?x=/y", "application/grpc+proto", string(one)},
		{"/shop.v1.Cart/Drop", "application/grpc", string(one)},
		{"//shop.v1.Cart//Clear/", "application/grpc", string(one)},
		{"/one", "application/grpc", string(one)},
		{"/one/two/three", "application/grpc", string(one)},
		{"/shop.v1.Cart/Add", "text/plain", string(one)},
		{"/only-trailers", "application/grpc", string(one)},
		{"/refused/Always", "application/grpc", string(one)},
		{"/nowhere/Always", "application/grpc", string(one)},
		{"/web.v1.Page/Load", "application/grpc-web+proto", string(two)},
		{"/web.v1.Page/Load", "application/grpc-web-text", base64.StdEncoding.EncodeToString(one)},
	}
	routes := `[{match: {path: /refused/Always}, direct_response: {status: 403}}, {match: {prefix: /nowhere/}, route: {cluster_header: x-nowhere}}, {match: {path: /only-trailers}, route: {cluster: app}},
      {match: {prefix: /}, route: {cluster: app}}]`
	for name, filters := range map[string]string{
		"together":       grpcStatsFilter(""),
		"all":            grpcStatsFilter(", stats_for_all_methods: true"),
		"underscores":    grpcStatsFilter(", stats_for_all_methods: true, replace_dots_in_grpc_service_name: true"),
		"some":           grpcStatsFilter(", individual_method_stats_allowlist: {services: [{name: shop.v1.Cart, method_names: [Add, Clear]}]}"),
		"upstream":       grpcStatsFilter(", enable_upstream_stats: true"),
		"behind the web": grpcWebFilter + grpcStatsFilter(", stats_for_all_methods: true"),
		"before the web": grpcStatsFilter(", stats_for_all_methods: true") + grpcWebFilter,
		"refused by RBAC": grpcStatsFilter(", stats_for_all_methods: true") + `
- {name: rbac, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC, rules: {action: DENY, policies: {all: {permissions: [{any: true}], principals: [{any: true}]}}}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			agree(t, file{filters: filters, routes: routes, http2: true}, grpcEcho, func(t *testing.T, p *pair.Proxy, note func(name, answer string)) {
				for _, c := range calls {
					post(t, p, c.path, c.kind, c.body)
				}
				_, text := p.Admin("GET", "/stats?usedonly&filter=grpc")
				var lines []string
				for line := range strings.Lines(text) {
					// What the filter grpc_web itself counts is Envoy's alone. Quantiles are not told in this form.
					if line = strings.TrimSpace(line); !strings.Contains(line, ".grpc-web.") && !strings.Contains(line, "upstream_rq_time") {
						lines = append(lines, line)
					}
				}
				slices.Sort(lines)
				note("statistics", strings.Join(lines, "\n"))
				if name != "underscores" && name != "upstream" {
					return // of a service's name with dots Envoy makes labels that are not what they say
				}
				const page = "/stats/prometheus?usedonly&filter=grpc.*(total|upstream_rq_time)"
				if _, text = p.Admin("GET", page); name == "upstream" {
					p.Until("times are told, which Envoy does every five seconds", func() bool {
						_, text = p.Admin("GET", page)
						return strings.Contains(text, "upstream_rq_time_count{")
					})
				}
				lines = nil
				for line := range strings.Lines(text) {
					if strings.Contains(line, "_total{") || strings.Contains(line, "_count{") {
						head, rest, _ := strings.Cut(strings.TrimSpace(line), "{")
						labels, value, _ := strings.Cut(rest, "}")
						list := strings.Split(labels, ",")
						slices.Sort(list)
						lines = append(lines, fmt.Sprint(head, list, value))
					}
				}
				slices.Sort(lines)
				note("for Prometheus", strings.Join(lines, "\n"))
			})
		})
	}
}

func post(t *testing.T, p *pair.Proxy, path, kind, body string) (string, []byte) {
	t.Helper()
	req, err := http.NewRequest("POST", "http://"+p.Address("front")+"/", bytes.NewReader([]byte(body)))
	must(t, err)
	req.URL.Opaque = "//" + p.Address("front") + path // to the letter
	req.Header.Set("Content-Type", kind)
	resp, err := (&http.Transport{DisableKeepAlives: true, DisableCompression: true}).RoundTrip(req)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return fmt.Sprintf("%d %s", resp.StatusCode, resp.Header.Get("Content-Type")), b
}

// TestAWaitingBodyIsTransformed: a body that came while a filter waited goes through the filters behind that one, whole or in part.
func TestAWaitingBodyIsTransformed(t *testing.T) {
	const slow = `
- {name: fault, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, delay: {fixed_delay: 0.2s, percentage: {numerator: 100}}}}`
	text := base64.StdEncoding.EncodeToString(message(0, "hello"))
	const kind = "application/grpc-web-text"
	for name, filters := range map[string]string{"a delay, then the web": slow + grpcWebFilter, "the web, a delay, then statistics": grpcWebFilter + slow + grpcStatsFilter("")} {
		t.Run(name, func(t *testing.T) {
			agree(t, file{filters: filters, http2: true}, grpcEcho, func(t *testing.T, p *pair.Proxy, note func(name, answer string)) {
				for what, body := range map[string]string{"whole": text, "broken": "****"} {
					head, b := post(t, p, "/echo/Say", kind, body)
					said := fmt.Sprintf("%q", b)
					if what == "whole" {
						said = fmt.Sprintf("%q", frames(t, strings.Fields(head)[1], b))
					}
					note(what, head+" "+said)
				}
			})
		})
	}
}
