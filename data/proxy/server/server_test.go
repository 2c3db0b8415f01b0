package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/heddle-mesh/heddle/xds"
)

const manager = `{"name": "hcm", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "t",
 "route_config": {"name": "r", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}]},
 "http_filters": [%s{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}`

const denyAll = `{"name": "rbac", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
 "rules": {"action": "DENY", "policies": {"all": {"permissions": [{"any": true}], "principals": [{"any": true}]}}}}}, `

func listener(name, address, filters string) string {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf(`{"name": %q, "address": {"socket_address": {"address": %q, "port_value": %s}}, "filter_chains": [{"filters": [%s]}]}`, name, host, port, fmt.Sprintf(manager, filters))
}

func cluster(to string) string {
	host, port, _ := net.SplitHostPort(to)
	return fmt.Sprintf(`{"name": "app", "type": "STATIC", "load_assignment": {"cluster_name": "app", "endpoints": [{"lb_endpoints": [{"endpoint": {"address":
	 {"socket_address": {"address": %q, "port_value": %s}}}}]}]}}`, host, port)
}

func bootstrap(listeners, clusters string) []byte {
	return []byte(`{"node": {"id": "t"}, "static_resources": {"listeners": [` + listeners + `], "clusters": [` + clusters + `]}}`)
}

// free is an address that nobody listens on, and that no connection gets by chance: below the ports that the kernel gives out.
func free(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(20_000)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// proxy is a Server that runs.
type proxy struct {
	*Server
	stop, kill context.CancelFunc
	done       chan error
	once       sync.Once
	err        error
}

func (p *proxy) wait() error {
	p.once.Do(func() { p.err = <-p.done })
	return p.err
}

func start(t *testing.T, b []byte) *proxy {
	t.Helper()
	s, err := New(Options{
		Bootstrap: b, Concurrency: 2, Drain: 3 * time.Second, AdminSocket: filepath.Join(t.TempDir(), "admin.sock"), Log: slog.New(slog.DiscardHandler), Level: new(slog.LevelVar), Version: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	now, kill := context.WithCancel(context.Background())
	p := &proxy{Server: s, stop: stop, kill: kill, done: make(chan error, 1)}
	go func() { p.done <- s.Run(ctx, now) }()
	t.Cleanup(func() {
		stop()
		kill()
		_ = p.wait()
	})
	return p
}

func (p *proxy) page(t *testing.T, path string) (int, string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", p.opts.AdminSocket)
	}}}
	resp, err := c.Get("http://proxy" + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func (p *proxy) ready(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if code, _ := p.page(t, "/ready"); code == http.StatusOK {
			return
		}
		select {
		case err := <-p.done:
			p.done <- err
			t.Fatalf("the proxy ended: %v", err)
		default:
		}
	}
	t.Fatalf("not ready: %v", p.live.Waiting())
}

func get(client *http.Client, url string) (int, string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func app(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d, err := time.ParseDuration(r.FormValue("wait")); err == nil {
			time.Sleep(d)
		}
		fmt.Fprintf(w, "hello %s", r.URL.Path)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestARequestIsProxiedAndShown(t *testing.T) {
	at := free(t)
	p := start(t, bootstrap(listener("front", at, ""), cluster(app(t).Listener.Addr().String())))
	p.ready(t)
	code, body, err := get(http.DefaultClient, "http://"+at+"/x")
	if err != nil || code != 200 || body != "hello /x" {
		t.Errorf("%d %q %v", code, body, err)
	}
	for path, want := range map[string]string{
		"/listeners": "front::" + at, "/clusters": "::health_flags::healthy", "/stats?usedonly": "http.t.downstream_rq_2xx: 1", "/config_dump": `"static_listeners"`,
		"/stats/prometheus": `istio_build{component="proxy",tag="test"} 1`,
	} {
		if code, body := p.page(t, path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d, %q is not in\n%s", path, code, want, body)
		}
	}
}

func TestDrainingLosesNoRequest(t *testing.T) {
	at := free(t)
	p := start(t, bootstrap(listener("front", at, ""), cluster(app(t).Listener.Addr().String())))
	p.ready(t)
	var good, bad, refused atomic.Int64
	end := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			for {
				select {
				case <-end:
					return
				default:
				}
				code, _, err := get(client, "http://"+at+"/x?wait=5ms")
				switch {
				case err == nil && code == 200:
					good.Add(1)
				case err != nil && strings.Contains(err.Error(), "connection refused"):
					refused.Add(1) // the listener is closed: others are asked now
					time.Sleep(5 * time.Millisecond)
				default:
					bad.Add(1)
					t.Errorf("status %d, %v", code, err)
				}
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	slow := make(chan error, 1)
	go func() {
		code, _, err := get(http.DefaultClient, "http://"+at+"/slow?wait=1800ms")
		if err == nil && code != 200 {
			err = fmt.Errorf("status %d", code)
		}
		slow <- err
	}()
	time.Sleep(100 * time.Millisecond)
	p.stop()
	if err := <-slow; err != nil {
		t.Errorf("a request that was under way: %v", err)
	}
	if err := p.wait(); err != nil {
		t.Errorf("the end: %v", err)
	}
	close(end)
	wg.Wait()
	if good.Load() < 100 || bad.Load() > 0 || refused.Load() == 0 {
		t.Errorf("%d good, %d bad, %d refused", good.Load(), bad.Load(), refused.Load())
	}
}

// TestAcceptsForWhoHearsLate: where others than the mesh lead clients, a proxy that ends is still asked for a while after the last connection.
func TestAcceptsForWhoHearsLate(t *testing.T) {
	at := free(t)
	p := start(t, bootstrap(listener("front", at, ""), cluster(app(t).Listener.Addr().String())))
	p.ready(t)
	p.opts.Accept = 30 * time.Second
	p.stop()
	time.Sleep(3 * quiet)
	if code, _, err := get(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+at+"/"); err != nil || code != 200 {
		t.Errorf("status %d, %v: the listener is closed as soon as nobody has come for a while", code, err)
	}
	p.kill()
	if err := p.wait(); !errors.Is(err, errQuitNow) {
		t.Errorf("the end: %v", err)
	}
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	at := free(t)
	p := start(t, bootstrap(listener("front", at, ""), cluster(app(t).Listener.Addr().String())))
	p.ready(t)
	cut := make(chan error, 1)
	go func() {
		_, _, err := get(http.DefaultClient, "http://"+at+"/slow?wait=10s")
		cut <- err
	}()
	time.Sleep(100 * time.Millisecond)
	p.stop()
	p.kill()
	if err := p.wait(); err == nil || !strings.Contains(err.Error(), "at once") {
		t.Errorf("error %v", err)
	}
	if err := <-cut; err == nil {
		t.Error("the request ended well")
	}
}

func TestABusyPortIsOneSentence(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := start(t, bootstrap(listener("front", l.Addr().String(), ""), cluster("127.0.0.1:1")))
	err = p.wait()
	if err == nil || !strings.Contains(err.Error(), "listener front") || !strings.Contains(err.Error(), l.Addr().String()) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v", err)
	}
}

func TestAdminIsForThisMachineOnly(t *testing.T) {
	for address, ok := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "/run/x": true, "0.0.0.0:1": false, "10.0.0.1:1": false, "[::]:1": false} {
		if err := loopback(address); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

type nobody struct{}

func (nobody) Subscribe(string, ...string)   {}
func (nobody) Unsubscribe(string, ...string) {}

// TestAPolicyHoldsForOpenConnections: the next request on a connection that was opened before is judged by the configuration in force.
func TestAPolicyHoldsForOpenConnections(t *testing.T) {
	p := start(t, bootstrap("", cluster(app(t).Listener.Addr().String())))
	p.ready(t)
	p.live.Follow(nobody{}, true, xds.Listener)
	at := free(t)
	send := func(filters string) error {
		m := &listenerv3.Listener{}
		if err := protojson.Unmarshal([]byte(listener("front", at, filters)), m); err != nil {
			t.Fatal(err)
		}
		x, err := xds.New(xds.Name{TypeURL: xds.Listener, Name: "front"}, m)
		if err != nil {
			t.Fatal(err)
		}
		return p.live.OnResponse(xds.Listener, []*xds.Resource{x}, nil)
	}
	if err := send(""); err != nil {
		t.Fatal(err)
	}
	dials := 0
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials++
		return new(net.Dialer).DialContext(ctx, network, address)
	}}}
	for _, step := range []struct {
		filters string
		want    int
	}{{"", 200}, {denyAll, 403}, {"", 200}} {
		if err := send(step.filters); err != nil {
			t.Fatal(err)
		}
		if code, _, err := get(client, "http://"+at+"/x"); err != nil || code != step.want {
			t.Errorf("status %d, %v, want %d", code, err, step.want)
		}
	}
	if dials != 1 {
		t.Errorf("%d connections, want the same one", dials)
	}
	if err := p.live.OnResponse(xds.Listener, nil, []string{"front"}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, _, err := get(client, "http://"+at+"/x"); err != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a removed listener still serves its old connection")
		}
	}
}

