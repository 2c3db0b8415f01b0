package snapshot

import (
	"fmt"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/api"
)

// benchRig is a mesh of 1,000 services with 10 endpoints each, 100 of them with a VirtualService and a DestinationRule.
func benchRig(b *testing.B) *rig {
	r := newRig(b)
	for i := range 1000 {
		name := fmt.Sprintf("s%d", i)
		r.put(strings.ReplaceAll(webService, "web", name) + benchSlice(i, 10))
		if i%10 == 0 {
			r.put(strings.ReplaceAll(webRoute, "web", name) + strings.ReplaceAll(webRule, "web", name))
		}
	}
	return r
}

func benchSlice(i, n int) string {
	var ips []string
	for e := range n {
		ips = append(ips, fmt.Sprintf("{addresses: [10.%d.%d.%d]}", i/250, i%250, e))
	}
	return fmt.Sprintf("---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s%d-a, namespace: shop, labels: {kubernetes.io/service-name: s%d}}\naddressType: IPv4\nports: [{name: http, port: 8080}]\nendpoints: [%s]\n---\n",
		i, i, strings.Join(ips, ", "))
}

func BenchmarkFirstSnapshot(b *testing.B) {
	r := benchRig(b)
	for b.Loop() {
		fresh := &rig{t: b, store: r.store, feed: r.store.Feed(), opts: r.opts, b: r.builder(memory(b))}
		fresh.apply()
	}
}

func benchChange(b *testing.B, versions ...string) {
	r := benchRig(b)
	r.apply()
	var objects [][]api.Object
	for _, v := range versions {
		o, problems := api.DecodeAll([]byte(v), "")
		if len(problems) > 0 {
			b.Fatal(problems)
		}
		objects = append(objects, o)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for _, o := range objects[i%len(objects)] {
			r.store.Put("test", o, nil)
		}
		if changed, _ := r.apply(); !changed && i > 0 {
			b.Fatal("nothing changed")
		}
	}
}

func BenchmarkRouteChange(b *testing.B) {
	route := strings.ReplaceAll(webRoute, "web", "s10")
	benchChange(b, route, strings.Replace(route, "http: [{", "http: [{timeout: 3s, ", 1))
}

func BenchmarkEndpointChange(b *testing.B) {
	benchChange(b, benchSlice(10, 10), benchSlice(10, 9))
}

func BenchmarkServiceChange(b *testing.B) {
	service := strings.ReplaceAll(webService, "web", "s10")
	benchChange(b, service, strings.Replace(service, "port: 80", "port: 81", 1))
}
