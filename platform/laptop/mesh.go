package laptop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/internal/program"
	"github.com/heddle-mesh/heddle/internal/resident"
	"github.com/heddle-mesh/heddle/internal/spawn"
	"github.com/heddle-mesh/heddle/platform/fabric"
	"github.com/heddle-mesh/heddle/platform/shop"
)

// meshRun is one running mesh.
type meshRun struct {
	opts    Options
	self    string // this program
	dir     runDir
	log     *slog.Logger
	null    *os.File
	alive   *os.File // write end of a pipe that the daemons hold too: its end says that all of them, and we, are gone
	thread  *spawn.Thread
	fabric  *fabric.Client
	api     *api
	ports   ports
	started time.Time

	running    sync.WaitGroup     // programs that are kept running
	processes  []*program.Program // of the control plane
	runs       atomic.Int64       // of proxies
	processLog map[string]string

	telling     sync.Mutex // held while the status file is written
	toldTargets []byte     // what the file of scraped targets says; needs telling
	joining     sync.Mutex // held while a workload finds, makes or gives up its service
	mu          sync.Mutex
	next        int // addresses given so far
	workloads   []*workload
	ready       bool
	readyAfter  time.Duration
	message     string
}

// ports of the host.
type ports struct {
	gateway, api, debug, admin, metrics, dashboard int
	gatewayListener                                *os.File
	adminListener                                  net.Listener
}

// ErrStopped says that a mesh was told to end before it was ready.
var ErrStopped = errors.New("stopped before the mesh was ready")

// Run starts a mesh and keeps it until the context ends. ready is called once, when everything works; it may be nil.
func Run(ctx context.Context, o Options, ready func(*Status)) (err error) {
	if err := o.pick(); err != nil {
		return err
	}
	for _, name := range []string{"heddle-apiserver", "heddled", "heddle-proxy", "heddle-sample", observeBinary} {
		if name == observeBinary && !o.Metrics {
			continue
		}
		if _, err := o.binary(name); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	m := &meshRun{opts: o, self: self, log: o.Log, thread: spawn.NewThread(), started: time.Now(), processLog: map[string]string{}}
	if m.dir, err = claim(o.RunDir); err != nil {
		return err
	}
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		m.end(cancel)
		// What an earlier mesh was told to keep is not lost because a later one does not start.
		if e := m.dir.release(o.Keep || m.dir.hadData && !m.ready); err == nil {
			err = e
		}
	}()
	startCtx, stopStart := context.WithTimeout(ctx, o.Deadline)
	defer stopStart()
	if err := m.bringUp(startCtx, inner); err != nil {
		if ctx.Err() != nil {
			return ErrStopped
		}
		if startCtx.Err() != nil {
			if !o.Keep {
				return fmt.Errorf("the mesh was not ready after %s: %w; start it with --keep to look at the logs", o.Deadline, err)
			}
			return fmt.Errorf("the mesh was not ready after %s: %w; look at %s", o.Deadline, err, m.dir.join("log"))
		}
		return err
	}
	if ready != nil {
		ready(m.status())
	}
	resident.Now() // what starting a mesh takes is needed no more
	select {
	case <-ctx.Done():
		m.say("ending")
		return nil
	case <-m.fabric.Ended():
		return fabric.ErrEnded
	}
}

