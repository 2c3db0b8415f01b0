package compile

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

// filterOf is an EnvoyFilter as the translation would make it.
func filterOf(ns mesh.Namespace, patches ...mesh.Patch) *mesh.EnvoyFilter {
	f := &mesh.EnvoyFilter{Origin: mesh.Ref{Kind: "EnvoyFilter", Namespace: ns, Name: "f"}}
	for i := range patches {
		p := patches[i]
		p.Origin, p.Path = f.Origin, fmt.Sprintf("spec.configPatches[%d]", i)
		p.ID = fmt.Sprintf("%s %d %d %d %d %v %v %q", ns, i, p.Target, p.Operation, p.Context, p.Match, p.Match.Host, p.Value)
		p.ID = strings.ReplaceAll(p.ID, ",", ";")
		f.Patches = append(f.Patches, &p)
	}
	return f
}

func bytesOf(t interface{ Fatal(...any) }, m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// slower changes a cluster's time-out.
func slower(t interface{ Fatal(...any) }, host string, seconds int64) mesh.Patch {
	return mesh.Patch{Target: mesh.PatchCluster, Operation: mesh.PatchMerge, Match: mesh.PatchMatch{Service: host},
		Value: bytesOf(t, &clusterv3.Cluster{ConnectTimeout: &durationpb.Duration{Seconds: seconds}})}
}

// named adds a header to the answers of a virtual host.
func named(t interface{ Fatal(...any) }, host, value string) mesh.Patch {
	return mesh.Patch{Target: mesh.PatchVirtualHost, Operation: mesh.PatchMerge, Match: mesh.PatchMatch{Host: &mesh.PatchHost{Name: host}},
		Value: bytesOf(t, &routev3.VirtualHost{ResponseHeadersToAdd: []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: "x", Value: value}}}})}
}

func someFilter(t *rapid.T, ns mesh.Namespace, id mesh.ServiceID) *mesh.EnvoyFilter {
	all := []mesh.Patch{
		slower(t, string(id.Host), int64(rapid.IntRange(1, 3).Draw(t, "seconds"))),
		slower(t, "", int64(rapid.IntRange(1, 3).Draw(t, "seconds"))),
		named(t, string(id.Host)+":80", rapid.SampledFrom([]string{"a", "b"}).Draw(t, "value")),
		named(t, "", "c"),
		{Target: mesh.PatchVirtualHost, Operation: mesh.PatchRemove, Match: mesh.PatchMatch{Port: 90}},
		{Target: mesh.PatchVirtualHost, Operation: mesh.PatchAdd, Names: "new", Value: bytesOf(t, &routev3.VirtualHost{Name: "new", Domains: []string{"new.test"}})},
		{Target: mesh.PatchHTTPRoute, Operation: mesh.PatchRemove, Match: mesh.PatchMatch{Name: "80", Host: &mesh.PatchHost{Route: &mesh.PatchRoute{Action: mesh.PatchRouteAction}}}},
		{Target: mesh.PatchRouteConfiguration, Operation: mesh.PatchMergeLists, Context: mesh.PatchOutbound, Value: bytesOf(t, &routev3.RouteConfiguration{InternalOnlyHeaders: []string{"x"}})},
		{Target: mesh.PatchCluster, Operation: mesh.PatchAdd, Names: "extra", Value: bytesOf(t, &clusterv3.Cluster{Name: "extra"})},
		{Target: mesh.PatchCluster, Operation: mesh.PatchRemove, Context: mesh.PatchInbound},
		{Target: mesh.PatchListener, Operation: mesh.PatchRemove, Context: mesh.PatchGateway},
		{Target: mesh.PatchHTTPFilter, Operation: mesh.PatchAdd, Names: "lua", Guards: rapid.Bool().Draw(t, "guards"), Value: bytesOf(t, &hcmv3.HttpFilter{Name: "lua", IsOptional: true})},
	}
	var chosen []mesh.Patch
	for range rapid.IntRange(1, 3).Draw(t, "patches") {
		chosen = append(chosen, rapid.SampledFrom(all).Draw(t, "patch"))
	}
	f := filterOf(ns, chosen...)
	if rapid.Bool().Draw(t, "selector") {
		f.Selectors = []mesh.Labels{{"app": "s0"}}
	}
	return f
}

