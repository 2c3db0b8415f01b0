package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/telemetry/tap"
)

// decisive is a listener whose requests are delayed, allowed by a policy, hashed by a header and repeated.
const decisive = `{"name": "front", "traffic_direction": "OUTBOUND", "address": {"socket_address": {"address": %q, "port_value": %s}}, "filter_chains": [{"name": "plain", "filters": [
 {"name": "hcm", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "t", "generate_request_id": true,
  "route_config": {"name": "80", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"name": "way", "match": {"prefix": "/"},
    "metadata": {"filter_metadata": {"istio": {"config": "/apis/networking.istio.io/v1alpha3/namespaces/shop/virtual-service/cart"}}},
    "route": {"cluster": "app", "hash_policy": [{"header": {"header_name": "x-none"}}, {"header": {"header_name": "x-user"}}],
     "retry_policy": {"retry_on": "5xx", "num_retries": 2, "retry_back_off": {"base_interval": "0.001s"}}}}]}]},
  "http_filters": [
   {"name": "rbac", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC", "rules": {"policies": {"ns[shop]-policy[let-all-but-secret]-rule[1]": {
     "permissions": [{"not_rule": {"url_path": {"path": {"prefix": "/secret"}}}}], "principals": [{"any": true}]}}}}},
   {"name": "fault", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault", "delay": {"fixed_delay": "0.005s", "percentage": {"numerator": 100}}}},
   {"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}`

// twoEndpoints is a cluster that hashes.
const twoEndpoints = `{"name": "app", "type": "STATIC", "lb_policy": "RING_HASH", "metadata": {"filter_metadata": {"istio": {"config": "/apis/networking.istio.io/v1alpha3/namespaces/shop/destination-rule/cart"}}},
 "load_assignment": {"cluster_name": "app", "endpoints": [{"locality": {"region": "eu", "zone": "a"}, "lb_endpoints": [%s, %s]}]}}`

func endpoint(address, workload string) string {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf(`{"endpoint": {"address": {"socket_address": {"address": %q, "port_value": %s}}}, "metadata": {"filter_metadata": {"istio": {"workload": "%s;shop;cart;v1;c"}}}}`, host, port, workload)
}

// TestTapTellsDecisions: what was decided about a request, and why, is told while it comes and for as long as the proxy remembers it.
func TestTapTellsDecisions(t *testing.T) {
	tries := 0
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries++; r.URL.Path == "/again" && tries == 1 {
			w.WriteHeader(503)
		}
	}))
	t.Cleanup(app.Close)
	at, address := free(t), app.Listener.Addr().String()
	host, port, _ := net.SplitHostPort(at)
	p := start(t, bootstrap(fmt.Sprintf(decisive, host, port), fmt.Sprintf(twoEndpoints, endpoint(address, "cart-v1"), endpoint(address, "cart-v2"))))
	p.ready(t)
	lines := bufio.NewScanner(p.tap(t, t.Context(), http.MethodGet, "limit=2").Body)
	for _, path := range []string{"/again?id=1", "/secret"} {
		req, err := http.NewRequest(http.MethodGet, "http://"+at+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-User", "u1")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	var live [2]tap.Event
	for i := range live {
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &live[i]) != nil {
			t.Fatal(lines.Text())
		}
	}
	for i := range live {
		code, body := p.page(t, "/tap/recent?request_id="+live[i].ID)
		var later tap.Event
		if code != 200 || json.Unmarshal([]byte(body), &later) != nil {
			t.Fatal(code, body)
		}
		for when, e := range map[string]*tap.Event{"live": &live[i], "later": &later} {
			for _, complaint := range []string{allowed(e), refused(e)}[i : i+1] {
				if complaint != "" {
					t.Errorf("%s: %s\n%s", when, complaint, body)
				}
			}
		}
		if len(later.Request) > 0 || len(live[i].Request) == 0 {
			t.Error("headers are kept")
		}
	}
	for query, want := range map[string]int{"": 2, "?failed=false": 2, "?status=4xx": 1, "?limit=1": 1, "?not.to=shop/cart-v1&not.to=shop/cart-v2": 1, "?cel=response.code+==+403": 1, "?request_id=x": 0} {
		if _, body := p.page(t, "/tap/recent"+query); strings.Count(body, "\n") != want {
			t.Errorf("%s: want %d of\n%s", query, want, body)
		}
	}
	for query, want := range map[string]string{"?header=x-user": "not kept", "?cel=request.headers['x']": "not kept", "?limit=x": "1 or more", "?cel=upstream.local_address": "not told", "?nope=1": "known are"} {
		if code, body := p.page(t, "/tap/recent"+query); code != 400 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", query, code, body)
		}
	}
}

// allowed says what is wrong with the event of a request that was repeated.
func allowed(e *tap.Event) string {
	switch {
	case e.Listener != "front" || e.Chain != "plain" || e.Table != "80" || e.Host != "all" || e.Route != "way" || !strings.HasSuffix(e.Origin, "shop/virtual-service/cart") || !strings.HasSuffix(e.ClusterOrigin, "destination-rule/cart"):
		return "the way"
	case e.Access == nil || !e.Access.Allowed || e.Access.Policy != "shop/let-all-but-secret" || e.Access.Rule != 1:
		return "access"
	case len(e.Filters) != 2 || e.Filters[1].Filter != "fault" || e.Filters[1].Did != "delayed" || e.Filters[1].Took != 5:
		return "filters"
	case len(e.Tries) != 2 || e.Attempts != 2 || e.Tries[0].Status != 503 || e.Tries[1].Status != 200 || e.Tries[0].Reused || e.Tries[0].Connect < 0 || !e.Tries[1].Reused || e.Tries[0].TLS != -1:
		return "tries"
	case e.Times == nil || e.Times.Before < 5 || e.Times.Whole < e.Times.Before || e.Tries[1].Began <= e.Tries[0].Began:
		return "times"
	case e.Destination.Namespace != "shop" || !strings.HasPrefix(e.Destination.Workload, "cart-v") || e.MTLS || e.Status != 200:
		return "sides"
	}
	if w := e.Why; w == nil || w.Policy != "ring_hash" || strings.Join(w.HashOf, ",") != "header x-user" || w.Locality != "eu/a" || w.Endpoints != 2 || w.Healthy != 2 || w.Candidates != 2 || w.Health != "healthy" || w.Priorities != 1 {
		return "why"
	}
	return ""
}

// refused says what is wrong with the event of a request that a policy does not let through.
func refused(e *tap.Event) string {
	if e.Status != 403 || e.Access == nil || e.Access.Allowed || e.Access.Policy != "" || e.Attempts != 0 || len(e.Tries) != 0 || e.Endpoint != "" || e.Why != nil {
		return "access"
	}
	return ""
}
