package compile

import (
	"os"
	"testing"

	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

// Clients ask for any name that they like: what is not there is answered with nothing, and what is there bears the name that was asked for.
func FuzzResourceNames(f *testing.F) {
	data, err := os.ReadFile("testdata/envoy/everything.yaml")
	if err != nil {
		f.Fatal(err)
	}
	w := newWorld(f, defaultSettings())
	w.apply(f, string(data))
	types := []string{xds.Cluster, xds.Endpoints, xds.Listener, xds.Route, xds.VirtualHost, xds.Secret, xds.NameTable, xds.Extension}
	proxies := []*mesh.Proxy{somebody("shop", map[string]string{"app": "web"}, mesh.Sidecar, true), somebody("shop", nil, mesh.Sidecar, false),
		somebody("shop", nil, mesh.Router, true), somebody("shop", nil, mesh.Proxyless, false)}
	for i, url := range types {
		for n := range w.now.Names(proxies[0], url) {
			f.Add(uint8(i), n)
		}
	}
	for _, n := range []string{"outbound|80|v1|", "inbound|99999||", "0.0.0.0_", "::_80", "web.shop.svc.cluster.local:80", "80/*:80", "kubernetes:///", "kubernetes://a/b-cacert", "http.80", "/", "|||"} {
		for i := range types {
			f.Add(uint8(i), n)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, name string) {
		url := types[int(kind)%len(types)]
		for _, p := range proxies {
			r, ok := w.now.Resource(p, xds.Name{TypeURL: url, Name: name})
			if !ok {
				continue
			}
			if r.Name.Name != name || r.Version != xds.Version(r.Body) {
				t.Errorf("asked for %q, got %q with version %s", name, r.Name.Name, r.Version)
			}
		}
	})
}
