package compile

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

const (
	deployments = 50
	replicas    = 20
)

// crowd is a mesh of 50 Deployments with 20 pods each, spread over three zones, with a proxy for each pod.
func crowd() (*mesh.Snapshot, []*mesh.Proxy) {
	s := mesh.NewSnapshot(defaultSettings())
	var proxies []*mesh.Proxy
	for d := range deployments {
		id := mesh.ServiceID{Namespace: "shop", Host: mesh.Host(fmt.Sprintf("d%02d.shop.svc.cluster.local", d))}
		svc := &mesh.Service{ID: id, Ports: []mesh.Port{{Name: "http", Number: 80, TargetPort: 8080, Protocol: mesh.HTTP}}, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 9, 0, byte(d + 1)})}, ShortName: "d", Registry: "Kubernetes"}
		s.Services, s.Hosts = s.Services.With(id, svc), s.Hosts.With(id.Host, []mesh.ServiceID{id})
		s.Traffic = s.Traffic.With(id.Host, []*mesh.Traffic{{Origin: mesh.Ref{Kind: "DestinationRule", Namespace: "shop", Name: "d"}, Host: id.Host, Policy: mesh.TrafficPolicy{Outlier: &mesh.OutlierDetection{Interval: time.Second}}}})
		set := &mesh.EndpointSet{Service: id}
		for r := range replicas {
			ip := netip.AddrFrom4([4]byte{10, 1, byte(d), byte(r)})
			at := mesh.Locality{Region: "r", Zone: fmt.Sprint("z", r%3)}
			set.Endpoints = append(set.Endpoints, &mesh.Endpoint{Address: mesh.IPAddress(ip), MTLS: true, Locality: at, Ports: map[string]uint16{"http": 8080}})
			p := &mesh.Proxy{ID: ip.String(), Name: fmt.Sprintf("d%02d-%d", d, r), Namespace: "shop", Labels: mesh.Labels{"app": fmt.Sprint("d", d), "pod": ip.String()},
				Addresses: []netip.Addr{ip}, Locality: at, Envoy: true, Cluster: mesh.DefaultCluster, Network: mesh.DefaultNetwork}
			wid := mesh.WorkloadID{Cluster: mesh.DefaultCluster, Namespace: "shop", Kind: "Pod", Name: p.Name}
			s.Workloads = s.Workloads.With(wid, &mesh.Workload{ID: wid, Services: []mesh.WorkloadService{{Service: id, Ports: map[string]uint16{"http": 8080}}}})
			proxies = append(proxies, p)
		}
		s.Endpoints = s.Endpoints.With(id, set)
	}
	return s, proxies
}

// A thousand proxies share a few variants, and a change of one endpoint makes only the variants of its service again.
func TestVariantsStayFew(t *testing.T) {
	snap, proxies := crowd()
	m := New()
	store, _ := m.Publish(snap)
	endpoints := xds.Name{TypeURL: xds.Endpoints, Name: "outbound|80||d07.shop.svc.cluster.local"}
	inbound := xds.Name{TypeURL: xds.Listener, Name: "virtualInbound"}
	route := xds.Name{TypeURL: xds.Route, Name: "80"}
	var held []*xds.Resource
	for _, p := range proxies {
		for _, n := range []xds.Name{endpoints, inbound, route} {
			r, ok := store.Resource(p, n)
			if !ok {
				t.Fatalf("%s has no %s", p.ID, n)
			}
			held = append(held, r)
		}
	}
	for n, most := range map[xds.Name]int{endpoints: 3, inbound: deployments, route: 1} {
		if got := m.Variants(n); got > most {
			t.Errorf("%s has %d variants, want at most %d", n, got, most)
		}
	}

	before := m.Stats().Computed
	id := mesh.ServiceID{Namespace: "shop", Host: "d07.shop.svc.cluster.local"}
	set, _ := snap.Endpoints.Get(id)
	less := *snap
	less.Revision++
	less.Endpoints = less.Endpoints.With(id, &mesh.EndpointSet{Service: id, Endpoints: set.Endpoints[1:]})
	store, changes := m.Publish(&less)
	for n := range changes {
		if n != endpoints {
			t.Errorf("a change of endpoints touches %s", n)
		}
	}
	for i, p := range proxies {
		r, _ := store.Resource(p, endpoints)
		if r == held[3*i] {
			t.Fatal("the endpoints are as before")
		}
		held[3*i] = r
		if r, _ := store.Resource(p, route); r != held[3*i+2] {
			t.Fatal("the route was made again")
		}
	}
	if n := m.Stats().Computed - before; n > 3 {
		t.Errorf("%d results were computed for one change of endpoints, want at most 3", n)
	}
	runtime.KeepAlive(held)
}

// Nobody holds it, nobody pays for it.
func TestVariantsDieWithTheirSubscribers(t *testing.T) {
	snap, proxies := crowd()
	m := New()
	store, _ := m.Publish(snap)
	func() {
		var held []*xds.Resource
		for _, p := range proxies[:100] {
			for n := range store.Names(p, xds.Cluster) {
				if r, ok := store.Resource(p, xds.Name{TypeURL: xds.Cluster, Name: n}); ok {
					held = append(held, r)
				}
			}
		}
		if m.Stats().Variants == 0 {
			t.Error("nothing is held")
		}
		runtime.KeepAlive(held)
	}()
	proxies = nil
	for range 500 {
		runtime.GC()
		if m.Stats().Variants == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d variants are left: %v", m.Stats().Variants, m.Stats())
}
