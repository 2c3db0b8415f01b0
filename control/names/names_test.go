package names

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/heddle-mesh/heddle/mesh"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestTable(t *testing.T) {
	id := func(ns, host string) mesh.ServiceID {
		return mesh.ServiceID{Namespace: mesh.Namespace(ns), Host: mesh.Host(host)}
	}
	web := &mesh.Service{ID: id("shop", "web.shop.svc.cluster.local"), ShortName: "web", Registry: "Kubernetes", Addresses: []netip.Addr{ip("10.0.0.7"), ip("fd00::7")}}
	db := &mesh.Service{ID: id("shop", "db.shop.svc.cluster.local"), ShortName: "db", Registry: "Kubernetes", Headless: true}
	ext := &mesh.Service{ID: id("shop", "*.example.com"), Registry: "External", Addresses: []netip.Addr{ip("240.240.0.9")}, AutoAddress: true}
	shadow := &mesh.Service{ID: id("far", "*.example.com"), Registry: "External", Addresses: []netip.Addr{ip("240.240.0.10")}}
	bare := &mesh.Service{ID: id("shop", "api.example.net"), Registry: "External"}
	eps := &mesh.EndpointSet{Service: db.ID, Endpoints: []*mesh.Endpoint{
		{Address: mesh.IPAddress(ip("fd00::21")), Hostname: "db-0"},
		{Address: mesh.IPAddress(ip("10.1.0.3")), Hostname: "db-0"},
		{Address: mesh.IPAddress(ip("10.1.0.2")), Hostname: "db-1"},
		{Address: mesh.IPAddress(ip("10.1.0.4")), Health: mesh.Unhealthy, Hostname: "db-2"},
	}}
	got := Table(slices.Values([]*mesh.Service{web, db, ext, shadow, bare}), func(q mesh.ServiceID) *mesh.EndpointSet {
		if q == db.ID {
			return eps
		}
		return nil
	})
	want := []Entry{
		{Host: "*.example.com", Addresses: []netip.Addr{ip("240.240.0.9")}, Registry: "External"},
		{Host: "db-0.db.shop.svc.cluster.local", Addresses: []netip.Addr{ip("10.1.0.3"), ip("fd00::21")}, Registry: "Kubernetes", ShortName: "db-0.db", Namespace: "shop"},
		{Host: "db-1.db.shop.svc.cluster.local", Addresses: []netip.Addr{ip("10.1.0.2")}, Registry: "Kubernetes", ShortName: "db-1.db", Namespace: "shop"},
		{Host: "db.shop.svc.cluster.local", Addresses: []netip.Addr{ip("10.1.0.2"), ip("10.1.0.3"), ip("fd00::21")}, Registry: "Kubernetes", ShortName: "db", Namespace: "shop"},
		{Host: "web.shop.svc.cluster.local", Addresses: []netip.Addr{ip("10.0.0.7"), ip("fd00::7")}, Registry: "Kubernetes", ShortName: "web", Namespace: "shop"},
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Error(d)
	}
}

func TestHeadlessWithoutReadyEndpointsHasNoName(t *testing.T) {
	s := &mesh.Service{ID: mesh.ServiceID{Namespace: "a", Host: "b.a.svc.cluster.local"}, Headless: true, Registry: "Kubernetes"}
	if got := Of(s, nil); got != nil {
		t.Error(got)
	}
}
