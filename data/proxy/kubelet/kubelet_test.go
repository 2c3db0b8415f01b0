package kubelet

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// ask sets one probe up and makes it as the kubelet would.
func ask(t *testing.T, json string) *http.Response {
	t.Helper()
	h, err := Parse(`{"/app-health/app/livez":`+json+`}`, loopback)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(Status(h, func() {}, http.NotFoundHandler()))
	defer proxy.Close()
	r, _ := http.NewRequest(http.MethodGet, proxy.URL+"/app-health/app/livez", nil)
	r.Header.Set("User-Agent", "kube-probe/1.36")
	r.Header.Set("X-Other", "not handed on")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(strings.TrimPrefix(address, "https://"), "http://"))
	return port
}

func TestHTTP(t *testing.T) {
	var got *http.Request
	app := http.NewServeMux()
	app.HandleFunc("/ok", func(_ http.ResponseWriter, r *http.Request) { got = r.Clone(t.Context()) })
	app.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "secret", http.StatusServiceUnavailable) })
	app.HandleFunc("/here", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/bad", http.StatusFound) })
	app.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://nowhere.invalid/", http.StatusFound)
	})
	app.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	app.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(time.Minute):
		}
	})
	for scheme, server := range map[string]*httptest.Server{"HTTP": httptest.NewServer(app), "HTTPS": httptest.NewTLSServer(app)} {
		defer server.Close()
		for path, want := range map[string]int{"/ok?a=b": 200, "ok": 200, "/bad": 503, "/here": 503, "/away": 302, "/round": 500, "/slow": 500, "/none": 404} {
			probe := `{"httpGet":{"path":"` + path + `","port":` + portOf(server.URL) + `,"scheme":"` + scheme + `","httpHeaders":[{"name":"Host","value":"shop.example"},{"name":"x-a","value":"1"},{"name":"X-A","value":"2"}]}}`
			if answer := ask(t, probe); answer.StatusCode != want || answer.Header.Get("Location") != "" || answer.ContentLength > 0 && want == 503 {
				t.Errorf("%s %s: %d, want %d", scheme, path, answer.StatusCode, want)
			}
		}
		if got.Host != "shop.example" || len(got.Header["X-A"]) != 2 || got.Header.Get("User-Agent") != "kube-probe/1.36" || got.Header.Get("X-Other") != "" || got.Header.Get("Accept-Encoding") != "" {
			t.Errorf("%s: the application saw %s %v", scheme, got.Host, got.Header)
		}
	}
	if answer := ask(t, `{"httpGet":{"path":"/","port":1}}`); answer.StatusCode != 500 {
		t.Errorf("nobody listens: %d", answer.StatusCode)
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	probe := `{"tcpSocket":{"port":` + portOf(l.Addr().String()) + `}}`
	if answer := ask(t, probe); answer.StatusCode != 200 {
		t.Errorf("somebody listens: %d", answer.StatusCode)
	}
	l.Close()
	if answer := ask(t, probe); answer.StatusCode != 500 {
		t.Errorf("nobody listens: %d", answer.StatusCode)
	}
}

func TestGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, state := grpc.NewServer(), health.NewServer()
	grpc_health_v1.RegisterHealthServer(s, state)
	state.SetServingStatus("ill", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	go func() { _ = s.Serve(l) }()
	defer s.Stop()
	for service, want := range map[string]int{"": 200, "ill": 500, "unknown": 500} {
		if answer := ask(t, `{"grpc":{"port":`+portOf(l.Addr().String())+`,"service":"`+service+`"},"timeoutSeconds":10}`); answer.StatusCode != want {
			t.Errorf("service %q: %d, want %d", service, answer.StatusCode, want)
		}
	}
	if answer := ask(t, `{"grpc":{"port":1}}`); answer.StatusCode != 500 {
		t.Errorf("nobody listens: %d", answer.StatusCode)
	}
}

func TestOnlyThePodEndsItsProxy(t *testing.T) {
	ended := 0
	pages := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	h := Status(nil, func() { ended++ }, pages)
	for _, x := range []struct {
		method, path, from string
		status, ended      int
	}{
		{"POST", "/quitquitquit", "10.0.0.9:1", 403, 0},
		{"POST", "/quitquitquit", "[fd00::1]:1", 403, 0},
		{"GET", "/quitquitquit", "127.0.0.1:1", 418, 0},
		{"GET", "/app-health/app/livez", "10.0.0.9:1", 418, 0},
		{"GET", "/healthz/ready", "10.0.0.9:1", 418, 0},
		{"POST", "/quitquitquit", "127.0.0.1:1", 200, 1},
		{"POST", "/quitquitquit", "[::ffff:127.0.0.1]:1", 200, 2},
		{"POST", "/quitquitquit", "[::1]:1", 200, 3},
	} {
		r := httptest.NewRequest(x.method, x.path, nil)
		r.RemoteAddr = x.from
		rec := httptest.NewRecorder()
		if h.ServeHTTP(rec, r); rec.Code != x.status || ended != x.ended {
			t.Errorf("%s %s from %s: %d, ended %d times; want %d, %d", x.method, x.path, x.from, rec.Code, ended, x.status, x.ended)
		}
	}
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"[":                          "JSON",
		`{"/app-health/a/livez":{}}`: "want one of",
		`{"/app-health/a/livez":{"tcpSocket":{}}}`:                             "with a port",
		`{"/app-health/a/livez":{"tcpSocket":{"port":1},"grpc":{"port":2}}}`:   "want one of",
		`{"/app-health/a/livez":{"httpGet":{"port":1,"scheme":"FTP"}}}`:        "FTP",
		`{"/app-health/a/livez":{"tcpSocket":{"port":1},"timeoutSeconds":-1}}`: "timeout",
		`{"/other":{"tcpSocket":{"port":1}}}`:                                  "/app-health/",
		`{"/app-health/a/livez":{"exec":{"command":["x"]}}}`:                   "exec",
	} {
		if _, err := Parse(text, loopback); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"/app-health/a/livez":{"httpGet":{"path":"/%zz","port":1,"scheme":"HTTPS"},"timeoutSeconds":1}}`)
	f.Fuzz(func(t *testing.T, text string) {
		h, err := Parse(text, loopback)
		if err != nil {
			return
		}
		for path := range h.probes {
			if !strings.HasPrefix(path, Prefix) {
				t.Errorf("%q", path)
			}
		}
	})
}
