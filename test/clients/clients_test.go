package clients

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/heddle-mesh/heddle/test/lab/certs"
	"github.com/heddle-mesh/heddle/test/pair"
)

const manager = `{name: http, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: clients,
      route_config: {name: all, virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: app}}]}]},
      http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}`

// echo gives a body back with its length in a trailer, or says hello.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/echo" {
		_, _ = io.WriteString(w, "hello\n")
		return
	}
	w.Header().Set("Trailer", "X-Sum")
	w.Header().Set("X-Host", r.Host)
	_ = http.NewResponseController(w).EnableFullDuplex()
	n, _ := io.Copy(w, r.Body)
	w.Header().Set("X-Sum", fmt.Sprint(n))
})

// world is a proxy in front of echo.
type world struct{ clear, tls, ca string }

func newWorld(t *testing.T) world {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &http.Server{Handler: echo}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	text, err := os.ReadFile("testdata/proxy.yaml")
	must(t, err)
	cert, key := certificate(t)
	p := pair.Start(t, pair.Heddle, strings.ReplaceAll(string(text), "MANAGER", manager), map[string]string{"app": port, "cert": cert, "key": key})
	return world{"http://" + p.Address("clear"), "https://localhost:" + strings.TrimPrefix(p.Address("tls"), "127.0.0.1:"), cert}
}

// certificate makes one for localhost that is its own authority.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	return certs.Issue(t, x509.Certificate{Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}}, nil).Write(t, t.TempDir(), "cert")
}

// program runs one and gives what it says on both channels; the test is skipped where it is not installed.
func program(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
	cmd := exec.Command(name, args...)
	cmd.Env = environment(t)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 77 {
		t.Skipf("%s needs a module that is not installed; bash test/conformance/clients.sh installs it", args[0])
	}
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestCurl(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "body")
	sent := bytes.Repeat([]byte("heddle "), 200_000)
	must(t, os.WriteFile(file, sent, 0o600))
	for name, args := range map[string][]string{
		"1.1":            {w.clear},
		"2, prior":       {"--http2-prior-knowledge", w.clear},
		"2, upgrade":     {"--http2", w.clear}, // it is not taken, and HTTP/1.1 goes on
		"2, TLS":         {"--http2", "--cacert", w.ca, w.tls},
		"1.1, TLS":       {"--http1.1", "--cacert", w.ca, w.tls},
		"1.1, no expect": {"-H", "Expect:", w.clear},
		"1.1, chunked":   {"-H", "Transfer-Encoding: chunked", w.clear},
	} {
		t.Run(name, func(t *testing.T) {
			url := args[len(args)-1]
			args := append([]string{"-sS", "--noproxy", "*", "--max-time", "30", "--data-binary", "@" + file}, args[:len(args)-1]...)
			if got := program(t, "curl", append(args, url+"/echo")...); got != string(sent) {
				t.Errorf("%d bytes came back of %d", len(got), len(sent))
			}
		})
	}
	if got := program(t, "curl", "-sS", "--noproxy", "*", "-I", w.clear+"/"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("HEAD: %q", got)
	}
}

// TestWrk and TestH2load send a little load: every answer must be good.
func TestWrk(t *testing.T) {
	w := newWorld(t)
	out := program(t, "wrk", "-t1", "-c8", "-d1s", w.clear+"/")
	if strings.Contains(out, "Non-2xx") || strings.Contains(out, "Socket errors") || !regexp.MustCompile(`[1-9]\d* requests in`).MatchString(out) {
		t.Error(out)
	}
}

func TestH2load(t *testing.T) {
	w := newWorld(t)
	for name, args := range map[string][]string{"1.1": {"--h1", w.clear + "/"}, "2": {w.clear + "/"}, "2, TLS": {w.tls + "/"}} {
		t.Run(name, func(t *testing.T) {
			out := program(t, "h2load", append([]string{"-n2000", "-c8", "-m16"}, args...)...)
			if !strings.Contains(out, "2000 succeeded, 0 failed, 0 errored, 0 timeout") || !strings.Contains(out, "2000 2xx") {
				t.Error(out)
			}
		})
	}
}

func TestNode(t *testing.T) {
	w := newWorld(t)
	for name, args := range map[string][]string{"clear": {w.clear}, "TLS": {w.tls, w.ca}} {
		t.Run(name, func(t *testing.T) {
			if out := program(t, "node", append([]string{"testdata/client.js"}, args...)...); out != "ok\n" {
				t.Error(out)
			}
		})
	}
}

func TestJava(t *testing.T) {
	w := newWorld(t)
	for _, version := range []string{"HTTP_1_1", "HTTP_2"} {
		t.Run(version, func(t *testing.T) {
			if out := program(t, "java", "testdata/Client.java", w.clear, version); out != "ok\n" {
				t.Error(out)
			}
		})
	}
}

func TestHttpx(t *testing.T) {
	w := newWorld(t)
	for name, args := range map[string][]string{"1.1": {w.clear, "1"}, "1.1, TLS": {w.tls, "1", w.ca}, "2, TLS": {w.tls, "2", w.ca}} {
		t.Run(name, func(t *testing.T) {
			if out := program(t, "python3", append([]string{"testdata/client.py"}, args...)...); out != "ok\n" {
				t.Error(out)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
