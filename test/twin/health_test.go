package twin_test

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/heddle-mesh/heddle/test/twin"
)

// TestActiveHealthChecks: what checks find, what they ask, when an endpoint is used, and what is counted, are the same on both.
func TestActiveHealthChecks(t *testing.T) {
	ports := twin.NewPorts(t)
	a, b := twin.Serve(t, ports, "a"), twin.Serve(t, ports, "b")
	shop := health.NewServer()
	serveGRPC(t, ports.Address("g"), shop)
	twin.Run(t, ports, "testdata/health.yaml", func(t *testing.T, p *twin.Proxy) {
		a.Answer(nil)
		b.Answer(nil)
		shop.SetServingStatus("shop", healthv1.HealthCheckResponse_SERVING)
		is := func(cluster, endpoint, flags string) {
			t.Helper()
			p.Until(fmt.Sprintf("%s/%s is %s (it is %s)", cluster, endpoint, flags, p.Health(cluster, endpoint)), func() bool { return p.Health(cluster, endpoint) == flags })
		}
		is("http", "a", "healthy")
		is("http", "b", "healthy")
		is("http", "nobody", "/failed_active_hc")
		is("tcp", "nobody", "/failed_active_hc")
		is("tcp", "nobody2", "healthy")
		is("tcp", "b", "healthy")
		is("grpc", "a", "/failed_active_hc")
		is("grpc", "g", "healthy")
		if got := spread(p, "/http", 20); !slices.Equal(got, []string{"200 a", "200 b"}) {
			t.Errorf("both answer: %q", got)
		}
		b.Fail(503)
		is("http", "b", "/failed_active_hc")
		if got := spread(p, "/http", 20); !slices.Equal(got, []string{"200 a"}) {
			t.Errorf("without b: %q", got)
		}
		a.Answer(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/healthz" {
				w.Header().Set("X-Envoy-Degraded", "yes")
			}
			fmt.Fprint(w, "a")
		})
		is("http", "a", "/degraded_active_hc")
		if got := spread(p, "/http", 20); !slices.Equal(got, []string{"200 a"}) {
			t.Errorf("a is degraded, and there is nobody else: %q", got)
		}
		b.Answer(nil)
		is("http", "b", "healthy")
		if got := spread(p, "/http", 20); !slices.Contains(got, "200 b") {
			t.Errorf("b is back: %q", got)
		}
		var asked atomic.Bool
		b.Answer(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path != "/healthz":
			case asked.Load():
				w.WriteHeader(503)
				return
			default:
				return
			}
			asked.Store(true)
			w.Header().Set("X-Envoy-Immediate-Health-Check-Fail", "yes")
			fmt.Fprint(w, "b")
		})
		p.Until("b has asked to be left", func() bool { p.Get("/http"); return p.Stat("cluster.http.health_check.passive_failure") > 0 })
		is("http", "b", "/failed_active_hc/excluded_via_immediate_hc_fail")
		b.Answer(nil)
		is("http", "b", "healthy")
		shop.SetServingStatus("shop", healthv1.HealthCheckResponse_NOT_SERVING)
		is("grpc", "g", "/failed_active_hc")
		if got := p.Get("/grpc"); got != "503 no healthy upstream" {
			t.Errorf("nobody serves the shop: %s", got)
		}
		if got := p.Stat("cluster.http.health_check.degraded"); got != 1 && !p.Envoy { // Envoy 1.40 counts one such endpoint twice
			t.Errorf("%d endpoints are degraded, want 1", got)
		}
		for stat, want := range map[string]int{"http.health_check.healthy": 2, "grpc.health_check.healthy": 0, "tcp.health_check.healthy": 1} {
			if got := p.Stat("cluster." + stat); got != want {
				t.Errorf("%s is %d, want %d", stat, got, want)
			}
		}
		for _, stat := range []string{"attempt", "success", "failure", "network_failure"} {
			if p.Stat("cluster.http.health_check."+stat) == 0 {
				t.Errorf("%s is 0", stat)
			}
		}
	})
}

// TestWhatHealthChecksAsk: both send the same head.
func TestWhatHealthChecksAsk(t *testing.T) {
	ports := twin.NewPorts(t)
	a := twin.Serve(t, ports, "a")
	twin.Serve(t, ports, "b")
	serveGRPC(t, ports.Address("g"), health.NewServer())
	asked := make(chan string, 100)
	a.Answer(func(w http.ResponseWriter, r *http.Request) {
		var lines []string
		for name, values := range r.Header {
			lines = append(lines, name+": "+strings.Join(values, "|"))
		}
		slices.Sort(lines)
		select {
		case asked <- fmt.Sprintf("%s %s %s %d %s %s", r.Proto, r.Method, r.URL.Path, r.ContentLength, r.Host, strings.Join(lines, ", ")):
		default:
		}
	})
	want := []string{
		"HTTP/1.1 GET /healthz 0 checks.test User-Agent: Envoy/HC, X-Check: literal, X-Where: " + ports.Address("a") + " HTTP/1.1.",
		"HTTP/2.0 POST /grpc.health.v1.Health/Check -1 grpc.test Content-Type: application/grpc, Grpc-Timeout: 1000m, Te: trailers, User-Agent: Envoy/HC",
	}
	twin.Run(t, ports, "testdata/health.yaml", func(t *testing.T, p *twin.Proxy) {
		for len(asked) > 0 {
			<-asked
		}
		seen := map[string]bool{}
		p.Until("both kinds of checks were made", func() bool { seen[<-asked] = true; return len(seen) >= 2 })
		for _, w := range want {
			if !seen[w] {
				t.Errorf("asked %v, want %q", seen, w)
			}
		}
	})
}

func serveGRPC(t *testing.T, address string, h *health.Server) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	healthv1.RegisterHealthServer(s, h)
	go func() { _ = s.Serve(l) }() // it ends with Stop
	t.Cleanup(s.Stop)
}

// spread are the different answers to some requests.
func spread(p *twin.Proxy, path string, n int) (all []string) {
	for range n {
		if a := p.Get(path); !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	slices.Sort(all)
	return all
}
