package route

import (
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/internal/memo"
	"github.com/heddle-mesh/heddle/mesh"
)

// What is written without messages is what the messages would be.
func TestPlainRouteIsTheGeneralOne(t *testing.T) {
	for _, forwarded := range []bool{true, false} {
		snap := mesh.NewSnapshot(&mesh.Settings{ClusterDomain: "cluster.local", Proxy: mesh.ProxyConfig{ForwardedHost: forwarded}})
		id := mesh.ServiceID{Namespace: "a", Host: "s.a.svc.cluster.local"}
		s := &mesh.Service{ID: id, Ports: []mesh.Port{{Name: "http", Number: 8080, Protocol: mesh.HTTP}}}
		snap.Services, snap.Hosts = snap.Services.With(id, s), snap.Hosts.With(id.Host, []mesh.ServiceID{id})
		source, _ := view.NewSource().Next(snap)
		asked := 0
		cache := memo.New(memo.Rules[*view.Source, mesh.Proxy, string, mesh.Key, bool]{
			Compute: func(s2 *view.Source, _ string, r *view.Reader, _ func(string) *bool) *bool {
				asked++
				p := place{v: view.New(s2, r), port: 8080}
				got := &routev3.VirtualHost{}
				p.serve(got, s)
				if len(got.Routes) > 0 {
					t.Error("the general way was taken")
				}
				want := &routev3.VirtualHost{Routes: p.fallback(s)}
				if a, b := message.Thawed(got), message.Thawed(want); !proto.Equal(a, b) {
					t.Errorf("%v\nwant %v", a, b)
				}
				return new(bool)
			},
			Same: func(*bool) string { return "" }, Strong: func(*bool) bool { return true },
		})
		cache.Get(source, 0, func() *view.Source { return source }, &mesh.Proxy{Namespace: "a", Kind: mesh.Sidecar}, "x")
		if asked != 1 {
			t.Error("nothing was compared")
		}
	}
}