// A changed patch makes again what it matches, for the proxies that it is for, and nothing else.
func TestOneChangedPatchTouchesWhatItMatches(t *testing.T) {
	for _, envoy := range []bool{true, false} {
		t.Run(fmt.Sprint("envoy=", envoy), func(t *testing.T) {
			snap, proxies := city(60), citizens(20, envoy)
			for _, p := range proxies {
				p.Features[mesh.FeaturePatch] = true
			}
			host := mesh.Host("s0010.n0.svc.cluster.local")
			elsewhere := filterOf("n3", slower(t, "", 3))
			filters := func(seconds int64, value string) {
				next := *snap
				next.Revision++
				next.Filters = next.Filters.With("n3", []*mesh.EnvoyFilter{elsewhere}).
					With("n1", []*mesh.EnvoyFilter{filterOf("n1", slower(t, string(host), seconds), named(t, string(host)+":80", value))})
				snap = &next
			}
			filters(1, "a")
			m := New()
			store, _ := m.Publish(snap)
			held := map[*mesh.Proxy][]*xds.Resource{}
			for _, p := range proxies {
				held[p], _ = everythingOf(store, p)
			}
			before := m.Stats().Computed
			filters(2, "b")
			store, _ = m.Publish(snap)
			for _, p := range proxies {
				now, _ := everythingOf(store, p)
				var differ []string
				for i, r := range now {
					if r != held[p][i] {
						differ = append(differ, r.Name.String())
					}
				}
				held[p] = now
				var want []string
				if p.Namespace == "n1" {
					want = []string{"cds outbound|80||" + string(host), "vhds 80/" + string(host) + ":80"}
					if envoy {
						want[1] = "rds 80"
					}
				}
				if !slices.Equal(differ, want) {
					t.Errorf("%s has new %v, want %v", p.Namespace, differ, want)
				}
			}
			// The cluster, the virtual host, the route configuration around it, the inbound listener, which has routes of its own, and the lists of names.
			if n := m.Stats().Computed - before; n > 7 {
				t.Errorf("%d results were computed", n)
			}
			runtime.KeepAlive(held)
		})
	}
}

// Who has no patch does not pay for those of others, and they share what they have.
func TestNobodyPaysForPatchesOfOthers(t *testing.T) {
	snap, proxies := city(20), citizens(10, true)
	m := New()
	store, _ := m.Publish(snap)
	var held []*xds.Resource
	for _, p := range proxies {
		h, _ := everythingOf(store, p)
		held = append(held, h...)
	}
	name := xds.Name{TypeURL: xds.Cluster, Name: "outbound|80||s0010.n0.svc.cluster.local"}
	hit := func() float64 {
		return testing.AllocsPerRun(100, func() {
			if _, ok := store.Resource(proxies[5], name); !ok {
				t.Fatal("there is no such cluster")
			}
		})
	}
	without, variants := hit(), m.Variants(name)
	next := *snap
	next.Revision++
	next.Filters = next.Filters.With("n1", []*mesh.EnvoyFilter{filterOf("n1", slower(t, "", 3))})
	store, _ = m.Publish(&next)
	for _, p := range proxies {
		h, _ := everythingOf(store, p)
		held = append(held, h...)
	}
	if with := hit(); with != without {
		t.Errorf("a cluster that is remembered costs %v allocations, %v without EnvoyFilters", with, without)
	}
	if n := m.Variants(name); n != variants+1 {
		t.Errorf("the cluster has %d variants, want %d and one for the namespace with the patch", n, variants)
	}
	runtime.KeepAlive(held)
}

// A patch that puts a little in many places is bounded.
func TestPatchesAddNoMoreThanTheirBound(t *testing.T) {
	snap, proxies := city(1), citizens(1, true)
	id := mesh.ServiceID{Namespace: "n0", Host: "s0000.n0.svc.cluster.local"}
	route := weighted(id, 90)
	for range 2000 {
		route.HTTP = append(route.HTTP, mesh.HTTPRule{Matches: []mesh.HTTPMatch{{Path: mesh.StringMatch{Kind: mesh.MatchExact, Value: "/x"}}}, Backends: route.HTTP[0].Backends})
	}
	route.HTTP = route.HTTP[1:]
	snap.MeshRoutes = snap.MeshRoutes.With(id.Host, []*mesh.Route{route})
	big := mesh.Patch{Target: mesh.PatchHTTPRoute, Operation: mesh.PatchMerge, Value: bytesOf(t, &routev3.Route{Name: strings.Repeat("a", 100_000)})}
	snap.Filters = snap.Filters.With("n0", []*mesh.EnvoyFilter{filterOf("n0", big, named(t, "", "small"))})
	m := New()
	store, _ := m.Publish(snap)
	r, ok := store.Resource(proxies[0], xds.Name{TypeURL: xds.Route, Name: "80"})
	if !ok || len(r.Body) > 4<<20 {
		t.Fatalf("found %v, %d bytes", ok, len(r.Body))
	}
	if !strings.Contains(string(r.Body), "small") {
		t.Error("the other patch does not count")
	}
	if told := m.Notices(); len(told) != 1 || !strings.Contains(told[0].Message, "4 MiB") {
		t.Errorf("told %v", told)
	}
	runtime.KeepAlive(r)
}

