package edge

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/test/pair"
)

// trailing answers with the trailers that a request had, and with trailers of its own, one of which may not be there.
func trailing(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	var got []string
	for name, values := range r.Trailer {
		got = append(got, name+"="+strings.Join(values, ","))
	}
	slices.Sort(got)
	w.Header().Set("X-Got", strings.Join(got, " "))
	w.WriteHeader(200)
	fmt.Fprint(w, "body")
	w.(http.Flusher).Flush()
	w.Header().Set(http.TrailerPrefix+"X-Sum", "7")
	w.Header().Set(http.TrailerPrefix+"X-Sum-2", "")
}

// TestTrailers sends and asks for trailers in HTTP/1.1, with and without enable_trailers, to upstreams of both versions.
func TestTrailers(t *testing.T) {
	const chunked = "POST / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
	for name, f := range map[string]file{
		"off":    {},
		"on":     {manager: "http_protocol_options: {enable_trailers: true}", cluster: "http_protocol_options: {enable_trailers: true}"},
		"http/2": {manager: "http_protocol_options: {enable_trailers: true}", http2: true},
	} {
		t.Run(name, func(t *testing.T) {
			agree(t, f, http.HandlerFunc(trailing), func(t *testing.T, p *pair.Proxy, note func(name, answer string)) {
				for name, text := range map[string]string{
					"get":      "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
					"none":     chunked + "\r\n2\r\nhi\r\n0\r\n\r\n",
					"one":      chunked + "\r\n2\r\nhi\r\n0\r\nX-A: 1\r\n\r\n",
					"several":  chunked + "Trailer: X-A, X-B\r\n\r\n2\r\nhi\r\n0\r\nX-A: 1\r\nx-b: two\r\nX-A: 3\r\n\r\n",
					"no body":  chunked + "\r\n0\r\nX-A: 1\r\n\r\n",
					"no name":  chunked + "\r\n0\r\n: 1\r\n\r\n",
					"bad name": chunked + "\r\n0\r\nX A: 1\r\n\r\n",
				} {
					note(name, plain(say(t, p, text)))
				}
			})
		})
	}
}
