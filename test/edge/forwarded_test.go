package edge

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/test/pair"
)

// TestForwardedHeaders: what a client says of itself and of others, and what the upstream hears of it, at an edge and inside, behind no and several trusted proxies.
func TestForwardedHeaders(t *testing.T) {
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var all []string
		for name, values := range r.Header {
			name = strings.ToLower(name)
			switch {
			case name == "x-request-id" && len(values) == 1 && len(values[0]) == 36:
				all = append(all, name+" made by the proxy")
			case strings.HasPrefix(name, "x-") || name == "via" || name == "forwarded":
				all = append(all, name+"="+strings.Join(values, ","))
			}
		}
		slices.Sort(all)
		fmt.Fprintf(w, "%s host=%s %s", r.Method, r.Host, strings.Join(all, " | "))
	})
	for name, manager := range map[string]string{
		"edge":             "use_remote_address: true",
		"edge, append off": "use_remote_address: true\nskip_xff_append: true",
		"edge behind one":  "use_remote_address: true\nxff_num_trusted_hops: 1",
		"inside":           "use_remote_address: false",
		"inside behind 2":  "use_remote_address: false\nxff_num_trusted_hops: 2",
		"ids kept":         "use_remote_address: true\npreserve_external_request_id: true",
		"no ids":           "generate_request_id: false",
		"via":              "via: heddle",
		"xfcc forward":     "forward_client_cert_details: FORWARD_ONLY",
		"xfcc always":      "forward_client_cert_details: ALWAYS_FORWARD_ONLY",
		"xfcc append":      "forward_client_cert_details: APPEND_FORWARD",
		"xfcc set":         "forward_client_cert_details: SANITIZE_SET",
		"ports":            "strip_matching_host_port: true",
		"any port":         "strip_any_host_port: true",
		"dot":              "strip_trailing_host_dot: true",
	} {
		t.Run(name, func(t *testing.T) {
			agree(t, file{manager: manager}, app, func(t *testing.T, p *pair.Proxy, note func(name, answer string)) {
				ask := func(name string, fields ...string) {
					host := "a.test"
					for i, f := range fields {
						if h, ok := strings.CutPrefix(f, "Host: "); ok {
							host, fields = h, slices.Delete(slices.Clone(fields), i, i+1)
						}
					}
					text := "GET / HTTP/1.1\r\nHost: " + strings.ReplaceAll(host, "PORT", strings.TrimPrefix(p.Address("front"), "127.0.0.1:")) + "\r\nConnection: close\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
					_, answer, _ := strings.Cut(say(t, p, text), "\r\n\r\n")
					answer = strings.ReplaceAll(answer, strings.TrimPrefix(p.Address("front"), "127.0.0.1:"), "PORT")
					for _, own := range addresses(t) { // for a client on loopback Envoy says the machine's own address
						answer = strings.ReplaceAll(answer, own, "127.0.0.1")
					}
					note(name, answer)
				}
				ask("nothing")
				for _, f := range []string{
					"X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-For: 1.2.3.4, 10.0.0.1", "X-Forwarded-For: 1.2.3.4,5.6.7.8, 9.9.9.9", "X-Forwarded-For: rubbish", "X-Forwarded-For: ", "X-Forwarded-For: ::1", "X-Forwarded-For: 1.2.3.4:80",
					"X-Forwarded-For: fd00::1", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: https", "X-Forwarded-Proto: gopher", "X-Forwarded-Proto: HTTPS", "X-Forwarded-Host: b.test", "X-Forwarded-Port: 1", "X-Forwarded-Client-Cert: By=a;URI=b", "X-Request-Id: mine",
					"X-Envoy-Internal: true", "X-Envoy-External-Address: 9.9.9.9", "X-Envoy-Original-Path: /a", "X-Envoy-Original-Host: b", "X-Envoy-Force-Trace: 1", "X-Envoy-Decorator-Operation: o", "X-Envoy-Downstream-Service-Cluster: c",
					"X-Envoy-Downstream-Service-Node: n", "X-Envoy-Retry-On: 5xx", "X-Envoy-Retry-Grpc-On: cancelled", "X-Envoy-Max-Retries: 2", "X-Envoy-Upstream-Alt-Stat-Name: s", "X-Envoy-Upstream-Rq-Timeout-Ms: 900",
					"X-Envoy-Upstream-Rq-Per-Try-Timeout-Ms: 90", "X-Envoy-Expected-Rq-Timeout-Ms: 9", "X-Envoy-Attempt-Count: 7", "X-Envoy-Ip-Tags: t", "X-Envoy-Hedge-On-Per-Try-Timeout: true", "X-Envoy-Upstream-Stream-Duration-Ms: 800",
					"X-Envoy-Retriable-Status-Codes: 404", "X-Envoy-Retriable-Header-Names: x", "X-Envoy-Upstream-Rq-Timeout-Alt-Response: 204", "Via: 1.1 other", "Forwarded: for=1.2.3.4", "X-Real-Ip: 1.2.3.4",
					"Host: a.test:PORT", "Host: a.test:1", "Host: a.test.", "Host: a.test.:PORT", "Host: [::1]:PORT", "Host: [::1]",
				} {
					ask(f, f)
				}
				ask("inside and retries", "X-Forwarded-For: 10.0.0.1", "X-Envoy-Retry-On: 5xx", "X-Envoy-Force-Trace: 1", "X-Envoy-Upstream-Rq-Timeout-Ms: 900")
				ask("two fields", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 5.6.7.8")
			})
		})
	}
}

// addresses are the IPv4 addresses of this machine but for loopback.
func addresses(t *testing.T) (all []string) {
	t.Helper()
	list, err := net.InterfaceAddrs()
	must(t, err)
	for _, a := range list {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			all = append(all, ip.IP.String())
		}
	}
	return all
}
