package server

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/heddle-mesh/heddle/control/token"
	"github.com/heddle-mesh/heddle/xds"
)

const shop = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: web-1, namespace: shop, labels: {heddle.dev/proxied: "true"}}
spec: {address: 10.0.0.7, labels: {app: web, version: v1}, serviceAccount: web}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec: {hosts: [web], http: [{timeout: 3s, route: [{destination: {host: web}}]}]}
`

// mesh is a running heddled on a folder.
type runningMesh struct {
	t      *testing.T
	d      *Server
	dir    string
	tokens string
}

func startMesh(t *testing.T, objects string, set ...func(*Options)) *runningMesh {
	t.Helper()
	dir, state := t.TempDir(), t.TempDir()
	m := &runningMesh{t: t, dir: dir, tokens: filepath.Join(state, "tokens")}
	m.write("mesh.yaml", objects)
	if err := os.Mkdir(m.tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	// No presumption: what is dead here is dead at once.
	if err := os.WriteFile(filepath.Join(state, "health.json"), []byte(`{"version":1,"alive":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	o := Options{ConfigDir: dir, XDSAddress: "127.0.0.1:0", HTTPAddress: "127.0.0.1:0", StateDir: state, JoinTokens: m.tokens, XDSTLSAddress: "127.0.0.1:0"}
	for _, f := range set {
		f(&o)
	}
	m.d, err = New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error("heddled did not end cleanly:", err)
		}
	})
	m.wait("ready", func() bool { code, _ := m.get("/ready", ""); return code == http.StatusOK })
	return m
}

func (m *runningMesh) write(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

func (m *runningMesh) wait(what string, ok func() bool) {
	m.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			m.t.Fatal("did not happen: ", what)
		}
	}
}

func (m *runningMesh) get(path, bearer string) (int, string) {
	req, _ := http.NewRequest(http.MethodGet, "http://"+m.d.HTTPAddress()+path, nil)
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// adsClient is a raw delta client.
type adsClient struct {
	t      *testing.T
	stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	node   *corev3.Node
	held   map[string]map[string][]byte // type → name → bytes
	cancel func()
}

func (m *runningMesh) connect(name, account string, more ...string) *adsClient {
	m.t.Helper()
	secret, err := token.Issue(m.tokens, name, token.Claims{Namespace: "shop", ServiceAccount: account})
	if err != nil {
		m.t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond) // a new token is known within a second
	conn, err := grpc.NewClient(m.d.XDSAddresses()[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+secret)
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		m.t.Fatal(err)
	}
	fields := map[string]any{"NAME": name, "NAMESPACE": "shop", "SERVICE_ACCOUNT": account, "LABELS": map[string]any{"app": account}}
	for _, one := range more {
		k, v, _ := strings.Cut(one, "=")
		fields[k] = v
	}
	md, _ := structpb.NewStruct(fields)
	c := &adsClient{t: m.t, stream: stream, held: map[string]map[string][]byte{}, cancel: func() { cancel(); conn.Close() },
		node: &corev3.Node{Id: "sidecar~10.0.0.7~" + name + ".shop~shop.svc.cluster.local", Metadata: md}}
	m.t.Cleanup(c.cancel)
	return c
}

func (c *adsClient) subscribe(typeURL string, names ...string) {
	c.t.Helper()
	if err := c.stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: c.node, TypeUrl: typeURL, ResourceNamesSubscribe: names}); err != nil {
		c.t.Fatal(err)
	}
	c.node = nil
}

// until receives and acknowledges until the client holds what it wants.
func (c *adsClient) until(what string, ok func() bool) {
	c.t.Helper()
	for !ok() {
		r, err := c.stream.Recv()
		if err != nil {
			c.t.Fatalf("%s: %v", what, err)
		}
		if c.held[r.TypeUrl] == nil {
			c.held[r.TypeUrl] = map[string][]byte{}
		}
		for _, x := range r.Resources {
			c.held[r.TypeUrl][x.Name] = x.GetResource().GetValue()
		}
		for _, n := range r.RemovedResources {
			delete(c.held[r.TypeUrl], n)
		}
		if err := c.stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce}); err != nil {
			c.t.Fatal(err)
		}
	}
}

const webCluster = "outbound|80||web.shop.svc.cluster.local"

func (c *adsClient) health() corev3.HealthStatus {
	var cla endpointv3.ClusterLoadAssignment
	body, ok := c.held[xds.Endpoints][webCluster]
	if !ok {
		return -1
	}
	if err := proto.Unmarshal(body, &cla); err != nil {
		c.t.Fatal(err)
	}
	for _, l := range cla.Endpoints {
		for _, e := range l.LbEndpoints {
			return e.HealthStatus
		}
	}
	return -1
}

