package view

import (
	"net/netip"
	"testing"

	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/internal/memo"
	"github.com/heddle-mesh/heddle/mesh"
)

func TestAnswers(t *testing.T) {
	trust, _ := identity.ParseTrustDomain("cluster.local")
	p := &mesh.Proxy{
		Namespace: "shop", Identity: identity.NewID(trust, "shop", "web"), Labels: mesh.Labels{"app": "web", "v": "1"}, Network: "n1", Name: "web-1",
		Locality: mesh.Locality{Region: "r", Zone: "z", Subzone: "s"}, Addresses: []netip.Addr{netip.MustParseAddr("::ffff:10.0.0.1")}, Envoy: true,
	}
	s := NewSource()
	s.Workloads = s.Workloads.With(mesh.WorkloadID{Cluster: mesh.DefaultCluster, Namespace: "shop", Kind: "WorkloadEntry", Name: "web-1"}, &mesh.Workload{
		Services: []mesh.WorkloadService{{Service: mesh.ServiceID{Namespace: "shop", Host: "web"}, Ports: map[string]uint16{"b=c": 2, "a": 1}}},
	})
	for _, c := range []struct {
		what string
		q    memo.Question[*Source, mesh.Proxy]
		want any
	}{
		{"a selector that matches", matches{selectorText(mesh.Labels{"app": "web", "v": "1"})}, true},
		{"a selector with another value", matches{selectorText(mesh.Labels{"app": "web", "v": "2"})}, false},
		{"a selector with a missing label", matches{selectorText(mesh.Labels{"x": ""})}, false},
		{"the same network", sameNetwork{"n1"}, true},
		{"another network", sameNetwork{"n2"}, false},
		{"the same sub-zone", localityRank{mesh.Locality{Region: "r", Zone: "z", Subzone: "s"}}, 0},
		{"the same zone", localityRank{mesh.Locality{Region: "r", Zone: "z"}}, 1},
		{"the same region", localityRank{mesh.Locality{Region: "r", Zone: "y"}}, 2},
		{"elsewhere", localityRank{mesh.Locality{Region: "q"}}, 3},
		{"a secret of the namespace", mayRead{mesh.SecretID{Namespace: "shop", Name: "x"}}, true},
		{"a secret of another namespace", mayRead{mesh.SecretID{Namespace: "other", Name: "x"}}, false},
		{"an IPv4 address in IPv6 form", hasIPv4{}, true},
		{"no IPv6 address", hasIPv6{}, false},
		{"what stock Envoy can do", can{mesh.FeatureRBAC}, true},
		{"what stock Envoy is not given", can{mesh.FeatureVHDS}, false},
		{"services served", served{}, "shop\tweb\ta=1\tb=c=2\n"},
	} {
		if got := c.q.Answer(s, p); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
	claimed := &mesh.Proxy{Namespace: "other", Identity: p.Identity}
	if got := (mayRead{mesh.SecretID{Namespace: "other"}}).Answer(s, claimed); got != false {
		t.Error("a claimed namespace reads secrets against the identity")
	}
}

func TestCovering(t *testing.T) {
	for host, want := range map[mesh.Host][]mesh.Host{
		"a.b.c":   {"a.b.c", "*.b.c", "*.c", "*"},
		"*.b.c":   {"*.b.c", "*.c", "*"},
		"a":       {"a", "*"},
		"*":       {"*"},
		"*.c":     {"*.c", "*"},
		"a.b.c.d": {"a.b.c.d", "*.b.c.d", "*.c.d", "*.d", "*"},
	} {
		var got []mesh.Host
		for h := range covering(host) {
			got = append(got, h)
		}
		if len(got) != len(want) {
			t.Errorf("%s is covered by %v, want %v", host, got, want)
			continue
		}
		for i := range got {
			if got[i] != want[i] || !got[i].Matches(host) {
				t.Errorf("%s is covered by %v, want %v", host, got, want)
			}
		}
	}
}
