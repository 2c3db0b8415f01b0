package edge

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/test/pair"
)

// plain is an answer without the fields that differ from run to run.
func plain(answer string) string {
	var kept []string
	for line := range strings.Lines(answer) {
		line = strings.TrimRight(line, "\r\n")
		switch name, _, _ := strings.Cut(strings.ToLower(line), ":"); name {
		case "date", "server", "x-envoy-upstream-service-time", "content-type", "connection":
		default:
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, " | ")
}

// TestContinue: clients that wait until they are told to send (100-continue), and other answers before the answer, where the proxy says them and where the upstream does.
func TestContinue(t *testing.T) {
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Expect", r.Header.Get("Expect"))
		switch r.URL.Path {
		case "/hints":
			w.Header().Set("Link", "</style.css>")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
		case "/refuse":
			w.WriteHeader(http.StatusForbidden)
			return
		}
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d bytes", len(b))
	})
	const post = " HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n"
	for name, f := range map[string]file{
		"proxy": {}, "upstream": {manager: "proxy_100_continue: true"}, "http/2": {http2: true}, "http/2 upstream": {manager: "proxy_100_continue: true", http2: true},
	} {
		t.Run(name, func(t *testing.T) {
			agree(t, f, app, func(t *testing.T, p *pair.Proxy, note func(name, answer string)) {
				for name, text := range map[string]string{
					"length":      "POST /" + post + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
					"chunks":      "POST /" + post + "expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
					"nothing":     "POST /" + post + "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n",
					"get":         "GET /" + post + "Expect: 100-continue\r\n\r\n",
					"other":       "POST /" + post + "Expect: miracles\r\nContent-Length: 2\r\n\r\nhi",
					"refused":     "POST /refuse" + post + "Content-Length: 2\r\n\r\nhi",
					"hints":       "GET /hints" + post + "\r\n",
					"hints in 10": "GET /hints HTTP/1.0\r\nHost: a.test\r\n\r\n",
				} {
					answer := strings.ReplaceAll(plain(say(t, p, text)), "103 Unknown", "103 Early Hints")
					if name == "get" || name == "nothing" { // Envoy says it also where there is nothing to wait for, which nobody needs (RFC 9110 section 10.1.1)
						answer = strings.TrimPrefix(answer, "HTTP/1.1 100 Continue |  | ")
					}
					note(name, answer)
				}
			})
		})
	}
}