func TestFolderToWire(t *testing.T) {
	m := startMesh(t, shop)
	client := m.connect("client-1", "client")
	client.subscribe(xds.Cluster, "*")
	client.until("the cluster", func() bool { return client.held[xds.Cluster][webCluster] != nil })
	client.subscribe(xds.Endpoints, webCluster)
	client.until("the endpoint, dead while its proxy has not come", func() bool { return client.held[xds.Endpoints][webCluster] != nil })
	if h := client.health(); h == corev3.HealthStatus_HEALTHY || h == corev3.HealthStatus_UNKNOWN {
		t.Errorf("the endpoint of a proxy that never came is %v", h)
	}
	server := m.connect("web-1", "web")
	server.subscribe(xds.Listener, "*")
	alive := func() bool {
		h := client.health()
		return h == corev3.HealthStatus_HEALTHY || h == corev3.HealthStatus_UNKNOWN
	}
	client.until("the endpoint lives with its proxy", alive)
	server.until("inbound listener", func() bool { return server.held[xds.Listener]["virtualInbound"] != nil })
	server.cancel()
	client.until("the endpoint dies with its proxy", func() bool { return !alive() })

	// A route's change, and a broken file.
	client.subscribe(xds.Route, "80")
	client.until("the route", func() bool { return client.held[xds.Route]["80"] != nil })
	before := string(client.held[xds.Route]["80"])
	m.write("mesh.yaml", strings.Replace(shop, "timeout: 3s", "timeout: 7s", 1))
	client.until("the changed route", func() bool { return string(client.held[xds.Route]["80"]) != before })
	good := string(client.held[xds.Route]["80"])
	bearer, err := os.ReadFile(m.d.opts.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	status := func() (s string) {
		_, s = m.get("/debug/status", strings.TrimSpace(string(bearer)))
		return s
	}
	m.write("mesh.yaml", strings.Replace(shop, "timeout: 3s", "timout: 9s", 1))
	m.wait("the mistake in status", func() bool {
		return strings.Contains(status(), "timout") && strings.Contains(status(), "last version that was valid")
	})
	m.write("more.yaml", strings.ReplaceAll(shop, "web", "more"))
	client.until("another object still counts", func() bool { return client.held[xds.Cluster]["outbound|80||more.shop.svc.cluster.local"] != nil })
	client.until("and its route", func() bool { return string(client.held[xds.Route]["80"]) != good })
	if !strings.Contains(string(client.held[xds.Route]["80"]), "more.shop") {
		t.Error("the route table lacks the new host")
	}
}

func TestHTTP(t *testing.T) {
	m := startMesh(t, shop)
	for _, c := range []struct {
		path, bearer string
		code         int
		text         string
	}{
		{"/ready", "", 200, "ready"},
		{"/version", "", 200, "version"},
		{"/metrics", "", 200, "pilot_info"},
		{"/debug/status", "", 401, "--token-file"},
		{"/debug/status", "wrong", 401, ""},
		{"/debug/pprof/", "", 401, ""},
		{"/debug/syncz", "", 401, ""},
		{"/debug/status", m.d.web.token, 200, `"problems": []`},
		{"/debug/syncz", m.d.web.token, 200, "["},
		{"/debug/pprof/", m.d.web.token, 200, "goroutine"},
	} {
		code, body := m.get(c.path, c.bearer)
		if code != c.code || !strings.Contains(body, c.text) {
			t.Errorf("%s with %q: %d %.200s", c.path, c.bearer, code, body)
		}
	}
	var s struct{ Objects int }
	_, body := m.get("/debug/status", m.d.web.token)
	if err := json.Unmarshal([]byte(body), &s); err != nil || s.Objects != 3 {
		t.Error(body, err)
	}
}

// Every mistake at the start is one sentence that names the thing and the next step.
func TestMistakesAtTheStart(t *testing.T) {
	dir := t.TempDir()
	busy := startMesh(t, shop)
	broken := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(broken, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(broken, "addresses.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		o    Options
		want []string
	}{
		{Options{}, []string{"--config-dir", "--kubeconfig"}},
		{Options{ConfigDir: dir, Kubeconfig: "x"}, []string{"only one"}},
		{Options{ConfigDir: "/nothing/here"}, []string{"/nothing/here", "--config-dir"}},
		{Options{Kubeconfig: "/nothing/here"}, []string{"kubeconfig /nothing/here does not exist", "--config-dir"}},
		{Options{Kubeconfig: "/nothing/here", ClusterKubeconfig: "/nothing/there"}, []string{"/nothing/here of the configuration API does not exist", "give --kubeconfig another"}},
		{Options{ConfigDir: dir, ClusterKubeconfig: "x"}, []string{"--cluster-kubeconfig", "does not go with --config-dir"}},
		{Options{ConfigDir: dir, TrustDomain: "UP"}, []string{"--trust-domain"}},
		{Options{ConfigDir: dir, MeshConfig: "/nothing"}, []string{"/nothing", "--mesh-config"}},
		{Options{ConfigDir: dir, JoinTokens: "/nothing"}, []string{"/nothing", "--join-tokens"}},
		{Options{ConfigDir: dir, AllowAnonymous: true, XDSAddress: "0.0.0.0:0"}, []string{"loopback", "127.0.0.1"}},
		{Options{ConfigDir: dir, XDSTLSAddress: ":0"}, []string{"--ca-dir"}},
		{Options{ConfigDir: dir, WebhookAddress: ":0"}, []string{"--ca-dir"}},
		{Options{ConfigDir: dir, StateDir: broken}, []string{"addresses.json", "remove the file"}},
		{Options{ConfigDir: dir, XDSAddress: "127.0.0.1:0", HTTPAddress: busy.d.HTTPAddress()}, []string{busy.d.HTTPAddress(), "--http-address"}},
	} {
		c.o.TokenFile = filepath.Join(t.TempDir(), "token")
		_, err := New(t.Context(), c.o)
		if err == nil {
			t.Errorf("%+v: no error", c.o)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q does not say %q", err, w)
			}
		}
	}
}
