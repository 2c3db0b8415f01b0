package pod

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/control/inject"
	"github.com/heddle-mesh/heddle/control/server"
	"github.com/heddle-mesh/heddle/control/token"
	"github.com/heddle-mesh/heddle/data/node/netns"
)

const objects = `apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.10, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080}]
endpoints: [{addresses: [10.79.0.2], conditions: {ready: true}, targetRef: {kind: Pod, name: web, namespace: shop}}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
`

const podText = `metadata: {name: %[1]s, namespace: shop, labels: {app: %[1]s}, annotations: {%[2]s}}
spec:
  serviceAccountName: %[1]s
  containers:
  - name: app
    image: app
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {httpGet: {path: /ready, port: http, httpHeaders: [{name: Host, value: me}]}}
    livenessProbe: {tcpSocket: {port: http}}
`

// outside is where the kubelet and the control plane are.
var outside *netns.Namespace

// get asks from inside a namespace; the status is 0 when nobody answers.
func get(t *testing.T, ns *netns.Namespace, url string) (status int, body string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
		e := ns.Do(func() error {
			d := net.Dialer{FallbackDelay: -1} // dialling in another goroutine would be in another namespace
			c, err = d.DialContext(ctx, network, address)
			return nil
		})
		if e != nil {
			err = e
		}
		return c, err
	}}
	answer, err := (&http.Client{Transport: transport, Timeout: 5 * time.Second}).Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(b)
}

// cluster is a control plane with two namespaces for pods.
type cluster struct {
	t                   *testing.T
	settings            *inject.Settings
	images              map[string]string
	roots, dir, tokens  string
	annotations         string // of pods
	webSpace, userSpace *netns.Namespace
}

func start(t *testing.T, config string) *cluster {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	c := &cluster{t: t, dir: t.TempDir(), tokens: filepath.Join(t.TempDir(), "tokens")}
	must(t, os.Mkdir(c.tokens, 0o700))
	must(t, os.WriteFile(filepath.Join(c.dir, "objects.yaml"), []byte(objects), 0o600))
	c.network()
	c.program()
	file, err := inject.ParseConfig([]byte("discoveryAddress: 10.79.0.1:15012\n" + config))
	must(t, err)
	c.settings = &inject.Settings{Config: file, Namespace: "istio-system", RootNamespace: "istio-system", TrustDomain: "cluster.local", ClusterID: "Kubernetes"}
	var d *server.Server
	state := t.TempDir()
	must(t, outside.Do(func() (err error) {
		d, err = server.New(t.Context(), server.Options{ConfigDir: c.dir, StateDir: state, JoinTokens: c.tokens, XDSTLSAddress: "10.79.0.1:15012", HTTPAddress: "127.0.0.1:15014"})
		return err
	}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	pem, err := os.ReadFile(filepath.Join(state, "ca", "root-cert.pem"))
	must(t, err)
	c.roots = string(pem)
	return c
}

func (c *cluster) network() {
	prefix := func(text string) netip.Prefix { return netip.MustParsePrefix(text) }
	fresh := func() *netns.Namespace {
		ns, err := netns.New()
		must(c.t, err)
		c.t.Cleanup(func() { _ = ns.Close() })
		return ns
	}
	outside, c.webSpace, c.userSpace = fresh(), fresh(), fresh()
	must(c.t, outside.Bridge("pods", prefix("10.79.0.1/16")))
	gateway := []netip.Addr{netip.MustParseAddr("10.79.0.1")}
	must(c.t, c.webSpace.Wire(outside, "pods", "p1", []netip.Prefix{prefix("10.79.0.2/16")}, gateway))
	must(c.t, c.userSpace.Wire(outside, "pods", "p2", []netip.Prefix{prefix("10.79.0.3/16")}, gateway))
}

// program builds heddle-proxy where every user may run it.
func (c *cluster) program() {
	dir, err := os.MkdirTemp("", "image")
	must(c.t, err)
	c.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(c.t, os.Chmod(dir, 0o755))
	c.images = map[string]string{"/usr/local/bin/heddle-proxy": filepath.Join(dir, "heddle-proxy"), "/usr/local/bin/envoy": filepath.Join(dir, "envoy")}
	out, err := exec.Command("go", "build", "-o", c.images["/usr/local/bin/heddle-proxy"], "../../cmd/heddle-proxy").CombinedOutput()
	if err != nil {
		c.t.Fatalf("%v: %s", err, out)
	}
}

// envoy puts the stock Envoy into the image.
func (c *cluster) envoy() {
	source, err := os.Open("../../.cache/envoy/envoy")
	if err != nil {
		c.t.Skip("Envoy is not here; run make envoy: ", err)
	}
	defer source.Close()
	to, err := os.OpenFile(c.images["/usr/local/bin/envoy"], os.O_CREATE|os.O_WRONLY, 0o755)
	must(c.t, err)
	_, err = io.Copy(to, source)
	must(c.t, err)
	must(c.t, to.Close())
}

// pod injects, tells the control plane of the pod, and runs what was injected.
func (c *cluster) pod(name, ip string, ns *netns.Namespace) (*sandbox, *process) {
	c.t.Helper()
	var pod corev1.Pod
	must(c.t, yaml.UnmarshalStrict([]byte(fmt.Sprintf(podText, name, c.annotations)), &pod))
	out, err := inject.Inject(c.settings, inject.Request{Pod: &pod, Selected: true})
	must(c.t, err)
	stored := out.Pod.DeepCopy()
	stored.APIVersion, stored.Kind = "v1", "Pod"
	stored.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}}
	text, err := yaml.Marshal(stored)
	must(c.t, err)
	must(c.t, os.WriteFile(filepath.Join(c.dir, name+".yaml"), text, 0o600))
	secret, err := token.Issue(c.tokens, name, token.Claims{Namespace: "shop", ServiceAccount: name})
	must(c.t, err)
	s := newSandbox(c.t, out.Pod, ns, netip.MustParseAddr(ip), c.images, map[string]string{"token": secret, "istio-ca-root-cert": c.roots})
	return s, s.up()
}

