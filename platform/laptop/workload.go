package laptop

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/control/token"
	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/data/proxy/handover"
	"github.com/heddle-mesh/heddle/internal/program"
	"github.com/heddle-mesh/heddle/platform/fabric"
)

const (
	ingressNamespace = "istio-system"
	ingressName      = "istio-ingressgateway"
	defaultNamespace = "default"
	cluster          = "laptop"
)

// workload is one process (or the ingress, which has none) with its proxy in a namespace of its own.
type workload struct {
	name, namespace    string
	app, version       string
	account            string
	port               uint16
	tcp                bool
	hostPort           uint16 // of the host that the process listens on, without namespaces
	entryPort          uint16 // that others reach the workload by, when it is not what the service says
	portName           string // of the service's port
	about              string
	addresses          []netip.Addr
	reached            netip.Addr // the one of them that others reach it by
	labels             map[string]string
	locality           string // REGION/ZONE/SUBZONE, "" for none
	gateway            bool
	inherited          []inheritedSocket // listening sockets of the host
	sockets            handover.Keeper   // of its proxy: who connects or asks waits in them while it is started again, or replaced
	listener           *os.File          // socket of the host that a part of the shop serves, without namespaces
	tokenFile, admin   string            // paths
	proxy, application *program.Program
	log                *os.File
	serving, leaving   bool // was put into service; is on its way out. Both need meshRun.joining.
	outOfService       atomic.Bool
}

// inheritedSocket is a socket that the host listens on for an address of the proxy.
type inheritedSocket struct {
	address string // as the listener's configuration names it, such as 0.0.0.0:80
	file    *os.File
}

// id is the name of the workload within the mesh of this machine.
func (w *workload) id() string { return w.namespace + "/" + w.name }

// net is the name of its network namespace, and of its files.
func (w *workload) net() string { return w.namespace + "." + w.name }

// space is the name of the workload's network namespace for the fabric; without namespaces all share the host's.
func (m *meshRun) space(w *workload) string {
	if m.opts.plain() {
		return ""
	}
	return w.net()
}

// place gives a workload its addresses and paths, and describes its proxy; all of it is set before others see the workload.
func (m *meshRun) place(w *workload) {
	w.addresses = m.allocate()
	w.reached = w.addresses[0]
	w.admin = m.dir.join("proxy", w.net()+".sock")
	w.tokenFile = m.dir.join("proxy", w.net()+".token")
	w.proxy = &program.Program{Name: "proxy of " + w.id(), Log: m.log, Grace: 8 * time.Second, Patience: 30 * time.Second,
		Start: func(ctx context.Context) (program.Process, error) { return m.runProxy(ctx, w) }}
}

// settle makes what a workload needs on this machine: namespace, token, log.
func (m *meshRun) settle(ctx context.Context, w *workload) error {
	secret, err := token.Issue(m.dir.join("tokens"), w.net(), token.Claims{Namespace: w.namespace, ServiceAccount: w.account})
	if err != nil {
		return err
	}
	if err := os.WriteFile(w.tokenFile, []byte(secret), 0o600); err != nil {
		return fmt.Errorf("write the token of %s: %w", w.id(), err)
	}
	spec := &capture.Spec{DNS: true, Datagrams: m.opts.CaptureUDP}
	if w.gateway {
		spec = &capture.Spec{NoOutbound: true, NoInbound: true}
	}
	if !m.opts.plain() {
		if err := m.fabric.Namespace(ctx, w.net(), w.addresses, spec); err != nil {
			return err
		}
	}
	if spec.DNS && !m.opts.plain() {
		for _, address := range nameAddresses {
			f, err := m.fabric.Datagrams(ctx, w.net(), address)
			if err != nil {
				return err
			}
			err = w.sockets.Put(handover.Key("udp", address), f)
			if err = errors.Join(err, f.Close()); err != nil {
				return err
			}
		}
	}
	for _, s := range w.inherited {
		if err := w.sockets.Put(handover.Key("tcp", s.address), s.file); err != nil {
			return err
		}
	}
	w.log, err = m.dir.logFile(w.net())
	return err
}

// nameAddresses are where capture leads questions for names.
var nameAddresses = []string{"127.0.0.1:15053", "[::1]:15053"}

func (m *meshRun) fabricClient() *fabric.Client { return m.fabric }

// startProxy runs the proxy of a workload and keeps it running.
func (m *meshRun) startProxy(ctx context.Context, w *workload) error {
	return w.proxy.Begin(ctx, &m.running)
}

// runProxy starts a proxy once.
func (m *meshRun) runProxy(ctx context.Context, w *workload) (program.Process, error) {
	session, theirs, err := w.sockets.Session()
	if err != nil {
		return program.Process{}, err
	}
	defer func() { _ = theirs.Close() }() // the process has its own
	p, err := inFabric(m.fabricClient, func() (fabric.Process, error) { return m.proxyProcess(w, theirs) })(ctx)
	p.Ready, p.Retire = session.Ready(), session.Retire
	return p, err
}

