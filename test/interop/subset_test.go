package interop_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// subsetCase is a cluster with subsets, and the labels that requests to it ask for.
type subsetCase struct{ config, match string }

const stageAndVersion = "subset_selectors: [{keys: [stage]}, {keys: [version, stage]}, {keys: [weight]}], "

var subsetCases = map[string]subsetCase{
	"one":           {stageAndVersion + "fallback_policy: NO_FALLBACK", "{stage: prod}"},
	"two":           {stageAndVersion + "fallback_policy: NO_FALLBACK", `{stage: prod, version: "2"}`},
	"number":        {stageAndVersion + "fallback_policy: NO_FALLBACK", "{weight: 7}"},
	"text":          {stageAndVersion + "fallback_policy: NO_FALLBACK", `{weight: "7"}`},
	"none":          {stageAndVersion + "fallback_policy: NO_FALLBACK", "{stage: other}"},
	"nokey":         {stageAndVersion + "fallback_policy: NO_FALLBACK", `{version: "1"}`},
	"more":          {stageAndVersion + "fallback_policy: NO_FALLBACK", "{stage: prod, weight: 7}"},
	"nothing":       {stageAndVersion + "fallback_policy: NO_FALLBACK", ""},
	"any":           {stageAndVersion + "fallback_policy: ANY_ENDPOINT", "{stage: other}"},
	"anynothing":    {stageAndVersion + "fallback_policy: ANY_ENDPOINT", ""},
	"default":       {stageAndVersion + "fallback_policy: DEFAULT_SUBSET, default_subset: {stage: dev}", "{stage: other}"},
	"defaultempty":  {stageAndVersion + "fallback_policy: DEFAULT_SUBSET", "{stage: other}"},
	"defaultnobody": {stageAndVersion + "fallback_policy: DEFAULT_SUBSET, default_subset: {stage: gone}", "{stage: other}"},
	"panic":         {stageAndVersion + "fallback_policy: DEFAULT_SUBSET, default_subset: {stage: gone}, panic_mode_any: true", "{stage: other}"},
	"panicnone":     {stageAndVersion + "fallback_policy: NO_FALLBACK, panic_mode_any: true", "{stage: other}"},
	"selnone":       {"fallback_policy: ANY_ENDPOINT, subset_selectors: [{keys: [stage], fallback_policy: NO_FALLBACK}]", "{stage: other}"},
	"selany":        {"fallback_policy: NO_FALLBACK, subset_selectors: [{keys: [stage], fallback_policy: ANY_ENDPOINT}]", "{stage: other}"},
	"seldefault":    {"fallback_policy: NO_FALLBACK, default_subset: {stage: dev}, subset_selectors: [{keys: [stage], fallback_policy: DEFAULT_SUBSET}]", "{stage: other}"},
	"selkeys":       {`fallback_policy: NO_FALLBACK, subset_selectors: [{keys: [version, stage], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [stage]}, {keys: [stage]}]`, `{stage: dev, version: "9"}`},
	"selkeysnobody": {`fallback_policy: ANY_ENDPOINT, subset_selectors: [{keys: [version, stage], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [stage]}, {keys: [stage], fallback_policy: NO_FALLBACK}]`, `{stage: gone, version: "9"}`},
	"selkeysany":    {`fallback_policy: ANY_ENDPOINT, subset_selectors: [{keys: [version, stage], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [stage]}]`, `{stage: gone, version: "9"}`},
	"selkeysthen":   {`fallback_policy: NO_FALLBACK, default_subset: {stage: dev}, subset_selectors: [{keys: [version, stage], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [stage]}, {keys: [stage], fallback_policy: DEFAULT_SUBSET}]`, `{stage: gone, version: "9"}`},
	"selkeystwice":  {`fallback_policy: NO_FALLBACK, subset_selectors: [{keys: [name, version, stage], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [version, stage]}, {keys: [version, stage], fallback_policy: KEYS_SUBSET, fallback_keys_subset: [stage]}, {keys: [stage]}]`, `{stage: dev, version: "9", name: z}`},
	"list":          {"fallback_policy: NO_FALLBACK, list_as_any: true, subset_selectors: [{keys: [roles]}]", "{roles: red}"},
	"listnot":       {"fallback_policy: NO_FALLBACK, subset_selectors: [{keys: [roles]}]", "{roles: red}"},
	"single":        {"fallback_policy: NO_FALLBACK, subset_selectors: [{keys: [name], single_host_per_subset: true}]", "{name: d}"},
	"alternatives":  {stageAndVersion + "fallback_policy: NO_FALLBACK, metadata_fallback_policy: FALLBACK_LIST", `{stage: dev, fallback_list: [{version: "9"}, {version: "1"}, {version: "2"}]}`},
	"noalternative": {stageAndVersion + "fallback_policy: NO_FALLBACK, metadata_fallback_policy: FALLBACK_LIST", `{stage: dev, fallback_list: [{version: "9"}]}`},
	"alternativeno": {stageAndVersion + "fallback_policy: NO_FALLBACK", `{stage: dev, fallback_list: [{version: "1"}]}`},
	"alternativeun": {stageAndVersion + "fallback_policy: ANY_ENDPOINT, metadata_fallback_policy: FALLBACK_LIST", `{stage: dev}`},
	"sick":          {stageAndVersion + "fallback_policy: ANY_ENDPOINT", "{stage: sick}"},
}

