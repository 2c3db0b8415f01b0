package compile_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

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
