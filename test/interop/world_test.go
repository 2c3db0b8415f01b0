package interop_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/control/token"
	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/test/lab"
)

// Numbers of the addresses in every world: the client with the proxy under test is 10.78.0.10, endpoints a, b, c, d are 10.78.1.1 and so on
// (fd78:6864::101 and so on), each with HTTP echo on 8080 and 8081 and a server that speaks first on 9000.
const clientNumber = 10

var endpointNames = []string{"a", "b", "c", "d"}

// world is a control plane, a client with a proxy, and endpoints without one.
type world struct {
	t      *testing.T
	lab    *lab.Lab
	dir    string
	client *lab.Host
	echoes map[string]*lab.Echo
	log    *buffer // of the proxy: access log included
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func root(t testing.TB) string {
	t.Helper()
	d, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func binary(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(root(t), "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("bin/%s is not built; run make build", name)
	}
	return path
}

func envoyBinary(t testing.TB) string {
	t.Helper()
	path := filepath.Join(root(t), ".cache", "envoy", "envoy")
	if _, err := os.Stat(path); err != nil {
		t.Skip("stock Envoy is not here; run make envoy")
	}
	return path
}

// newWorld starts heddled on a folder and one data plane ("heddle-proxy" or "envoy") beside the client.
func newWorld(t *testing.T, mesh []byte, dataPlane string) *world {
	t.Helper()
	w := &world{t: t, lab: lab.New(t), dir: t.TempDir(), echoes: map[string]*lab.Echo{}, log: &buffer{}}
	w.client = w.lab.Host(clientNumber)
	for i, name := range endpointNames {
		w.endpoint(name, uint16(256+i+1))
	}
	w.startControl(mesh)
	w.client.Capture(capture.Spec{DNS: true})
	w.startProxy(dataPlane)
	return w
}

func (w *world) endpoint(name string, number uint16) {
	h := w.lab.Host(number)
	e := &lab.Echo{Name: name}
	w.echoes[name] = e
	for _, port := range []string{"8080", "8081"} {
		e.Serve(h.Listen("tcp", "[::]:"+port))
	}
	lab.Greet(h.Listen("tcp", "[::]:9000"), name)
}

const clientObject = `apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: client, namespace: default, labels: {app: client}}
spec: {address: 10.78.0.10, serviceAccount: client, labels: {app: client}}
`

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) startControl(mesh []byte) {
	w.t.Helper()
	must(w.t, os.MkdirAll(w.path("mesh"), 0o755))
	must(w.t, os.WriteFile(w.path("mesh/mesh.yaml"), mesh, 0o644))
	must(w.t, os.WriteFile(w.path("mesh/client.yaml"), []byte(clientObject), 0o644))
	secret, err := token.Issue(w.path("tokens"), "client", token.Claims{Namespace: "default", ServiceAccount: "client"})
	must(w.t, err)
	must(w.t, os.WriteFile(w.path("client.token"), []byte(secret), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(w.t, err)
	address := l.Addr().String()
	l.Close()
	log := &buffer{}
	cmd := exec.Command(binary(w.t, "heddled"), "--config-dir", w.path("mesh"), "--xds-address", "", "--xds-tls-address", "", "--xds-socket", w.path("xds.sock"),
		"--http-address", address, "--token-file", w.path("debug-token"), "--join-tokens", w.path("tokens"), "--ca-dir", w.path("ca"))
	cmd.Stdout, cmd.Stderr = log, log
	w.start(cmd, "heddled", log)
	w.until("heddled is ready", log, func() bool {
		resp, err := http.Get("http://" + address + "/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// start runs a program on the host and shows its log when the test fails.
func (w *world) start(cmd *exec.Cmd, name string, log *buffer) {
	w.t.Helper()
	must(w.t, cmd.Start())
	w.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		w.show(name, log)
	})
}

func (w *world) show(name string, log *buffer) {
	if w.t.Failed() {
		text := log.String()
		if len(text) > 6000 {
			text = "…" + text[len(text)-6000:]
		}
		w.t.Logf("log of %s:\n%s", name, text)
	}
}

func (w *world) startProxy(dataPlane string) {
	w.t.Helper()
	args := []string{"sidecar"}
	if dataPlane == "envoy" {
		args = []string{"agent", "--envoy", envoyBinary(w.t)}
	}
	args = append(args, "--xds-address", "unix:"+w.path("xds.sock"), "--ca-address", "unix:"+w.path("xds.sock"), "--token-file", w.path("client.token"),
		"--name", "client", "--namespace", "default", "--service-account", "client", "--label", "app=client",
		"--ip", "10.78.0.10", "--ip", "fd78:6864::a", "--admin-socket", w.path("admin.sock"), "--mark", "1337", "--concurrency", "1")
	cmd := exec.Command(binary(w.t, "heddle-proxy"), args...)
	cmd.Stdout, cmd.Stderr = w.log, w.log
	w.client.Start(cmd)
	w.t.Cleanup(func() { w.show(dataPlane, w.log) })
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", w.path("admin.sock"))
	}}}
	w.until(dataPlane+" is ready", w.log, func() bool {
		resp, err := client.Get("http://proxy/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func (w *world) until(what string, log *buffer, done func() bool) {
	w.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if done() {
			return
		}
	}
	w.t.Fatalf("waited 30 s in vain until %s; its log:\n%s", what, log)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// transport dials from inside the client's namespace; names are asked of the proxy's DNS.
func (w *world) transport(dial string) *http.Transport {
	return &http.Transport{
		DisableKeepAlives: false, DisableCompression: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			if dial != "" {
				host = dial
			}
			if net.ParseIP(host) == nil {
				if host, err = w.resolve(ctx, host); err != nil {
					return nil, err
				}
			}
			return w.client.Dial(ctx, "tcp", net.JoinHostPort(host, port))
		},
	}
}

// resolve asks a name server that does not exist: the capture leads to the proxy's DNS.
func (w *world) resolve(ctx context.Context, host string) (string, error) {
	r := net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return w.client.Dial(ctx, network, "10.78.255.53:53")
	}}
	var last error
	for range 50 {
		ips, err := r.LookupNetIP(ctx, "ip4", host+".")
		if err == nil && len(ips) > 0 {
			return ips[0].Unmap().String(), nil
		}
		last = err
		time.Sleep(100 * time.Millisecond)
	}
	return "", fmt.Errorf("look up %s: %w", host, last)
}

// accessLogLine is the newest line of the access log that holds a text.
func (w *world) accessLogLine(part string) (string, bool) {
	for range 100 {
		lines := strings.Split(w.log.String(), "\n")
		for i := len(lines) - 1; i >= 0; i-- {
			if strings.Contains(lines[i], part) && strings.HasPrefix(lines[i], "[20") {
				return lines[i], true
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return "", false
}

var _ io.Writer = (*buffer)(nil)
