package snapshot

import (
	"testing"

	"github.com/heddle-mesh/heddle/mesh"
)

const webRoot = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root, namespace: shop}
spec: {hosts: [web], http: [{match: [{uri: {prefix: /a}}], delegate: {name: leaf}}]}
---
`

func leafRoute(path string) string {
	return `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: leaf, namespace: shop}
spec: {http: [{match: [{uri: {prefix: ` + path + `}}], route: [{destination: {host: web}}]}]}
`
}

// TestDelegates: a delegate that comes, changes and goes changes the route that includes it, and is told what does not fit for as long as it does not.
func TestDelegates(t *testing.T) {
	r := newRig(t).put(webService + webRoot)
	r.apply()
	root, leaf := ref("VirtualService", "root"), ref("VirtualService", "leaf")
	rules := func() []mesh.HTTPRule {
		routes, _ := r.snap.MeshRoutes.Get("web.shop.svc.cluster.local")
		if len(routes) != 1 {
			t.Fatalf("%d routes", len(routes))
		}
		return routes[0].HTTP
	}
	if len(rules()) != 0 || !has(r.b.Problems(root), "no VirtualService leaf") {
		t.Errorf("without its delegate: %v, %v", rules(), r.b.Problems(root))
	}
	r.put(leafRoute("/a/b")).apply()
	if got := rules(); len(got) != 1 || got[0].Matches[0].Path.Value != "/a/b" || len(r.b.Problems(root)) > 0 {
		t.Errorf("with its delegate: %v, %v", got, r.b.Problems(root))
	}
	r.put(leafRoute("/b")).apply()
	if len(rules()) != 0 || !has(r.b.Problems(root), "does not fit") || !has(r.b.Problems(leaf), "spec.http[0] of VirtualService root") {
		t.Errorf("a delegate that does not fit: %v, %v, %v", rules(), r.b.Problems(root), r.b.Problems(leaf))
	}
	if s := r.b.Status(leaf); s == nil || s.Conditions[len(s.Conditions)-1].Status != "False" {
		t.Errorf("its status is %+v", s)
	}
	r.store.Delete("test", root)
	r.apply()
	if p := r.b.Problems(leaf); len(p) > 0 {
		t.Errorf("nobody includes it any more, and it is told %v", p)
	}
}
