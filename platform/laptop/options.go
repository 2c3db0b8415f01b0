// Package laptop runs a whole mesh on one machine without Kubernetes: API server, control plane, workloads with their proxies, an ingress.
//
// In: Options. Out: one process tree that ends as a whole, a folder with sockets, logs and a status file, and nothing left behind
// afterwards. Run owns the tree; the functions that read a running mesh (ReadStatus, Call) may be used by any process of the same user.
package laptop

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"log/slog"
)

// Mode tells how workloads are separated and their traffic captured.
type Mode string

// The modes, from the most to the least faithful.
const (
	ModeAuto     Mode = "auto"
	ModeRoot     Mode = "root"     // network namespaces, made as root
	ModeRootless Mode = "rootless" // the same inside a user namespace
	ModeProxy    Mode = "proxy"    // no namespaces: workloads are told by HTTP_PROXY
)

// Default ports on the host.
const (
	DefaultGatewayPort = 8080
	DefaultAPIPort     = 6443
	DefaultMetricsPort = 9090
	// DefaultDashboardPort is the one that Kiali's users know.
	DefaultDashboardPort = 20001
)

// DefaultProxyMemory is the limit of a proxy's memory in MiB: enough for some hundred requests at a time.
const DefaultProxyMemory = 24

// Bounds of it: a proxy at rest holds some 12 MiB.
const (
	minProxyMemory = 16
	maxProxyMemory = 64 << 10
)

// Options of Run.
type Options struct {
	RunDir string
	BinDir string // where heddle-apiserver, heddled, heddle-proxy, heddle-observe and heddle-sample are
	Mode   Mode
	Empty  bool // without the shop
	Keep   bool // leave the run folder (data, logs) when it ends
	// CaptureUDP leads what workloads send to services in datagrams to their proxies.
	CaptureUDP bool
	// Ports; 0 is the default port, replaced by a free one when it is busy. A port that was asked for must be free.
	GatewayPort, APIPort int
	GatewayPortAsked     bool
	APIPortAsked         bool
	Metrics              bool // keep the metrics of all proxies, and answer PromQL
	MetricsPort          int  // as the other ports
	MetricsPortAsked     bool
	MetricsRetention     time.Duration
	Dashboard            bool // serve the dashboard
	DashboardPort        int  // as the other ports
	DashboardPortAsked   bool
	MetricsEvery         time.Duration // how often targets are scraped
	MetricsConfig        string        // file in Prometheus' language: remote_write and more; "" for none
	Rate                 float64       // requests a second of the visitor; 0: none
	ProxyMemory          int           // limit of each proxy's memory, MiB
	Deadline             time.Duration
	Out                  io.Writer // what the user reads
	Log                  *slog.Logger
	Env                  []string // environment for workloads, read in cmd
	why                  string   // Mode was picked, "" when it was asked for
}

// Memory limits (bytes) of the processes, as GOMEMLIMIT: the whole demo stays below 700 MB.
const (
	memoryAPIServer = 300 << 20
	memoryHeddled   = 80 << 20
	memorySample    = 16 << 20
	memoryObserve   = 256 << 20
)

// pick decides the mode that ModeAuto stands for.
func (o *Options) pick() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("heddle up needs Linux; this is %s", runtime.GOOS)
	}
	if err := o.check(); err != nil {
		return err
	}
	root := os.Geteuid() == 0
	switch o.Mode {
	case ModeAuto, "":
		o.Mode, o.why = ModeRootless, "heddle up does not run as root"
		if root {
			o.Mode, o.why = ModeRoot, "heddle up runs as root"
		}
	case ModeRoot:
		if !root {
			return errors.New("--mode root needs root; run it with sudo, or leave --mode out to use a user namespace")
		}
	case ModeRootless, ModeProxy:
	default:
		return fmt.Errorf("--mode %s is not known; use auto, root, rootless or proxy", o.Mode)
	}
	return nil
}

// check finds settings that mean nothing.
func (o *Options) check() error {
	for _, p := range []struct {
		flag string
		port int
	}{{"--port", o.GatewayPort}, {"--api-port", o.APIPort}, {"--metrics-port", o.MetricsPort}, {"--dashboard-port", o.DashboardPort}} {
		if p.port < 0 || p.port > 65535 {
			return fmt.Errorf("%s %d is not a port; use 1 to 65535, or 0 for any free one", p.flag, p.port)
		}
	}
	if o.CaptureUDP && o.plain() {
		return errors.New("--capture-udp needs network namespaces, which --mode proxy does without; leave one of them out")
	}
	if !(o.Rate >= 0 && o.Rate <= maxRate) { // not a number is neither
		return fmt.Errorf("--rate %g is not a rate; use requests a second, from 0 to %d", o.Rate, maxRate)
	}
	if o.ProxyMemory < minProxyMemory || o.ProxyMemory > maxProxyMemory {
		return fmt.Errorf("--proxy-memory %d is not possible; use MiB, from %d to %d", o.ProxyMemory, minProxyMemory, maxProxyMemory)
	}
	if o.Metrics && o.MetricsRetention < minRetention {
		return fmt.Errorf("--metrics-retention %s is too short; use %s or more, or --metrics=false for none", o.MetricsRetention, minRetention)
	}
	if o.Metrics && (o.MetricsEvery < time.Second || o.MetricsEvery > time.Minute) {
		return fmt.Errorf("--metrics-every %s is not possible; use 1s to 1m", o.MetricsEvery)
	}
	if o.Deadline <= 0 {
		return fmt.Errorf("--timeout %s leaves no time to start; use more than 0s", o.Deadline)
	}
	return nil
}

// minRetention is that of the store of metrics.
const minRetention = time.Hour

// maxRate is more than the visitor can make.
const maxRate = 10_000

// plain says that there are no namespaces.
func (o *Options) plain() bool { return o.Mode == ModeProxy }

// binary is the path of one of our programs, or one clear sentence.
func (o *Options) binary(name string) (string, error) {
	path := filepath.Join(o.BinDir, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is not beside heddle in %s; run make build", name, o.BinDir)
	}
	return path, nil
}
