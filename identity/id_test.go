package identity_test

import (
	"testing"

	"github.com/heddle-mesh/heddle/identity"
)

func TestParseID(t *testing.T) {
	for in, ok := range map[string]bool{
		"spiffe://cluster.local/ns/shop/sa/web":       true,
		"spiffe://a-b_c.d/ns/x/sa/y":                  true,
		"":                                            false,
		"cluster.local/ns/shop/sa/web":                false,
		"spiffe://Cluster.local/ns/shop/sa/web":       false,
		"spiffe://cluster.local/ns//sa/web":           false,
		"spiffe://cluster.local/ns/shop/sa/web/extra": false,
		"spiffe:///ns/shop/sa/web":                    false,
	} {
		got, err := identity.ParseID(in)
		if (err == nil) != ok {
			t.Errorf("%q: %v, want ok=%v", in, err, ok)
		}
		if ok && got.String() != in {
			t.Errorf("%q came back as %q", in, got)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("spiffe://cluster.local/ns/shop/sa/web")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := identity.ParseID(s)
		if err == nil && id.String() != s {
			t.Errorf("%q came back as %q", s, id)
		}
	})
}