func (m *meshRun) proxyProcess(w *workload, supervisor *os.File) (fabric.Process, error) {
	path, err := m.opts.binary("heddle-proxy")
	if err != nil {
		return fabric.Process{}, err
	}
	kind := "sidecar"
	if w.gateway {
		kind = "gateway"
	}
	args := []string{kind, "--name", w.name, "--namespace", w.namespace, "--service-account", w.account,
		"--xds-address", "unix:" + m.dir.join("sock", "xds.sock"), "--ca-address", "unix:" + m.dir.join("sock", "xds.sock"),
		"--token-file", w.tokenFile, "--admin-socket", w.admin, "--cluster-id", cluster, "--trust-domain", "cluster.local",
		"--concurrency", "1", "--memory-limit", strconv.Itoa(m.opts.ProxyMemory << 20), "--supervisor-fd", "3"}
	if m.opts.plain() {
		args = append(args, "--interception-mode", "NONE", "--no-dns")
		if w.hostPort != 0 {
			args = append(args, "--application", fmt.Sprintf("%d=127.0.0.1:%d", plainInbound, w.hostPort))
		}
	} else {
		args = append(args, "--outside-dialer", "unix:"+m.dir.join("sock", "outside.sock"), "--inside", fabric.IPv4.Masked().String(), "--inside", fabric.IPv6.Masked().String(),
			"--mark", strconv.Itoa(capture.ProxyMark))
		if m.opts.CaptureUDP && !w.gateway {
			args = append(args, "--capture-udp")
		}
	}
	for _, a := range w.addresses {
		args = append(args, "--ip", a.String())
	}
	for k, v := range w.labels {
		args = append(args, "--label", k+"="+v)
	}
	if w.locality != "" { // it may want to know who else runs where
		args = append(args, "--locality", w.locality, "--self-discovery")
	}
	// Two run at the same time while one replaces the other.
	id := fmt.Sprintf("proxy:%s#%d", w.net(), m.runs.Add(1))
	// The proxy stays root in its namespace: its own connections are told by their mark, which takes CAP_NET_ADMIN.
	return fabric.Process{ID: id, Namespace: m.space(w), Path: path, Args: args, UID: -1, Files: []*os.File{m.null, w.log, w.log, supervisor}, Env: m.environment(nil)}, nil
}

// environment is what workloads get to see, with additions.
func (m *meshRun) environment(add []string) []string {
	var env []string
	for _, e := range m.opts.Env {
		if name, _, _ := strings.Cut(e, "="); name == "PATH" || name == "HOME" || name == "LANG" || name == "TZ" {
			env = append(env, e)
		}
	}
	return append(env, add...)
}

// startSample runs a part of the shop.
func (m *meshRun) startSample(ctx context.Context, w *workload) error {
	path, err := m.opts.binary("heddle-sample")
	if err != nil {
		return err
	}
	listen, files, env := fmt.Sprintf("[::]:%d", w.port), []*os.File{m.null, w.log, w.log}, m.environment([]string{"GOMEMLIMIT=" + strconv.Itoa(memorySample), "GOMAXPROCS=1"})
	if m.opts.plain() {
		listen, files, env = fmt.Sprintf("fd:%d", len(files)), append(files, w.listener), plainEnvironment(w, env)
	}
	uid := -1
	if os.Geteuid() == 0 && m.opts.Mode != ModeRootless {
		uid = sampleUID
	}
	args := []string{"--version", w.version, "--listen", listen}
	if m.opts.plain() {
		args = append(args, "--http-only")
	}
	args = append(args, w.app)
	w.application = &program.Program{Name: w.id(), Log: m.log, Grace: 4 * time.Second, Start: inFabric(m.fabricClient, func() (fabric.Process, error) {
		return fabric.Process{ID: "app:" + w.net(), Namespace: m.space(w), Path: path, Open: true, UID: uid, Files: files, Args: args, Env: env}, nil
	})}
	return w.application.Begin(ctx, &m.running)
}

// sampleUID is "nobody" everywhere.
const sampleUID = 65534

// allocate gives the next free addresses: one of each family, or without namespaces one of the loopback addresses.
func (m *meshRun) allocate() []netip.Addr {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	if m.opts.plain() {
		own := plainPrefix.Addr().As4()
		own[2], own[3] = byte((m.next+1)>>8), byte(m.next+1)
		return []netip.Addr{netip.AddrFrom4(own)}
	}
	four, six := fabric.IPv4.Addr().As4(), fabric.IPv6.Addr().As16()
	n := m.next + 1 // the first is the bridge's
	four[2], four[3] = byte(n>>8), byte(n)
	six[14], six[15] = byte(n>>8), byte(n)
	return []netip.Addr{netip.AddrFrom4(four), netip.AddrFrom16(six)}
}

// eachAtOnce runs f for all workloads at the same time and returns the first error.
func eachAtOnce(all []*workload, f func(*workload) error) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, w := range all {
		wg.Go(func() { errs[i] = f(w) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
