package agent

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/secret"
	"github.com/heddle-mesh/heddle/identity"
)

// The kinds of proxy.
const (
	Sidecar = "sidecar"
	Gateway = "gateway"
)

// dnsTimeout bounds one question to a name server of the host.
const dnsTimeout = 2 * time.Second

// maxSocketPath is the longest path of a unix socket (sun_path in unix(7), with its NUL).
const maxSocketPath = 107

// Options say what runs, for whom, and who configures it.
type Options struct {
	Envoy string // path of the binary
	Kind  string // Sidecar (default) or Gateway

	XDSAddress   string // HOST:PORT or unix:PATH
	CAAddress    string // the same; "" is XDSAddress
	TokenFile    string // bearer token for both, read anew for every stream; "" for none
	RootCertFile string // PEM that verifies both; "" is plaintext, for loopback and sockets

	Name, Namespace, ServiceAccount string
	Labels                          map[string]string
	IPs                             []netip.Addr // the workload's own; at least one
	ClusterID, Network, MeshID      string
	TrustDomain                     string // default cluster.local
	Domain                          string // of Kubernetes names; default cluster.local

	AdminSocket    string        // Envoy's admin interface, with the agent's /ready
	StatusAddress  string        // HOST:PORT of /healthz/ready; "" for none
	MetricsAddress string        // HOST:PORT of /stats/prometheus; "" for none
	DNSAddresses   []string      // HOST:PORT of the mesh's names, UDP and TCP; none for none
	ResolvConf     string        // who knows other names; default /etc/resolv.conf
	Concurrency    int           // Envoy's worker threads; 0 is one per CPU
	Mark           int           // SO_MARK of everything that Envoy and the agent dial, so that capture leaves it alone; 0 for none (needs CAP_NET_ADMIN)
	WorkDir        string        // bootstrap and sockets, mode 0700; default is beside AdminSocket, or a temporary folder
	DrainTime      time.Duration // how long connections may take to end; default 5 s
	LogLevel       string        // Envoy's; default warning
	Stdout, Stderr *os.File      // Envoy's; default are the process's own
	Log            *slog.Logger

	temporary bool // WorkDir was made here and goes away
}

// Bind makes a flag of every option, under the names that `heddle-proxy sidecar` has, with the ports of a sidecar as defaults.
func (o *Options) Bind(fs *flag.FlagSet) {
	text := func(p *string, name, value, usage string) { fs.StringVar(p, name, value, usage) }
	text(&o.Envoy, "envoy", "envoy", "path of the stock Envoy binary")
	text(&o.Kind, "kind", Sidecar, "sidecar or gateway")
	text(&o.XDSAddress, "xds-address", "", "control plane, HOST:PORT or unix:PATH")
	text(&o.CAAddress, "ca-address", "", "certificate authority (default: --xds-address)")
	text(&o.TokenFile, "token-file", "", "file with the bearer token")
	text(&o.RootCertFile, "root-cert", "", "PEM file that verifies the control plane; without it the connection is plaintext")
	text(&o.Name, "name", "", "name of the workload")
	text(&o.Namespace, "namespace", "default", "namespace of the workload")
	text(&o.ServiceAccount, "service-account", "default", "service account of the workload")
	text(&o.ClusterID, "cluster-id", "Kubernetes", "cluster of the workload")
	text(&o.Network, "network", "", "network of the workload")
	text(&o.MeshID, "mesh-id", "", "name of the mesh")
	text(&o.TrustDomain, "trust-domain", identity.DefaultTrustDomain, "trust domain of the workload's identity")
	text(&o.Domain, "domain", "cluster.local", "domain of Kubernetes names")
	text(&o.AdminSocket, "admin-socket", "", "unix socket of the admin interface")
	text(&o.StatusAddress, "status-address", "[::]:15021", "address of /healthz/ready, empty for none")
	text(&o.MetricsAddress, "metrics-address", "[::]:15090", "address of /stats/prometheus, empty for none")
	text(&o.ResolvConf, "resolv-conf", "/etc/resolv.conf", "name servers for names outside of the mesh")
	text(&o.WorkDir, "work-dir", "", "folder for bootstrap and sockets (default: beside the admin socket)")
	text(&o.LogLevel, "log-level", "warning", "Envoy's log level")
	fs.IntVar(&o.Concurrency, "concurrency", 0, "worker threads (0: one per CPU)")
	fs.IntVar(&o.Mark, "mark", 0, "SO_MARK of the proxy's own connections")
	fs.DurationVar(&o.DrainTime, "drain-time", 5*time.Second, "how long connections may take to end")
	fs.Func("ip", "address of the workload; may be repeated", func(s string) error {
		ip, err := netip.ParseAddr(s)
		o.IPs = append(o.IPs, ip)
		return err
	})
	fs.Func("label", "KEY=VALUE label of the workload; may be repeated", func(s string) error {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return errors.New("want KEY=VALUE")
		}
		if o.Labels == nil {
			o.Labels = map[string]string{}
		}
		o.Labels[k] = v
		return nil
	})
	o.DNSAddresses = []string{"127.0.0.1:15053", "[::1]:15053"}
	fs.Func("dns-addresses", "comma-separated addresses of the DNS proxy, empty for none (default 127.0.0.1:15053,[::1]:15053)", func(s string) error {
		o.DNSAddresses = slices.DeleteFunc(strings.Split(s, ","), func(a string) bool { return a == "" })
		return nil
	})
}

