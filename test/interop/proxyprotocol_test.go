package interop_test

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// proxyFile has a listener for HTTP and one for TCP behind a PROXY header, one where it is optional and one for version 2 alone; their upstreams are told of the client in
// version 1, in version 2, and in version 1 before TLS. The last listener takes what the one before sends with both.
const proxyFile = `
node: {id: t, cluster: t}
static_resources:
  listeners:
  - {name: http, address: &any {socket_address: {address: 127.0.0.1, port_value: ${HTTP}}}, listener_filters: [&header {name: envoy.filters.listener.proxy_protocol, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol}}],
     filter_chains: [{filters: [&http {name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h, use_remote_address: true, xff_num_trusted_hops: 1,
       access_log: &log [{name: log, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: "LOG %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_ADDRESS%\n"}}}}],
       http_filters: [&rbac {name: rbac, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC, rules: {action: DENY, policies: {one: {permissions: [{any: true}], principals: [{source_ip: {address_prefix: 10.9.0.0, prefix_len: 16}}, {direct_remote_ip: {address_prefix: 10.8.0.0, prefix_len: 16}}]}}}}},
         {name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}],
       route_config: {name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /one}, route: {cluster: one}}, {match: {prefix: /two}, route: {cluster: two}}, {match: {prefix: /}, route: {cluster: plain}}]}]}}}]}]}
  - {name: tcp, address: {socket_address: {address: 127.0.0.1, port_value: ${TCP}}}, listener_filters: [*header, {name: tls, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}],
     filter_chains: [{filter_chain_match: {transport_protocol: raw_buffer, direct_source_prefix_ranges: [{address_prefix: 127.0.0.1, prefix_len: 32}], source_prefix_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}, filters: [
        {name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: two, access_log: *log}}]}],
     default_filter_chain: {filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: one}}]}}
  - {name: optional, address: {socket_address: {address: 127.0.0.1, port_value: ${OPTIONAL}}}, filter_chains: [{filters: [*http]}],
     listener_filters: [{name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol, allow_requests_without_proxy_protocol: true, stat_prefix: o}}]}
  - {name: second, address: {socket_address: {address: 127.0.0.1, port_value: ${SECOND}}}, filter_chains: [{filters: [*http]}],
     listener_filters: [{name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol, disallowed_versions: [V1]}}]}
  - {name: pass, address: {socket_address: {address: 127.0.0.1, port_value: ${PASS}}}, filter_chains: [{filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: all}}]}],
     listener_filters: [{name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol, pass_through_tlvs: {match_type: INCLUDE_ALL}}}]}
  - {name: passhttp, address: {socket_address: {address: 127.0.0.1, port_value: ${PASSHTTP}}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h,
       http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}],
       route_config: {name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /some}, route: {cluster: some}}, {match: {prefix: /two}, route: {cluster: two}}, {match: {prefix: /}, route: {cluster: all}}]}]}}}]}],
     listener_filters: [{name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol, allow_requests_without_proxy_protocol: true, pass_through_tlvs: {match_type: INCLUDE, tlv_type: [1, 5, 224]}}}]}
  clusters:
  - {name: plain, type: STATIC, load_assignment: &app {cluster_name: app, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${APP}}}}}]}]}}
  - {name: all, type: STATIC, load_assignment: *app, transport_socket: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport,
     config: {version: V2, pass_through_tlvs: {match_type: INCLUDE_ALL}}, transport_socket: {name: raw, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}}
  - {name: some, type: STATIC, load_assignment: *app, transport_socket: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport,
     config: {version: V2, pass_through_tlvs: {match_type: INCLUDE, tlv_type: [1, 2, 5]}, added_tlvs: [{type: 225, value: eHl6}, {type: 5, value: b3du}]},
     transport_socket: {name: raw, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}}
  - {name: one, type: STATIC, load_assignment: *app, transport_socket: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport,
     config: {version: V1}, transport_socket: {name: raw, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}}
  - {name: two, type: STATIC, load_assignment: *app, transport_socket: {name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport,
     config: {version: V2}, transport_socket: {name: raw, typed_config: {"@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}}
`

const (
	v2Signature = "\r\n\r\n\x00\r\nQUIT\n"
	v2Header4   = v2Signature + "\x21\x11\x00\x0c\x0a\x01\x00\x01\x0a\x02\x00\x02\x1f\x90\x00\x50"
	v2Header6   = v2Signature + "\x21\x21\x00\x27\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x1f\x90\x00\x50\x04\x00\x00"
)

