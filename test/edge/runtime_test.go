package edge

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/test/pair"
)

// TestListenerLimit: the limit of a listener by runtime, which is where Envoy has it, and that of the whole proxy by its older key (which Envoy's own admin port is subject to, so
// that nothing is asked of it meanwhile).
func TestListenerLimit(t *testing.T) {
	const ask = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, layer := range map[string]string{
		"listener": `{envoy: {resource_limits: {listener: {front: {connection_limit: 2}}}}}`, "dotted": `{envoy.resource_limits.listener.front.connection_limit: 2}`,
		"proxy": `{overload: {global_downstream_max_connections: 2}}`,
	} {
		t.Run(name, func(t *testing.T) {
			both(t, file{rest: "\nlayered_runtime: {layers: [{name: static, static_layer: " + layer + "}]}\n"}, hello, func(t *testing.T, p *pair.Proxy) {
				var open []net.Conn
				for len(open) < 2 {
					c := dial(t, p)
					_, err := io.WriteString(c, ask)
					must(t, err)
					if _, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil { // else the connection of the test's own question is not gone yet
						open = append(open, c)
					}
				}
				if got := say(t, p, ask); got != "" {
					t.Errorf("%s: a third connection is answered %q", p.Plane, got)
				}
				for _, c := range open {
					_ = c.Close()
				}
				p.Until("there is room again", func() bool {
					return strings.HasPrefix(say(t, p, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "HTTP/1.1 200")
				})
			})
		})
	}
}
