package stream_test

import (
	"regexp"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// TestCORS: who asks from where is answered by the proxy, by the upstream, or by it with headers (Fetch standard, "CORS protocol").
func TestCORS(t *testing.T) {
	yes, no := true, false
	exact := []*config.StringMatch{{Value: "https://a.example"}}
	const from, other, preflight = "Origin: https://a.example\r\n", "Origin: https://b.example\r\n", "Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-a\r\n"
	full := &config.CORS{Share: 1_000_000, Origins: exact, Methods: "GET,PUT", Headers: "x-a,x-b", Expose: "x-c", MaxAge: "60", Credentials: &yes}
	tests := map[string]struct {
		policy     *config.CORS
		method     string
		headers    string
		want       []string
		passed     bool // to the upstream
		answeredBy string
	}{
		"preflight": {full, "OPTIONS", from + preflight, []string{"200 OK", "access-control-allow-origin: https://a.example\r\n", "access-control-allow-methods: GET,PUT\r\n",
			"access-control-allow-headers: x-a,x-b\r\n", "access-control-allow-credentials: true\r\n", "access-control-max-age: 60\r\n", "content-length: 0\r\n"}, false, "cors_response"},
		"request": {full, "GET", from, []string{"access-control-allow-origin: https://a.example\r\n", "access-control-expose-headers: x-c\r\n",
			"access-control-allow-credentials: true\r\n", "!access-control-allow-methods"}, true, "via_upstream"},
		"OPTIONS that is no preflight":   {full, "OPTIONS", from, []string{"access-control-allow-origin: https://a.example\r\n"}, true, "via_upstream"},
		"other origin":                   {full, "GET", other, []string{"200 OK", "!access-control"}, true, "via_upstream"},
		"no origin":                      {full, "OPTIONS", preflight, []string{"!access-control"}, true, "via_upstream"},
		"preflight of another origin":    {full, "OPTIONS", other + preflight, []string{"!access-control"}, true, "via_upstream"},
		"the same, not passed on":        {full.Over(&config.CORS{Forward: &no}), "OPTIONS", other + preflight, []string{"200 OK", "!access-control-allow-origin", "access-control-max-age: 60"}, false, "cors_response"},
		"whatever is asked for":          {&config.CORS{Share: 1_000_000, Origins: exact, Methods: "*", Headers: "*"}, "OPTIONS", from + preflight, []string{"access-control-allow-methods: PUT\r\n", "access-control-allow-headers: x-a\r\n", "!max-age", "!credentials"}, false, "cors_response"},
		"every origin":                   {&config.CORS{Share: 1_000_000, Origins: []*config.StringMatch{{Value: "*"}}}, "GET", other, []string{"access-control-allow-origin: https://b.example\r\n"}, true, "via_upstream"},
		"every origin, by a pattern":     {&config.CORS{Share: 1_000_000, Origins: []*config.StringMatch{{Kind: config.Regex, Regex: regexp.MustCompile("^(?:.*)$")}}}, "GET", "Origin: null\r\n", []string{"access-control-allow-origin: null\r\n"}, true, "via_upstream"},
		"a network that is more private": {full.Over(&config.CORS{PrivateNetwork: &yes}), "OPTIONS", from + preflight + "Access-Control-Request-Private-Network: true\r\n", []string{"access-control-allow-private-network: true\r\n"}, false, "cors_response"},
		"for no request":                 {&config.CORS{Origins: exact}, "GET", from, []string{"!access-control"}, true, "via_upstream"},
		"no policy":                      {nil, "OPTIONS", from + preflight, []string{"!access-control"}, true, "via_upstream"},
	}
	for name, tt := range tests {
		h := plain()
		h.Filters = []config.Filter{{Name: "cors", CORS: true}}
		routes := to("a", nil)
		routes.Hosts[0].Routes[0].PerFilter.CORS = tt.policy
		w := newWorld(t, 1, h, routes, cluster("a", "10.0.0.1:80"))
		s := w.serve("10.0.0.1:80", ok("x"))
		t.Log(name)
		has(t, w.connect().ask(tt.method+" / HTTP/1.1\r\nHost: h\r\n"+tt.headers+"\r\n"), tt.want...)
		if passed := len(s.requests) == 1; passed != tt.passed || w.last().details != tt.answeredBy {
			t.Errorf("%s: passed on %t, %+v", name, passed, w.last())
		}
	}
}

// TestCORSBeforeTheUpstream: an answer that another filter gives has the headers too, so that the page can read why.
func TestCORSBeforeTheUpstream(t *testing.T) {
	h := plain()
	h.Filters = []config.Filter{{Name: "cors", CORS: true}, {Name: "fault", Fault: &config.Fault{AbortShare: 1_000_000, AbortStatus: 503, AbortGRPC: -1}}}
	routes := to("a", nil)
	routes.Hosts[0].Routes[0].PerFilter.CORS = &config.CORS{Share: 1_000_000, Origins: []*config.StringMatch{{Value: "*"}}}
	w := newWorld(t, 1, h, routes, cluster("a", "10.0.0.1:80"))
	has(t, w.connect().ask("GET / HTTP/1.1\r\nHost: h\r\nOrigin: http://a\r\n\r\n"), "503 ", "access-control-allow-origin: http://a\r\n")
}
