package edge

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/test/pair"
)

// file is a bootstrap with one listener ("front") and one cluster. More of the connection manager, its filters in front of the router, its routes, network filters and more of the bootstrap go where
// they belong.
type file struct {
	manager, filters, routes, listener, network, transport, rest string
	cluster                                                      string // more of it
	http2                                                        bool   // to the upstream
}

func (f file) text() string {
	if f.routes == "" {
		f.routes = "[{match: {prefix: /}, route: {cluster: app}}]"
	}
	up := ""
	if f.http2 {
		up = `
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}`
	}
	return `
node: {id: edge, cluster: edge}
static_resources:
  listeners:
  - name: front
    address: {socket_address: {address: 127.0.0.1, port_value: ${listen:front}}}
` + f.listener + `
    filter_chains:
    - filters:` + f.network + `
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          access_log:
          - name: file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: ${dir}/access.log
              log_format: {text_format_source: {inline_string: "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n"}}
` + indent(f.manager, 10) + `
          route_config:
            name: all
            virtual_hosts: [{name: all, domains: ["*"], routes: ` + f.routes + `}]
          http_filters:
` + indent(f.filters, 10) + `
          - name: router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
` + f.transport + `
  clusters:
  - name: app
    type: STATIC` + up + `
` + indent(f.cluster, 4) + `
    load_assignment: {cluster_name: app, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${app}}}}}]}]}
` + f.rest
}

func indent(text string, n int) string {
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(strings.Trim(text, "\n"), "\n", "\n"+pad)
}

// both runs a test with each proxy in front of one upstream.
func both(t *testing.T, f file, app http.Handler, test func(t *testing.T, p *pair.Proxy)) {
	t.Helper()
	port := serve(t, app, f.http2)
	for _, plane := range pair.Planes {
		t.Run(plane, func(t *testing.T) { test(t, pair.Start(t, plane, f.text(), map[string]string{"app": port})) })
	}
}

func serve(t *testing.T, app http.Handler, second bool) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &http.Protocols{}
	p.SetHTTP1(!second)
	p.SetUnencryptedHTTP2(second)
	s := &http.Server{Handler: app, Protocols: p}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// say sends text on a connection of its own, and reads the answer to its end or until nothing comes for a while.
func say(t *testing.T, p *pair.Proxy, text string) string {
	t.Helper()
	c := dial(t, p)
	_, err := io.WriteString(c, text)
	must(t, err)
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	b, _ := io.ReadAll(c) // a reset is an answer too
	return string(b)
}

func dial(t *testing.T, p *pair.Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Address("front"))
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// get asks once for a path, with fields as "Name: value".
func get(t *testing.T, p *pair.Proxy, path string, fields ...string) *http.Response {
	t.Helper()
	text := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: front.test\r\nConnection: close\r\n", path)
	for _, f := range fields {
		text += f + "\r\n"
	}
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(say(t, p, text+"\r\n"))), nil)
	must(t, err)
	return resp
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	must(t, err)
	return string(b)
}

// logged waits for a line of the access log.
func logged(p *pair.Proxy, line string) {
	p.Until("the access log has "+line, func() bool {
		b, _ := os.ReadFile(p.Dir() + "/access.log")
		return strings.Contains(string(b), line+"\n")
	})
}

func stat(t *testing.T, p *pair.Proxy, name string, want int64) {
	t.Helper()
	n, err := int64(-1), error(nil)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if n, err = p.Stat(name); err == nil && n == want {
			return
		}
	}
	t.Errorf("%s: %s is %d (%v), want %d", p.Plane, name, n, err, want)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
