package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/announce"
	"github.com/heddle-mesh/heddle/data/proxy/kubelet"
	"github.com/heddle-mesh/heddle/data/proxy/probe"
	"github.com/heddle-mesh/heddle/data/proxy/secret"
	"github.com/heddle-mesh/heddle/identity"
)

// dnsTimeout bounds one question to a name server of the host, dnsPatience all questions about one name.
const (
	dnsTimeout  = 2 * time.Second
	dnsPatience = 10 * time.Second
)

// maxSocketPath is the longest path of a unix socket (sun_path in unix(7), with its NUL).
const maxSocketPath = 107

// Options say what runs, for whom, and who configures it.
type Options struct {
	Envoy string // path of the binary

	XDSAddress   string // HOST:PORT or unix:PATH
	CAAddress    string // the same; "" is XDSAddress
	TokenFile    string // bearer token for both, read anew for every stream; "" for none
	RootCertFile string // PEM that verifies both; "" is plaintext, for loopback and sockets
	ServerName   string // in their certificate; "" is the host of the address

	Workload announce.Workload // whom Envoy stands for; Kind decides between sidecar and gateway

	AdminSocket    string        // Envoy's admin interface, with the agent's /ready
	Status         []string      // HOST:PORT, each with /healthz/ready, /stats/prometheus, /quitquitquit and probes of the application
	Probes         string        // those probes in JSON (package kubelet); "" for none
	LabelsFile     string        // labels of the workload as Kubernetes' downward API writes them; "" for none
	DNS            []string      // HOST:PORT of the mesh's names, UDP and TCP
	ResolvConf     string        // who knows other names; default /etc/resolv.conf
	Concurrency    int           // Envoy's worker threads; 0 is one per CPU
	Mark           int           // SO_MARK of everything that Envoy and the agent dial, so that capture leaves it alone; 0 for none (needs CAP_NET_ADMIN)
	Shared         bool          // RunGRPC: the work folder is seen by the workload alone, which may run as another user
	WorkDir        string        // bootstrap and sockets, mode 0700; default is beside AdminSocket, or a temporary folder
	DrainTime      time.Duration // how long connections may take to end; default 5 s
	LogLevel       string        // Envoy's; default warning
	Stdout, Stderr *os.File      // Envoy's; default are the process's own
	Log            *slog.Logger

	own       func() *secret.SVID // the workload's certificate
	probes    *kubelet.Handler
	probe     *probe.Probe // of the workload's health; nil for none
	grpc      bool         // of RunGRPC: no Envoy
	temporary bool         // WorkDir was made here and goes away
}

// complete fills in defaults and says what is missing, as one sentence each.
func (o *Options) complete() error {
	w := &o.Workload
	if w.Kind == "" {
		w.Kind = announce.Sidecar
	}
	if o.grpc {
		w.Interception = "NONE"
	}
	setDefault(&w.Interception, map[announce.Kind]string{announce.Sidecar: "REDIRECT", announce.Gateway: "NONE"}[w.Kind])
	setDefault(&w.TrustDomain, identity.DefaultTrustDomain)
	setDefault(&w.DNSDomain, "cluster.local")
	setDefault(&o.CAAddress, o.XDSAddress)
	setDefault(&o.ResolvConf, "/etc/resolv.conf")
	setDefault(&o.LogLevel, "warning")
	if o.DrainTime <= 0 {
		o.DrainTime = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Stdout == nil {
		o.Stdout = os.Stdout
	}
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	if err := o.check(); err != nil {
		return err
	}
	return o.workDir()
}

func setDefault(p *string, value string) {
	if *p == "" {
		*p = value
	}
}

func (o *Options) check() error {
	switch {
	case o.XDSAddress == "":
		return errors.New("--xds-address is missing; it says where the control plane is")
	case o.Concurrency < 0:
		return fmt.Errorf("--concurrency %d is negative", o.Concurrency)
	}
	if err := o.Workload.Check(); err != nil {
		return err
	}
	if err := o.readFiles(); err != nil {
		return err
	}
	if o.Workload.Registered() && !o.grpc {
		var err error
		if o.probe, err = probe.Parse(o.Workload.Config); err != nil {
			return fmt.Errorf("--proxy-config: %w", err)
		}
	}
	if o.grpc {
		return markable(o.Mark)
	}
	if _, err := os.Stat(o.Envoy); err != nil {
		return fmt.Errorf("run Envoy: %w; set --envoy to the path of an Envoy binary", err)
	}
	return markable(o.Mark)
}

// readFiles reads what Kubernetes says of the pod.
func (o *Options) readFiles() error {
	if o.Probes != "" {
		var err error
		if o.probes, err = kubelet.Parse(o.Probes, o.Workload.IPs[0]); err != nil {
			return fmt.Errorf("--app-probes: %w", err)
		}
	}
	if o.LabelsFile == "" {
		return nil
	}
	text, err := os.ReadFile(o.LabelsFile)
	if err != nil {
		return fmt.Errorf("--labels-file: %w", err)
	}
	labels, err := announce.ParseLabels(string(text))
	if err != nil {
		return fmt.Errorf("--labels-file %s: %w", o.LabelsFile, err)
	}
	maps.Copy(labels, o.Workload.Labels)
	o.Workload.Labels = labels
	return nil
}

func (o *Options) workDir() (err error) {
	switch {
	case o.WorkDir != "":
	case o.AdminSocket != "":
		o.WorkDir, o.temporary = o.AdminSocket+".d", true
	default:
		if o.WorkDir, err = os.MkdirTemp("", "heddle-agent-"); err != nil {
			return fmt.Errorf("make the agent's folder: %w", err)
		}
		o.temporary = true
	}
	if o.grpc { // programs read the bootstrap wherever they run
		if o.WorkDir, err = filepath.Abs(o.WorkDir); err != nil {
			return fmt.Errorf("make the agent's folder: %w", err)
		}
	}
	for _, p := range []string{o.socket(), o.envoySocket(), o.AdminSocket} {
		if len(p) > maxSocketPath {
			return fmt.Errorf("the socket path %s is longer than %d bytes; choose a shorter --work-dir", p, maxSocketPath)
		}
	}
	return nil
}

func (o *Options) channel(address string) secret.Channel {
	return secret.Channel{Address: address, TokenFile: o.TokenFile, RootCert: o.RootCertFile, Name: o.ServerName, ClusterID: o.Workload.ClusterID, Own: o.own, Dial: o.dialer().gRPC(address)}
}
