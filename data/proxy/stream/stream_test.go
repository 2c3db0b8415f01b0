package stream_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

const get = "GET / HTTP/1.1\r\nHost: shop\r\n\r\n"

func TestOneRequest(t *testing.T) {
	for seed := range uint64(50) {
		w := newWorld(t, seed, plain(), to("a", nil), cluster("a", "10.0.0.1:80"))
		s := w.serve("10.0.0.1:80", ok("hello"))
		c := w.connect()
		got := c.ask("GET /x?y=1 HTTP/1.1\r\nHost: shop\r\nX-Own: Mixed\r\nConnection: keep-alive, x-private\r\nX-Private: 1\r\n\r\n")
		has(t, got, "HTTP/1.1 200 OK\r\n", "content-length: 5\r\n", "x-upstream: yes\r\n", "server: envoy\r\n", "date: Wed, 02 Jan 2030 03:04:0", "x-envoy-upstream-service-time: ", "\r\n\r\nhello", "!connection:")
		has(t, s.requests[0], "GET /x?y=1 HTTP/1.1\r\nhost: shop\r\n", "x-own: Mixed\r\n", "x-forwarded-proto: http\r\n", "!private", "!connection")
		if r := w.last(); r.status != 200 || r.flags != "" || r.details != "via_upstream" {
			t.Errorf("seed %d: %+v", seed, r)
		}
		c.ask(get)
		if s.conns != 1 || len(s.requests) != 2 {
			t.Errorf("seed %d: %d connections for %d requests", seed, s.conns, len(s.requests))
		}
	}
}

func TestBodiesBothWays(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 20_000) // 320 KB
	for seed := range uint64(15) {
		w := newWorld(t, seed, plain(), to("a", nil), cluster("a", "10.0.0.1:80"))
		s := w.serve("10.0.0.1:80", func(_ int, r string) string {
			_, body, _ := strings.Cut(r, "\r\n\r\n")
			if strings.Contains(r, "chunked") {
				body = unchunk(body)
			}
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
		})
		c := w.connect()
		got := c.ask(fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", len(big), big))
		_, body, _ := strings.Cut(got, "\r\n\r\n")
		if unchunk(body) != big {
			t.Fatalf("seed %d: a body of %d came back as %d bytes", seed, len(big), len(unchunk(body)))
		}
		got = c.ask("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=1\r\n world\r\n0\r\nX-Trailer: dropped\r\n\r\n")
		_, body, _ = strings.Cut(got, "\r\n\r\n")
		if unchunk(body) != "hello world" {
			t.Fatalf("seed %d: chunks came back as %q", seed, body)
		}
		has(t, s.requests[1], "transfer-encoding: chunked\r\n", "!railer")
		if s.conns != 1 {
			t.Errorf("seed %d: %d connections", seed, s.conns)
		}
	}
}

// unchunk decodes a chunked body that is whole.
func unchunk(s string) string {
	var out strings.Builder
	for {
		line, rest, ok := strings.Cut(s, "\r\n")
		var n int
		if _, err := fmt.Sscanf(line, "%x", &n); !ok || err != nil || n == 0 || len(rest) < n+2 {
			return out.String()
		}
		out.WriteString(rest[:n])
		s = rest[n+2:]
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	for seed := range uint64(30) {
		w := newWorld(t, seed, plain(), to("a", nil), cluster("a", "10.0.0.1:80"))
		w.serve("10.0.0.1:80", func(_ int, r string) string {
			path := strings.Fields(r)[1]
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(path), path)
		})
		c := w.connect()
		text := ""
		for i := range 10 {
			text += fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: h\r\n\r\n", i)
		}
		c.c.Write([]byte(text))
		for i := range 10 {
			if got := c.ask(""); !strings.HasSuffix(got, fmt.Sprintf("\r\n\r\n/%d", i)) {
				t.Fatalf("seed %d: answer %d is %q", seed, i, got)
			}
		}
	}
}

