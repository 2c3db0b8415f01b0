package compile_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/heddle-mesh/heddle/control/compile"
	"github.com/heddle-mesh/heddle/control/serve"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

// stockEnvoy runs a real Envoy fed by a Memo, or skips when there is no binary (make envoy fetches it).
type stockEnvoy struct {
	t      *testing.T
	server *serve.Server
	admin  string
	seen   *verdicts
}

// verdicts hears what Envoy accepted and refused.
type verdicts struct {
	mu       sync.Mutex
	acked    map[xds.Name]string
	rejected []string
}

func (v *verdicts) Connected(*mesh.Proxy)    {}
func (v *verdicts) Disconnected(*mesh.Proxy) {}
func (v *verdicts) Acked(_ *mesh.Proxy, _ mesh.Revision, rs []*xds.Resource) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range rs {
		v.acked[r.Name] = r.Version
	}
}
func (v *verdicts) Rejected(_ *mesh.Proxy, r *xds.Resource, text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rejected = append(v.rejected, fmt.Sprintf("%s: %s", r.Name, text))
}

func envoyBinary(t *testing.T) string {
	t.Helper()
	path, _ := filepath.Abs("../../.cache/envoy/envoy")
	if _, err := os.Stat(path); err != nil {
		t.Skip("no Envoy at .cache/envoy/envoy; make envoy fetches it")
	}
	return path
}

func publication(store *compile.Store, changes compile.Changes) serve.Publication {
	var list []serve.Change
	for n, before := range changes {
		list = append(list, serve.Change{Name: n, Variant: before})
	}
	return serve.Publication{Revision: store.Revision(), Store: store, Changes: slices.Values(list)}
}

func startEnvoy(t *testing.T, node string, metadata map[string]any, p serve.Publication) *stockEnvoy {
	t.Helper()
	binary := envoyBinary(t)
	quiet := slog.New(slog.DiscardHandler)
	e := &stockEnvoy{t: t, seen: &verdicts{acked: map[xds.Name]string{}}}
	e.server = serve.New(serve.Options{AllowAnonymous: true, Log: quiet, Observer: e.seen})
	e.server.Publish(p)
	ads := loopback(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.server.Run(ctx, []serve.Endpoint{{Name: "xds", Listener: ads}}) }()
	sds, g := loopback(t), grpc.NewServer()
	secretv3.RegisterSecretDiscoveryServiceServer(g, newSecrets(t))
	go func() { _ = g.Serve(sds) }()
	t.Cleanup(func() { cancel(); g.Stop(); <-done })

	dir := t.TempDir()
	config := filepath.Join(dir, "envoy.json")
	boot, _ := json.Marshal(bootstrap(node, metadata, port(ads), port(sds)))
	if err := os.WriteFile(config, boot, 0o600); err != nil {
		t.Fatal(err)
	}
	admin := filepath.Join(dir, "admin")
	cmd := exec.Command(binary, "-c", config, "--admin-address-path", admin, "--disable-hot-restart", "--concurrency", "1", "-l", "warning")
	log := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("envoy: %s", log)
		}
	})
	e.until("its admin address is known", func() bool {
		b, _ := os.ReadFile(admin)
		e.admin = string(b)
		return e.admin != ""
	})
	return e
}

func loopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