// complete fills in defaults and says what is missing, as one sentence each.
func (o *Options) complete() error {
	setDefault(&o.Kind, Sidecar)
	setDefault(&o.CAAddress, o.XDSAddress)
	setDefault(&o.TrustDomain, identity.DefaultTrustDomain)
	setDefault(&o.Domain, "cluster.local")
	setDefault(&o.Namespace, "default")
	setDefault(&o.ServiceAccount, "default")
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
	case o.Kind != Sidecar && o.Kind != Gateway:
		return fmt.Errorf("run Envoy: kind %q is not known; want %s or %s", o.Kind, Sidecar, Gateway)
	case o.XDSAddress == "":
		return errors.New("run Envoy: no address of the control plane; set --xds-address to HOST:PORT or unix:PATH")
	case o.Name == "":
		return errors.New("run Envoy: the workload has no name; set --name")
	case len(o.IPs) == 0:
		return errors.New("run Envoy: the workload has no address; set --ip")
	case o.Concurrency < 0:
		return fmt.Errorf("run Envoy: --concurrency %d is negative", o.Concurrency)
	}
	if _, err := identity.ParseTrustDomain(o.TrustDomain); err != nil {
		return fmt.Errorf("run Envoy: --trust-domain: %w", err)
	}
	if _, err := os.Stat(o.Envoy); err != nil {
		return fmt.Errorf("run Envoy: %w; set --envoy to the path of an Envoy binary", err)
	}
	return markable(o.Mark)
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
	for _, p := range []string{o.socket(), o.envoySocket(), o.AdminSocket} {
		if len(p) > maxSocketPath {
			return fmt.Errorf("run Envoy: the socket path %s is longer than %d bytes; choose a shorter --work-dir", p, maxSocketPath)
		}
	}
	return nil
}

func (o *Options) identity() identity.ID {
	domain, _ := identity.ParseTrustDomain(o.TrustDomain) // checked
	return identity.NewID(domain, o.Namespace, o.ServiceAccount)
}

func (o *Options) channel(address string) secret.Channel {
	return secret.Channel{Address: address, TokenFile: o.TokenFile, RootCert: o.RootCertFile, ClusterID: o.ClusterID, Dial: o.dialer().gRPC(address)}
}

func (o *Options) nodeID() string {
	kind := "sidecar"
	if o.Kind == Gateway {
		kind = "router"
	}
	return strings.Join([]string{kind, o.IPs[0].String(), o.Name + "." + o.Namespace, o.Namespace + ".svc." + o.Domain}, "~")
}

// metadata is Istio's, as far as a control plane reads it.
func (o *Options) metadata() map[string]any {
	ips := make([]string, len(o.IPs))
	for i, ip := range o.IPs {
		ips[i] = ip.String()
	}
	labels := map[string]any{}
	for k := range maps.Keys(o.Labels) {
		labels[k] = o.Labels[k]
	}
	m := map[string]any{"LABELS": labels}
	capture := "REDIRECT"
	if o.Kind == Gateway {
		capture = "NONE"
	}
	for k, v := range map[string]string{
		"NAME": o.Name, "NAMESPACE": o.Namespace, "SERVICE_ACCOUNT": o.ServiceAccount, "WORKLOAD_NAME": o.Name, "INSTANCE_IPS": strings.Join(ips, ","),
		"CLUSTER_ID": o.ClusterID, "NETWORK": o.Network, "MESH_ID": o.MeshID, "INTERCEPTION_MODE": capture,
	} {
		if v != "" {
			m[k] = v
		}
	}
	return m
}
