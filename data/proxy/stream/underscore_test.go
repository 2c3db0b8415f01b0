package stream_test

import (
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

func TestUnderscores(t *testing.T) {
	for action, want := range map[config.Underscores][]string{
		config.AllowUnderscores: {"x_role: admin\r\n", "x-a: b\r\n"}, config.DropUnderscores: {"!x_role", "!admin", "x-a: b\r\n"}, config.RejectUnderscores: nil,
	} {
		h := plain()
		h.Underscores = action
		w := newWorld(t, 1, h, to("a", nil), cluster("a", "10.0.0.1:80"))
		s := w.serve("10.0.0.1:80", ok("x"))
		got := w.connect().ask("GET / HTTP/1.1\r\nHost: h\r\nX_Role: admin\r\nX-A: b\r\n\r\n")
		if want == nil {
			has(t, got, "HTTP/1.1 400 Bad Request\r\n", "connection: close\r\n")
			if r := w.last(); r.details != "http1.unexpected_underscore" || len(s.requests) > 0 {
				t.Errorf("%+v, %q", r, s.requests)
			}
			continue
		}
		has(t, got, "HTTP/1.1 200 OK\r\n")
		has(t, s.requests[0], want...)
	}
}
