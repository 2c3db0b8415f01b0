package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/heddle-mesh/heddle/data/proxy/announce"
	"github.com/heddle-mesh/heddle/xds"
	"google.golang.org/protobuf/proto"
)

func repository(t *testing.T, parts ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(append([]string{"../../.."}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not here; run make build envoy", filepath.Join(parts...))
	}
	return path
}

const objects = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web, namespace: shop}
spec:
  hosts: [web.shop.svc.cluster.local]
  addresses: [10.96.0.1]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{name: http, number: 8080, protocol: HTTP}]
  workloadSelector: {labels: {app: web}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: web-1, namespace: shop, labels: {app: web}}
spec: {address: 10.78.0.1, serviceAccount: web, labels: {app: web}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: machines, namespace: shop}
spec: {metadata: {labels: {app: web}}, template: {serviceAccount: web}}
`

// plane is a real heddled with a folder.
type plane struct {
	t               *testing.T
	dir, http, sock string
}

func startPlane(t *testing.T) *plane {
	t.Helper()
	binary := repository(t, "bin", "heddled")
	dir, err := os.MkdirTemp("", "agent") // t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &plane{t: t, dir: dir, sock: dir + "/xds.sock"}
	for name, text := range map[string]string{"mesh/objects.yaml": objects, "tokens/web.json": `{"token":"secret-of-web-1-for-tests","namespace":"shop","serviceAccount":"web"}`, "token": "secret-of-web-1-for-tests\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.http = l.Addr().String()
	l.Close()
	cmd := exec.Command(binary, "--config-dir", dir+"/mesh", "--xds-address", "", "--xds-tls-address", "", "--xds-socket", p.sock, "--http-address", p.http,
		"--token-file", dir+"/debug", "--join-tokens", dir+"/tokens", "--ca-dir", dir+"/ca")
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("heddled: %s", log.String())
		}
	})
	until(t, "heddled is ready", func() error { return get(http.DefaultTransport, "http://"+p.http+"/ready") })
	return p
}

// streams is how many streams the control plane sees.
func (p *plane) streams() int {
	p.t.Helper()
	token, err := os.ReadFile(p.dir + "/debug")
	if err != nil {
		p.t.Fatal(err)
	}
	r, _ := http.NewRequest(http.MethodGet, "http://"+p.http+"/debug/connections", nil)
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, _ := io.ReadAll(answer.Body)
	return strings.Count(string(b), `"connectionId"`)
}

func until(t *testing.T, what string, try func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("waited in vain until %s: %v", what, err)
}

func get(t http.RoundTripper, url string) error {
	_, err := text(t, url)
	return err
}

func text(t http.RoundTripper, url string) (string, error) {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := t.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d: %s", answer.StatusCode, b)
	}
	return string(b), err
}

func unixTransport(path string) *http.Transport {
	return &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
}

// running is Run in the background.
type running struct {
	t     *testing.T
	admin *http.Transport
	dns   string
	stop  context.CancelFunc
	done  chan error
	opts  Options
}

func start(t *testing.T, p *plane, change ...func(*Options)) *running {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dns := l.Addr().String()
	l.Close()
	log, err := os.Create(p.dir + "/log")
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, dns: dns, done: make(chan error, 1), opts: Options{
		Envoy: repository(t, ".cache", "envoy", "envoy"), XDSAddress: "unix:" + p.sock, TokenFile: p.dir + "/token",
		Workload: announce.Workload{Name: "web-1", Namespace: "shop", Account: "web", Labels: map[string]string{"app": "web"}, IPs: []netip.Addr{netip.MustParseAddr("10.78.0.1")},
			ClusterID: "Kubernetes", Kind: announce.Gateway}, // which binds nothing
		AdminSocket: p.dir + "/admin.sock", DNS: []string{dns}, Concurrency: 1,
		DrainTime: 2 * time.Second, Stdout: log, Stderr: log, Log: slog.New(slog.NewTextHandler(log, nil)),
	}}
	if os.Geteuid() == 0 {
		r.opts.Mark = 1337
	}
	for _, f := range change {
		f(&r.opts)
	}
	r.admin = unixTransport(r.opts.AdminSocket)
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	go func() { r.done <- Run(ctx, r.opts) }()
	t.Cleanup(func() {
		cancel()
		if t.Failed() {
			b, _ := os.ReadFile(p.dir + "/log")
			t.Logf("agent: %s", b)
		}
	})
	until(t, "the agent is ready", func() error { return get(r.admin, "http://agent/ready") })
	return r
}

func TestEnvoyIsConfiguredServedAndDrained(t *testing.T) {
	p := startPlane(t)
	r := start(t, p)
	if n := p.streams(); n != 1 {
		t.Errorf("the control plane sees %d streams, want 1", n)
	}
	if fi, err := os.Stat(r.opts.AdminSocket + ".d"); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("the agent's folder: %v, %v", fi, err)
	}
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, r.dns)
	}}
	until(t, "names are known", func() error {
		got, err := resolver.LookupHost(t.Context(), "web.shop.svc.cluster.local.")
		if err == nil && (len(got) != 1 || got[0] != "10.96.0.1") {
			err = fmt.Errorf("got %v", got)
		}
		return err
	})
	clusters, err := text(r.admin, "http://agent/clusters")
	if err != nil || !strings.Contains(clusters, "outbound|8080||web.shop.svc.cluster.local") {
		t.Errorf("clusters through the admin socket: %v\n%s", err, clusters)
	}
	until(t, "the certificate is in use", func() error {
		b, err := text(r.admin, "http://agent/certs")
		if err == nil && !strings.Contains(b, "spiffe://cluster.local/ns/shop/sa/web") {
			err = fmt.Errorf("certs: %s", b)
		}
		return err
	})
	r.stop()
	select {
	case err := <-r.done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(15 * time.Second):
		t.Fatal("the agent does not end")
	}
	for _, f := range []string{r.opts.AdminSocket, r.opts.AdminSocket + ".d"} {
		if _, err := os.Stat(f); err == nil {
			t.Errorf("%s is left behind", f)
		}
	}
}

func (r *running) pid() (int, error) {
	b, err := os.ReadFile(filepath.Dir(r.opts.AdminSocket) + "/log")
	if err != nil {
		return 0, err
	}
	at := strings.LastIndex(string(b), "pid=")
	if at < 0 {
		return 0, fmt.Errorf("no pid in the log")
	}
	return strconv.Atoi(strings.Fields(string(b)[at+4:])[0])
}

func TestEnvoyIsStartedAgain(t *testing.T) {
	p := startPlane(t)
	r := start(t, p)
	before, err := r.pid()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "another Envoy is ready", func() error {
		now, err := r.pid()
		if err == nil && now == before {
			return fmt.Errorf("still %d", now)
		}
		return get(r.admin, "http://agent/ready")
	})
	if n := p.streams(); n != 1 {
		t.Errorf("the control plane sees %d streams, want 1", n)
	}
	// POST /quitquitquit ends the agent too, not Envoy alone.
	q, _ := http.NewRequest(http.MethodPost, "http://agent/quitquitquit", nil)
	answer, err := r.admin.RoundTrip(q)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

func TestMistakesAreSentences(t *testing.T) {
	envoy, err := os.Executable() // any file will do
	if err != nil {
		t.Fatal(err)
	}
	good := Options{Envoy: envoy, XDSAddress: "unix:/x", WorkDir: t.TempDir(), Workload: announce.Workload{Name: "a", Namespace: "b", Account: "c", IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}}
	for want, spoil := range map[string]func(*Options){
		"set --envoy":       func(o *Options) { o.Envoy = "/nowhere/envoy" },
		"--xds-address":     func(o *Options) { o.XDSAddress = "" },
		"--name is missing": func(o *Options) { o.Workload.Name = "" },
		"--ip is missing":   func(o *Options) { o.Workload.IPs = nil },
		"trust domain":      func(o *Options) { o.Workload.TrustDomain = "A b" },
		"--work-dir":        func(o *Options) { o.WorkDir = "/tmp/" + strings.Repeat("x", 120) },
		"--root-cert":       func(o *Options) { o.XDSAddress, o.TokenFile = "192.0.2.1:15012", "/token" },
	} {
		o := good
		spoil(&o)
		if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestFlags(t *testing.T) {
	var o Options
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	o.Bind(fs)
	if err := fs.Parse([]string{"--name", "a", "--ip", "10.0.0.1", "--ip", "fd00::1", "--label", "app=x", "--label", "v=1", "--dns-address", "127.0.0.1:1", "--mark", "7", "--kind", "gateway"}); err != nil {
		t.Fatal(err)
	}
	w := &o.Workload
	if len(w.IPs) != 2 || w.Labels["v"] != "1" || w.Labels["app"] != "x" || len(o.DNS) != 1 || o.Mark != 7 || o.DrainTime != 5*time.Second || w.Kind != announce.Gateway {
		t.Errorf("%+v", o)
	}
}

// TestBootstrapIsValid asks Envoy itself.
func TestBootstrapIsValid(t *testing.T) {
	envoy := repository(t, ".cache", "envoy", "envoy")
	o := Options{WorkDir: t.TempDir(), Mark: 1337, Workload: announce.Workload{Kind: announce.Sidecar, Name: "a", Namespace: "b", DNSDomain: "cluster.local",
		IPs: []netip.Addr{netip.MustParseAddr("fd00::1")}, Labels: map[string]string{"k": "v"}, Zone: "z"}}
	for _, o.Workload.SelfDiscovery = range []bool{false, true} {
		b, err := bootstrap(o, netip.MustParseAddrPort("127.0.0.1:1053"))
		if err != nil || !json.Valid(b) || strings.Contains(string(b), `"local_cluster_name": "local_cluster"`) != o.Workload.SelfDiscovery {
			t.Fatalf("%v %s", err, b)
		}
		if err := os.WriteFile(o.bootstrapFile(), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(envoy, "--mode", "validate", "-c", o.bootstrapFile()).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
}

func FuzzTypeOf(f *testing.F) {
	b, _ := proto.Marshal(&discoveryv3.DeltaDiscoveryResponse{SystemVersionInfo: "1", TypeUrl: xds.NameTable, Nonce: "n", RemovedResources: []string{"x"}})
	f.Add(b)
	f.Add([]byte{0x22})
	f.Fuzz(func(t *testing.T, b []byte) {
		got := typeOf(b)
		var m discoveryv3.DeltaDiscoveryResponse
		if proto.Unmarshal(b, &m) == nil && got != "" && bytes.Count(b, []byte{0x22}) == 1 && got != m.GetTypeUrl() {
			t.Errorf("%x: %q, want %q", b, got, m.GetTypeUrl())
		}
	})
}
