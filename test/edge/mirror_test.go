package edge

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/heddle-mesh/heddle/test/pair"
)

// TestMirrors: several targets of one route, each with its own share; what they get is what the upstream got, but for the host.
func TestMirrors(t *testing.T) {
	var mu sync.Mutex
	seen := map[string][]string{}
	at := func(name string) string {
		return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			b := new(strings.Builder)
			_, _ = fmt.Fprintf(b, "%s %s %s", r.Method, r.Host, r.URL.Path)
			seen[name] = append(seen[name], b.String())
		}), false)
	}
	count := func(name string) int {
		mu.Lock()
		defer mu.Unlock()
		return len(seen[name])
	}
	places := map[string]string{}
	rest := ""
	for _, name := range []string{"all", "half", "none", "bare"} {
		places[name] = at(name)
		rest += fmt.Sprintf(`
  - name: %s
    type: STATIC
    load_assignment: {cluster_name: %s, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${%s}}}}}]}]}`, name, name, name)
	}
	f := file{rest: rest, routes: `[{match: {prefix: /}, route: {cluster: app, request_mirror_policies: [
      {cluster: all}, {cluster: half, runtime_fraction: {default_value: {numerator: 50}}}, {cluster: none, runtime_fraction: {default_value: {numerator: 0}}},
      {cluster: bare, disable_shadow_host_suffix_append: true}]}}]`}
	places["app"] = serve(t, hello, false)
	for _, plane := range pair.Planes {
		t.Run(plane, func(t *testing.T) {
			mu.Lock()
			clear(seen)
			mu.Unlock()
			p := pair.Start(t, plane, f.text(), places)
			const n = 200
			for i := range n {
				if r := get(t, p, fmt.Sprintf("/%d", i)); r.StatusCode != 200 {
					t.Fatalf("%d", r.StatusCode)
				}
			}
			p.Until("every request is mirrored", func() bool { return count("all") == n && count("bare") == n })
			if half := count("half"); half < n/4 || half > n*3/4 || count("none") != 0 {
				t.Errorf("%s: %d of %d at a half, %d at none", plane, half, n, count("none"))
			}
			mu.Lock()
			defer mu.Unlock()
			if !strings.HasPrefix(seen["all"][0], "GET front.test-shadow /") || !strings.HasPrefix(seen["bare"][0], "GET front.test /") {
				t.Errorf("%s: %q, %q", plane, seen["all"][0], seen["bare"][0])
			}
		})
	}
}
