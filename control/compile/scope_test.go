package compile

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

// Proxies with Sidecars of their own hold what they see and nothing else, and share what several of them see.
func TestScopedProxiesShare(t *testing.T) {
	snap, _ := crowd()
	shared := xds.Name{TypeURL: xds.Cluster, Name: "outbound|80||d07.shop.svc.cluster.local"}
	var proxies []*mesh.Proxy
	for i := range 20 {
		ns := mesh.Namespace(fmt.Sprint("team", i))
		snap.Sidecars = snap.Sidecars.With(ns, []*mesh.SidecarScope{{Origin: mesh.Ref{Kind: "Sidecar", Namespace: ns, Name: "default"}, Egress: []mesh.EgressListener{{Hosts: []mesh.Import{
			{Namespace: mesh.Here, Host: "*"}, {Namespace: "shop", Host: "d07.shop.svc.cluster.local"}, {Namespace: "shop", Host: mesh.Host(fmt.Sprintf("d%02d.shop.svc.cluster.local", 20+i))},
		}}}}})
		proxies = append(proxies, somebody(string(ns), nil, mesh.Sidecar, true))
	}
	m := New()
	store, _ := m.Publish(snap)
	var held []*xds.Resource
	for _, p := range proxies {
		if names := slices.Collect(store.Names(p, xds.Cluster)); len(names) != 3+2 {
			t.Errorf("%s has the clusters %v", p.ID, names)
		}
		for _, n := range []xds.Name{shared, {TypeURL: xds.Endpoints, Name: shared.Name}} {
			r, ok := store.Resource(p, n)
			if !ok {
				t.Fatalf("%s has no %s", p.ID, n)
			}
			held = append(held, r)
		}
		if r, ok := store.Resource(p, xds.Name{TypeURL: xds.Cluster, Name: "outbound|80||d00.shop.svc.cluster.local"}); ok {
			t.Errorf("%s is given %s, which it does not see", p.ID, r.Name)
		}
	}
	if n := m.Variants(shared); n != 1 {
		t.Errorf("a cluster that all see has %d variants", n)
	}
	runtime.KeepAlive(held)
}

// What a Sidecar leaves out, it leaves out of what leaves the workload: policies on what arrives stay, and so do the workload's own ports.
func TestScopesHideNoPolicy(t *testing.T) {
	w := newWorld(t, defaultSettings())
	w.apply(t, `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: none, namespace: shop}
spec: {egress: [{hosts: ["~/*"]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, annotations: {networking.istio.io/exportTo: "~"}}
spec: {clusterIP: 10.0.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: web, namespace: shop}
spec: {address: 10.1.0.1, labels: {app: web}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: shop}
spec: {}
`)
	p := somebody("shop", map[string]string{"app": "web"}, mesh.Sidecar, true)
	p.Name = "web"
	if names := slices.Collect(w.now.Names(p, xds.Cluster)); !slices.Contains(names, "inbound|8080||") {
		t.Errorf("the workload's own port is lost: %v", names)
	}
	r, ok := w.now.Resource(p, xds.Name{TypeURL: xds.Listener, Name: "virtualInbound"})
	if !ok {
		t.Fatal("nothing may arrive")
	}
	for _, origin := range []string{"PeerAuthentication/istio-system/strict", "AuthorizationPolicy/shop/nobody"} {
		if !slices.Contains(r.Origins, origin) {
			t.Errorf("%s has no effect: %v", origin, r.Origins)
		}
	}
}

// A service that takes a host over from another one changes what there is at the other's ports, which it need not have.
func TestAnotherServiceTakesTheHost(t *testing.T) {
	const h = mesh.Host("shared.example.com")
	id := func(ns string) mesh.ServiceID { return mesh.ServiceID{Namespace: mesh.Namespace(ns), Host: h} }
	with := func(s *mesh.Snapshot, ns string, port uint16) {
		s.Services = s.Services.With(id(ns), &mesh.Service{ID: id(ns), Ports: []mesh.Port{{Name: "http", Number: port, Protocol: mesh.HTTP}}})
		host(s, h)
	}
	one := mesh.NewSnapshot(defaultSettings())
	with(one, "a", 80)
	m := New()
	store, _ := m.Publish(one)
	p, name := somebody("b", map[string]string{"app": "x"}, mesh.Sidecar, true), xds.Name{TypeURL: xds.Listener, Name: "0.0.0.0_80"}
	held, had := store.Resource(p, name)

	two := *one
	two.Revision++
	with(&two, "b", 90)
	store, changes := m.Publish(&two)
	told := false
	for n := range changes {
		told = told || n == name
	}
	if _, has := store.Resource(p, name); !had || has || !told {
		t.Errorf("the listener of port 80 was there: %v, is there: %v; told of it: %v", had, has, told)
	}
	runtime.KeepAlive(held)
}
