package xds

import (
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
)

func TestVersionIsOfDeterministicBytes(t *testing.T) {
	m, err := structpb.NewStruct(map[string]any{"a": 1.0, "b": "x", "c": true, "d": nil, "e": []any{1.0}})
	if err != nil {
		t.Fatal(err)
	}
	first, err := New(Name{Cluster, "a"}, m, "Service/default/a")
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		again, err := New(Name{Cluster, "a"}, m)
		if err != nil || again.Version != first.Version || len(again.Version) != 16 {
			t.Fatal(again, err)
		}
	}
	other, _ := New(Name{Cluster, "a"}, structpb.NewStringValue("y"))
	if other.Version == first.Version {
		t.Error("different bytes, one version")
	}
	if empty, _ := New(Name{Cluster, "a"}, &structpb.Struct{}); empty.Body == nil {
		t.Error("an empty message counts as not known")
	}
}

func TestNames(t *testing.T) {
	for url, short := range map[string]string{Cluster: "cds", VirtualHost: "vhds", "type.googleapis.com/istio.workload.Address": "Address", "plain": "plain", "": ""} {
		if got := ShortType(url); got != short {
			t.Errorf("ShortType(%q) = %q", url, got)
		}
	}
	for name, want := range map[string]string{"80/a.com:80": "80", "https.443.x.gw.ns/h": "https.443.x.gw.ns", "a/b/c": "a/b"} {
		if got, ok := RouteOf(name); !ok || got != want {
			t.Errorf("RouteOf(%q) = %q, %v", name, got, ok)
		}
	}
	if _, ok := RouteOf("none"); ok {
		t.Error("a name without a slash has a route configuration")
	}
}
