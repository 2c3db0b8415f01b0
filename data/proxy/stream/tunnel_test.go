package stream_test

import (
	"strings"
	"testing"
	"time"
)

// TestEarlyTunnelData: what a client sends behind a request for a tunnel waits for the upstream's word. If the upstream does not agree it never sees it, for to it they would be the
// next requests on a connection that others use (CVE-2025-64763).
func TestEarlyTunnelData(t *testing.T) {
	const (
		ask      = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
		smuggled = "GET /admin HTTP/1.1\r\nHost: h\r\n\r\n"
	)
	for name, tt := range map[string]struct {
		early, answer string
		arrives       bool
	}{
		"refused":       {smuggled, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", false},
		"refused large": {strings.Repeat(smuggled, 10_000), "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", false},
		"agreed":        {smuggled, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", true},
		"agreed large":  {strings.Repeat(smuggled, 10_000), "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", true},
	} {
		h := plain()
		h.Upgrades = []string{"websocket"}
		w := newWorld(t, 1, h, to("c", nil), cluster("c", "10.0.0.1:80"))
		s := w.serve("10.0.0.1:80", func(n int, _ string) string {
			if n == 1 {
				return tt.answer
			}
			return ""
		})
		c := w.connect()
		c.c.Write([]byte(ask + tt.early))
		w.sim.Run(time.Second)
		got := strings.Join(s.requests[1:], "")
		switch {
		case len(s.requests) == 0 || !strings.HasPrefix(s.requests[0], "GET /ws"):
			t.Fatalf("%s: the upstream got %q", name, s.requests)
		case tt.arrives && got != tt.early:
			t.Errorf("%s: %d of %d bytes arrived", name, len(got), len(tt.early))
		case !tt.arrives && got != "":
			t.Errorf("%s: %d bytes arrived: %.60q", name, len(got), got)
		case !tt.arrives && !c.EOF && c.Closed == 0:
			t.Errorf("%s: the connection goes on", name)
		}
	}
}