// TestProxyProtocol sends the same bytes to both data planes: what becomes of the connection, what the application and the log are told of the client, what the upstream's
// connection begins with, and what is counted.
func TestProxyProtocol(t *testing.T) {
	app := listenBackend(t, announced)
	onFiles(t, proxyFile, map[string]string{"APP": app}, func(p *filed) (out []string) {
		ask := func(to, header, path, more string) {
			request := "GET " + path + " HTTP/1.1\r\nhost: a\r\n" + more + "connection: close\r\n\r\n"
			out = append(out, fmt.Sprintf("%s %q %s %s: %s", to, header, path, strings.TrimSpace(more), p.say(to, header, request)))
		}
		for _, header := range []string{
			"PROXY TCP4 10.1.0.1 10.2.0.2 8080 80\r\n", "PROXY TCP6 fd00::1 fd00::2 8080 80\r\n", "PROXY UNKNOWN\r\n", v2Header4, v2Header6, v2Signature + "\x20\x00\x00\x02ab",
			"PROXY TCP4 10.9.0.1 10.2.0.2 8080 80\r\n", // which the rules deny as the source
			"PROXY TCP4 10.8.0.1 10.2.0.2 8080 80\r\n", // and this one only if it were the peer itself
			"", "PROXY TCP4 10.1.0.1  10.2.0.2 8080 80\r\n", "PROXY TCP4 10.1.0.1 10.2.0.2 80800 80\r\n", "PROXY TCP4 224.0.0.1 10.2.0.2 8080 80\r\n", v2Signature + "\x31\x11\x00\x0c0123456789ab",
			v2Signature + "\x21\x31\x00\x0c0123456789ab",
		} {
			ask("HTTP", header, "/", "")
		}
		for _, path := range []string{"/one", "/two"} {
			ask("HTTP", "PROXY TCP4 10.1.0.1 10.2.0.2 8080 80\r\n", path, "")
			ask("HTTP", "PROXY TCP4 10.1.0.1 10.2.0.2 8080 80\r\n", path, "x-forwarded-for: 192.0.2.1\r\n")
			ask("HTTP", v2Header6, path, "")
		}
		ask("OPTIONAL", "", "/one", "")
		ask("OPTIONAL", v2Header4, "/", "")
		ask("OPTIONAL", "PROXY nothing of the kind\r\n", "/", "")
		ask("SECOND", "PROXY UNKNOWN\r\n", "/", "")
		ask("SECOND", v2Header4, "/", "")
		for _, list := range []string{"", "\x01\x00\x02h2\x02\x00\x01a\xe0\x00\x00\x05\x00\x03own", "\xe0\x00\x01b\xe0\x00\x01c"} {
			header := v2Signature + "\x21\x11" + string([]byte{0, byte(12 + len(list))}) + "\x0a\x01\x00\x01\x0a\x02\x00\x02\x1f\x90\x00\x50" + list
			ask("PASS", header, "/", "")
			for _, path := range []string{"/", "/some", "/two"} {
				ask("PASSHTTP", header, path, "")
			}
		}
		ask("PASSHTTP", "PROXY TCP4 10.1.0.1 10.2.0.2 8080 80\r\n", "/some", "")
		ask("PASSHTTP", "", "/some", "")
		ask("TCP", v2Header4, "/", "")
		ask("TCP", v2Header6, "/", "")
		out = append(out, p.logged("LOG ", 18)...)
		return append(out, p.stats("proxy_proto")...)
	})
}

// announced answers one request with what its connection began with, and with x-forwarded-for.
func announced(c net.Conn) {
	c.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(c)
	header := ""
	switch first, _ := r.Peek(6); {
	case string(first) == "PROXY ":
		header, _ = r.ReadString('\n')
	case string(first) == v2Signature[:6]:
		b, _ := r.Peek(16)
		all := make([]byte, 16+int(b[14])<<8+int(b[15]))
		io.ReadFull(r, all)
		header = hex.EncodeToString(all[12:])
	}
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	body := fmt.Sprintf("began with %q, forwarded for %q", header, req.Header.Get("x-forwarded-for"))
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s", len(body), body)
}

// say sends bytes in two parts, and gives status and body of the answer, or that there is none. The client's port is different each time, and taken out.
func (p *filed) say(to, header, request string) string {
	p.t.Helper()
	c, err := net.Dial("tcp", p.at(to))
	must(p.t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	c.Write([]byte(header[:len(header)/2]))
	time.Sleep(2 * time.Millisecond) // as a rule in a packet of its own; the outcome is the same if not
	c.Write([]byte(header[len(header)/2:] + request))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "closed"
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(p.t, err)
	own := c.LocalAddr().(*net.TCPAddr).Port
	text := strings.ReplaceAll(string(body), fmt.Sprint(own), "OWN")
	if header == "" || strings.Contains(header, "UNKNOWN") || strings.Contains(header, " \x00") {
		text, _, _ = strings.Cut(text, "forwarded for") // in x-forwarded-for Envoy puts its host's own address in the place of a loopback address
	}
	return resp.Status + " " + strings.ReplaceAll(text, fmt.Sprintf("7f000001%04x", own), "7f000001OWN_")
}

// logged are the lines of the log with a prefix, when there are n of them.
func (p *filed) logged(prefix string, n int) (out []string) {
	p.t.Helper()
	p.until(fmt.Sprintf("there are %d lines with %q in the log", n, prefix), func() bool {
		out = nil
		for line := range strings.Lines(p.log.String()) {
			if at := strings.Index(line, prefix); at >= 0 {
				out = append(out, strings.TrimSpace(line[at:]))
			}
		}
		return len(out) >= n
	})
	return out
}
