package accepted

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/heddle-mesh/heddle/api"
)

const objects = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop, generation: 3, creationTimestamp: "2026-01-02T03:04:05Z", labels: {a: b}}
spec:
  hosts: [web]
  http:
  - timeout: 1500ms
    match: [{uri: {prefix: /x}, headers: {h: {exact: v}}}]
    fault: {delay: {fixedDelay: 5s, percentage: {value: 0.1}}}
    route: [{destination: {host: web, port: {number: 80}}, weight: 100}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: shop}
spec: {action: DENY, rules: [{from: [{source: {principals: ["*"]}}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec: {parentRefs: [{name: gw}], rules: [{backendRefs: [{name: web, port: 80}], timeouts: {request: 10s}}]}
`

func TestVersionsSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accepted.json")
	log := slog.New(slog.DiscardHandler)
	v, err := Open(path, log)
	if err != nil {
		t.Fatal(err)
	}
	all, problems := api.DecodeAll([]byte(objects), "")
	if len(all) != 3 || len(problems) > 0 {
		t.Fatal(len(all), problems)
	}
	for _, o := range all {
		v.Put(o)
	}
	v.Put(api.Object{Kind: all[0].Kind, Meta: api.Meta{Name: "gone", Namespace: "shop"}, Spec: all[0].Spec})
	v.Delete(api.Ref{Group: api.GroupNetworking, Kind: "VirtualService", Namespace: "shop", Name: "gone"})
	if err := v.Save(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path, log)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		got, ok := again.Get(o.Ref())
		if !ok {
			t.Errorf("%s is lost", o.Ref())
			continue
		}
		x, isProto := o.Spec.(proto.Message)
		if isProto && !proto.Equal(x, got.Spec.(proto.Message)) || !isProto && !reflect.DeepEqual(o.Spec, got.Spec) {
			t.Errorf("%s: %v, want %v", o.Ref(), got.Spec, o.Spec)
		}
		if !got.Meta.Created.Equal(o.Meta.Created) || got.Meta.Generation != o.Meta.Generation || !reflect.DeepEqual(got.Meta.Labels, o.Meta.Labels) {
			t.Errorf("%s: metadata %+v", o.Ref(), got.Meta)
		}
	}
	if len(again.objects) != 3 {
		t.Errorf("%d objects", len(again.objects))
	}
}

func TestBrokenRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accepted.json")
	for content, want := range map[string]string{"{": "remove the file", `{"version":7}`: "newer"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
}
