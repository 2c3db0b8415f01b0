package interop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/control/token"
	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/test/lab"
)

// The hosts of every world, by number: 10.78.1.1 is 0x101 and fd78:6864::101. The endpoints a, b, c, d and the server have HTTP echo on 8080, 8081, 8082 and the unix socket @echo, and a server that
// speaks first on 9000, and answer datagrams on 9053. Client and server have sidecars; the gateway is one; the outsider has nothing.
var (
	numbers  = map[string]uint16{"client": 0x00a, "outsider": 0x014, "a": 0x101, "b": 0x102, "c": 0x103, "d": 0x104, "server": 0x201, "gateway": 0x301}
	echoing  = []string{"a", "b", "c", "d", "server"}
	proxied  = []string{"client", "server", "gateway"}
	labelsOf = map[string][]string{"gateway": {"istio=ingressgateway", "gateway.networking.k8s.io/gateway-name=front"}}
	// placeOf is where the proxies of workloads run, as REGION/ZONE/SUBZONE.
	placeOf   = map[string]string{"client": "eu/eu-a/rack-1"}
	loopbacks = "127.0.0.1:0"
	// outside is what the name server of the world knows, at the outsider's address.
	outside = map[string][]netip.Addr{
		// The loopback address of whoever asks, and a server of TLS.
		"loop.outside.test": {netip.MustParseAddr("127.0.0.1")}, "shop.example.com": {netip.MustParseAddr("10.78.3.1")},
		"c.outside.test": {netip.MustParseAddr("10.78.1.3")}, "d.outside.test": {netip.MustParseAddr("fd78:6864::104")},
		"a.outside.test": {netip.MustParseAddr("10.78.1.1"), netip.MustParseAddr("fd78:6864::101")},
	}
)

// world is a control plane and hosts with one kind of data plane. Fixtures change its objects, one after the other.
type world struct {
	t       *testing.T // of the world, which outlives a fixture's
	plane   string
	lab     *lab.Lab
	dir     string
	hosts   map[string]*lab.Host
	echoes  map[string]*lab.Echo
	logs    map[string]*buffer // of the proxies, access log included, and of heddled
	control string             // HOST:PORT of heddled's pages
	cert    pair               // for gateways
	changes int
	// datagrams says whether what the client sends in datagrams is captured.
	datagrams bool
	// alike says whether the proxies ask where their like run.
	alike bool
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

func (b *buffer) String() string { return b.from(0) }

func (b *buffer) from(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.b.Bytes()[n:])
}

func (b *buffer) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Len()
}

