package api

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

// describe is the readable form of a decoding that the goldens hold.
func describe(objects []Object, problems []Problem) string {
	var b strings.Builder
	for _, o := range objects {
		fmt.Fprintf(&b, "%s %s line %d %v\n", o.Kind.APIVersion(), o.Ref(), o.Meta.Line, o.Unknown)
	}
	for _, p := range problems {
		fmt.Fprintf(&b, "%s %s\n", p.Code, p)
	}
	return b.String()
}

func TestDecodeGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/decode/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no goldens", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := describe(DecodeAll(a.Files[0].Data, ""))
			if *update {
				a.Files = append(a.Files[:1], txtar.File{Name: "out", Data: []byte(got)})
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if len(a.Files) != 2 {
				t.Fatal("want two files: in and out")
			}
			if d := cmp.Diff(string(a.Files[1].Data), got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestDecodeFillsTypes(t *testing.T) {
	o, ps := Decode([]byte(`
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: a, namespace: b, generation: 3, creationTimestamp: 2026-01-02T03:04:05Z}
spec:
  hosts: [reviews]
  http:
  - timeout: 2m
    route: [{destination: {host: reviews, port: {number: 80}}, weight: 100}]
`))
	if len(ps) != 0 {
		t.Fatal(ps)
	}
	vs := o.Spec.(*networking.VirtualService)
	if vs.Http[0].Timeout.Seconds != 120 || vs.Http[0].Route[0].Destination.Port.Number != 80 || o.Meta.Generation != 3 || o.Meta.Created.Year() != 2026 {
		t.Errorf("got %v %+v", vs, o.Meta)
	}
	o, ps = Decode([]byte(`{"apiVersion":"v1","kind":"Service","metadata":{"name":"s","labels":{"a":"b"}},"spec":{"ports":[{"port":80,"targetPort":"http"}]}}`))
	svc := o.Spec.(*corev1.Service)
	if len(ps) != 0 || svc.Name != "s" || svc.Spec.Ports[0].TargetPort.StrVal != "http" || o.Meta.Namespace != "default" {
		t.Error(ps, svc)
	}
	o, ps = Decode([]byte("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec: {hostnames: [a.com], rules: [{timeouts: {request: 10s}}]}\n"))
	route := o.Spec.(*gwv1.HTTPRouteSpec)
	if len(ps) != 0 || string(*route.Rules[0].Timeouts.Request) != "10s" {
		t.Error(ps, route)
	}
}

func TestDecodeJSONThatYAMLDoesNotTake(t *testing.T) {
	o, ps := Decode([]byte("{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"ConfigMap\",\n\t\"metadata\": {\"name\": \"c\", \"generation\": 12},\n\t\"data\": {\"a\": \"\\ud83d\\ude00\"}\n}\n"))
	if len(ps) != 0 || o.Spec.(*corev1.ConfigMap).Data["a"] != "😀" || o.Meta.Generation != 12 {
		t.Errorf("%v %+v", ps, o)
	}
	if _, ps := Decode([]byte(`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "name": "d"}}`)); len(ps) == 0 {
		t.Error("a key that is given twice was taken")
	}
}

func TestEveryKindDecodesEmpty(t *testing.T) {
	for _, k := range Kinds {
		for _, v := range k.Versions {
			apiVersion := v
			if k.Group != "" {
				apiVersion = k.Group + "/" + v
			}
			o, ps := FromMap(map[string]any{"apiVersion": apiVersion, "kind": k.Kind, "metadata": map[string]any{"name": "x"}})
			if specRequired[k.Kind] {
				if len(ps) != 1 || ps[0].Field != "spec" {
					t.Errorf("%s %s without spec: %v", apiVersion, k.Kind, ps)
				}
				ps = nil
			}
			if len(ps) != 0 || o.Kind != k || reflect.TypeOf(o.Spec).Elem() != k.spec {
				t.Errorf("%s %s: %v %v", apiVersion, k.Kind, o, ps)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob("testdata/decode/*.txtar")
	for _, file := range files {
		if a, err := txtar.ParseFile(file); err == nil {
			f.Add(a.Files[0].Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, problems := DecodeAll(data, "f.yaml")
		for _, o := range objects {
			if o.Kind == nil || o.Spec == nil {
				t.Fatalf("object without kind or spec: %+v", o)
			}
		}
		for _, p := range problems {
			if p.Message == "" || p.Code == "" {
				t.Fatalf("empty problem %+v", p)
			}
		}
	})
}