func TestLocalReplies(t *testing.T) {
	forward := &config.Route{Name: "r", Match: config.RouteMatch{Value: "/"}, Forward: &config.Forward{Cluster: "nowhere"}}
	direct := &config.Route{Name: "d", Match: config.RouteMatch{Value: "/direct"}, Direct: &config.Direct{Status: 418, Body: []byte("a teapot")}}
	empty := &config.Route{Name: "e", Match: config.RouteMatch{Value: "/empty"}, Forward: &config.Forward{Cluster: "empty"}}
	dead := &config.Route{Name: "x", Match: config.RouteMatch{Value: "/dead"}, Forward: &config.Forward{Cluster: "dead"}}
	silent := &config.Route{Name: "s", Match: config.RouteMatch{Value: "/silent"}, Forward: &config.Forward{Cluster: "silent"}}
	only := &config.RouteTable{Name: "t", Hosts: []*config.VirtualHost{{Name: "v", Domains: []string{"known"}, Routes: []*config.Route{direct, empty, dead, silent, forward}}}}
	tests := []struct {
		request string
		parts   []string
		flags   string
		details string
	}{
		{"GET / HTTP/1.1\r\nHost: other\r\n\r\n", []string{"404 Not Found", "content-length: 0", "server: envoy"}, "NR", "route_not_found"},
		{"GET / HTTP/1.1\r\nHost: KNOWN\r\n\r\n", []string{"503 Service Unavailable", "content-length: 0"}, "NC", "cluster_not_found"},
		{"GET /direct HTTP/1.1\r\nHost: known\r\n\r\n", []string{"HTTP/1.1 418 Unknown", "content-length: 8\r\ncontent-type: text/plain", "\r\n\r\na teapot"}, "", "direct_response"},
		{"HEAD /direct HTTP/1.1\r\nHost: known\r\n\r\n", []string{"418", "content-length: 8", "!a teapot\r\n\r\na"}, "", "direct_response"},
		{"GET /empty HTTP/1.1\r\nHost: known\r\n\r\n", []string{"503", "\r\n\r\nno healthy upstream"}, "UH", "no_healthy_upstream"},
		{"GET /dead HTTP/1.1\r\nHost: known\r\n\r\n", []string{"503", "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"},
			"UF", "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"},
		{"GET /silent HTTP/1.1\r\nHost: known\r\n\r\n", []string{"503", "reset reason: connection timeout"}, "UF", "upstream_reset_before_response_started{connection_timeout}"},
		{"GET / HTTP/1.0\r\nHost: known\r\n\r\n", []string{"HTTP/1.1 426 Upgrade Required", "connection: close", "\r\n\r\nUpgrade Required"}, "DPE", "low_version"},
		{"GET / HTTP/1.1\r\n\r\n", []string{"400 Bad Request", "connection: close\r\ncontent-length: 0"}, "", "missing_host_header"},
		{"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", []string{"400 Bad Request"}, "DPE", "http.invalid_authority"},
		{"GET / HTTP/1.1\nHost: a\n\n", []string{"400 Bad Request"}, "DPE", "http1.codec_error"},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", []string{"400 Bad Request"}, "DPE", "http1.content_length_and_chunked_not_allowed"},
		{"GET /" + strings.Repeat("a", 70<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", []string{"431 Request Header Fields Too Large"}, "DPE", "http1.headers_too_large"},
		{"GET /%00 HTTP/1.1\r\nHost: known\r\n\r\n", []string{"400 Bad Request"}, "", "path_normalization_failed"},
		{"GET / HTTP/1.1\r\nHost: known\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", []string{"403 Forbidden"}, "", "upgrade_failed"},
		{"GET /a#b HTTP/1.1\r\nHost: known\r\n\r\n", []string{"400 Bad Request"}, "", "path_normalization_failed"},
		{"OPTIONS * HTTP/1.1\r\nHost: known\r\n\r\n", []string{"404 Not Found"}, "", "absolute_path_rejected"},
		{"get / HTTP/1.1\r\nHost: known\r\n\r\n", []string{"400 Bad Request"}, "DPE", "http1.codec_error"},
		{"CONNECT far:1 HTTP/1.1\r\nHost: far:1\r\n\r\n", []string{"404 Not Found"}, "NR", "route_not_found"},
		{"POST / HTTP/1.1\r\nHost: other\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n", []string{"200 OK", "grpc-status: 12"}, "NR", "route_not_found"},
	}
	for i, tt := range tests {
		w := newWorld(t, uint64(i), plain(), only, cluster("empty"), cluster("dead", "10.0.0.9:1"), cluster("silent", "10.0.0.8:1"))
		w.sim.Silence(loop.TCP(netip.MustParseAddrPort("10.0.0.8:1")))
		got := w.connect().ask(tt.request)
		has(t, got, tt.parts...)
		if r := w.last(); r.flags != tt.flags || r.details != tt.details {
			t.Errorf("%.60q: flags %q details %q, want %q %q", tt.request, r.flags, r.details, tt.flags, tt.details)
		}
	}
}

func TestRetries(t *testing.T) {
	policy := func(on config.RetryOn, n uint32) func(*config.Forward) {
		return func(f *config.Forward) {
			f.Retry = &config.Retry{On: on, Attempts: n, PreviousHosts: true, SelectAttempts: 5}
		}
	}
	fail := func(times int, how string) func(int, string) string {
		return func(n int, r string) string {
			if n <= times {
				return how
			}
			return ok("fine")(n, r)
		}
	}
	const unavailable = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
	tests := map[string]struct {
		route   func(*config.Forward)
		answer  func(int, string) string
		want    string
		flags   string
		tries   int
		request string
	}{
		"5xx, third try":                  {policy(config.Retry5xx, 3), fail(2, unavailable), "fine", "", 3, get},
		"5xx, too often":                  {policy(config.Retry5xx, 2), fail(9, unavailable), "busy", "URX", 3, get},
		"5xx counts resets":               {policy(config.Retry5xx, 3), fail(1, "RESET"), "fine", "", 2, get},
		"reset":                           {policy(config.RetryReset, 3), fail(1, "CLOSE"), "fine", "", 2, get},
		"reset is no connect failure":     {policy(config.RetryConnectFailure, 3), fail(1, "RESET"), "reset reason: connection termination", "UC", 1, get},
		"without a policy":                {nil, fail(1, unavailable), "busy", "", 1, get},
		"body is sent again":              {policy(config.Retry5xx, 3), fail(1, unavailable), "fine", "", 2, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabcdef"},
		"chunked body is sent again":      {policy(config.Retry5xx, 3), fail(1, unavailable), "fine", "", 2, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"},
		"the request asks":                {nil, fail(1, unavailable), "fine", "", 2, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.0.0.5\r\nX-Envoy-Retry-On: 5xx\r\n\r\n"},
		"the request asks for more tries": {policy(config.Retry5xx, 1), fail(3, unavailable), "fine", "", 4, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.0.0.5\r\nX-Envoy-Max-Retries: 3\r\n\r\n"},
	}
	for name, tt := range tests {
		for seed := range uint64(10) {
			w := newWorld(t, seed, plain(), to("a", tt.route), cluster("a", "10.0.0.1:80"))
			s := w.serve("10.0.0.1:80", tt.answer)
			got := w.connect().ask(tt.request)
			if r := w.last(); !strings.Contains(got, tt.want) || r.flags != tt.flags || len(s.requests) != tt.tries || r.trail.Attempts != tt.tries {
				t.Fatalf("%s, seed %d: flags %q, %d tries, answer %q", name, seed, r.flags, len(s.requests), got)
			}
			for _, r := range s.requests {
				if strings.HasPrefix(r, "POST") && !strings.Contains(r, "abcdef") && unchunk(r[strings.Index(r, "\r\n\r\n")+4:]) != "abcdef" {
					t.Errorf("%s: the body is missing in %q", name, r)
				}
			}
		}
	}
}

func TestRetryGoesToAnotherHost(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, seed, plain(), to("a", func(f *config.Forward) {
			f.Retry = &config.Retry{On: config.RetryConnectFailure, Attempts: 2, PreviousHosts: true, SelectAttempts: 20}
		}), cluster("a", "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"))
		w.serve("10.0.0.3:80", ok("third"))
		has(t, w.connect().ask(get), "200 OK", "third")
	}
}

func TestTimeouts(t *testing.T) {
	never := func(int, string) string { return "" }
	tests := map[string]struct {
		http    func(*config.HTTP)
		route   func(*config.Forward)
		request string
		parts   []string
		flags   string
		details string
	}{
		"route": {nil, func(f *config.Forward) { f.Timeout = 3 * time.Second }, get, []string{"504 Gateway Timeout", "upstream request timeout"}, "UT", "response_timeout"},
		"per try": {nil, func(f *config.Forward) {
			f.Timeout = 10 * time.Second
			f.Retry = &config.Retry{On: config.RetryConnectFailure, PerTry: time.Second, Attempts: 1}
		}, get, []string{"504", "upstream request timeout"}, "UT", "upstream_per_try_timeout"},
		"per try, retried": {nil, func(f *config.Forward) {
			f.Retry = &config.Retry{On: config.RetryGatewayError, PerTry: time.Second, Attempts: 2}
		}, get, []string{"504"}, "URX,UT", "upstream_per_try_timeout"},
		"asked for by header": {nil, func(f *config.Forward) { f.Timeout = time.Hour }, "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.0.0.5\r\nx-envoy-upstream-rq-timeout-ms: 50\r\n\r\n",
			[]string{"504"}, "UT", "response_timeout"},
		"stream idle":         {func(h *config.HTTP) { h.StreamIdleTimeout = time.Second }, nil, get, []string{"504", "stream timeout"}, "SI", "stream_idle_timeout"},
		"request is not here": {func(h *config.HTTP) { h.RequestTimeout = time.Second }, nil, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabc", []string{"408", "request timeout"}, "", "request_overall_timeout"},
		"head is not here":    {func(h *config.HTTP) { h.HeadersTimeout = time.Second }, nil, "POST / HT", []string{"408", "request header timeout"}, "", "request_header_timeout"},
		"duration":            {func(h *config.HTTP) { h.MaxStreamDuration = time.Second }, nil, get, []string{"504"}, "UMSDR", "max_duration_timeout"},
	}
	for name, tt := range tests {
		for seed := range uint64(5) {
			h := plain()
			if tt.http != nil {
				tt.http(h)
			}
			w := newWorld(t, seed, h, to("a", tt.route), cluster("a", "10.0.0.1:80"))
			w.serve("10.0.0.1:80", never)
			got := w.connect().ask(tt.request)
			has(t, got, tt.parts...)
			if r := w.last(); r.flags != tt.flags || r.details != tt.details {
				t.Errorf("%s: flags %q details %q, want %q %q", name, r.flags, r.details, tt.flags, tt.details)
			}
			if w.worker.Active() != 0 {
				t.Errorf("%s: %d exchanges are left", name, w.worker.Active())
			}
		}
	}
}
