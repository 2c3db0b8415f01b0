package snapshot

import (
	"fmt"
	"strings"
	"testing"
)

// hostile are objects of one namespace that all claim the same thing, for a count of them.
var hostile = map[string]string{
	"a host for sidecars":        "networking.istio.io/v1 VirtualService {hosts: [web.shop.svc.cluster.local], http: [{route: [{destination: {host: web.shop.svc.cluster.local}}]}]}",
	"a host that nobody sees":    "networking.istio.io/v1 VirtualService {hosts: [web.shop.svc.cluster.local], exportTo: [\"~\"], http: [{route: [{destination: {host: web.shop.svc.cluster.local}}]}]}",
	"a host, each for others":    "networking.istio.io/v1 VirtualService {hosts: [web.shop.svc.cluster.local], exportTo: [nNUMBER], http: [{route: [{destination: {host: web.shop.svc.cluster.local}}]}]}",
	"policies for a host":        "networking.istio.io/v1 DestinationRule {host: web.shop.svc.cluster.local, trafficPolicy: {loadBalancer: {simple: RANDOM}}}",
	"subsets of a host":          "networking.istio.io/v1 DestinationRule {host: web.shop.svc.cluster.local, subsets: [{name: all}, {name: vNUMBER, labels: {version: vNUMBER}}]}",
	"Sidecars for a namespace":   "networking.istio.io/v1 Sidecar {egress: [{hosts: [\"./*\"]}]}",
	"Sidecars for each workload": "networking.istio.io/v1 Sidecar {workloadSelector: {labels: {a: vNUMBER}}, egress: [{hosts: [\"./*\"]}]}",
}

func many(what string, n int) string {
	var b strings.Builder
	version, rest, _ := strings.Cut(what, " ")
	kind, spec, _ := strings.Cut(rest, " ")
	for i := range n {
		fmt.Fprintf(&b, "---\napiVersion: %s\nkind: %s\nmetadata: {name: o%d, namespace: evil}\nspec: %s\n", version, kind, i, strings.ReplaceAll(spec, "NUMBER", fmt.Sprint(i)))
	}
	return b.String()
}

// TestManyClaims: objects that claim one thing are compared once in a batch, so that the work grows with their number and not with its square, and a change of another
// namespace compares none of them.
func TestManyClaims(t *testing.T) {
	for name, what := range hostile {
		t.Run(name, func(t *testing.T) {
			const n = 300
			r := newRig(t)
			r.put(webService + "---\n" + strings.ReplaceAll(webService, "web", "other"))
			r.apply()
			r.put(many(what, n))
			r.apply()
			if got := r.b.rivalry.compared; got > n {
				t.Errorf("%d objects were compared %d times", n, got)
			}
			before := r.b.rivalry.compared
			r.put(strings.ReplaceAll(webRoute, "web", "other"))
			if changed, told := r.apply(); !changed || len(told) > 1 {
				t.Errorf("changed %v, told %v", changed, told)
			}
			if got := r.b.rivalry.compared - before; got > 1 {
				t.Errorf("a change of another namespace compared %d claims", got)
			}
		})
	}
}
