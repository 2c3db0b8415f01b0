package edge

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/heddle-mesh/heddle/test/pair"
)

// TestGRPCRetries: a status that is all the answer is tried again where retry_on names it.
func TestGRPCRetries(t *testing.T) {
	codes := map[string]string{"cancelled": "1", "deadline-exceeded": "4", "internal": "13", "resource-exhausted": "8", "unavailable": "14", "not-found": "5"}
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("X-Attempt", r.Header.Get("X-Envoy-Attempt-Count"))
		code := codes[r.URL.Path[1:]]
		switch n := r.Header.Get("X-Envoy-Attempt-Count"); {
		case n == "1" || r.Header.Get("X-Always") != "":
			w.Header().Set("Grpc-Status", code)
		default:
			w.(http.Flusher).Flush()
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		}
	})
	routes := `[{match: {prefix: /}, route: {cluster: app, retry_policy: {retry_on: "cancelled,deadline-exceeded,internal,resource-exhausted,unavailable", num_retries: 2, retry_back_off: {base_interval: 0.001s}}}}], include_request_attempt_count: true`
	agree(t, file{routes: routes, http2: true}, app, func(t *testing.T, p *pair.Proxy, note func(name, answer string)) {
		for code := range codes {
			for _, always := range []string{"", "X-Always: yes"} {
				fields := []string{"Content-Type: application/grpc", "TE: trailers"}
				if always != "" {
					fields = append(fields, always)
				}
				r := get(t, p, "/"+code, fields...)
				note(code+" "+always, fmt.Sprint(r.StatusCode, " attempt ", r.Header.Get("X-Attempt"), " status ", r.Header.Get("Grpc-Status")))
			}
		}
		r := get(t, p, "/not-found", "Content-Type: application/grpc", "X-Envoy-Retry-Grpc-On: unavailable", "X-Envoy-Max-Retries: 1")
		note("a header asks", fmt.Sprint(r.Header.Get("X-Attempt")))
	})
}
