package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test's own program be the proxy, in the version that a file beside it says.
func TestMain(m *testing.M) {
	if file := os.Getenv("HEDDLE_PROXY_TEST"); file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		version = strings.TrimSpace(string(b))
		main()
		return
	}
	os.Exit(m.Run())
}

// supervised is a proxy under a supervisor, of real processes.
type supervised struct {
	t                        *testing.T
	dir, version             string
	admin, front, raw, path  string // addresses: pages, HTTP, TCP, HTTP at a unix socket
	cmd                      *exec.Cmd
	output                   *bytes.Buffer
	requests, failed, bursts atomic.Int64
}

func addresses(t *testing.T, n int) (all []string) {
	var open []net.Listener
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		open, all = append(open, l), append(all, l.Addr().String())
	}
	for _, l := range open {
		l.Close()
	}
	return all
}

func socketAddress(at string) string {
	if at[0] == '/' {
		return fmt.Sprintf("{pipe: {path: %q}}", at)
	}
	host, port, _ := net.SplitHostPort(at)
	return fmt.Sprintf("{socket_address: {address: %q, port_value: %s}}", host, port)
}

// supervise starts a proxy for an HTTP and an echo server.
func supervise(t *testing.T, app, echo string) *supervised {
	at := addresses(t, 3)
	dir := t.TempDir()
	s := &supervised{t: t, dir: dir, version: filepath.Join(dir, "version"), admin: at[0], front: at[1], raw: at[2], path: filepath.Join(dir, "front.sock"), output: &bytes.Buffer{}}
	manager := `{name: hcm, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: t, upgrade_configs: [{upgrade_type: websocket}],
    stream_idle_timeout: 0s, route_config: {name: r, virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: app, timeout: 0s}}]}]},
    http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]}}`
	s.write("bootstrap.yaml", fmt.Sprintf(`
admin: {address: %s}
static_resources:
  listeners:
  - {name: front, address: %s, filter_chains: [{filters: [%s]}]}
  - {name: path, address: %s, filter_chains: [{filters: [%[3]s]}]}
  - {name: raw, address: %[5]s, filter_chains: [{filters: [{name: tcp, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: raw, cluster: echo}}]}]}
  clusters:
  - {name: app, type: STATIC, load_assignment: {cluster_name: app, endpoints: [{lb_endpoints: [{endpoint: {address: %[6]s}}]}]}}
  - {name: echo, type: STATIC, load_assignment: {cluster_name: echo, endpoints: [{lb_endpoints: [{endpoint: {address: %[7]s}}]}]}}
`, socketAddress(s.admin), socketAddress(s.front), manager, socketAddress(s.path), socketAddress(s.raw), socketAddress(app), socketAddress(echo)))
	s.write("version", "v0")
	s.cmd = exec.Command(os.Args[0], "supervise", "--socket", filepath.Join(dir, "hot.sock"), "--", "-c", filepath.Join(dir, "bootstrap.yaml"),
		"--concurrency", "2", "--drain-time-s", "5", "--parent-shutdown-time-s", "600", "--log-level", "warning")
	s.cmd.Env = append(os.Environ(), "HEDDLE_PROXY_TEST="+s.version)
	s.cmd.Stdout, s.cmd.Stderr = s.output, s.output
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		time.AfterFunc(time.Second, func() { _ = s.cmd.Process.Signal(syscall.SIGTERM) }) // without waiting for what is open
		if err := s.cmd.Wait(); err != nil || t.Failed() {
			t.Logf("%v, output:\n%s", err, s.output)
		}
	})
	s.until("the proxy serves", func() bool { return s.info() == "v0" })
	return s
}

func (s *supervised) write(name, text string) {
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *supervised) until(what string, done func() bool) {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s: not in time; %s", what, s.output)
		}
	}
}

// info is the version of the proxy that answers, "" for none that is ready.
func (s *supervised) info() string {
	c := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + s.admin + "/server_info")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var info struct{ Version, State string }
	if json.NewDecoder(resp.Body).Decode(&info) != nil || info.State != "LIVE" {
		return ""
	}
	return info.Version
}