const tproxy = "sidecar.istio.io/interceptionMode: TPROXY"

func TestInjectedPods(t *testing.T) {
	for _, x := range []struct {
		name, config, annotations string
		envoy                     bool
		seen                      string // by the application, as its client
	}{{"heddle native", "", "", false, "127.0.0.6"}, {"heddle classic", "nativeSidecars: false\n", "", false, "127.0.0.6"}, {"envoy native", "proxy: envoy\n", "", true, "127.0.0.6"},
		{"heddle TPROXY", "", tproxy, false, "10.79.0.3"}, {"envoy TPROXY", "proxy: envoy\n", tproxy, true, "10.79.0.3"}} {
		t.Run(x.name, func(t *testing.T) {
			c := start(t, x.config)
			c.annotations = x.annotations
			if x.envoy {
				c.envoy()
			}
			var ready atomic.Bool
			app(t, c.webSpace, &ready)
			web, proxy := c.pod("web", "10.79.0.2", c.webSpace)
			_, _ = c.pod("user", "10.79.0.3", c.userSpace)
			probes := web.pod.Spec.Containers[len(web.pod.Spec.Containers)-1]
			for _, one := range web.pod.Spec.Containers {
				if one.Name == "app" {
					probes = one
				}
			}
			must(t, web.probe(probes.ReadinessProbe, 503))
			ready.Store(true)
			must(t, web.probe(probes.ReadinessProbe, 200))
			must(t, web.probe(probes.LivenessProbe, 200))
			eventually(t, "a call through both proxies", func() error {
				if status, body := get(t, c.userSpace, "http://10.96.0.10/hello"); status != 200 || body != "hello" {
					return fmt.Errorf("%d %s", status, body)
				}
				return nil
			})
			if _, body := get(t, c.userSpace, "http://10.96.0.10/who"); body != x.seen {
				t.Errorf("the application sees its client at %s, want %s", body, x.seen)
			}
			if status, _ := get(t, outside, "http://10.79.0.2:8080/hello"); status != 0 {
				t.Errorf("without mutual TLS the pod answers %d; is anything captured?", status)
			}
			quit(t, web.ns)
			if err := proxy.end(t, "the proxy that was asked to end"); err != nil {
				t.Errorf("the proxy ends with %v; the kubelet would start it again, or call the job failed", err)
			}
		})
	}
}

// app is the application: it has no idea of the mesh.
func app(t *testing.T, ns *netns.Namespace, ready *atomic.Bool) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	mux.HandleFunc("/who", func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		_, _ = io.WriteString(w, host)
	})
	mux.HandleFunc("/ready", func(w http.ResponseWriter, r *http.Request) {
		if !ready.Load() || r.Host != "me" {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
		}
	})
	must(t, ns.Do(func() error {
		l, err := net.Listen("tcp", "10.79.0.2:8080")
		if err == nil {
			s := &http.Server{Handler: mux}
			go func() { _ = s.Serve(l) }()
			t.Cleanup(func() { _ = s.Close() })
		}
		return err
	}))
}

// quit is what a job's container does at its end.
func quit(t *testing.T, ns *netns.Namespace) {
	t.Helper()
	must(t, ns.Do(func() error {
		c, err := net.Dial("tcp4", "127.0.0.1:15020")
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = io.WriteString(c, "POST /quitquitquit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		if err != nil {
			return err
		}
		_, err = io.ReadAll(c)
		return err
	}))
}