// bringUp starts everything, each thing as soon as what it needs is there. Programs live in inner; start bounds the waiting.
func (m *meshRun) bringUp(start, inner context.Context) error {
	for _, f := range []string{"sock", "proxy", "tokens"} {
		if err := os.MkdirAll(m.dir.join(f), 0o700); err != nil {
			return fmt.Errorf("use run folder: %w", err)
		}
	}
	var err error
	if m.null, err = os.Open(os.DevNull); err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	if err := m.openPorts(); err != nil {
		return err
	}
	if err := m.prepareMetrics(start); err != nil {
		return err
	}
	m.sayMode()
	m.say("starting the API server and the control plane")
	all := m.plan()
	if m.opts.plain() {
		for _, w := range all[1:] { // the first is the ingress
			if w.listener, err = w.plainListener(); err != nil {
				return err
			}
			w.entryPort = plainInbound
		}
	}
	held, alive, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer held.Close()
	m.alive = alive
	if err := m.startFabric(held); err != nil {
		return err
	}
	if err := m.startAPIServer(inner); err != nil {
		return err
	}
	if err := m.startAll(start, inner, all); err != nil {
		return err
	}
	m.serveAdmin(inner)
	if err := m.startMetrics(inner); err != nil {
		return err
	}
	if err := m.serveControl(inner); err != nil {
		return err
	}
	if err := m.waitReady(start, all); err != nil {
		return err
	}
	m.mu.Lock()
	m.ready, m.readyAfter = true, time.Since(m.started)
	m.mu.Unlock()
	if !m.opts.Empty && m.opts.Rate > 0 {
		m.running.Go(func() { shop.Visit(inner, m.gatewayURL(), m.opts.Rate, m.log) })
	}
	m.running.Go(func() { m.keepStatus(inner) })
	return m.dir.writeStatus(m.status())
}

func (m *meshRun) say(format string, args ...any) {
	_, _ = fmt.Fprintf(m.opts.Out, "heddle: "+format+"\n", args...)
}

// sayMode says which mode was picked and why, and what does not work in it.
func (m *meshRun) sayMode() {
	if m.opts.why != "" {
		m.say("mode %s, because %s", m.opts.Mode, m.opts.why)
	}
	if m.opts.plain() {
		m.say("mode proxy: no namespaces, every process is yours and on this machine's loopback. What does not work in it:")
		for _, limit := range plainLimits {
			_, _ = fmt.Fprintf(m.opts.Out, "  - %s\n", limit)
		}
	}
}

func (m *meshRun) gatewayURL() string { return "http://127.0.0.1:" + strconv.Itoa(m.ports.gateway) }

// serviceRanges have the addresses of services, of each family. They mean something inside the mesh only.
const serviceRanges = "10.96.0.0/16,fd78:6864:0:1::/112"

func (m *meshRun) startAPIServer(inner context.Context) error {
	path, err := m.opts.binary("heddle-apiserver")
	if err != nil {
		return err
	}
	return m.daemon(inner, "apiserver", path, "--data-dir", m.dir.join("api"), "--address", "127.0.0.1:"+strconv.Itoa(m.ports.api),
		"--service-cidrs", serviceRanges, "--kubeconfig-out", m.dir.join("kubeconfig"), "--memory-limit", strconv.Itoa(memoryAPIServer), "--gc-percent", "100", "--parent-death")
}

// daemon runs a program of the control plane on the host.
func (m *meshRun) daemon(inner context.Context, name, path string, args ...string) error {
	out, err := m.dir.logFile(name)
	if err != nil {
		return err
	}
	p := &program.Program{Name: name, Log: m.log, Grace: 8 * time.Second, Start: onHost(m.thread, path, args, out, m.alive)}
	if err := p.Begin(inner, &m.running); err != nil {
		return err
	}
	m.mu.Lock()
	m.processes = append(m.processes, p)
	m.processLog[name] = out.Name()
	m.mu.Unlock()
	return nil
}

// startFabric starts the process that holds the namespaces, and that tidies up when we are killed.
func (m *meshRun) startFabric(held *os.File) error {
	out, err := m.dir.logFile("fabric")
	if err != nil {
		return err
	}
	defer out.Close()
	args := []string{"fabric", "--run-dir", m.dir.path, fmt.Sprintf("--keep=%t", m.opts.Keep), fmt.Sprintf("--plain=%t", m.opts.plain())}
	m.fabric, err = fabric.Start(m.thread, fabric.Options{Program: m.self, Args: args, Rootless: m.opts.Mode == ModeRootless, Plain: m.opts.plain(), Stderr: out, Inherit: []*os.File{held, m.dir.lock}})
	switch {
	case err == nil || m.opts.plain():
		return err
	case m.opts.Mode == ModeRootless:
		return fmt.Errorf("%w; user namespaces are forbidden on this machine: run heddle up as root, or with --mode proxy, which needs none and says what does not work in it", err)
	}
	return fmt.Errorf("%w; not even root may make network namespaces here: use --mode proxy, which needs none and says what does not work in it", err)
}

