package snapshot

import (
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
)

// A route that asks for default Gateways follows them: those that come, those that are none any more, and those that do not take routes of its namespace.
func TestDefaultGateways(t *testing.T) {
	gate := func(namespace, name, more string) string {
		return "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: " + name + ", namespace: " + namespace + "}\nspec: {gatewayClassName: heddle, " + more + "listeners: [{name: http, port: 80, protocol: HTTP}]}\n"
	}
	ref := mesh.Ref{Group: api.GroupGateway, Kind: "HTTPRoute", Namespace: "shop", Name: "r"}
	r := newRig(t)
	r.put("apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}\n---\n" +
		"apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r, namespace: shop}\nspec: {useDefaultGateways: All, rules: [{backendRefs: [{name: web, port: 80}]}]}\n").apply()
	for _, step := range []struct{ name, put, want string }{
		{"no default Gateway", gate("shop", "plain", ""), ""},
		{"one comes", gate("shop", "front", "defaultScope: All, "), "shop/front: True/Accepted"},
		{"another", gate("shop", "second", "defaultScope: All, "), "shop/front: True/Accepted, shop/second: True/Accepted"},
		{"one of another namespace", gate("edge", "third", "defaultScope: All, "), "edge/third: False/NotAllowedByListeners, shop/front: True/Accepted, shop/second: True/Accepted"},
		{"one is none any more", gate("shop", "front", "defaultScope: None, "), "edge/third: False/NotAllowedByListeners, shop/second: True/Accepted"},
		{"one of another class", strings.Replace(gate("edge", "third", "defaultScope: All, "), "heddle,", "other,", 1), "shop/second: True/Accepted"},
	} {
		r.put(step.put).apply()
		var got []string
		for _, p := range r.b.Status(ref).Parents {
			got = append(got, *p.ParentRef.Namespace+"/"+p.ParentRef.Name+": "+p.Conditions[0].Status+"/"+p.Conditions[0].Reason)
		}
		if s := strings.Join(got, ", "); s != step.want {
			t.Errorf("%s: %s, want %s", step.name, s, step.want)
		}
	}
	r.store.Delete("test", mesh.Ref{Group: api.GroupGateway, Kind: "Gateway", Namespace: "shop", Name: "second"})
	r.apply()
	if s := r.b.Status(ref); len(s.Parents) != 0 || r.snap.Routes.Len() != 0 {
		t.Errorf("the last default Gateway went: %v", s.Parents)
	}
}
