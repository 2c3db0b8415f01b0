package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func parse(t *testing.T, probe string) *Probe {
	t.Helper()
	p, err := Parse("readinessProbe: {" + probe + "}")
	if err != nil || p == nil {
		t.Fatal(err)
	}
	return p
}

func ready(context.Context) error { return nil }

// Answers in a row decide, after the delay and at the pace that the probe says.
func TestThresholds(t *testing.T) {
	for _, c := range []struct {
		name, probe, answers string // + is well
		want                 []string
	}{
		{"the first answer decides", "", "+--+", []string{"0s true", "10s false", "30s true"}},
		{"the first answer decides when it is bad, too", "periodSeconds: 1", "--+", []string{"0s false", "2s true"}},
		{"several in a row", "initialDelaySeconds: 7, periodSeconds: 2, successThreshold: 2, failureThreshold: 3", "+-++--+---+-++", []string{"13s true", "25s false", "33s true"}},
		{"more than enough in a row", "periodSeconds: 1, failureThreshold: 2", "+++---", []string{"0s true", "4s false"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := parse(t, "tcpSocket: {port: 1}, "+c.probe)
				n := 0
				ctx, cancel := context.WithCancel(t.Context())
				p.ask = func(context.Context) error {
					n++
					switch {
					case n > len(c.answers):
						cancel()
						return nil
					case c.answers[n-1] == '+':
						return nil
					}
					return errors.New("no")
				}
				begin, got := time.Now(), []string{}
				p.Run(ctx, ready, func(ok bool, _ string) { got = append(got, fmt.Sprint(time.Since(begin), " ", ok)) })
				if !slices.Equal(got, c.want) {
					t.Errorf("%v, want %v", got, c.want)
				}
			})
		})
	}
}

func TestProxyComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := parse(t, "tcpSocket: {port: 1}")
		p.ask = func(context.Context) error { return nil }
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		go p.Run(ctx, func(context.Context) error {
			if len(got) == 0 {
				return errors.New("coming")
			}
			return nil
		}, func(ok bool, message string) { got = append(got, fmt.Sprint(ok, " ", message)) })
		time.Sleep(time.Minute)
		cancel()
		if want := []string{"false the proxy is not ready: coming", "true "}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}

// once asks one time.
func once(t *testing.T, p *Probe) string {
	t.Helper()
	if err := p.once(t.Context(), 2*time.Second, ready); err != nil {
		return err.Error()
	}
	return ""
}

func TestHTTP(t *testing.T) {
	var saw *http.Request
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch saw = r; r.URL.Path {
		case "/bad":
			w.WriteHeader(503)
		case "/away":
			http.Redirect(w, r, "http://elsewhere.test/", http.StatusFound)
		}
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	port := func(s *httptest.Server) uint16 { return netip.MustParseAddrPort(s.Listener.Addr().String()).Port() }
	for _, c := range []struct {
		probe, want string
		port        uint16
	}{
		{"path: '/ok?a=b', httpHeaders: [{name: X-A, value: '1'}, {name: Host, value: app.test}]", "", port(plain)},
		{"scheme: HTTPS, host: 127.0.0.1", "", port(secure)},
		{"path: bad", "answers 503", port(plain)},
		{"path: /away", "", port(plain)},
		{"scheme: HTTPS", "HTTP response", port(plain)},
		{"path: /", "refused", 1},
	} {
		got := once(t, parse(t, fmt.Sprintf("httpGet: {port: %d, %s}", c.port, c.probe)))
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.probe, got, c.want)
		}
		if strings.Contains(c.probe, "X-A") && (saw.Host != "app.test" || saw.Header.Get("x-a") != "1" || saw.URL.RawQuery != "a=b" || saw.UserAgent() != "istio-probe/1.0") {
			t.Errorf("%v %v", saw.Host, saw)
		}
	}
}

func TestOtherWays(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0") // of the other family than is asked first
	if err != nil {
		t.Skip("no IPv6 here: ", err)
	}
	checks := health.NewServer()
	checks.SetServingStatus("down", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, checks)
	go func() { _ = server.Serve(l) }()
	defer server.Stop()
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	for _, c := range []struct{ probe, want string }{
		{fmt.Sprintf("tcpSocket: {port: %d}", port), ""},
		{fmt.Sprintf("tcpSocket: {port: %d, host: '::1'}", port), ""},
		{"tcpSocket: {port: 1}", "refused"},
		{fmt.Sprintf("grpc: {port: %d}", port), ""},
		{fmt.Sprintf("grpc: {port: %d, service: down}", port), "NOT_SERVING"},
		{fmt.Sprintf("grpc: {port: %d, service: other}", port), "unknown service"},
		{"exec: {command: ['true']}", ""},
		{"exec: {command: [sh, -c, 'exit 3']}", "exit status 3"},
		{"exec: {command: [/not/there]}", "no such file"},
		{"exec: {command: [sh, -c, 'sleep 60 & sleep 60']}", "did not end in time"},
	} {
		got := once(t, parse(t, c.probe))
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.probe, got, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	if p, err := Parse("concurrency: 2"); p != nil || err != nil {
		t.Error(p, err)
	}
	for _, c := range []struct{ probe, want string }{
		{"periodSeconds: 1", "want one of httpGet, tcpSocket, exec and grpc"},
		{"httpGet: {port: 1}, tcpSocket: {port: 1}", "want one of"},
		{"httpGet: {port: 0}", "readinessProbe.httpGet.port: 0"},
		{"tcpSocket: {port: 65536}", "readinessProbe.tcpSocket.port: 65536"},
		{"grpc: {}", "readinessProbe.grpc.port: 0"},
		{"httpGet: {port: 1, scheme: FTP}", "readinessProbe.httpGet.scheme"},
		{"httpGet: {port: 1, path: '%zz'}", "readinessProbe.httpGet.path"},
		{"exec: {command: []}", "readinessProbe.exec.command"},
		{"tcpSocket: {port: 1}, periodSeconds: -1", "readinessProbe.periodSeconds"},
		{"tcpSocket: {port: 1}, timeoutSeconds: 1000000", "readinessProbe.timeoutSeconds"},
		{"tcpSocket: 1", "readinessProbe"},
	} {
		if _, err := Parse("readinessProbe: {" + c.probe + "}"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.probe, err, c.want)
		}
	}
}
