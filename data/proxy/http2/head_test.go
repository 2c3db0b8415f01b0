package http2

import (
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

func TestUnderscores(t *testing.T) {
	for action, want := range map[codec.Underscores]*Error{codec.AllowUnderscores: nil, codec.DropUnderscores: nil, codec.RejectUnderscores: ErrUnderscore} {
		var h head
		h.reset()
		l := Defaults()
		l.Underscores = action
		h.begin(sectionRequest, &l)
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}, {"x_role", "admin"}, {"x-a", "b"}} {
			h.Field([]byte(f[0]), []byte(f[1]), false)
		}
		h.request(true, false)
		_, kept := h.Get("x_role")
		if _, other := h.Get("x-a"); h.err != want || kept != (action == codec.AllowUnderscores) || want == nil && !other {
			t.Errorf("action %d: %v, kept %t", action, h.err, kept)
		}
	}
}
