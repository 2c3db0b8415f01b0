package nds

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var sample = Table{
	"reviews.shop.svc.cluster.local": {IPs: []string{"10.0.0.1", "fd00::1"}, Registry: Kubernetes, Shortname: "reviews", Namespace: "shop", AltHosts: []string{"reviews.shop"}},
	"*.example.com":                  {IPs: []string{"240.240.0.1"}, Registry: External},
	"empty.example":                  {},
}

func TestRoundTrip(t *testing.T) {
	b := sample.Marshal()
	got, err := Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample, got); diff != "" {
		t.Error(diff)
	}
	if !bytes.Equal(b, got.Marshal()) {
		t.Error("equal tables have different bytes")
	}
}

func TestUnknownFieldsAreErrors(t *testing.T) {
	for _, b := range [][]byte{{0x12, 0}, {0x08, 1}, {0x0a, 4, 0x0a, 0, 0x1a, 0}, {0x0a, 4, 0x12, 2, 0x3a, 0}, {0x0a, 200}} {
		if _, err := Unmarshal(b); err == nil {
			t.Errorf("%x was accepted", b)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(sample.Marshal())
	f.Add([]byte{0x0a, 4, 0x0a, 0, 0x1a, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := Unmarshal(b)
		if err != nil {
			return
		}
		again, err := Unmarshal(table.Marshal())
		if err != nil || !cmp.Equal(table, again) {
			t.Fatalf("%x: %v, %v", b, table, again)
		}
	})
}