// Very many patches of a very large resource are not tried at all: what they cost would be others' time. The resource is as it would be without them.
func TestPatchesTakeNoMoreThanTheirTime(t *testing.T) {
	snap, proxies := city(1), citizens(1, true)
	id := mesh.ServiceID{Namespace: "n0", Host: "s0000.n0.svc.cluster.local"}
	route := weighted(id, 90)
	for i := range 10_000 {
		route.HTTP = append(route.HTTP, mesh.HTTPRule{Matches: []mesh.HTTPMatch{{Path: mesh.StringMatch{Kind: mesh.MatchExact, Value: fmt.Sprint("/", i)}}}, Backends: route.HTTP[0].Backends})
	}
	route.HTTP = route.HTTP[1:]
	snap.MeshRoutes = snap.MeshRoutes.With(id.Host, []*mesh.Route{route})
	var many []mesh.Patch
	for range 256 {
		many = append(many, named(t, string(id.Host)+":80", "small"))
	}
	snap.Filters = snap.Filters.With("n0", []*mesh.EnvoyFilter{filterOf("n0", many...)})
	m := New()
	store, _ := m.Publish(snap)
	r, ok := store.Resource(proxies[0], xds.Name{TypeURL: xds.Route, Name: "80"})
	if !ok || strings.Contains(string(r.Body), "small") {
		t.Error("they were tried")
	}
	if told := m.Notices(); len(told) != 256 || !strings.Contains(told[0].Message, "too many patches") {
		t.Errorf("told %d: %v", len(told), told[:min(1, len(told))])
	}
	runtime.KeepAlive(r)
}

// Neither are many patches that make a small resource large and that have to be tried one by one: those that are left over are left out, and what one of them guards is closed.
func TestPatchesOfWhatGrowsTakeNoMoreThanTheirTime(t *testing.T) {
	snap, proxies := city(1), citizens(1, true)
	host := "s0000.n0.svc.cluster.local:80"
	many := []mesh.Patch{{Target: mesh.PatchVirtualHost, Operation: mesh.PatchMerge, Value: bytesOf(t, &routev3.VirtualHost{Name: "renamed"})}}
	for i := range 1000 {
		many = append(many, named(t, host, fmt.Sprint(i, strings.Repeat("a", 4000))))
	}
	last := named(t, host, "last")
	last.Guards = true
	snap.Filters = snap.Filters.With("n0", []*mesh.EnvoyFilter{filterOf("n0", append(many, last)...)})
	m := New()
	store, _ := m.Publish(snap)
	r, ok := store.Resource(proxies[0], xds.Name{TypeURL: xds.Route, Name: "80"})
	if !ok || strings.Contains(string(r.Body), "last") || !strings.Contains(string(r.Body), "denied[EnvoyFilter/n0/f]: spec.configPatches[1001]") {
		t.Error("what the last patch guards is not closed")
	}
	var told int
	for _, n := range m.Notices() {
		if strings.Contains(n.Message, "too many patches") {
			told++
		}
	}
	if told == 0 || told > 990 {
		t.Errorf("%d patches are told to be too many", told)
	}
	runtime.KeepAlive(r)
}

// BenchmarkPatches is the first sync of a proxy without patches, with patches elsewhere in the mesh, and with one on each cluster.
func BenchmarkPatches(b *testing.B) {
	for _, c := range []struct{ name, namespace string }{{"none", ""}, {"elsewhere", "n9"}, {"each cluster", "n1"}} {
		b.Run(c.name, func(b *testing.B) {
			snap, proxies := city(1000), citizens(2, true)
			if c.namespace != "" {
				ns := mesh.Namespace(c.namespace)
				snap.Filters = snap.Filters.With(ns, []*mesh.EnvoyFilter{filterOf(ns, slower(b, "", 3))})
			}
			b.ReportAllocs()
			for b.Loop() {
				store, _ := New().Publish(snap)
				held, _ := everythingOf(store, proxies[1])
				runtime.KeepAlive(held)
			}
		})
	}
}
