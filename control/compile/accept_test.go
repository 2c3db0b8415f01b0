package compile_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/heddle-mesh/heddle/control/compile"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

// Everything that the big fixture compiles to is accepted by stock Envoy as a sidecar.
func TestEnvoyAcceptsSidecar(t *testing.T) {
	envoyBinary(t)
	w := compile.NewWorld(t, compile.DefaultSettings())
	p := publication(w.Publish(t, everything(t)))
	e := startEnvoy(t, "sidecar~10.1.0.1~web-1.shop~shop.svc.cluster.local",
		map[string]any{"NAME": "web-1", "NAMESPACE": "shop", "LABELS": map[string]any{"app": "web"}, "INSTANCE_IPS": "10.1.0.1,fd00::1"}, p)
	e.ready()
	var proxy *mesh.Proxy
	for c := range e.server.Proxies() {
		proxy = c
	}
	for _, url := range []string{xds.Cluster, xds.Listener, xds.Route} {
		e.accepts(url, p.Store.Names(proxy, url))
	}
	listeners := e.get("/listeners")
	for n := range p.Store.Names(proxy, xds.Listener) {
		if !strings.Contains(listeners, n+"::") {
			t.Errorf("Envoy does not list listener %s", n)
		}
	}
}

func everything(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("testdata/envoy/everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A gateway of stock Envoy routes requests, redirects, shifts by header, and answers 404 to what nobody wrote a route for.
func TestEnvoyGatewayRoutes(t *testing.T) {
	envoyBinary(t)
	v1, v2 := backend(t, "v1"), backend(t, "v2")
	gatePort := freePort(t)
	ar, err := txtar.ParseFile("testdata/envoy/gateway.txtar")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("GATEPORT", strconv.Itoa(gatePort), "V1PORT", portOf(v1.URL), "V2PORT", portOf(v2.URL)).Replace(string(ar.Files[0].Data))
	w := compile.NewWorld(t, compile.DefaultSettings())
	p := publication(w.Publish(t, text))
	e := startEnvoy(t, "router~127.0.0.1~ingress-1.gates~gates.svc.cluster.local",
		map[string]any{"NAME": "ingress-1", "NAMESPACE": "gates", "LABELS": map[string]any{"istio": "ingressgateway"}}, p)
	e.ready()
	base := "http://127.0.0.1:" + strconv.Itoa(gatePort)
	var ask []string
	for line := range strings.Lines(string(ar.Files[1].Data)) {
		ask = append(ask, line)
	}
	for _, line := range ask {
		request, want, _ := strings.Cut(strings.TrimSpace(line), " => ")
		if got := send(t, base, request); got != want {
			t.Errorf("%s: got %q, want %q", request, got, want)
		}
	}
}

// send reads "HOST PATH [header=value...]" and gives "STATUS BODY" with the location of a redirect.
func send(t *testing.T, base, request string) string {
	t.Helper()
	f := strings.Fields(request)
	req, err := http.NewRequest(http.MethodGet, base+f[1], nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = f[0]
	for _, h := range f[2:] {
		k, v, _ := strings.Cut(h, "=")
		req.Header.Set(k, v)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	out := strings.TrimSpace(fmt.Sprint(resp.StatusCode, " ", string(body)))
	if l := resp.Header.Get("location"); l != "" {
		out += " " + l
	}
	for k, v := range resp.Header {
		if strings.HasPrefix(k, "X-Test") {
			out += " " + strings.ToLower(k) + "=" + strings.Join(v, ",")
		}
	}
	return out
}

func portOf(raw string) string {
	u, _ := url.Parse(raw)
	return u.Port()
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// A gateway ends TLS with a credential that comes over the same stream, and asks for a client's certificate where it must.
func TestEnvoyGatewayEndsTLS(t *testing.T) {
	envoyBinary(t)
	v1 := backend(t, "v1")
	gatePort := freePort(t)
	cert, pool := selfSigned(t, "secure.example.com")
	certPEM, keyPEM := cert[0], cert[1]
	b64 := base64.StdEncoding.EncodeToString
	w := compile.NewWorld(t, compile.DefaultSettings())
	p := publication(w.Publish(t, fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: cert, namespace: gates}
type: kubernetes.io/tls
data: {tls.crt: %s, tls.key: %s}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: gates}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: %d, name: https, protocol: HTTPS}, hosts: [secure.example.com], tls: {mode: SIMPLE, credentialName: cert}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web, namespace: gates}
spec:
  hosts: [web.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {http: %s}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: secure, namespace: gates}
spec:
  hosts: [secure.example.com]
  gateways: [front]
  http: [{route: [{destination: {host: web.internal}}]}]
`, b64(certPEM), b64(keyPEM), gatePort, portOf(v1.URL))))
	e := startEnvoy(t, "router~127.0.0.1~ingress-1.gates~gates.svc.cluster.local",
		map[string]any{"NAME": "ingress-1", "NAMESPACE": "gates", "LABELS": map[string]any{"istio": "ingressgateway"}}, p)
	e.ready()
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "secure.example.com"},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(gatePort))
		},
	}}
	defer client.CloseIdleConnections()
	e.until("it answers over TLS", func() bool {
		resp, err := client.Get("https://secure.example.com/x")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return string(body) == "v1 secure.example.com /x"
	})
}

// selfSigned is a certificate and key in PEM, and the pool that trusts it.
func selfSigned(t *testing.T, name string) ([2][]byte, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, _ := x509.MarshalPKCS8PrivateKey(key)
	pool := x509.NewCertPool()
	c := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool.AppendCertsFromPEM(c)
	return [2][]byte{c, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})}, pool
}
