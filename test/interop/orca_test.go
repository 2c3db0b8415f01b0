package interop_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	orcav3 "github.com/cncf/xds/go/xds/data/orca/v3"
	"google.golang.org/protobuf/proto"
)

// orcaFile has two clusters of the same two endpoints that are weighed by what these tell: by the processor's or the application's load, and by a metric of theirs, with errors.
const orcaFile = `
static_resources:
  listeners:
  - {name: front, address: {socket_address: {address: 127.0.0.1, port_value: ${FRONT}}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h,
       http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}],
       route_config: {name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /named}, route: {cluster: named}}, {match: {prefix: /trailers}, route: {cluster: trailers}}, {match: {prefix: /}, route: {cluster: usual}}]}]}}}]}]}
  clusters:
  - {name: usual, type: STATIC, load_balancing_policy: {policies: [{typed_extension_config: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin, blackout_period: 0s, weight_update_period: 0.1s}}}]},
     load_assignment: {cluster_name: usual, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${A}}}}}, {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${B}}}}}]}]}}
  - {name: named, type: STATIC, load_balancing_policy: {policies: [{typed_extension_config: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin, blackout_period: 0s, weight_update_period: 0.1s,
       error_utilization_penalty: 2, metric_names_for_computing_utilization: [named_metrics.queue, mem_utilization]}}}]},
     load_assignment: {cluster_name: named, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${A}}}}}, {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${B}}}}}]}]}}
  - {name: trailers, type: STATIC, load_balancing_policy: {policies: [{typed_extension_config: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin, blackout_period: 0s, weight_update_period: 0.1s}}}]},
     typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}},
     load_assignment: {cluster_name: trailers, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${A}}}}}, {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${B}}}}}]}]}}
`

// orcaSteps are what the two endpoints tell, one after the other, and how many of 100 requests the first one then gets.
var orcaSteps = []struct {
	path string
	a, b orcav3.OrcaLoadReport
	form string
	want int
}{
	{"/", orcav3.OrcaLoadReport{CpuUtilization: 0.2, RpsFractional: 100}, orcav3.OrcaLoadReport{CpuUtilization: 0.8, RpsFractional: 100}, "TEXT", 80},
	{"/", orcav3.OrcaLoadReport{CpuUtilization: 0.2, RpsFractional: 100, ApplicationUtilization: 0.9}, orcav3.OrcaLoadReport{CpuUtilization: 0.8, RpsFractional: 100, ApplicationUtilization: 0.1}, "JSON", 10},
	{"/", orcav3.OrcaLoadReport{CpuUtilization: 0.3, RpsFractional: 300}, orcav3.OrcaLoadReport{CpuUtilization: 0.1, RpsFractional: 300, Eps: 60}, "BIN", 25},
	{"/", orcav3.OrcaLoadReport{CpuUtilization: 0.1, RpsFractional: 300}, orcav3.OrcaLoadReport{CpuUtilization: 0.4, RpsFractional: 300}, "-bin", 80},
	{"/named", orcav3.OrcaLoadReport{CpuUtilization: 0.9, RpsFractional: 100, NamedMetrics: map[string]float64{"queue": 0.1}}, orcav3.OrcaLoadReport{CpuUtilization: 0.9, MemUtilization: 0.2, RpsFractional: 100, Eps: 10}, "TEXT", 80},
	{"/named", orcav3.OrcaLoadReport{ApplicationUtilization: 0.9, RpsFractional: 100, NamedMetrics: map[string]float64{"queue": 0.1}}, orcav3.OrcaLoadReport{ApplicationUtilization: 0.1, MemUtilization: 0.9, RpsFractional: 100}, "BIN", 90},
	{"/trailers", orcav3.OrcaLoadReport{CpuUtilization: 0.9, RpsFractional: 100}, orcav3.OrcaLoadReport{CpuUtilization: 0.1, RpsFractional: 100}, "trailer", 10},
}

// tell writes a report in one of its forms.
func tell(w http.ResponseWriter, form string, r *orcav3.OrcaLoadReport) {
	b, _ := proto.Marshal(r)
	switch form {
	case "TEXT":
		text := fmt.Sprintf("TEXT cpu_utilization=%v, mem_utilization=%v,rps_fractional=%v,eps=%v", r.CpuUtilization, r.MemUtilization, r.RpsFractional, r.Eps)
		for k, v := range r.NamedMetrics {
			text += fmt.Sprintf(",named_metrics.%s=%v", k, v)
		}
		w.Header().Set("Endpoint-Load-Metrics", text)
	case "JSON":
		w.Header().Set("Endpoint-Load-Metrics", fmt.Sprintf(`JSON {"cpu_utilization": %v, "application_utilization": %v, "rps_fractional": %v}`, r.CpuUtilization, r.ApplicationUtilization, r.RpsFractional))
	case "BIN":
		w.Header().Set("Endpoint-Load-Metrics", "BIN "+base64.StdEncoding.EncodeToString(b))
	case "-bin":
		w.Header().Set("Endpoint-Load-Metrics-Bin", base64.StdEncoding.EncodeToString(b))
	case "trailer":
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"Endpoint-Load-Metrics-Bin", base64.StdEncoding.EncodeToString(b))
	}
}

// TestLoadReports: endpoints get as many requests as what they tell of themselves says they can take.
func TestLoadReports(t *testing.T) {
	step := 0
	given := map[string]string{}
	for _, name := range []string{"A", "B"} {
		app := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			s := &orcaSteps[step]
			report := &s.a
			if name == "B" {
				report = &s.b
			}
			tell(w, s.form, report)
			_, _ = io.WriteString(w, name)
		}))
		var both http.Protocols
		both.SetHTTP1(true)
		both.SetUnencryptedHTTP2(true)
		app.Config.Protocols = &both
		app.Start()
		t.Cleanup(app.Close)
		_, given[name], _ = strings.Cut(app.Listener.Addr().String(), "127.0.0.1:")
	}
	onFiles(t, orcaFile, given, func(p *filed) (out []string) {
		for i := range orcaSteps {
			step = i
			want := orcaSteps[i].want
			p.until(fmt.Sprintf("the first endpoint has %d of 100 requests to %s by reports in %s", want, orcaSteps[i].path, orcaSteps[i].form), func() bool {
				n := 0
				for range 100 {
					resp, err := http.Get("http://" + p.at("FRONT") + orcaSteps[i].path)
					must(t, err)
					b, err := io.ReadAll(resp.Body)
					must(t, err)
					resp.Body.Close()
					if string(b) == "A" {
						n++
					}
				}
				return n >= want-3 && n <= want+3
			})
			out = append(out, fmt.Sprint(want))
		}
		return out
	})
}
