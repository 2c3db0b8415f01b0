package edge

import (
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/test/pair"
)

// TestConnectionLimit: what is above the limit of a chain is closed, at once or after a while, and room is made by those who go.
func TestConnectionLimit(t *testing.T) {
	for name, delay := range map[string]string{"at once": "", "later": ", delay: 0.2s"} {
		t.Run(name, func(t *testing.T) {
			f := file{network: `
      - name: limit
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit, stat_prefix: few, max_connections: 2` + delay + `}`}
			both(t, f, hello, func(t *testing.T, p *pair.Proxy) {
				first, second := dial(t, p), dial(t, p)
				stat(t, p, "connection_limit.few.active_connections", 2)
				if got := say(t, p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); got != "" {
					t.Errorf("%s: %q", p.Plane, got)
				}
				stat(t, p, "connection_limit.few.limited_connections", 1)
				_, _ = first.Close(), second.Close()
				stat(t, p, "connection_limit.few.active_connections", 0)
				if got := say(t, p, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200") {
					t.Errorf("%s: %q", p.Plane, got)
				}
			})
		})
	}
}