// TestADeniedConnectionIsLogged where its proxy would have logged it, with the policy that denied it.
func TestADeniedConnectionIsLogged(t *testing.T) {
	at, file := free(t), filepath.Join(t.TempDir(), "log")
	host, port, _ := net.SplitHostPort(at)
	p := start(t, bootstrap(fmt.Sprintf(`{"name": "tcp", "address": {"socket_address": {"address": %q, "port_value": %s}}, "filter_chains": [{"filters": [
	 {"name": "rbac", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC", "stat_prefix": "t", "rules": {"action": "DENY", "policies": {"no way": {"permissions": [{"any": true}], "principals": [{"any": true}]}}}}},
	 {"name": "tcp", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "t", "cluster": "app", "access_log": [{"name": "f", "typed_config": {
	  "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": %q, "log_format": {"text_format": "%%CONNECTION_TERMINATION_DETAILS%% %%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%%\n"}}}]}}]}]}`,
		host, port, file), cluster(app(t).Listener.Addr().String())))
	p.ready(t)
	c, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := io.Copy(io.Discard, c); n != 0 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	want := "rbac_access_denied_matched_policy[no_way] 127.0.0.1\n"
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		b, _ := os.ReadFile(file)
		if string(b) == want {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the log holds %q, want %q", b, want)
		}
	}
}
