package interop_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// detectFile has a port of which nobody has said what is spoken on it: HTTP is seen by its first bytes, and after 50 ms of silence the connection goes on as TCP.
const detectFile = `
static_resources:
  listeners:
  - {name: front, address: {socket_address: {address: 127.0.0.1, port_value: ${FRONT}}}, listener_filters_timeout: 0.05s, continue_on_listener_filters_timeout: true,
     listener_filters: [{name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}, {name: http, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector}}],
     filter_chains: [
       {name: http, filter_chain_match: {application_protocols: [http/1.1, h2c]}, filters: [{name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h,
         http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}],
         route_config: {name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: "HTTP was seen"}}}]}]}}}]},
       {name: tls, filter_chain_match: {transport_protocol: tls}, filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: s, cluster: tls}}]}],
     default_filter_chain: {name: tcp, filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: app}}]}}
  clusters:
  - {name: app, type: STATIC, load_assignment: {cluster_name: app, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${APP}}}}}]}]}}
  - {name: tls, type: STATIC, load_assignment: {cluster_name: tls, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${TLS}}}}}]}]}}
`

// TestServerFirst: on a port whose protocol is detected, a server that speaks first is heard; what clients say first decides otherwise.
func TestServerFirst(t *testing.T) {
	greet := func(name string) string {
		return listenBackend(t, func(c net.Conn) {
			fmt.Fprintf(c, "220 %s ready\n", name)
			b := make([]byte, 100)
			n, _ := c.Read(b)
			fmt.Fprintf(c, "heard %x", b[:n])
		})
	}
	onFiles(t, detectFile, map[string]string{"APP": greet("app"), "TLS": greet("tls")}, func(p *filed) (out []string) {
		for _, says := range []string{"", "\r\n", "HELLO\r\n", "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", "\x16\x03\x01\x00"} {
			c, err := net.Dial("tcp", p.at("FRONT"))
			must(t, err)
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			if says == "" { // it waits for the greeting
				b := make([]byte, 4)
				_, err := io.ReadFull(c, b)
				must(t, err)
				says = "then"
			}
			_, _ = io.WriteString(c, says)
			b, _ := io.ReadAll(c)
			c.Close()
			var kept []string
			for line := range strings.Lines(string(b)) {
				if name, _, _ := strings.Cut(line, ":"); name != "date" {
					kept = append(kept, strings.TrimSpace(line))
				}
			}
			out = append(out, fmt.Sprintf("%q: %s", says, strings.Join(kept, " ")))
		}
		return out
	})
}
