package compress

import (
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	both := []offer{{encoding: "gzip"}, {encoding: "br"}}
	brFirst := []offer{{encoding: "gzip"}, {encoding: "br", first: true}}
	for _, tt := range []struct {
		accept string
		offers []offer
		want   string
	}{
		{"gzip", both, "gzip"}, {"br, gzip", both, "br"}, {"gzip, br", brFirst, "br"}, {"gzip;q=0.5, br;q=0.4", brFirst, "gzip"}, {"*", both, "gzip"}, {"identity, gzip", both, ""},
		{"identity;q=0.1, gzip;q=0.2", both, "gzip"}, {"deflate", both, ""}, {"", both, ""}, {"gzip", nil, ""}, {"gzip;q=0", both, ""}, {"gzip;q=x", both, ""},
	} {
		if got := choose([]byte(tt.accept), tt.offers); got != tt.want {
			t.Errorf("%q of %v: %q, want %q", tt.accept, tt.offers, got, tt.want)
		}
	}
}

// FuzzChoose: nothing is chosen that is not offered, or not named.
func FuzzChoose(f *testing.F) {
	for _, s := range []string{"gzip, br;q=0.5", "*;q=0", "identity;q=1, *", ";;q=,,", "gzip;q=1e9", "gzip;Q=0.1 , br"} {
		f.Add(s)
	}
	offers := []offer{{encoding: "gzip"}, {encoding: "br", first: true}}
	f.Fuzz(func(t *testing.T, s string) {
		got := choose([]byte(s), offers)
		if got != "" && got != "gzip" && got != "br" {
			t.Fatalf("%q chose %q", s, got)
		}
		if got != "" && !strings.Contains(s, got) && !strings.Contains(s, "*") {
			t.Fatalf("%q chose %q, which it does not name", s, got)
		}
		_ = refused([]byte(s), "gzip")
	})
}
