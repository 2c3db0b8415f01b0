package snapshot

import (
	"testing"

	"github.com/heddle-mesh/heddle/mesh"
)

// A ConfigMap with defaults for a class of gateways counts from the moment at which it is one, until it is none any more.
func TestClassDefaults(t *testing.T) {
	r := newRig(t)
	r.b = NewBuilder(&mesh.Settings{TrustDomain: "cluster.local", RootNamespace: "istio-system", ClusterDomain: "cluster.local", Injects: true}, r.opts, r.store, memory(t))
	configMap := func(labels, replicas string) string {
		return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: defaults, namespace: istio-system, labels: {" + labels + "}}\ndata: {deployment: 'spec: {replicas: " + replicas + "}'}\n"
	}
	overlays := func() int {
		g, ok := r.snap.Gateways.Get(mesh.GatewayID{Dialect: mesh.GatewayAPI, Namespace: "shop", Name: "front"})
		if !ok {
			return -1
		}
		return len(g.Overlays)
	}
	for _, step := range []struct {
		name, put string
		want      int
	}{
		{"no defaults", frontGateway, 0},
		{"a ConfigMap of another purpose", configMap("", "2"), 0},
		{"for the class", configMap("gateway.istio.io/defaults-for-class: heddle", "2"), 1},
		{"for another class", configMap("gateway.istio.io/defaults-for-class: other", "2"), 0},
		{"for the class again", configMap("gateway.istio.io/defaults-for-class: heddle", "3"), 1},
		{"of no class", configMap("", "3"), 0},
	} {
		r.put(step.put).apply()
		if got := overlays(); got != step.want {
			t.Errorf("%s: %d overlays, want %d", step.name, got, step.want)
		}
	}
}
