package snapshot

import (
	"testing"

	"github.com/heddle-mesh/heddle/mesh"
)

// What a Namespace says of which endpoints go first holds for the services in it that say nothing, from the moment at which it is said.
func TestDistributionOfANamespace(t *testing.T) {
	service := func(name, annotations string) string {
		return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + ", namespace: shop, annotations: {" + annotations + "}}\nspec: {clusterIP: 10.1.0.1, ports: [{name: http, port: 80}]}\n---\n"
	}
	r := newRig(t)
	r.put(service("quiet", "") + service("own", "networking.istio.io/traffic-distribution: PreferSameNode") + service("wrong", "networking.istio.io/traffic-distribution: Far") + entry("entry", "a.example.com", "", "")).apply()
	for _, step := range []struct {
		said                     string
		quiet, own, wrong, entry mesh.Nearness
	}{
		{"PreferClose", mesh.NearZone, mesh.NearNode, mesh.Anywhere, mesh.NearZone},
		{"Nowhere", mesh.Anywhere, mesh.NearNode, mesh.Anywhere, mesh.Anywhere},
		{"PreferSameNode", mesh.NearNode, mesh.NearNode, mesh.Anywhere, mesh.NearNode},
	} {
		r.put("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: {networking.istio.io/traffic-distribution: " + step.said + "}}\n").apply()
		for host, want := range map[mesh.Host]mesh.Nearness{"quiet.shop.svc.cluster.local": step.quiet, "own.shop.svc.cluster.local": step.own, "wrong.shop.svc.cluster.local": step.wrong, "a.example.com": step.entry} {
			if s, ok := r.snap.Services.Get(mesh.ServiceID{Namespace: "shop", Host: host}); !ok || s.Near != want {
				t.Errorf("the namespace says %s: %s has %v, want %v", step.said, host, s.Near, want)
			}
		}
		if told := len(r.b.Problems(mesh.Ref{Kind: "Namespace", Name: "shop"})) > 0; told != (step.said == "Nowhere") {
			t.Errorf("the namespace says %s: told %v", step.said, told)
		}
	}
	r.store.Delete("test", mesh.Ref{Kind: "Namespace", Name: "shop"})
	r.apply()
	if s, _ := r.snap.Services.Get(mesh.ServiceID{Namespace: "shop", Host: "quiet.shop.svc.cluster.local"}); s.Near != mesh.Anywhere {
		t.Errorf("without the namespace: %v", s.Near)
	}
}
