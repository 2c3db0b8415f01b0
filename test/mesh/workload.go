package mesh

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/control/token"
	"github.com/heddle-mesh/heddle/data/proxy/announce"
	"github.com/heddle-mesh/heddle/data/proxy/probe"
	proxy "github.com/heddle-mesh/heddle/data/proxy/server"
	"github.com/heddle-mesh/heddle/test/lab"
)

// Workload is one process with its proxy; the process is a handler of the test.
type Workload struct {
	Name string
	IP   string // its own on the loopback network, where its proxy listens
	// Echo is its handler if none was given: it answers with what it saw.
	Echo *lab.Echo

	m                *Mesh
	account, version string
	group, config    string        // of a machine
	life             time.Duration // of its certificate, 0 for the authority's; a workload with one comes over TLS
	socket           string        // of the proxy's admin pages
	proxy            *running
}

// Service makes a service with one workload of version v1. Others call it http://NAME/. A nil handler answers with what it saw (lab.Seen).
func (m *Mesh) Service(name string, handler http.Handler) *Workload {
	m.t.Helper()
	return m.Version(name, "v1", handler)
}

// Version makes one more workload of a service.
func (m *Mesh) Version(service, version string, handler http.Handler) *Workload {
	m.t.Helper()
	w := m.workload(service+"-"+version, service, version)
	if handler == nil {
		w.Echo = &lab.Echo{Name: w.Name}
		handler = w.Echo
	}
	app := httptest.NewServer(handler)
	m.t.Cleanup(app.Close)
	w.start(netip.MustParseAddrPort(app.Listener.Addr().String()))
	m.Apply(fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec: {selector: {app: %[1]s}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: %[2]s, annotations: {heddle.dev/proxied: "true"}}
spec: {address: %[3]s, ports: {http: %[4]d}, labels: {app: %[1]s, version: %[5]s}, serviceAccount: %[1]s}
`, service, w.Name, w.IP, InboundPort, version))
	w.ready()
	return w
}

// Machine makes a workload outside of Kubernetes, which registers itself in a group of its service's name when its proxy comes. The handler is asked for its health as the probe says:
// the fields of a ReadinessProbe, in which PORT is where the handler listens.
func (m *Mesh) Machine(name, group, account, probe string, handler http.Handler) *Workload {
	m.t.Helper()
	w := m.workload(name, account, "v1")
	app := httptest.NewServer(handler)
	m.t.Cleanup(app.Close)
	at := netip.MustParseAddrPort(app.Listener.Addr().String())
	w.group, w.config = group, "readinessProbe: {"+strings.ReplaceAll(probe, "PORT", fmt.Sprint(at.Port()))+"}"
	w.start(at)
	w.ready()
	return w
}

// Remote is a client that comes over TLS, with a certificate of a short life.
func (m *Mesh) Remote(name string, life time.Duration) *Workload {
	m.t.Helper()
	w := m.workload(name, name, "v1")
	w.life = life
	w.start(netip.AddrPort{})
	m.sync()
	w.ready()
	return w
}

// Forget takes the workload's token away, from the workload and from the control plane.
func (w *Workload) Forget() {
	w.m.t.Helper()
	must(w.m.t, os.Remove(w.m.path(w.Name+".token")))
	must(w.m.t, os.Remove(w.m.path("tokens/"+w.Name)))
}

// Disconnect ends the workload's stream to the control plane.
func (w *Workload) Disconnect() {
	w.m.t.Helper()
	must(w.m.t, w.m.plane.Disconnect(w.Name+"."+namespace))
}

// Certificate is the serial number of the workload's certificate.
func (w *Workload) Certificate() string {
	var certs struct {
		Certificates []struct {
			Chain []struct {
				Serial string `json:"serial_number"`
			} `json:"cert_chain"`
		}
	}
	if json.Unmarshal([]byte(w.admin("/certs")), &certs) != nil || len(certs.Certificates) == 0 || len(certs.Certificates[0].Chain) == 0 {
		return ""
	}
	return certs.Certificates[0].Chain[0].Serial
}

// From is a client: the workload of that name, or else one that has nothing but a proxy.
func (m *Mesh) From(name string) *Client {
	m.t.Helper()
	for _, w := range m.all() {
		if w.Name == name || w.Name == name+"-v1" {
			return w.client()
		}
	}
	w := m.workload(name, name, "v1")
	w.start(netip.AddrPort{})
	m.sync()
	w.ready()
	return w.client()
}

func (m *Mesh) all() []*Workload {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.workloads)
}

// workload gives a workload its address and its credential.
func (m *Mesh) workload(name, account, version string) *Workload {
	m.t.Helper()
	secret, err := token.Issue(m.path("tokens"), name, token.Claims{Namespace: namespace, ServiceAccount: account})
	must(m.t, err)
	must(m.t, os.WriteFile(m.path(name+".token"), []byte(secret), 0o600))
	m.mu.Lock()
	defer m.mu.Unlock()
	w := &Workload{Name: name, m: m, account: account, version: version, IP: fmt.Sprintf("%s%d", m.network, len(m.workloads)+2), socket: m.path(name + ".sock")}
	m.workloads = append(m.workloads, w)
	return w
}

// start runs the proxy; app is where the process listens.
func (w *Workload) start(app netip.AddrPort) {
	m := w.m
	self := &announce.Workload{
		Kind: announce.Sidecar, Name: w.Name, Namespace: namespace, Account: w.account, IPs: []netip.Addr{netip.MustParseAddr(w.IP)}, Labels: map[string]string{"app": w.account, "version": w.version},
		ClusterID: "Kubernetes", TrustDomain: "cluster.local", DNSDomain: "cluster.local", Interception: "NONE", Agent: "heddle-proxy", Version: "test", Features: announce.Features(),
		Group: w.group, Config: w.config,
	}
	if app.IsValid() {
		self.Applications = map[uint16]netip.AddrPort{InboundPort: app}
	}
	o := proxy.Options{Version: "test", Workload: self, Concurrency: 1, Drain: 5 * time.Second, AdminSocket: w.socket, Log: m.logger(w.Name)}
	if w.group != "" {
		asked, err := probe.Parse(w.config)
		must(m.t, err)
		o.Probe = asked.Run
	}
	o.XDS.Address, o.XDS.TokenFile = "unix:"+m.path("xds.sock"), m.path(w.Name+".token")
	if w.life > 0 {
		o.XDS.Address, o.XDS.RootCert, o.XDS.Name, o.SVIDTTL = m.plane.Secure(), m.path("state/ca/root-cert.pem"), "localhost", w.life
	}
	o.CA = o.XDS
	s, err := proxy.New(o)
	must(m.t, err)
	now, cut := context.WithCancel(context.Background())
	w.proxy = run(func(stop <-chan struct{}) error { return s.Run(closing(stop), now) })
	m.t.Cleanup(func() {
		cut() // nobody waits for what is still open
		if w.proxy != nil {
			w.proxy.stop()
			<-w.proxy.done
		}
	})
}

// Stop ends the proxy as SIGTERM does, and takes the workload out of the mesh: others hear of it, what is under way is answered.
func (w *Workload) Stop() {
	if w.proxy == nil {
		return
	}
	w.m.t.Helper()
	w.proxy.end(w.m.t, w.Name)
	w.proxy = nil
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.m.workloads = slices.DeleteFunc(w.m.workloads, func(x *Workload) bool { return x == w })
}

func (w *Workload) ready() {
	w.m.t.Helper()
	w.m.Until("the proxy of "+w.Name+" is ready", func() bool { return w.admin("/ready") != "" })
}

// admin is one of the proxy's pages, "" when it is not there.
func (w *Workload) admin(path string) string {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", w.socket)
	}}}
	resp, err := c.Get("http://proxy" + path)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(b)
}

// run starts a part.
func run(f func(stop <-chan struct{}) error) *running {
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- f(stop) }()
	return &running{stop: func() { close(stop) }, done: done}
}

func (r *running) end(t testing.TB, who string) {
	r.stop()
	select {
	case err := <-r.done:
		if err != nil {
			t.Errorf("%s ends with: %v", who, err)
		}
	case <-time.After(patience):
		t.Errorf("%s does not end", who)
	}
}

// closing is a context that ends with a channel.
func closing(stop <-chan struct{}) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-stop
		cancel()
	}()
	return ctx
}
