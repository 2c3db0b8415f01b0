package edge

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/test/pair"
)

// TestHTTP10 asks in HTTP/1.0 where that is allowed, with and without a host, and lets the connection stay or not.
func TestHTTP10(t *testing.T) {
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			fmt.Fprint(w, "one ")
			w.(http.Flusher).Flush()
		}
		fmt.Fprintf(w, "%s %s %s", r.Method, r.Host, r.Proto)
	})
	f := file{manager: "http_protocol_options: {accept_http_10: true, default_host_for_http_10: default.test}"}
	agree(t, f, app, func(t *testing.T, p *pair.Proxy, note func(name, answer string)) {
		for name, text := range map[string]string{
			"no host":            "GET / HTTP/1.0\r\n\r\n",
			"host":               "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n",
			"absolute":           "GET http://b.test/ HTTP/1.0\r\n\r\n",
			"no length":          "GET /stream HTTP/1.0\r\n\r\n",
			"post":               "POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi",
			"no host in 1.1":     "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
			"keep-alive, then 1": "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\n",
		} {
			var kept []string
			for line := range strings.Lines(say(t, p, text)) {
				line = strings.TrimRight(line, "\r\n")
				name, _, _ := strings.Cut(strings.ToLower(line), ":")
				switch name {
				case "date", "server", "x-envoy-upstream-service-time", "content-type":
				case "connection":
					kept = append(kept, strings.ToLower(line))
				default:
					kept = append(kept, line)
				}
			}
			note(name, strings.Join(kept, " | "))
		}
	})
}

// TestRegexRewrite: what RE2 replaces.
func TestRegexRewrite(t *testing.T) {
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s was %s", r.RequestURI, r.Header.Get("X-Envoy-Original-Path"))
	})
	for name, tt := range map[string]struct{ pattern, to string }{
		"groups": {`^/service/([^/]+)(/.*)$`, `\\2/instance/\\1`}, "each": {`one`, `two`}, "whole match": {`^/(a+)`, `/<\\0>`}, "backslash": {`b`, `\\\\`}, "dollar": {`b`, `$1`}, "anchors": {`^/x/`, `/`},
		"none": {`nothing`, `x`}, "empty matches": {`z*`, `-`}, "case": {`(?i)ABC`, `x`},
	} {
		t.Run(name, func(t *testing.T) {
			f := file{routes: fmt.Sprintf(`[{match: {prefix: /}, route: {cluster: app, regex_rewrite: {pattern: {regex: %q}, substitution: "%s"}}}]`, tt.pattern, tt.to)}
			agree(t, f, app, func(t *testing.T, p *pair.Proxy, note func(name, answer string)) {
				for _, path := range []string{"/service/foo/v1/api?x=one", "/xxx/one/yyy/one/zzz?one", "/aaab", "/x/y", "/abc/ABC", "/"} {
					r := get(t, p, path)
					note(path, fmt.Sprintf("%d %s", r.StatusCode, body(t, r)))
				}
			})
		})
	}
}