// subsetFile is a bootstrap with a cluster and a route for each case, in the older form and as a policy.
func subsetFile(names []string, ports string) string {
	var routes, clusters strings.Builder
	for _, name := range names {
		c := subsetCases[name]
		match := ""
		if c.match != "" {
			match = ", metadata_match: {filter_metadata: {envoy.lb: " + c.match + "}}"
		}
		fmt.Fprintf(&routes, "         {match: {prefix: /%s/weighted/}, route: {weighted_clusters: {clusters: [{name: %s, weight: 1, metadata_match: {filter_metadata: {envoy.lb: {stage: prod}}}}]}%s}},\n", name, name, match)
		fmt.Fprintf(&routes, "         {match: {prefix: /%s/policy/}, route: {cluster: %s_policy%s}},\n         {match: {prefix: /%s/}, route: {cluster: %s%s}},\n", name, name, match, name, name, match)
		fmt.Fprintf(&clusters, "  - {name: %s, type: STATIC, lb_subset_config: {%s}, load_assignment: {cluster_name: %s, endpoints: [%s]}}\n", name, c.config, name, ports)
		fmt.Fprintf(&clusters, `  - {name: %s_policy, type: STATIC, load_balancing_policy: {policies: [{typed_extension_config: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.subset.v3.Subset, %s,
      subset_lb_policy: {policies: [{typed_extension_config: {name: q, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin}}}]}}}}]}, load_assignment: {cluster_name: %s, endpoints: [%s]}}
`, name, c.config, name, ports)
	}
	return `
static_resources:
  listeners:
  - {name: front, address: {socket_address: {address: 127.0.0.1, port_value: ${FRONT}}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h,
       http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}],
       route_config: {name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [
` + routes.String() + `         {match: {prefix: /}, direct_response: {status: 404}}]}]}}}]}]}
  - {name: tcp1, address: {socket_address: {address: 127.0.0.1, port_value: ${TCP1}}}, filter_chains: [{filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: one, metadata_match: {filter_metadata: {envoy.lb: {stage: prod}}}}}]}]}
  - {name: tcp2, address: {socket_address: {address: 127.0.0.1, port_value: ${TCP2}}}, filter_chains: [{filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, metadata_match: {filter_metadata: {envoy.lb: {stage: dev, version: "2"}}},
       weighted_clusters: {clusters: [{name: two, weight: 1, metadata_match: {filter_metadata: {envoy.lb: {version: "1"}}}}]}}}]}]}
  - {name: tcp3, address: {socket_address: {address: 127.0.0.1, port_value: ${TCP3}}}, filter_chains: [{filters: [{name: t, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: none, metadata_match: {filter_metadata: {envoy.lb: {stage: other}}}}}]}]}
  clusters:
` + clusters.String()
}

// TestSubsets: endpoints divided by their labels, with all that may stand in when nobody has those that a route asks for.
func TestSubsets(t *testing.T) {
	var ports []string
	for _, e := range []struct{ name, labels, health string }{
		{"a", `{name: a, stage: prod, version: "1"}`, "HEALTHY"}, {"b", `{name: b, stage: prod, version: "2"}`, "HEALTHY"}, {"c", `{name: c, stage: dev, version: "1", weight: 7}`, "HEALTHY"},
		{"d", `{name: d, stage: dev, version: "2", roles: [red, green]}`, "HEALTHY"}, {"e", `{name: d, roles: red}`, "HEALTHY"}, {"f", `{name: f, stage: sick}`, "UNHEALTHY"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, e.name) }))
		t.Cleanup(s.Close)
		_, port, _ := strings.Cut(s.Listener.Addr().String(), "127.0.0.1:")
		ports = append(ports, fmt.Sprintf("{health_status: %s, endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}, metadata: {filter_metadata: {envoy.lb: %s}}}", e.health, port, e.labels))
	}
	names := slices.Sorted(maps.Keys(subsetCases))
	onFiles(t, subsetFile(names, "{lb_endpoints: ["+strings.Join(ports, ", ")+"]}"), nil, func(p *filed) (out []string) {
		for _, name := range names {
			for _, form := range []string{"/", "/policy/", "/weighted/"} {
				got := map[string]int{}
				for range 20 {
					resp, err := http.Get("http://" + p.at("FRONT") + "/" + name + form)
					must(t, err)
					b, err := io.ReadAll(resp.Body)
					must(t, err)
					resp.Body.Close()
					got[fmt.Sprint(resp.StatusCode, " ", string(b))]++
				}
				line := name + form
				for _, answer := range slices.Sorted(maps.Keys(got)) {
					line += "; " + answer
				}
				out = append(out, line)
			}
		}
		once := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		for _, listener := range []string{"TCP1", "TCP2", "TCP3"} {
			got := map[string]bool{}
			for range 20 {
				resp, err := once.Get("http://" + p.at(listener) + "/")
				if err != nil {
					got["closed"] = true
					continue
				}
				b, err := io.ReadAll(resp.Body)
				must(t, err)
				resp.Body.Close()
				got[string(b)] = true
			}
			out = append(out, fmt.Sprint(listener, slices.Sorted(maps.Keys(got))))
		}
		counted := p.stats("lb_subsets_")
		for _, name := range names {
			line := "counted"
			for _, c := range counted {
				if strings.HasPrefix(c, "cluster."+name+".") && (strings.Contains(c, "_selected:") || strings.Contains(c, "_fallback")) {
					line += "; " + c
				}
			}
			out = append(out, line)
		}
		return out
	})
}
