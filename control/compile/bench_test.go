package compile

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

// city is a mesh of services with ten endpoints each, over ten namespaces.
func city(services int) *mesh.Snapshot {
	s := mesh.NewSnapshot(defaultSettings())
	trust, _ := identity.ParseTrustDomain("cluster.local")
	for i := range services {
		ns := mesh.Namespace(fmt.Sprint("n", i%10))
		id := mesh.ServiceID{Namespace: ns, Host: mesh.Host(fmt.Sprintf("s%04d.%s.svc.cluster.local", i, ns))}
		svc := &mesh.Service{ID: id, Ports: []mesh.Port{{Name: "http", Number: 80, TargetPort: 8080, Protocol: mesh.HTTP}}, Registry: "Kubernetes", ShortName: "s",
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 9, byte(i / 250), byte(i%250 + 1)})}, Origin: mesh.Ref{Kind: "Service", Namespace: ns, Name: fmt.Sprint("s", i)}}
		s.Services, s.Hosts = s.Services.With(id, svc), s.Hosts.With(id.Host, []mesh.ServiceID{id})
		set := &mesh.EndpointSet{Service: id}
		for e := range 10 {
			set.Endpoints = append(set.Endpoints, &mesh.Endpoint{
				Address: mesh.IPAddress(netip.AddrFrom4([4]byte{10, byte(100 + i/250), byte(i % 250), byte(e)})), MTLS: true, Ports: map[string]uint16{"http": 8080},
				Identity: identity.NewID(trust, string(ns), "default"), WorkloadName: "s", Workload: mesh.WorkloadID{Namespace: ns},
			})
		}
		s.Endpoints = s.Endpoints.With(id, set)
		if i%10 == 0 {
			s.MeshRoutes = s.MeshRoutes.With(id.Host, []*mesh.Route{weighted(id, 90)})
		}
	}
	return s
}

func weighted(id mesh.ServiceID, n uint32) *mesh.Route {
	to := func(w uint32) mesh.Backend { return mesh.Backend{Host: id.Host, Service: id, Port: 80, Weight: w} }
	return &mesh.Route{Origin: mesh.Ref{Kind: "VirtualService", Namespace: id.Namespace, Name: "r"}, Hosts: []mesh.Host{id.Host}, Mesh: true,
		HTTP: []mesh.HTTPRule{{Backends: []mesh.Backend{to(n), to(100 - n)}}}}
}

func citizens(n int, envoy bool) []*mesh.Proxy {
	var out []*mesh.Proxy
	for i := range n {
		out = append(out, somebody(fmt.Sprint("n", i%10), map[string]string{"app": fmt.Sprint("s", i)}, mesh.Sidecar, envoy))
	}
	return out
}

// everythingOf asks for all that a proxy subscribes to.
func everythingOf(store *Store, p *mesh.Proxy) (held []*xds.Resource, size int) {
	take := func(url, name string) {
		if r, ok := store.Resource(p, xds.Name{TypeURL: url, Name: name}); ok {
			held = append(held, r)
			size += len(r.Body)
		}
	}
	for n := range store.Names(p, xds.Cluster) {
		take(xds.Cluster, n)
		take(xds.Endpoints, n)
	}
	for n := range store.Names(p, xds.Listener) {
		take(xds.Listener, n)
	}
	for n := range store.Names(p, xds.Route) {
		take(xds.Route, n)
	}
	for n := range store.Names(p, xds.VirtualHost) {
		take(xds.VirtualHost, n)
	}
	return held, size
}

func BenchmarkFirstSync(b *testing.B) {
	for _, envoy := range []bool{true, false} {
		b.Run(fmt.Sprint("envoy=", envoy), func(b *testing.B) {
			snap, proxies := city(1000), citizens(100, envoy)
			for b.Loop() {
				store, _ := New().Publish(snap)
				var held []*xds.Resource
				size := 0
				for _, p := range proxies {
					h, n := everythingOf(store, p)
					held, size = append(held, h...), size+n
				}
				b.ReportMetric(float64(size)/float64(len(proxies)), "B/proxy")
				runtime.KeepAlive(held)
			}
		})
	}
}

func BenchmarkRouteChange(b *testing.B) {
	for _, envoy := range []bool{true, false} {
		b.Run(fmt.Sprint("envoy=", envoy), func(b *testing.B) {
			snap, proxies := city(1000), citizens(100, envoy)
			m := New()
			store, _ := m.Publish(snap)
			held := map[*mesh.Proxy][]*xds.Resource{}
			for _, p := range proxies {
				held[p], _ = everythingOf(store, p)
			}
			id := mesh.ServiceID{Namespace: "n0", Host: "s0500.n0.svc.cluster.local"}
			n := uint32(0)
			for b.Loop() {
				n++
				next := *snap
				next.MeshRoutes = next.MeshRoutes.With(id.Host, []*mesh.Route{weighted(id, 1+n%90)})
				snap = &next
				store, changes := m.Publish(snap)
				var fresh []*xds.Resource
				for name := range changes {
					for _, p := range proxies {
						if r, ok := store.Resource(p, name); ok {
							fresh = append(fresh, r)
						}
					}
				}
				runtime.KeepAlive(fresh)
			}
			runtime.KeepAlive(held)
		})
	}
}

func BenchmarkEndpointChange(b *testing.B) {
	snap, proxies := city(1000), citizens(100, true)
	m := New()
	store, _ := m.Publish(snap)
	held := map[*mesh.Proxy][]*xds.Resource{}
	for _, p := range proxies {
		held[p], _ = everythingOf(store, p)
	}
	id := mesh.ServiceID{Namespace: "n0", Host: "s0500.n0.svc.cluster.local"}
	full, _ := snap.Endpoints.Get(id)
	n := 0
	for b.Loop() {
		n++
		next := *snap
		next.Endpoints = next.Endpoints.With(id, &mesh.EndpointSet{Service: id, Endpoints: full.Endpoints[n%5:]})
		snap = &next
		store, changes := m.Publish(snap)
		for name := range changes {
			for _, p := range proxies {
				_, _ = store.Resource(p, name)
			}
		}
	}
	runtime.KeepAlive(held)
}