func binary(t testing.TB, parts ...string) (string, bool) {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(append([]string{"..", ".."}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stat(path)
	return path, err == nil
}

// program is the command line of a data plane, or the test is skipped.
func program(t testing.TB, plane, kind string) []string {
	t.Helper()
	proxy, built := binary(t, "bin", "heddle-proxy")
	if plane == "heddle-proxy" {
		if !built {
			t.Skip("bin/heddle-proxy is not built; run make build")
		}
		return []string{proxy, kind}
	}
	envoy, ok := binary(t, ".cache", "envoy", "envoy")
	if !ok {
		t.Skip("stock Envoy is not here; run make envoy")
	}
	if !built {
		self, err := os.Executable()
		must(t, err)
		proxy = self
	}
	return []string{proxy, "agent", "--envoy", envoy, "--kind", kind, "--drain-time", "1s"}
}

// newWorld starts heddled on a folder, the hosts, and one data plane ("heddle-proxy" or "envoy").
func newWorld(t *testing.T, plane, meshConfig string, changes ...func(*world)) *world {
	t.Helper()
	w := &world{t: t, plane: plane, hosts: map[string]*lab.Host{}, echoes: map[string]*lab.Echo{}, logs: map[string]*buffer{}}
	for _, change := range changes {
		change(w)
	}
	program(t, plane, "sidecar")
	dir, err := os.MkdirTemp("", "interop") // a test's own folder has too long a name for sockets
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	w.dir, w.lab = dir, lab.New(t)
	for name, n := range numbers {
		w.hosts[name] = w.lab.Host(n)
	}
	for _, name := range echoing {
		w.endpoint(name)
	}
	pc, err := w.hosts["outsider"].ListenPacket("udp", ":53")
	must(t, err)
	t.Cleanup(func() { pc.Close() })
	lab.Names(pc, outside)
	w.startSinks()
	w.write("resolv.conf", "nameserver 10.78.0.20\n")
	w.cert = certificate(t)
	w.startControl(meshConfig)
	w.alike = strings.Contains(meshConfig, mesh.MetaSelfDiscovery) // as injection makes of it
	for _, name := range proxied {
		w.startProxy(name)
	}
	for _, name := range proxied {
		w.ready(name)
	}
	return w
}

func (w *world) endpoint(name string) {
	h := w.hosts[name]
	e := &lab.Echo{Name: name}
	w.echoes[name] = e
	for _, port := range []string{"8080", "8081", "8082"} {
		e.Serve(h.Listen("tcp", "[::]:"+port))
	}
	e.Serve(h.Listen("unix", "@echo")) // in the host's network namespace
	lab.Greet(h.Listen("tcp", "[::]:9000"), name)
	pc, err := h.ListenPacket("udp", "[::]:9053")
	must(w.t, err)
	w.t.Cleanup(func() { pc.Close() })
	lab.Answer(pc, name)
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name, text string) {
	w.t.Helper()
	must(w.t, os.MkdirAll(filepath.Dir(w.path(name)), 0o755))
	must(w.t, os.WriteFile(w.path(name+".part"), []byte(text), 0o600))
	must(w.t, os.Rename(w.path(name+".part"), w.path(name)))
}

func (w *world) startControl(meshConfig string) {
	w.t.Helper()
	heddled, ok := binary(w.t, "bin", "heddled")
	if !ok {
		w.t.Skip("bin/heddled is not built; run make build")
	}
	base, err := os.ReadFile("testdata/base.yaml")
	must(w.t, err)
	w.write("mesh/base.yaml", string(base))
	for _, name := range proxied {
		secret, err := token.Issue(w.path("tokens"), name, token.Claims{Namespace: "default", ServiceAccount: name})
		must(w.t, err)
		w.write(name+".token", secret)
	}
	l, err := net.Listen("tcp", loopbacks)
	must(w.t, err)
	w.control = l.Addr().String()
	l.Close()
	args := []string{"--config-dir", w.path("mesh"), "--xds-address", "", "--xds-tls-address", "", "--xds-socket", w.path("xds.sock"),
		"--http-address", w.control, "--token-file", w.path("debug-token"), "--join-tokens", w.path("tokens"), "--ca-dir", w.path("ca"), "--mesh-config", w.path("meshconfig.yaml")}
	w.write("meshconfig.yaml", "accessLogFile: /dev/stdout\n"+meshConfig)
	log := &buffer{}
	w.logs["heddled"] = log
	cmd := exec.Command(heddled, args...)
	cmd.Stdout, cmd.Stderr = log, log
	must(w.t, cmd.Start())
	w.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	w.until(w.t, "heddled is ready", func() bool { return status(http.DefaultTransport, "http://"+w.control+"/ready") == http.StatusOK })
}

func status(t http.RoundTripper, url string) int {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

func (w *world) startProxy(name string) {
	w.t.Helper()
	h, kind := w.hosts[name], "sidecar"
	if name == "gateway" {
		kind = "gateway"
	} else {
		h.Capture(capture.Spec{DNS: true, Datagrams: w.datagrams && name == "client"})
	}
	args := append(program(w.t, w.plane, kind), "--xds-address", "unix:"+w.path("xds.sock"), "--ca-address", "unix:"+w.path("xds.sock"),
		"--token-file", w.path(name+".token"), "--name", name, "--namespace", "default", "--service-account", name,
		"--resolv-conf", w.path("resolv.conf"), "--admin-socket", w.path(name+".sock"), "--mark", "1337", "--concurrency", "1", "--label", "app="+name)
	if w.datagrams && name == "client" {
		args = append(args, "--capture-udp")
	}
	if w.alike {
		args = append(args, "--self-discovery")
	}
	for _, l := range labelsOf[name] {
		args = append(args, "--label", l)
	}
	for _, ip := range h.Addresses {
		args = append(args, "--ip", ip.String())
	}
	if at := placeOf[name]; at != "" {
		args = append(args, "--locality", at)
	}
	log := &buffer{}
	w.logs[name] = log
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	h.Start(cmd)
}

// admin asks a proxy's admin interface; "" when it does not answer.
func (w *world) admin(name, path string) (int, string) {
	t := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", w.path(name+".sock"))
	}}
	req, err := http.NewRequest(http.MethodGet, "http://proxy"+path, nil)
	must(w.t, err)
	resp, err := t.RoundTrip(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func (w *world) ready(name string) {
	w.t.Helper()
	w.until(w.t, "the proxy of "+name+" is ready", func() bool {
		code, _ := w.admin(name, "/ready")
		return code == http.StatusOK
	})
}

// patience is how long something may take on a machine that has much else to do.
const patience = 90 * time.Second

// until waits, and fails the given test with what every process said.
func (w *world) until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if done() {
			return
		}
	}
	w.show(t, nil)
	t.Fatalf("waited %s in vain until %s", patience, what)
}

// marks are the sizes of all logs, to tell later what is new.
func (w *world) marks() map[string]int {
	m := map[string]int{}
	for name, b := range w.logs {
		m[name] = b.size()
	}
	return m
}

func (w *world) show(t *testing.T, since map[string]int) {
	for name, b := range w.logs {
		text := b.from(since[name])
		if len(text) > 4000 {
			text = "…" + text[len(text)-4000:]
		}
		if text != "" {
			t.Logf("%s %s said:\n%s", w.plane, name, text)
		}
	}
}

// A marker is a service whose cluster comes last into being with a fixture's objects.
const marker = `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: marker, namespace: default}
spec: {hosts: [marker-%d.interop], location: MESH_INTERNAL, resolution: STATIC, ports: [{name: tcp, number: 7, protocol: TCP}], endpoints: [{address: 10.78.9.9}]}
`

// load replaces the objects of the fixture before, and waits until every proxy has taken all of them.
func (w *world) load(t *testing.T, objects string) {
	t.Helper()
	w.changes++
	w.write("mesh/fixture.yaml", withCertificate(w.cert, objects)+fmt.Sprintf(marker, w.changes))
	host := fmt.Sprintf("marker-%d.interop", w.changes)
	for _, name := range proxied {
		w.until(t, "the proxy of "+name+" knows the objects", func() bool {
			_, text := w.admin(name, "/clusters")
			return strings.Contains(text, host)
		})
	}
	last, same := "", 0
	defer func() {
		if t.Failed() {
			t.Logf("what the control plane and the proxies agree on:\n%s", last)
		}
	}()
	w.until(t, "every proxy has taken everything", func() bool {
		now, ok := w.settled(t)
		if !ok || now != last {
			last, same = now, 0
			return false
		}
		same++
		return same >= 3
	})
}

// settled says whether nothing is under way to any proxy; the text changes when something was.
func (w *world) settled(t *testing.T) (string, bool) {
	t.Helper()
	var c struct {
		Clients []struct {
			Node    string
			Watches []struct {
				Type, Sent, Acked, Error string
				Synced                   bool
				Refused                  []string
			}
		}
	}
	b := w.debug(t, "/debug/connections")
	must(t, json.Unmarshal(b, &c))
	var text strings.Builder
	ok := len(c.Clients) >= len(proxied)
	for _, p := range c.Clients {
		for _, x := range p.Watches {
			ok = ok && x.Synced
			fmt.Fprintln(&text, p.Node, x.Type, "sent", x.Sent, "acknowledged", x.Acked, "synced", x.Synced)
			if len(x.Refused) > 0 {
				t.Fatalf("%s refused %v: %s", p.Node, x.Refused, x.Error)
			}
		}
	}
	for _, name := range proxied {
		// Stock Envoy judges an open connection by the filter chain that it began with, until a replaced chain has drained (--drain-time).
		_, stats := w.admin(name, "/stats?filter=(warming|filter_chains_draining|listeners_draining)")
		for line := range strings.Lines(stats) {
			if !strings.HasSuffix(strings.TrimSpace(line), ": 0") {
				ok = false
				fmt.Fprintln(&text, name, strings.TrimSpace(line))
			}
		}
	}
	return text.String(), ok
}

func (w *world) debug(t *testing.T, path string) []byte {
	t.Helper()
	secret, err := os.ReadFile(w.path("debug-token"))
	must(t, err)
	req, err := http.NewRequest(http.MethodGet, "http://"+w.control+path, nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(secret)))
	resp, err := http.DefaultTransport.RoundTrip(req)
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d: %s", path, resp.StatusCode, b)
	}
	return b
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
