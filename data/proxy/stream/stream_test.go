package stream_test

import (
	"testing"
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
