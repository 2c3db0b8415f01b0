package edge

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/test/pair"
)

// TestOverloadLetsGoOfWhatRests: connections that carry nothing are memory that nobody needs, and after a burst there are many. Under pressure those to upstreams are closed, and where the heap is
// shrunk those of clients as well; without it they rest for an hour, in which a proxy with little memory would refuse everybody.
func TestOverloadLetsGoOfWhatRests(t *testing.T) {
	const overload = `
overload_manager:
  refresh_interval: 0.1s
  resource_monitors:
  - name: envoy.resource_monitors.global_downstream_max_connections
    typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: 20}
  actions: [{name: envoy.overload_actions.%s, triggers: [{name: envoy.resource_monitors.global_downstream_max_connections, threshold: {value: 0.5}}]}]
`
	for _, action := range []string{"disable_http_keepalive", "shrink_heap"} {
		t.Run(action, func(t *testing.T) {
			const burst = 5
			var waiting sync.WaitGroup
			waiting.Add(burst)
			port := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { waiting.Done(); waiting.Wait() }), false)
			p := pair.Start(t, pair.Heddle, file{rest: fmt.Sprintf(overload, action)}.text(), map[string]string{"app": port})
			var clients []net.Conn
			for range burst {
				c := dial(t, p)
				fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				clients = append(clients, c)
			}
			for _, c := range clients {
				if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
					t.Fatal(err)
				}
			}
			stat(t, p, "cluster.app.upstream_cx_active", burst) // they rest
			for range 8 {
				dial(t, p) // more than half of what may be open
			}
			stat(t, p, "cluster.app.upstream_cx_active", 0)
			if action == "shrink_heap" {
				for _, c := range clients {
					_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
					if n, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
						t.Errorf("a client's connection at rest: %d bytes, %v; want its end", n, err)
					}
				}
			}
		})
	}
}