func (s *supervised) hotRestart() error {
	_, err := run(s.t, "hot-restart", "--socket", filepath.Join(s.dir, "hot.sock"))
	return err
}

// load sends requests until the context ends. Over HTTP/1.1 the client could not repeat one. Over HTTP/2 it may, if a GOAWAY tells that the server did not look at it: Go's
// client gives up a body that it cannot rewind even when it has sent nothing.
func (s *supervised) load(ctx context.Context, all *sync.WaitGroup, what string, transport *http.Transport) {
	client := &http.Client{Transport: transport}
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				var body io.Reader = strings.NewReader("hello")
				if what != "HTTP/2" {
					body = io.MultiReader(body)
				}
				resp, err := client.Post("http://"+s.front+"/echo", "text/plain", body)
				s.requests.Add(1)
				if err == nil {
					var b []byte
					if b, err = io.ReadAll(resp.Body); err == nil && (resp.StatusCode != 200 || string(b) != "hello") {
						err = fmt.Errorf("%d %q", resp.StatusCode, b)
					}
					resp.Body.Close()
				}
				if err != nil {
					s.failed.Add(1)
					s.t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
}

func transports(ctx context.Context, path string) (h1, h2, unix *http.Transport) {
	var prior http.Protocols
	prior.SetUnencryptedHTTP2(true)
	return &http.Transport{MaxIdleConnsPerHost: 8}, &http.Transport{Protocols: &prior}, &http.Transport{MaxIdleConnsPerHost: 8, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
}

// pingPong sends lines over a connection that echoes, and wants each back, until the context ends.
func (s *supervised) pingPong(ctx context.Context, what string, c io.Writer, r *bufio.Reader) {
	for i := 0; ctx.Err() == nil; i++ {
		line := fmt.Sprintf("%s %d\n", what, i)
		_, err := io.WriteString(c, line)
		got := ""
		if err == nil {
			got, err = r.ReadString('\n')
		}
		if err != nil || got != line {
			s.t.Errorf("%s: %q after %q, %v", what, got, line, err)
			return
		}
		s.bursts.Add(1)
		time.Sleep(time.Millisecond)
	}
}

// application answers /echo with the body and counts that, /stream with each line of the request as it comes, and /socket by switching protocols to an echo.
func application(t *testing.T) (at string, served *atomic.Int64) {
	served = &atomic.Int64{}
	var both http.Protocols
	both.SetHTTP1(true)
	both.SetUnencryptedHTTP2(true)
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/socket":
			w.Header().Set("Upgrade", "websocket")
			w.Header().Set("Connection", "Upgrade")
			w.WriteHeader(http.StatusSwitchingProtocols)
			c, rw, err := http.NewResponseController(w).Hijack()
			if err == nil {
				defer c.Close()
				_, _ = io.Copy(c, rw)
			}
		default:
			if r.URL.Path == "/echo" {
				served.Add(1)
			}
			control := http.NewResponseController(w)
			_ = control.EnableFullDuplex()
			w.WriteHeader(200)
			_ = control.Flush()
			buf := make([]byte, 4096)
			for {
				n, err := r.Body.Read(buf)
				_, _ = w.Write(buf[:n])
				_ = control.Flush()
				if err != nil {
					return
				}
			}
		}
	}))
	app.Config.Protocols = &both
	app.Start()
	t.Cleanup(app.Close)
	return app.Listener.Addr().String(), served
}

