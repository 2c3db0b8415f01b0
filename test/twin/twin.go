// Package twin runs one configuration file on stock Envoy and on heddle-proxy, so that a test can ask the same of both.
//
// In: a bootstrap file with static resources, a template in which {{port "NAME"}} is a port that nobody has, the same for the whole test ("admin" and "front", which are the
// proxy's own, for one proxy). Out: two running proxies, one
// after the other, and what they answer. heddle-proxy runs in the test's own process, with one worker, as Envoy does; without a binary of Envoy only heddle-proxy runs.
package twin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/server"
)

// Proxy is one of the two, running.
type Proxy struct {
	// Envoy says that it is stock Envoy.
	Envoy bool
	t     *testing.T
	ports *Ports
	log   *bytes.Buffer
}

// Ports are the ports of a test by name.
type Ports struct {
	t     *testing.T
	taken map[string]int
}

// NewPorts makes an empty set.
func NewPorts(t *testing.T) *Ports { return &Ports{t: t, taken: map[string]int{}} }

// Port is the port of a name, a free one when it is asked for the first time.
func (p *Ports) Port(name string) int {
	if n, ok := p.taken[name]; ok {
		return n
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	defer l.Close()
	p.taken[name] = l.Addr().(*net.TCPAddr).Port
	return p.taken[name]
}

// Address is 127.0.0.1 with the port of a name.
func (p *Ports) Address(name string) string { return "127.0.0.1:" + strconv.Itoa(p.Port(name)) }

// fill reads a file for one proxy.
func (p *Ports) fill(t *testing.T, file string) []byte {
	t.Helper()
	delete(p.taken, "admin")
	delete(p.taken, "front")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := template.New(file).Funcs(template.FuncMap{"port": p.Port}).Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const patience = 20 * time.Second

// Run runs the file on each data plane and gives it to fn, as a subtest.
func Run(t *testing.T, ports *Ports, file string, fn func(t *testing.T, p *Proxy)) {
	t.Helper()
	t.Run("heddle-proxy", func(t *testing.T) { fn(t, Heddle(t, ports, file)) })
	t.Run("envoy", func(t *testing.T) {
		binary, _ := filepath.Abs("../../.cache/envoy/envoy")
		if _, err := os.Stat(binary); err != nil {
			t.Skip("no Envoy at .cache/envoy/envoy; make envoy fetches it")
		}
		p := &Proxy{t: t, ports: ports, Envoy: true}
		p.stock(binary, ports.fill(t, file))
		p.ready()
		fn(t, p)
	})
}

// Heddle runs the file on heddle-proxy alone.
func Heddle(t *testing.T, ports *Ports, file string) *Proxy {
	t.Helper()
	p := &Proxy{t: t, ports: ports}
	p.heddle(ports.fill(t, file))
	p.ready()
	return p
}

func (p *Proxy) heddle(config []byte) {
	s, err := server.New(server.Options{Bootstrap: config, Concurrency: 1, Drain: time.Second, Log: slog.New(slog.DiscardHandler), Level: new(slog.LevelVar), Version: "test"})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, ctx) }()
	p.t.Cleanup(func() {
		stop()
		<-done
	})
}

func (p *Proxy) stock(binary string, config []byte) {
	file := filepath.Join(p.t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.log = &bytes.Buffer{}
	cmd := exec.Command(binary, "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "warn")
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has nothing to lose
		_ = cmd.Wait()
		if p.t.Failed() {
			p.t.Log(p.log.String())
		}
	})
}

func (p *Proxy) ready() {
	p.t.Helper()
	p.Until("it is ready", func() bool { return p.page("/ready") == "LIVE\n" })
}

// Until waits until something holds; a proxy that never gets there fails the test.
func (p *Proxy) Until(what string, holds func() bool) {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if holds() {
			return
		}
	}
	p.t.Fatalf("waited in vain until %s", what)
}

func (p *Proxy) page(path string) string {
	resp, err := http.Get("http://" + p.ports.Address("admin") + path)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// Stat is one statistic by its dotted name; 0 when there is none.
func (p *Proxy) Stat(name string) int {
	for line := range strings.Lines(p.page("/stats?filter=" + name)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+": "); ok {
			n, _ := strconv.Atoi(v)
			return n
		}
	}
	return 0
}

// Health are the health flags of the endpoint that has the port of a name, as /clusters shows them.
func (p *Proxy) Health(cluster, name string) string {
	prefix := cluster + "::" + p.ports.Address(name) + "::health_flags::"
	for line := range strings.Lines(p.page("/clusters")) {
		if flags, ok := strings.CutPrefix(strings.TrimSpace(line), prefix); ok {
			return flags
		}
	}
	return "unknown"
}

// Get sends a request to the port "front", with headers given as NAME: VALUE. It gives the status with the body.
func (p *Proxy) Get(path string, headers ...string) string {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+p.ports.Address("front")+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s", resp.StatusCode, bytes.TrimSpace(b))
}
