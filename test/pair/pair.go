// Package pair starts heddle-proxy and stock Envoy with one and the same bootstrap file, so that a test can hold their behaviour side by side.
//
// In: a bootstrap in YAML with places to fill: ${dir} is a folder of the proxy's own, ${listen:NAME} a free port of loopback, any other ${NAME} what the test gives.
// Out: a running proxy. Envoy is skipped where its binary is missing (make envoy fetches it). A Proxy belongs to one test.
package pair

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/server"
)

// The planes.
const (
	Heddle = "heddle-proxy"
	Envoy  = "envoy"
)

// Planes are both.
var Planes = []string{Heddle, Envoy}

// Proxy is one that runs.
type Proxy struct {
	Plane string
	t     testing.TB
	dir   string
	ports map[string]string
	cmd   *exec.Cmd
}

var place = regexp.MustCompile(`\$\{[^}]*\}`)

// Start starts one proxy with a worker, and waits until it is ready. It is stopped with the test.
func Start(t testing.TB, plane, file string, places map[string]string) *Proxy {
	t.Helper()
	return start(t, plane, file, places, func(p *Proxy, text string) {
		if plane == Heddle {
			p.inside(text)
		} else {
			p.process(Binary(p.t, ".cache", "envoy", "envoy"), "-c", p.write(text), "--disable-hot-restart", "--concurrency", "1", "-l", "warning", "--drain-time-s", "1")
		}
	})
}

// StartProcess starts heddle-proxy as a process, with more arguments.
func StartProcess(t testing.TB, file string, places map[string]string, args ...string) *Proxy {
	t.Helper()
	return start(t, Heddle, file, places, func(p *Proxy, text string) {
		p.process(Binary(p.t, "bin", "heddle-proxy"), append([]string{"-c", p.write(text), "--concurrency", "1"}, args...)...)
	})
}

func start(t testing.TB, plane, file string, places map[string]string, run func(p *Proxy, text string)) *Proxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "pair") // a test's own folder has too long a name for sockets
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &Proxy{Plane: plane, t: t, dir: dir, ports: map[string]string{}}
	run(p, p.fill(file, places)+"\nadmin: {address: {pipe: {path: "+filepath.Join(dir, "admin.sock")+"}}}\n")
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if code, _ := p.Admin(http.MethodGet, "/ready"); code == http.StatusOK {
			return p
		}
		if time.Now().After(end) {
			t.Fatalf("%s is not ready after 30 s", plane)
		}
	}
}

// PID is the number of the process that StartProcess has started.
func (p *Proxy) PID() int { return p.cmd.Process.Pid }

func (p *Proxy) fill(file string, places map[string]string) string {
	return place.ReplaceAllStringFunc(file, func(s string) string {
		name := s[2 : len(s)-1]
		if v, ok := places[name]; ok {
			return v
		}
		if name == "dir" {
			return p.dir
		}
		listener, ok := strings.CutPrefix(name, "listen:")
		if !ok {
			p.t.Fatalf("nothing is given for %s", s)
		}
		if p.ports[listener] == "" {
			p.ports[listener] = free(p.t)
		}
		return p.ports[listener]
	})
}

// free is a port that nobody listens on.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// inside runs heddle-proxy in this process.
func (p *Proxy) inside(text string) {
	s, err := server.New(server.Options{Bootstrap: []byte(text), Concurrency: 1, Drain: time.Second, Log: slog.New(slog.DiscardHandler), Level: new(slog.LevelVar), Version: "test"})
	must(p.t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, ctx) }()
	p.t.Cleanup(func() {
		stop()
		<-done
	})
}

func (p *Proxy) write(text string) string {
	config := filepath.Join(p.dir, "bootstrap.yaml")
	must(p.t, os.WriteFile(config, []byte(text), 0o600))
	return config
}

func (p *Proxy) process(binary string, args ...string) {
	cmd, log := exec.Command(binary, args...), &strings.Builder{}
	p.cmd, cmd.Stdout, cmd.Stderr = cmd, log, log
	must(p.t, cmd.Start())
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if p.t.Failed() {
			p.t.Logf("%s said:\n%s", p.Plane, log)
		}
	})
}

// Binary is the path of a program below the root of the repository; the test is skipped when it is not there.
func Binary(t testing.TB, parts ...string) string {
	t.Helper()
	_, self, _, _ := runtime.Caller(0)
	path := filepath.Join(append([]string{filepath.Dir(self), "..", ".."}, parts...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not there; make envoy and make build bring it", filepath.Join(parts...))
	}
	return path
}

// Address is where the listener with ${listen:NAME} is.
func (p *Proxy) Address(name string) string { return "127.0.0.1:" + p.ports[name] }

// Dir is the proxy's own folder.
func (p *Proxy) Dir() string { return p.dir }

// Admin asks the admin interface; the code is 0 when it does not answer.
func (p *Proxy) Admin(method, path string) (int, string) {
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(p.dir, "admin.sock"))
	}}}
	req, err := http.NewRequest(method, "http://proxy"+path, nil)
	must(p.t, err)
	resp, err := c.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// Stat is a counter or gauge by Envoy's name.
func (p *Proxy) Stat(name string) (int64, error) {
	_, text := p.Admin(http.MethodGet, "/stats?filter=^"+regexp.QuoteMeta(name)+"$")
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && key == name {
			return strconv.ParseInt(value, 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no statistic %s", p.Plane, name)
}

// Until waits for a condition of the test's, and fails it after 20 s.
func (p *Proxy) Until(what string, done func() bool) {
	p.t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%s: waited 20 s in vain until %s", p.Plane, what)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
