package interop_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// zoneCase is a cluster with so many endpoints in the zones a (where the proxy is), b and c, those of a that are sick, and the parts of its requests, in percent, that each zone gets: of the proxies
// half are in a, and a quarter in each of the others. Nobody gets any where all parts are 0.
type zoneCase struct {
	name, settings string
	a, b, c, sick  int
	want           [3]float64
}

const zonesAsPolicy = `load_balancing_policy: {policies: [{typed_extension_config: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.%s, locality_lb_config: {zone_aware_lb_config: {%s}}}}}]}`

var zoneCases = []zoneCase{
	{"even", "", 2, 2, 2, 0, [3]float64{67, 17, 17}},
	{"plenty", "", 4, 1, 1, 0, [3]float64{100, 0, 0}},
	{"few", "", 1, 1, 1, 0, [3]float64{33, 33, 33}},
	{"fewer", "common_lb_config: {zone_aware_lb_config: {min_cluster_size: 2}}", 1, 1, 1, 0, [3]float64{67, 17, 17}},
	{"elsewhere", "", 0, 3, 3, 0, [3]float64{0, 50, 50}},
	{"sick", "", 4, 2, 2, 2, [3]float64{67, 17, 17}},
	{"uneven", "", 1, 1, 6, 0, [3]float64{25, 0, 75}},
	{"half", "common_lb_config: {zone_aware_lb_config: {routing_enabled: {value: 50}}}", 4, 1, 1, 0, [3]float64{83, 8, 8}},
	{"never", "common_lb_config: {zone_aware_lb_config: {routing_enabled: {value: 0}}}", 4, 1, 1, 0, [3]float64{67, 17, 17}},
	{"least", "lb_policy: LEAST_REQUEST", 2, 2, 2, 0, [3]float64{67, 17, 17}},
	{"random", "lb_policy: RANDOM", 4, 1, 1, 0, [3]float64{100, 0, 0}},
	{"ring", "lb_policy: RING_HASH", 3, 3, 0, 0, [3]float64{50, 50, 0}},
	{"policy", fmt.Sprintf(zonesAsPolicy, "round_robin.v3.RoundRobin", "min_cluster_size: 3"), 1, 1, 1, 0, [3]float64{67, 17, 17}},
	{"panic", "", 6, 1, 1, 5, [3]float64{75, 12, 12}},
	{"panicfails", "common_lb_config: {zone_aware_lb_config: {fail_traffic_on_panic: true}}", 6, 1, 1, 5, [3]float64{}},
}

// zoneFile is a bootstrap with a cluster and a route for each case; self is the cluster of the proxies.
func zoneFile(port string) string {
	var routes, clusters strings.Builder
	locality := func(zone, first, n, sick int) string {
		text := ""
		for i := range n {
			health := ""
			if i < sick {
				health = ", health_status: UNHEALTHY"
			}
			text += fmt.Sprintf("{endpoint: {address: {socket_address: {address: 127.0.%d.%d, port_value: %s}}}%s}, ", zone, first+i, port, health)
		}
		if n == 0 {
			return ""
		}
		return fmt.Sprintf("{locality: {region: r, zone: %q}, lb_endpoints: [%s]}, ", string(rune('a'+zone-1)), text)
	}
	for _, z := range zoneCases {
		fmt.Fprintf(&routes, "{match: {prefix: /%s/}, route: {cluster: %s, hash_policy: [{header: {header_name: x-key}}]}}, ", z.name, z.name)
		settings := z.settings
		if settings != "" {
			settings += ", "
		}
		fmt.Fprintf(&clusters, "  - {name: %s, type: STATIC, %sload_assignment: {cluster_name: %s, endpoints: [%s]}}\n", z.name, settings, z.name, locality(1, 1, z.a, z.sick)+locality(2, 1, z.b, 0)+locality(3, 1, z.c, 0))
	}
	return `
node: {id: proxy, cluster: self, locality: {region: r, zone: a}}
cluster_manager: {local_cluster_name: self}
static_resources:
  listeners:
  - {name: front, address: {socket_address: {address: 127.0.0.1, port_value: ${FRONT}}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h,
       http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}],
       route_config: {name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [` + routes.String() + `]}]}}}]}]}
  clusters:
  - {name: self, type: STATIC, load_assignment: {cluster_name: self, endpoints: [` + locality(1, 100, 2, 0) + locality(2, 100, 1, 0) + locality(3, 100, 1, 0) + `]}}
` + clusters.String()
}

// TestZones: requests stay in the proxy's zone as far as its endpoints are as many, for the proxies there, as elsewhere.
func TestZones(t *testing.T) {
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	must(t, err)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // 127.0.ZONE.N
		fmt.Fprint(w, strings.Split(r.Context().Value(http.LocalAddrContextKey).(net.Addr).String(), ".")[2])
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	onFiles(t, zoneFile(strconv.Itoa(l.Addr().(*net.TCPAddr).Port)), nil, func(p *filed) (out []string) {
		for _, z := range zoneCases {
			var got [3]float64
			const n = 400
			for i := range n {
				req, err := http.NewRequest("GET", "http://"+p.at("FRONT")+"/"+z.name+"/", nil)
				must(t, err)
				req.Header.Set("X-Key", strconv.Itoa(i))
				resp, err := http.DefaultClient.Do(req)
				must(t, err)
				b, err := io.ReadAll(resp.Body)
				must(t, err)
				resp.Body.Close()
				if zone, err := strconv.Atoi(string(b)); err == nil {
					got[zone-1] += 100.0 / n
				}
			}
			verdict := "as it should be"
			if slices.ContainsFunc([]int{0, 1, 2}, func(i int) bool { return got[i] < z.want[i]-9 || got[i] > z.want[i]+9 || z.want[i] == 0 && got[i] > 0 }) {
				verdict = fmt.Sprintf("%v, want %v", got, z.want)
				p.t.Errorf("%s: %s: %s", p.plane, z.name, verdict)
			}
			out = append(out, z.name+": "+verdict)
		}
		return out
	})
}
