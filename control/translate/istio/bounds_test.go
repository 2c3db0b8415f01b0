package istio_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/control/translate/world"
)

// items are n of one thing with their number in the place of N.
func items(n int, item string) string {
	out := make([]string, n)
	for i := range out {
		out[i] = strings.ReplaceAll(item, "N", fmt.Sprint(i+1))
	}
	return strings.Join(out, ", ")
}

// What multiplies is bounded: just within the bound it counts, beyond it the author is told.
func TestWhatMultipliesIsBounded(t *testing.T) {
	joined := func(root, leaf int) string {
		return "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: root, namespace: a}\nspec: {hosts: [a.example], http: [{match: [" + items(root, "{headers: {x: {exact: aN}}}") + "], delegate: {name: leaf}}]}\n---\n" +
			"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: leaf, namespace: a}\nspec: {http: [{match: [" + items(leaf, "{headers: {y: {exact: bN}}}") + "], redirect: {uri: /b}}]}\n"
	}
	entry := func(hosts, ports int) string {
		return "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: a}\nspec: {resolution: DNS, hosts: [" + items(hosts, "hN.example") + "], ports: [" + items(ports, "{number: N, name: http-N, protocol: HTTP}") + "]}\n"
	}
	routes := func(hosts, matches int) string {
		return "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: a}\nspec: {hosts: [" + items(hosts, "hN.example") + "], http: [{match: [" + items(matches, "{headers: {x: {exact: aN}}}") + "], redirect: {uri: /b}}]}\n"
	}
	for _, c := range []struct {
		name, objects, told string
	}{
		{"matches within", joined(100, 200), ""},
		{"matches beyond", joined(100, 201), "Conflict spec.http[0].delegate: with the matches of VirtualService leaf in namespace a this object has more than 20000 pairs of matches to join, so the rule is left out; give"},
		{"routes within", routes(100, 1000), ""},
		{"routes beyond", routes(101, 991), "Invalid spec.hosts: 101 hosts with 991 matches each are 100091 routes, and one object may have 100000; spread"},
		{"destinations within", entry(64, 64), ""},
		{"destinations beyond", entry(241, 17), "Invalid spec.hosts: 241 hosts with 17 ports each are 4097 destinations for every proxy, and one object may have 4096; spread"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := world.Report(world.Load(settings, []byte(c.objects), ""))
			if c.told == "" && (strings.Contains(got, "Conflict ") || strings.Contains(got, "Invalid ")) || !strings.Contains(got, c.told) {
				lines := strings.SplitAfter(got, "\n")
				t.Errorf("want %q in\n%s", c.told, strings.Join(lines[max(0, len(lines)-6):], ""))
			}
		})
	}
}
