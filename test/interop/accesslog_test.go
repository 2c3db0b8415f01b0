package interop_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// loggedOperators are the operators of Istio's default format, and those beside them that name no moment, no machine and no connection.
var loggedOperators = strings.Fields(`REQ(:METHOD) REQ(X-ENVOY-ORIGINAL-PATH?:PATH) PROTOCOL RESPONSE_CODE RESPONSE_FLAGS RESPONSE_FLAGS_LONG RESPONSE_CODE_DETAILS CONNECTION_TERMINATION_DETAILS UPSTREAM_TRANSPORT_FAILURE_REASON BYTES_RECEIVED BYTES_SENT
	REQ(X-FORWARDED-FOR) REQ(USER-AGENT) REQ(:AUTHORITY) UPSTREAM_HOST UPSTREAM_CLUSTER_RAW UPSTREAM_CLUSTER DOWNSTREAM_LOCAL_ADDRESS REQUESTED_SERVER_NAME ROUTE_NAME
	REQ(:PATH):5 REQ(X-ABSENT?USER-AGENT):3 RESP(CONTENT-TYPE) RESP(X-ABSENT) TRAILER(GRPC-STATUS) REQ(:SCHEME) REQ(:STATUS) UPSTREAM_REQUEST_ATTEMPT_COUNT
	UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT UPSTREAM_REMOTE_ADDRESS UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT UPSTREAM_REMOTE_PORT DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT DOWNSTREAM_LOCAL_PORT DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT
	DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_PEER_URI_SAN DOWNSTREAM_LOCAL_URI_SAN DOWNSTREAM_PEER_SUBJECT DOWNSTREAM_TLS_VERSION DOWNSTREAM_TLS_CIPHER UPSTREAM_PEER_URI_SAN UPSTREAM_TLS_VERSION GRPC_STATUS GRPC_STATUS(SNAKE_STRING) GRPC_STATUS(NUMBER) GRPC_STATUS_NUMBER`)

const accessLogFile = `
static_resources:
  listeners:
  - {name: front, address: {socket_address: {address: 127.0.0.1, port_value: ${FRONT}}}, filter_chains: [{filters: [{name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: h,
       access_log: [
         {name: text, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: ${TEXT}}}}},
         {name: istio, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: ${ISTIO}}}}},
         {name: json, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {json_format: ${JSON}}}},
         {name: short, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {omit_empty_values: true, json_format: {a: LOG4, b: "%REQ(X-ABSENT)%", c: "<%REQ(X-ABSENT)%%RESPONSE_CODE%>", d: {e: "%BYTES_SENT%", f: [1, "%PROTOCOL%", true, "%REQ(X-ABSENT)%"], g: {h: "%REQ(X-ABSENT)%"}, i: ["%REQ(X-ABSENT)%"], j: {}, k: ["%REQ(X-ABSENT)%", {l: [1]}]}}}}}],
       http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}],
       route_config: {name: r, virtual_hosts: [{name: v, domains: ["a.test"], routes: [
         {name: direct, match: {prefix: /direct}, direct_response: {status: 201, body: {inline_string: made}}}, {name: moved, match: {prefix: /moved}, redirect: {path_redirect: /to}}, {name: nowhere, match: {prefix: /nowhere}, route: {cluster: nowhere}},
         {name: missing, match: {prefix: /missing}, route: {cluster: missing}}, {name: refused, match: {prefix: /refused}, route: {cluster: refused, retry_policy: {retry_on: connect-failure, num_retries: 2}}},
         {name: slow, match: {prefix: /slow}, route: {cluster: app, timeout: 0.05s}}, {name: reset, match: {prefix: /reset}, route: {cluster: app}}, {name: rewritten, match: {prefix: /old/}, route: {cluster: app, prefix_rewrite: /new/, host_rewrite_literal: b.test}},
         {name: grpc, match: {prefix: /grpc}, route: {cluster: grpc}}, {name: default, match: {prefix: /}, route: {cluster: app}}]}], validate_clusters: false}}}]}]}
  clusters:
  - {name: app, type: STATIC, load_assignment: {cluster_name: app, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${APP}}}}}]}]}}
  - {name: grpc, type: STATIC, load_assignment: {cluster_name: grpc, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${APP}}}}}]}]},
     typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}}
  - {name: refused, type: STATIC, load_assignment: {cluster_name: refused, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ${REFUSED}}}}}]}]}}
  - {name: nowhere, type: STATIC, load_assignment: {cluster_name: nowhere}}
`

// varying are the parts of Istio's line that name a moment, a length of time or a connection.
var varying = regexp.MustCompile(`\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\]|[0-9a-f]{8}-[0-9a-f-]{27}|127\.0\.0\.1:(\d+)`)