func (m *meshRun) startRelay(inner context.Context) error {
	l, err := net.Listen("unix", m.dir.join("sock", "outside.sock"))
	if err != nil {
		return fmt.Errorf("open the way out: %w", err)
	}
	r := &Relay{Listener: l, Log: m.log, Resolver: hostResolver()}
	m.running.Go(func() { r.Serve(inner) })
	return nil
}

// startHeddled starts heddled and waits until proxies can connect; they get their configuration when it has the first snapshot.
func (m *meshRun) startHeddled(start, inner context.Context) error {
	path, err := m.opts.binary("heddled")
	if err != nil {
		return err
	}
	socket := m.dir.join("sock", "xds.sock")
	args := []string{"--kubeconfig", m.dir.join("api", "heddled.kubeconfig"),
		"--xds-address", "", "--xds-tls-address", "", "--xds-socket", socket,
		"--http-address", "127.0.0.1:" + strconv.Itoa(m.ports.debug), "--webhook-address", "127.0.0.1:0",
		"--token-file", m.dir.join("debug-token"), "--join-tokens", m.dir.join("tokens"), "--ca-dir", m.dir.join("ca"), "--state-dir", m.dir.join("state"),
		"--cluster-id", cluster, "--memory-limit", strconv.Itoa(memoryHeddled), "--leader-election=false"}
	args = append(args, m.dashboardArgs()...)
	if m.opts.plain() {
		settings, err := m.plainMeshConfig()
		if err != nil {
			return err
		}
		args = append(args, "--mesh-config", settings)
	}
	if err := m.daemon(inner, "heddled", path, args...); err != nil {
		return err
	}
	return m.poll(start, "heddled", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
}

// waitAPIServer waits for the kubeconfig, which is written when the server is ready.
func (m *meshRun) waitAPIServer(ctx context.Context) error {
	return m.poll(ctx, "apiserver", func() bool {
		_, err := os.Stat(m.dir.join("api", "heddled.kubeconfig"))
		_, err2 := os.Stat(m.dir.join("kubeconfig"))
		return err == nil && err2 == nil && m.apiReady()
	})
}

// poll waits for a condition; a control plane process that keeps dying meanwhile is told with the end of its log.
func (m *meshRun) poll(ctx context.Context, what string, done func() bool) error {
	for !done() {
		if err := m.dying(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-time.After(15 * time.Millisecond):
		}
	}
	return nil
}

func (m *meshRun) dying() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.processes {
		if _, restarts, last := p.State(); restarts > 2 {
			words := strings.TrimPrefix(tail(m.processLog[p.Name]), "heddle-"+p.Name+": ")
			return fmt.Errorf("%s does not start (%s): %s", p.Name, last, strings.TrimPrefix(words, p.Name+": "))
		}
	}
	return nil
}

// end stops everything: applications and proxies first, then the control plane.
func (m *meshRun) end(cancel context.CancelFunc) {
	cancel()
	m.running.Wait()
	if m.fabric != nil {
		_ = m.fabric.Close()
	}
	if m.ports.gatewayListener != nil {
		m.ports.gatewayListener.Close()
	}
	if m.ports.adminListener != nil {
		m.ports.adminListener.Close()
	}
	files := []*os.File{m.null, m.alive}
	for _, w := range m.workloads {
		files = append(files, w.listener)
		w.sockets.Close()
	}
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