func bootstrap(node string, metadata map[string]any, ads, sds int) map[string]any {
	cluster := func(name string, port int) map[string]any {
		return map[string]any{
			"name": name, "type": "STATIC", "connect_timeout": "1s",
			"typed_extension_protocol_options": map[string]any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": map[string]any{
				"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": map[string]any{"http2_protocol_options": map[string]any{}},
			}},
			"load_assignment": map[string]any{"cluster_name": name, "endpoints": []any{map[string]any{"lb_endpoints": []any{map[string]any{
				"endpoint": map[string]any{"address": map[string]any{"socket_address": map[string]any{"address": "127.0.0.1", "port_value": port}}},
			}}}}},
		}
	}
	ads3 := map[string]any{"ads": map[string]any{}, "resource_api_version": "V3"}
	return map[string]any{
		"node":  map[string]any{"id": node, "cluster": "test", "metadata": metadata},
		"admin": map[string]any{"address": map[string]any{"socket_address": map[string]any{"address": "127.0.0.1", "port_value": 0}}},
		"dynamic_resources": map[string]any{
			"ads_config": map[string]any{"api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": []any{map[string]any{"envoy_grpc": map[string]any{"cluster_name": "xds-grpc"}}}},
			"cds_config": ads3, "lds_config": ads3,
		},
		"static_resources": map[string]any{"clusters": []any{cluster("xds-grpc", ads), cluster("sds-grpc", sds)}},
		"layered_runtime": map[string]any{"layers": []any{map[string]any{"name": "static", "static_layer": map[string]any{
			"re2.max_program_size.error_level": 32768,
		}}}},
	}
}

func (e *stockEnvoy) until(what string, ok func() bool) {
	e.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		e.seen.mu.Lock()
		rejected := slices.Clone(e.seen.rejected)
		e.seen.mu.Unlock()
		if len(rejected) > 0 || time.Now().After(deadline) {
			e.t.Fatalf("waiting until %s; rejected: %s", what, strings.Join(rejected, "\n"))
		}
	}
}

// accepts waits until Envoy has acknowledged the names of a type, and is ready.
func (e *stockEnvoy) accepts(url string, names iter.Seq[string]) {
	e.t.Helper()
	for n := range names {
		e.until(xds.ShortType(url)+" "+n+" is acknowledged", func() bool {
			e.seen.mu.Lock()
			defer e.seen.mu.Unlock()
			_, ok := e.seen.acked[xds.Name{TypeURL: url, Name: n}]
			return ok
		})
	}
}

func (e *stockEnvoy) ready() {
	e.t.Helper()
	e.until("it is ready", func() bool { return strings.TrimSpace(e.get("/ready")) == "LIVE" })
}

func (e *stockEnvoy) get(path string) string {
	resp, err := http.Get("http://" + e.admin + path)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// secrets stands in for the agent: it serves a key and roots over SDS.
type secrets struct {
	secretv3.UnimplementedSecretDiscoveryServiceServer
	byName map[string]*anypb.Any
}

func newSecrets(t *testing.T) *secrets {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := url.Parse("spiffe://cluster.local/ns/shop/sa/web")
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"test"}}, NotAfter: time.Now().Add(time.Hour), URIs: []*url.URL{id}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, _ := x509.MarshalPKCS8PrivateKey(key)
	inline := func(kind string, b []byte) *corev3.DataSource {
		return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})}}
	}
	own, _ := anypb.New(&tlsv3.Secret{Name: "default", Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
		CertificateChain: inline("CERTIFICATE", der), PrivateKey: inline("PRIVATE KEY", keyDER),
	}}})
	roots, _ := anypb.New(&tlsv3.Secret{Name: "ROOTCA", Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
		TrustedCa: inline("CERTIFICATE", der),
	}}})
	return &secrets{byName: map[string]*anypb.Any{"default": own, "ROOTCA": roots}}
}

func (s *secrets) StreamSecrets(stream secretv3.SecretDiscoveryService_StreamSecretsServer) error {
	for {
		req, err := stream.Recv()
		if err != nil {
			return err
		}
		if req.ResponseNonce != "" {
			continue
		}
		resp := &discoveryv3.DiscoveryResponse{TypeUrl: req.TypeUrl, VersionInfo: "1", Nonce: "1"}
		for _, n := range req.ResourceNames {
			resp.Resources = append(resp.Resources, s.byName[n])
		}
		if err := stream.Send(resp); err != nil {
			return err
		}
	}
}

// backend is a server that says its name and what it saw.
func backend(t *testing.T, name string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-backend", name)
		fmt.Fprintf(w, "%s %s %s", name, r.Host, r.URL.Path)
	}))
	t.Cleanup(s.Close)
	return s
}
