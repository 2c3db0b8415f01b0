package stream_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

func TestFault(t *testing.T) {
	full := uint32(1_000_000)
	tests := map[string]struct {
		fault config.Fault
		want  string
		flags string
		slow  bool
	}{
		"abort":           {config.Fault{AbortShare: full, AbortStatus: 555, AbortGRPC: -1}, "fault filter abort", "FI", false},
		"abort grpc":      {config.Fault{AbortShare: full, AbortGRPC: 14}, "503 Service Unavailable", "FI", false},
		"delay":           {config.Fault{DelayShare: full, Delay: 3 * time.Second, AbortGRPC: -1}, "200 OK", "DI", true},
		"delay and abort": {config.Fault{DelayShare: full, Delay: 3 * time.Second, AbortShare: full, AbortStatus: 500, AbortGRPC: -1}, "500 ", "DI,FI", true},
		"never":           {config.Fault{AbortShare: 0, AbortStatus: 500, AbortGRPC: -1}, "200 OK", "", false},
		"other upstream":  {config.Fault{AbortShare: full, AbortStatus: 500, AbortGRPC: -1, Upstream: "b"}, "200 OK", "", false},
		"header is there": {config.Fault{AbortShare: full, AbortStatus: 500, AbortGRPC: -1, Headers: []config.HeaderMatch{{Name: "host", Present: true, PresentValue: true}}}, "500 ", "FI", false},
		"header is not":   {config.Fault{AbortShare: full, AbortStatus: 500, AbortGRPC: -1, Headers: []config.HeaderMatch{{Name: "x", Present: true, PresentValue: true}}}, "200 OK", "", false},
	}
	for name, tt := range tests {
		h := plain()
		h.Filters = []config.Filter{{Name: "fault", Fault: &config.Fault{}}}
		routes := to("a", nil)
		routes.Hosts[0].Routes[0].PerFilter.Fault = &tt.fault
		w := newWorld(t, 1, h, routes, cluster("a", "10.0.0.1:80"))
		w.serve("10.0.0.1:80", ok("x"))
		before := w.sim.Now()
		has(t, w.connect().ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"), tt.want)
		if slow := w.sim.Now().Sub(before) > 2*time.Second; slow != tt.slow {
			t.Errorf("%s: it took %s", name, w.sim.Now().Sub(before))
		}
		if r := w.last(); r.flags != tt.flags {
			t.Errorf("%s: flags %q", name, r.flags)
		}
	}
}

func TestClientLeavesDuringADelay(t *testing.T) {
	h := plain()
	h.Filters = []config.Filter{{Name: "fault", Fault: &config.Fault{DelayShare: 1_000_000, Delay: time.Hour, AbortGRPC: -1}}}
	w := newWorld(t, 1, h, to("a", nil), cluster("a", "10.0.0.1:80"))
	s := w.serve("10.0.0.1:80", ok("x"))
	c := w.connect()
	c.c.Write([]byte(get))
	w.sim.Run(time.Second)
	c.c.Abort(true)
	w.sim.Run(3 * time.Hour)
	if r := w.last(); r.flags != "DI,DC" || r.status != 0 || len(s.requests) != 0 || w.worker.Active() != 0 {
		t.Errorf("%+v, %d requests", r, len(s.requests))
	}
}

func TestAccess(t *testing.T) {
	h := plain()
	admin := config.RBACNode{Kind: config.RBACPath, Match: &config.StringMatch{Kind: config.Prefix, Value: "/admin"}}
	any := []config.RBACNode{{Kind: config.RBACAny}}
	h.Filters = []config.Filter{{Name: "rbac", RBAC: &config.RBAC{Rules: &config.RBACRules{
		Deny: true, Policies: []config.RBACPolicy{{Name: "no admin", Permissions: []config.RBACNode{admin}, Principals: any}},
	}}}}
	w := newWorld(t, 1, h, to("a", nil), cluster("a", "10.0.0.1:80"))
	w.serve("10.0.0.1:80", ok("x"))
	c := w.connect()
	has(t, c.ask("GET /a/../%61dmin/x HTTP/1.1\r\nHost: h\r\n\r\n"), "403 Forbidden", "content-length: 19", "\r\n\r\nRBAC: access denied")
	if r := w.last(); r.details != "rbac_access_denied_matched_policy[no_admin]" || r.flags != "" || r.trail.Policy != "no admin" {
		t.Errorf("%+v", r)
	}
	has(t, c.ask("GET /public HTTP/1.1\r\nHost: h\r\n\r\n"), "200 OK")
}

func TestEditsAndRewrites(t *testing.T) {
	prefix := "/new/"
	host := &config.VirtualHost{Name: "v", Domains: []string{"*"}, Routes: []*config.Route{
		{Name: "old", Match: config.RouteMatch{Value: "/old/"}, Forward: &config.Forward{Cluster: "a", PrefixRewrite: &prefix, HostRewrite: "other.example", AppendXFH: true}},
		{Name: "regex", Match: config.RouteMatch{Value: "/regex"}, Forward: &config.Forward{Cluster: "a", RegexRewrite: &config.RegexRewrite{
			Regex: regexp.MustCompile("/regex/([a-z]+)/.*"), Substitution: `/got/\1$`,
		}}},
		{Name: "edit", Match: config.RouteMatch{Value: "/"}, Forward: &config.Forward{TotalWeight: 1, Weighted: []config.WeightedCluster{{
			Name: "a", Weight: 1, Headers: config.HeaderEdits{Request: []config.HeaderSet{{Name: "x-level", Value: "weighted"}}},
		}}}, Headers: config.HeaderEdits{
			Request: []config.HeaderSet{{Name: "x-level", Value: "route"}}, RequestRemove: []string{"x-gone"},
			Response: []config.HeaderSet{{Name: "x-r", Value: "1", Action: config.OverwriteOrAdd}}, ResponseRemove: []string{"x-upstream"},
		}},
	}, Headers: config.HeaderEdits{Request: []config.HeaderSet{{Name: "x-level", Value: "host"}}}}
	routes := &config.RouteTable{Name: "t", Hosts: []*config.VirtualHost{host}, Headers: config.HeaderEdits{Request: []config.HeaderSet{{Name: "x-level", Value: "table"}}}}
	w := newWorld(t, 1, plain(), routes, cluster("a", "10.0.0.1:80"))
	s := w.serve("10.0.0.1:80", ok("x"))
	c := w.connect()
	c.ask("GET /old/page?x=1 HTTP/1.1\r\nHost: h\r\n\r\n")
	has(t, s.requests[0], "GET /new/page?x=1 HTTP/1.1\r\nhost: other.example\r\n", "x-envoy-original-path: /old/page?x=1\r\n", "x-forwarded-host: h\r\n")
	c.ask("GET /regex/abc/def?q HTTP/1.1\r\nHost: h\r\n\r\n")
	has(t, s.requests[1], "GET /got/abc$?q HTTP/1.1\r\n")
	got := c.ask("GET / HTTP/1.1\r\nHost: h\r\nX-Gone: 1\r\n\r\n")
	has(t, s.requests[2], "x-level: weighted\r\nx-level: route\r\nx-level: host\r\nx-level: table\r\n", "!x-gone")
	has(t, got, "x-r: 1\r\n", "!x-upstream")
}

func TestRedirects(t *testing.T) {
	empty := ""
	tests := []struct {
		redirect config.Redirect
		target   string
		want     string
	}{
		{config.Redirect{Path: "/here", Host: "new.example", Code: 302}, "/gone", "HTTP/1.1 302 Found\r\nlocation: http://new.example/here\r\n"},
		{config.Redirect{Path: "/here"}, "/gone?q=1", "301 Moved Permanently\r\nlocation: http://h:8080/here?q=1\r\n"},
		{config.Redirect{Path: "/here?own", StripQuery: true}, "/gone?q=1", "location: http://h:8080/here?own\r\n"},
		{config.Redirect{Scheme: "https"}, "/x?y", "location: https://h:8080/x?y\r\n"},
		{config.Redirect{HTTPS: true, Port: 8443, StripQuery: true}, "/x?y", "location: https://h:8443/x\r\n"},
		{config.Redirect{PrefixRewrite: &empty}, "/old/x", "location: http://h:8080/x\r\n"},
		{config.Redirect{RegexRewrite: &config.RegexRewrite{Regex: regexp.MustCompile("o"), Substitution: "0"}}, "/old/oo", "location: http://h:8080/0ld/00\r\n"},
	}
	for i, tt := range tests {
		value := "/"
		if tt.redirect.PrefixRewrite != nil {
			value = "/old"
		}
		w := newWorld(t, uint64(i), plain(), table(&config.Route{Match: config.RouteMatch{Value: value}, Redirect: &tt.redirect}))
		got := w.connect().ask("GET " + tt.target + " HTTP/1.1\r\nHost: h:8080\r\n\r\n")
		has(t, got, tt.want, "content-length: 0")
	}
}

func TestMirror(t *testing.T) {
	for seed := range uint64(10) {
		w := newWorld(t, seed, plain(), to("a", func(f *config.Forward) {
			f.Mirrors = []config.Mirror{{Cluster: "m", Share: 1_000_000}, {Cluster: "none", Share: 1_000_000}, {Cluster: "m", Share: 0}}
		}), cluster("a", "10.0.0.1:80"), cluster("m", "10.0.0.2:80"))
		w.serve("10.0.0.1:80", ok("main"))
		m := w.serve("10.0.0.2:80", ok("mirror"))
		c := w.connect()
		has(t, c.ask("POST / HTTP/1.1\r\nHost: h:80\r\nContent-Length: 5\r\n\r\ntwice"), "\r\n\r\nmain")
		c.ask(get)
		w.sim.Run(time.Second)
		if len(m.requests) != 2 {
			t.Fatalf("seed %d: %d mirrored", seed, len(m.requests))
		}
		all := strings.Join(m.requests, "")
		has(t, all, "host: h-shadow:80\r\n", "\r\n\r\ntwice", "host: shop-shadow\r\n")
	}
}

func TestUpgrade(t *testing.T) {
	for seed := range uint64(20) {
		h := plain()
		h.Upgrades = []string{"websocket"}
		w := newWorld(t, seed, h, to("a", nil), cluster("a", "10.0.0.1:80"))
		first := true
		s := w.serve("10.0.0.1:80", nil)
		s.answer = func(_ int, r string) string {
			if first {
				first = false
				return "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome"
			}
			return "echo:" + r
		}
		c := w.connect()
		got := c.ask("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n")
		has(t, got, "HTTP/1.1 101 Switching Protocols\r\n", "upgrade: websocket\r\n", "connection: Upgrade\r\n", "!content-length", "!chunked")
		has(t, s.requests[0], "upgrade: websocket\r\n", "connection: Upgrade\r\n", "sec-websocket-key: k\r\n", "!chunked", "!content-length")
		c.c.Write([]byte("ping\r\n\r\n")) // the server's whole message, by its own rule
		w.sim.RunUntil(time.Minute, func() bool { return strings.HasSuffix(string(c.Data), "ping\r\n\r\n") })
		if string(c.Data) != "welcomeecho:ping\r\n\r\n" {
			t.Fatalf("seed %d: %q", seed, c.Data)
		}
		c.c.CloseWrite()
		w.sim.RunUntil(time.Minute, func() bool { return c.Closed > 0 })
		if r := w.last(); r.status != 101 || w.worker.Active() != 0 {
			t.Errorf("seed %d: %+v", seed, r)
		}
	}
}

func TestConnect(t *testing.T) {
	h := plain()
	h.Upgrades = []string{"connect"}
	routes := table(&config.Route{Match: config.RouteMatch{Path: config.PathConnect}, Forward: &config.Forward{Cluster: "a"}})
	w := newWorld(t, 1, h, routes, cluster("a", "10.0.0.1:80"))
	s := w.serve("10.0.0.1:80", nil)
	s.answer = func(n int, r string) string {
		if n == 1 {
			return "HTTP/1.1 200 OK\r\n\r\n"
		}
		return "<" + r + ">"
	}
	c := w.connect()
	has(t, c.ask("CONNECT far.example:443 HTTP/1.1\r\nHost: far.example:443\r\n\r\n"), "HTTP/1.1 200 OK\r\n", "!content-length", "!chunked")
	has(t, s.requests[0], "CONNECT far.example:443 HTTP/1.1\r\nhost: far.example:443\r\n")
	c.c.Write([]byte("hello\r\n\r\n"))
	w.sim.RunUntil(time.Minute, func() bool { return strings.Contains(string(c.Data), ">") })
	if string(c.Data) != "<hello\r\n\r\n>" {
		t.Errorf("%q", c.Data)
	}
}

func TestExpectContinue(t *testing.T) {
	w := newWorld(t, 1, plain(), to("a", nil), cluster("a", "10.0.0.1:80"))
	s := w.serve("10.0.0.1:80", ok("x"))
	c := w.connect()
	has(t, c.ask("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n")
	has(t, c.ask("abc"), "200 OK")
	has(t, s.requests[0], "!expect", "\r\n\r\nabc")
}

func TestInformationalResponses(t *testing.T) {
	const hints = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
	for _, pass := range []bool{false, true} {
		h := plain()
		h.Proxy100Continue = pass
		w := newWorld(t, 1, h, to("a", nil), cluster("a", "10.0.0.1:80"))
		w.serve("10.0.0.1:80", func(int, string) string { return hints })
		c := w.connect()
		if pass {
			has(t, c.ask(get), "HTTP/1.1 100 Continue\r\n\r\n")
			has(t, c.ask(""), "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
			has(t, c.ask(""), "HTTP/1.1 200 OK")
		} else {
			has(t, c.ask(get), "HTTP/1.1 200 OK")
		}
	}
}

func TestWeights(t *testing.T) {
	routes := to("", func(f *config.Forward) {
		f.TotalWeight = 100
		f.Weighted = []config.WeightedCluster{{Name: "a", Weight: 90}, {Name: "b", Weight: 10}}
	})
	w := newWorld(t, 3, plain(), routes, cluster("a"), cluster("b"))
	c := w.connect()
	const n = 20_000
	text := strings.Repeat(get, 100)
	for range n / 100 {
		c.c.Write([]byte(text))
		c.Data = nil
		w.sim.RunUntil(time.Minute, func() bool { return len(w.finished)%100 == 0 && len(w.finished) > 0 })
		w.sim.Run(time.Millisecond)
	}
	w.sim.Run(time.Second)
	count := map[string]int{}
	for _, r := range w.finished {
		count[r.trail.Cluster]++
	}
	if share := float64(count["b"]) / n; len(w.finished) != n || share < 0.09 || share > 0.11 {
		t.Errorf("%d requests, %v", len(w.finished), count)
	}
}

func TestOldClients(t *testing.T) {
	h := plain()
	h.AcceptHTTP10 = true
	w := newWorld(t, 1, h, to("a", nil), cluster("a", "10.0.0.1:80"))
	w.serve("10.0.0.1:80", func(int, string) string {
		return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
	})
	c := w.connect()
	c.c.Write([]byte("GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"))
	w.sim.RunUntil(time.Minute, func() bool { return c.EOF })
	has(t, string(c.Data), "HTTP/1.0 200 OK\r\n", "connection: close\r\n", "\r\n\r\nhello", "!chunked")
}

// TestADeniedDestinationSaysWhy: nothing is sent to it, by no way, although it has endpoints; who asks is told the reason, and so is the log.
func TestADeniedDestinationSaysWhy(t *testing.T) {
	const why = "nothing may be sent to web: DestinationRule web in namespace shop: its TLS settings cannot be honoured"
	denied := cluster("web", "10.0.0.1:80")
	denied.Denied = why
	w := newWorld(t, 1, plain(), to("web", func(f *config.Forward) {
		f.Retry = &config.Retry{On: config.Retry5xx, Attempts: 3}
	}), denied)
	w.serve("10.0.0.1:80", ok("x"))
	has(t, w.connect().ask(get), "503 Service Unavailable", why)
	if r := w.last(); r.flags != "UH" || !strings.HasPrefix(r.details, "destination_denied{nothing_may_be_sent_to_web:_DestinationRule_web") || r.trail.Attempts != 1 {
		t.Errorf("%+v", r)
	}
	w = newWorld(t, 1, plain(), to("a", func(f *config.Forward) { f.Mirrors = []config.Mirror{{Cluster: "web", Share: 1_000_000}} }), denied, cluster("a", "10.0.0.2:80"))
	s := w.serve("10.0.0.1:80", ok("x"))
	w.serve("10.0.0.2:80", ok("y"))
	has(t, w.connect().ask(get), "200 OK")
	if w.sim.Run(time.Second); s.conns != 0 {
		t.Error("a copy was sent to the denied destination")
	}
}
