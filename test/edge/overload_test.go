package edge

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/test/pair"
)

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") })

// overload is an overload_manager with one action on the heap, of which a single byte is allowed.
func overload(action string) string {
	return `
overload_manager:
  refresh_interval: 0.05s
  resource_monitors:
  - name: envoy.resource_monitors.fixed_heap
    typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 1}
  actions:
  - name: envoy.overload_actions.` + action + `
    triggers: [{name: envoy.resource_monitors.fixed_heap, threshold: {value: 0.9}}]
`
}

func TestStopAcceptingRequests(t *testing.T) {
	both(t, file{rest: overload("stop_accepting_requests")}, hello, func(t *testing.T, p *pair.Proxy) {
		stat(t, p, "overload.envoy.overload_actions.stop_accepting_requests.active", 1)
		r := get(t, p, "/")
		if text := body(t, r); r.StatusCode != 503 || text != "envoy overloaded" || r.Header.Get("Content-Type") != "text/plain" {
			t.Errorf("%s: %d %q %v", p.Plane, r.StatusCode, text, r.Header)
		}
		flag := map[string]string{pair.Heddle: "OM", pair.Envoy: "-"}[p.Plane] // Envoy has the flag, and does not set it here
		logged(p, "503 "+flag+" overload")
		stat(t, p, "http.front.downstream_rq_overload_close", 1)
	})
}

func TestDisableKeepAlive(t *testing.T) {
	both(t, file{rest: overload("disable_http_keepalive")}, hello, func(t *testing.T, p *pair.Proxy) {
		stat(t, p, "overload.envoy.overload_actions.disable_http_keepalive.active", 1)
		got := say(t, p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") // it ends because the proxy ends it
		if !strings.HasPrefix(got, "HTTP/1.1 200") || !strings.Contains(got, "connection: close\r\n") {
			t.Errorf("%s: %q", p.Plane, got)
		}
		stat(t, p, "http.front.downstream_cx_overload_disable_keepalive", 1)
	})
}

func TestRejectConnections(t *testing.T) {
	both(t, file{rest: overload("reject_incoming_connections")}, hello, func(t *testing.T, p *pair.Proxy) {
		stat(t, p, "overload.envoy.overload_actions.reject_incoming_connections.active", 1)
		if got := say(t, p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); got != "" {
			t.Errorf("%s: %q", p.Plane, got)
		}
		stat(t, p, "listener."+strings.ReplaceAll(p.Address("front"), ":", "_")+".downstream_cx_overload_reject", 1)
	})
}

// TestStopAcceptingConnections: what comes waits in the kernel.
func TestStopAcceptingConnections(t *testing.T) {
	both(t, file{rest: overload("stop_accepting_connections")}, hello, func(t *testing.T, p *pair.Proxy) {
		stat(t, p, "overload.envoy.overload_actions.stop_accepting_connections.active", 1)
		c := dial(t, p)
		_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		must(t, err)
		_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if n, err := c.Read(make([]byte, 1)); n != 0 || errors.Is(err, io.EOF) {
			t.Errorf("%s: an answer of %d bytes, %v", p.Plane, n, err)
		}
		stat(t, p, "http.front.downstream_rq_total", 0)
	})
}

const twoConnections = `
overload_manager:
  refresh_interval: 0.05s
  resource_monitors:
  - name: envoy.resource_monitors.global_downstream_max_connections
    typed_config: {"@type": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: 2}
`

func TestMaxConnections(t *testing.T) {
	both(t, file{rest: twoConnections}, hello, func(t *testing.T, p *pair.Proxy) {
		first, second := dial(t, p), dial(t, p)
		stat(t, p, "http.front.downstream_cx_active", 2)
		if got := say(t, p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); got != "" {
			t.Errorf("%s: a third connection is answered %q", p.Plane, got)
		}
		stat(t, p, "listener."+strings.ReplaceAll(p.Address("front"), ":", "_")+".downstream_global_cx_overflow", 1)
		_, _ = first.Close(), second.Close()
		stat(t, p, "http.front.downstream_cx_active", 0)
		if r := get(t, p, "/"); r.StatusCode != 200 {
			t.Errorf("%s: %d after others have gone", p.Plane, r.StatusCode)
		}
	})
}