// escapes turn what Envoy writes of a user agent into what heddle-proxy writes: in text Envoy escapes nothing, so that a client can forge a line, and in JSON it writes the same
// characters in another way.
var escapes = strings.NewReplacer("a\"b\\c\td\xff", `a\"b\\c\x09d\xff`, `a\u0022b\u005cc`, `a\"b\\c`, `USER-AGENT):3=<a"b>`, `USER-AGENT):3=<a\"b>`)

// TestAccessLog sends the same requests to both data planes and compares their lines: Istio's default text, each operator by itself, and JSON.
func TestAccessLog(t *testing.T) {
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case strings.HasPrefix(r.URL.Path, "/slow"):
			<-r.Context().Done()
		case strings.HasPrefix(r.URL.Path, "/reset"):
			panic(http.ErrAbortHandler)
		case r.Header.Get("Content-Type") == "application/grpc":
			w.Header().Set("Content-Type", "application/grpc")
			if status := r.URL.Query().Get("status"); status != "" {
				w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
			}
			w.(http.Flusher).Flush() // no content-length, which would end the response before its trailers
			_, _ = io.WriteString(w, "12345")
		default:
			w.Header().Set("Content-Type", "text/x-test")
			_, _ = io.WriteString(w, "hello")
		}
	}))
	var both http.Protocols
	both.SetHTTP1(true)
	both.SetUnencryptedHTTP2(true)
	app.Config.Protocols = &both
	app.Start()
	t.Cleanup(app.Close)
	_, appPort, _ := strings.Cut(app.Listener.Addr().String(), ":")
	text, object := "LOG1", `{"a": "LOG3"`
	for i, op := range loggedOperators {
		text += " " + op + "=<%" + op + "%>"
		object += fmt.Sprintf(`, "f%02d": "%%%s%%"`, i, op)
	}
	istio := `LOG2 [%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% %BYTES_SENT% ` +
		`\"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%`
	given := map[string]string{"APP": appPort, "TEXT": `"` + text + `\n"`, "ISTIO": `"` + istio + `\n"`, "JSON": object + "}"}
	onFiles(t, accessLogFile, given, func(p *filed) (out []string) {
		clients := []*http.Client{{Transport: &http.Transport{DisableKeepAlives: true}}, {}}
		var prior http.Protocols
		prior.SetUnencryptedHTTP2(true)
		second := &http.Transport{Protocols: &prior}
		defer second.CloseIdleConnections()
		clients[1].Transport = second
		asked := 0
		for _, c := range clients {
			c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			for _, ask := range []struct{ method, path, body, header string }{
				{"GET", "/plain?q=1", "", ""}, {"HEAD", "/", "", ""}, {"POST", "/", "some body", "user-agent: one"}, {"GET", "/direct", "", "x-forwarded-for: 192.0.2.1, 192.0.2.2"}, {"GET", "/moved", "", ""},
				{"GET", "/nowhere", "", ""}, {"GET", "/missing", "", ""}, {"GET", "/refused", "", ""}, {"GET", "/slow", "", ""}, {"GET", "/reset", "", ""}, {"GET", "/old/path?q", "", ""},
				{"GET", "/nohost", "", "host: other.test"}, {"GET", "/", "", "user-agent: a\"b\\c\td\xff"}, {"POST", "/grpc?status=0", "x", "content-type: application/grpc"}, {"POST", "/grpc?status=5", "x", "content-type: application/grpc"}, {"POST", "/grpc?status=77", "x", "content-type: application/grpc"}, {"POST", "/grpc", "x", "content-type: application/grpc"},
				{"POST", "/nowhere", "x", "content-type: application/grpc"},
			} {
				req, err := http.NewRequest(ask.method, "http://"+p.at("FRONT")+ask.path, strings.NewReader(ask.body))
				must(t, err)
				req.Host = "a.test"
				req.Header.Set("User-Agent", "tester")
				if name, value, ok := strings.Cut(ask.header, ": "); ok && name == "host" {
					req.Host = value
				} else if ok {
					req.Header.Set(name, value)
				}
				resp, err := c.Do(req)
				must(t, err)
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				asked++
			}
		}
		for _, kind := range []string{"LOG1", "LOG2", "LOG3", "LOG4"} {
			for _, line := range p.logged(kind, asked) {
				line = varying.ReplaceAllStringFunc(line, func(s string) string {
					if at := varying.FindStringSubmatch(s); at[1] != "" && (at[1] == p.ports["FRONT"] || at[1] == appPort || at[1] == p.ports["REFUSED"]) {
						return s
					}
					return "*"
				})
				if p.plane == "envoy" {
					line = escapes.Replace(line)
				}
				out = append(out, line)
			}
		}
		return out
	})
}