func echoServer(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

// TestHotRestartsUnderLoad: ten of them, and no request fails, no connection waits in vain, and nothing that was open is cut.
func TestHotRestartsUnderLoad(t *testing.T) {
	app, served := application(t)
	s := supervise(t, app, echoServer(t))
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	h1, h2, unix := transports(t.Context(), s.path)
	s.load(ctx, &all, "HTTP/1.1", h1)
	s.load(ctx, &all, "HTTP/2", h2)
	s.load(ctx, &all, "unix socket", unix)
	s.load(ctx, &all, "a connection for each", &http.Transport{DisableKeepAlives: true})
	raw, err := net.Dial("tcp", s.raw)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	all.Go(func() { s.pingPong(ctx, "TCP", raw, bufio.NewReader(raw)) })
	socket, err := net.Dial("tcp", s.front)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	fmt.Fprintf(socket, "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	upgraded := bufio.NewReader(socket)
	if resp, err := http.ReadResponse(upgraded, nil); err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v %v", resp, err)
	}
	all.Go(func() { s.pingPong(ctx, "WebSocket", socket, upgraded) })
	body, lines := io.Pipe()
	stream, err := (&http.Client{Transport: h2}).Post("http://"+s.front+"/stream", "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	all.Go(func() { s.pingPong(ctx, "HTTP/2", lines, bufio.NewReader(stream.Body)) })

	for i := 1; i <= 10; i++ {
		before := s.requests.Load()
		want := fmt.Sprintf("v%d", i)
		s.write("version", want)
		if err := s.hotRestart(); err != nil {
			t.Fatal(err)
		}
		s.until("the new one answers", func() bool { return s.info() == want })
		s.until("requests go on", func() bool { return s.requests.Load() > before+500 })
	}
	cancel()
	all.Wait()
	t.Logf("%d requests, %d of them failed, %d lines on streams that were open all the time", s.requests.Load(), s.failed.Load(), s.bursts.Load())
	if served.Load() != s.requests.Load() {
		t.Errorf("the application saw %d requests", served.Load())
	}
	if s.bursts.Load() < 100 {
		t.Error("the streams did not go on")
	}
}

// TestANewProxyThatFailsLeavesTheOldOne: it is told in a sentence, and the one before serves on with its sockets.
func TestANewProxyThatFailsLeavesTheOldOne(t *testing.T) {
	app, _ := application(t)
	s := supervise(t, app, echoServer(t))
	s.write("version", "v1")
	good, err := os.ReadFile(filepath.Join(s.dir, "bootstrap.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("bootstrap.yaml", "static_resources: {listeners: [{name: broken}]}")
	err = s.hotRestart()
	if err == nil || !strings.Contains(err.Error(), "the new process ended before it was ready (exit status 1); the one before goes on") || strings.Contains(err.Error(), "\n") {
		t.Fatal(err)
	}
	if s.info() != "v0" {
		t.Error("the old one does not serve")
	}
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	h1, _, _ := transports(ctx, "")
	s.load(ctx, &all, "HTTP/1.1", h1)
	s.write("bootstrap.yaml", string(good))
	if err := s.hotRestart(); err != nil {
		t.Fatal(err)
	}
	s.until("the new one answers", func() bool { return s.info() == "v1" })
	cancel()
	all.Wait()
}

// TestAKilledProxyLosesNoQueuedConnection: who connects while none runs is served by the next.
func TestAKilledProxyLosesNoQueuedConnection(t *testing.T) {
	app, _ := application(t)
	s := supervise(t, app, echoServer(t))
	pid, err := exec.CommandContext(t.Context(), "pgrep", "-P", fmt.Sprint(s.cmd.Process.Pid)).Output()
	if err != nil {
		t.Skip("pgrep is missing")
	}
	var child int
	if _, err := fmt.Sscan(string(pid), &child); err != nil {
		t.Fatal(err)
	}
	s.write("version", "v1")
	good, err := os.ReadFile(filepath.Join(s.dir, "bootstrap.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("bootstrap.yaml", "no bootstrap") // so that none comes up until the connections wait
	if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.until("it is gone", func() bool { return syscall.Kill(child, 0) != nil })
	var all sync.WaitGroup
	for _, at := range []string{s.front, s.path, s.admin} {
		network := "tcp"
		if at[0] == '/' {
			network = "unix"
		}
		for range 10 {
			c, err := net.Dial(network, at)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, "GET /ready HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.StatusCode != 200 && resp.StatusCode != 503 {
					t.Errorf("%s: %v %v", at, resp, err)
				}
			})
		}
	}
	s.write("bootstrap.yaml", string(good))
	s.until("the next one answers", func() bool { return s.info() == "v1" })
	all.Wait()
}
