package main

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/data/proxy/announce"
	"github.com/heddle-mesh/heddle/data/proxy/handover"
	"github.com/heddle-mesh/heddle/data/proxy/kubelet"
	"github.com/heddle-mesh/heddle/data/proxy/secret"
	"github.com/heddle-mesh/heddle/data/proxy/server"
)

// common are the flags of every form of the proxy.
type common struct {
	concurrency int
	accept      time.Duration
	drain       time.Duration
	logLevel    string
	parent      time.Duration
	supervisor  int
	outside     string
	inside      []string
	admin       string
	adminSocket string
	memory      int64
	mark        int
	captureUDP  bool
	status      []string
}

func (c *common) add(f *pflag.FlagSet) {
	f.IntVar(&c.concurrency, "concurrency", 0, "number of workers; 0 takes one per CPU")
	f.DurationVar(&c.drain, "drain-time", 5*time.Second, "the longest time that connections may still finish after SIGTERM, and that idle ones stay after a hot restart")
	f.DurationVar(&c.accept, "accept-time", 0, "keep accepting for this time after SIGTERM, before --drain-time begins: who is not in the mesh hears late that a proxy leaves")
	f.DurationVar(&c.parent, "parent-shutdown-time", 15*time.Minute, "the longest time that what has begun may go on after a hot restart")
	f.Func("drain-time-s", "--drain-time in seconds, as Envoy names it", seconds(&c.drain))
	f.Func("parent-shutdown-time-s", "--parent-shutdown-time in seconds, as Envoy names it", seconds(&c.parent))
	f.IntVar(&c.supervisor, "supervisor-fd", 0, "descriptor of the supervisor that keeps the listening sockets; 0 for none")
	f.StringVar(&c.logLevel, "log-level", "info", "debug, info, warning or error")
	f.StringVar(&c.outside, "outside-dialer", "", "unix:PATH of a relay for connections that leave the mesh")
	f.StringArrayVar(&c.inside, "inside", nil, "prefix that is dialled directly although there is a relay (repeated)")
	f.StringVar(&c.admin, "admin-address", "", "loopback HOST:PORT of the admin pages")
	f.StringVar(&c.adminSocket, "admin-socket", "", "path of a unix socket with the admin pages")
	f.Int64Var(&c.memory, "memory-limit", 0, "limit of memory in bytes: below it the proxy gives up requests, then connections, and says so (OM); 0 for none")
	f.IntVar(&c.mark, "mark", 0, "SO_MARK of the proxy's own connections, by which capture leaves them alone; 0 for none")
	f.BoolVar(&c.captureUDP, "capture-udp", false, "keep the table by which heddle-proxy capture --redirect-udp leads datagrams to this proxy (needs CAP_NET_ADMIN)")
	f.StringArrayVar(&c.status, "status-address", nil, "HOST:PORT with /healthz/ready and /stats/prometheus, such as 0.0.0.0:15021 (repeated)")
}

// seconds reads a whole number of seconds.
func seconds(into *time.Duration) func(string) error {
	return func(text string) error {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return fmt.Errorf("want a whole number of seconds")
		}
		*into = time.Duration(n) * time.Second
		return nil
	}
}

// options turns flags into what the server takes.
func (c *common) options() (o server.Options, err error) {
	if o.Log, o.Level, err = logger(c.logLevel); err != nil {
		return o, err
	}
	if c.parent < c.drain {
		return o, fmt.Errorf("--parent-shutdown-time %s is shorter than --drain-time %s; make it as long at least", c.parent, c.drain)
	}
	if c.accept < 0 || c.drain < 0 {
		return o, fmt.Errorf("--accept-time and --drain-time want times of 0 or more")
	}
	if c.memory < 0 || c.concurrency < 0 || c.concurrency > 1024 {
		return o, fmt.Errorf("--memory-limit and --concurrency want numbers of 0 or more (and at most 1024 workers)")
	}
	if c.memory > 0 {
		debug.SetMemoryLimit(c.memory)
	}
	if o.Concurrency = c.concurrency; o.Concurrency == 0 {
		o.Concurrency = runtime.GOMAXPROCS(0)
	}
	// A worker more than the processors would only take turns with them; one thread beside them serves configuration and handshakes.
	runtime.GOMAXPROCS(min(o.Concurrency+1, runtime.NumCPU()+1))
	if c.outside != "" {
		path, ok := strings.CutPrefix(c.outside, "unix:")
		if !ok || path == "" {
			return o, fmt.Errorf("--outside-dialer %q: want unix:PATH", c.outside)
		}
		o.Outside = path
	}
	for _, text := range c.inside {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return o, fmt.Errorf("--inside %q: want a prefix such as 10.0.0.0/8", text)
		}
		o.Inside = append(o.Inside, p.Masked())
	}
	if c.supervisor != 0 {
		if o.Kept, err = handover.Connect(c.supervisor); err != nil {
			return o, fmt.Errorf("--supervisor-fd: %w", err)
		}
	}
	if c.captureUDP {
		if err := (capture.Known{}).Check(); err != nil {
			return o, fmt.Errorf("--capture-udp: %w", err)
		}
		o.Datagrams = capture.Known{}
	}
	o.MemoryLimit = c.memory
	o.Env = os.LookupEnv
	o.Version, o.Accept, o.Drain, o.Parent, o.Admin, o.AdminSocket, o.Mark, o.Status = version, c.accept, c.drain, c.parent, c.admin, c.adminSocket, c.mark, c.status
	return o, nil
}

// workload are the flags of a proxy beside a workload.
type workload struct {
	w           announce.Workload
	xds, ca     string
	tokenFile   string
	rootCert    string
	serverName  string
	ips, labels []string
	labelsFile  string
	probes      string
	apps        []string
	locality    string
	ttl         time.Duration
	world       bool
	dns         []string
	noDNS       bool
	resolvConf  string
}

func (f *workload) add(s *pflag.FlagSet) {
	s.StringVar(&f.xds, "xds-address", "", "the control plane: HOST:PORT or unix:PATH")
	s.StringVar(&f.ca, "ca-address", "", "the certificate authority: HOST:PORT or unix:PATH (default: the control plane)")
	s.StringVar(&f.tokenFile, "token-file", "", "file with the token that proves the service account")
	s.StringVar(&f.rootCert, "root-cert", "", "PEM file that verifies the control plane; without it the address must be a unix socket or loopback")
	s.StringVar(&f.serverName, "control-plane-name", "", "name in the control plane's certificate (default: the host of its address)")
	s.StringVar(&f.w.Name, "name", "", "name of the workload")
	s.StringVar(&f.w.Namespace, "namespace", "", "its namespace")
	s.StringVar(&f.w.Account, "service-account", "", "its service account")
	s.StringArrayVar(&f.ips, "ip", nil, "an address of the workload (repeated)")
	s.StringArrayVar(&f.labels, "label", nil, "KEY=VALUE (repeated)")
	s.StringArrayVar(&f.labels, "labels", nil, "KEY=VALUE,KEY=VALUE (repeated)")
	s.StringVar(&f.labelsFile, "labels-file", "", "file with KEY=\"VALUE\" in each line, as Kubernetes' downward API writes labels")
	s.StringVar(&f.probes, "app-probes", "", "JSON with probes of the application that are answered at /app-health/ of the status addresses")
	s.StringVar(&f.w.ClusterID, "cluster-id", "Kubernetes", "name of the cluster")
	s.StringVar(&f.w.Network, "network", "", "name of the network")
	s.StringVar(&f.w.Mesh, "mesh-id", "", "name of the mesh")
	s.StringVar(&f.w.TrustDomain, "trust-domain", "cluster.local", "domain of the identity")
	s.StringVar(&f.w.Group, "register-group", "", "WorkloadGroup in which the workload is registered, for workloads outside of Kubernetes")
	s.StringVar(&f.w.Entry, "workload-entry", "", "WorkloadEntry that was made for the workload, whose health the proxy is to tell")
	s.StringVar(&f.w.DNSDomain, "dns-domain", "cluster.local", "services are named NAME.NAMESPACE.svc.DOMAIN")
	s.StringVar(&f.w.Interception, "interception-mode", "REDIRECT", "REDIRECT, TPROXY or NONE")
	s.StringArrayVar(&f.apps, "application", nil, "PORT=IP:PORT: where the workload listens for what arrives at a port of it, with interception mode NONE (repeated)")
	s.StringVar(&f.w.Config, "proxy-config", "", "a ProxyConfig in JSON or YAML that counts for this proxy instead of the mesh's defaultConfig")
	s.StringVar(&f.locality, "locality", "", "REGION/ZONE/SUBZONE")
	s.BoolVar(&f.w.SelfDiscovery, "self-discovery", false, "learn where the proxies of like workloads run, so that requests can stay in the zone")
	s.DurationVar(&f.ttl, "certificate-ttl", 0, "life of the certificate that is asked for; 0 leaves it to the CA")
	s.StringArrayVar(&f.dns, "dns-address", []string{"127.0.0.1:15053", "[::1]:15053"}, "where names are answered (repeated)")
	s.BoolVar(&f.noDNS, "no-dns", false, "answer no names")
	s.StringVar(&f.resolvConf, "resolv-conf", "/etc/resolv.conf", "name servers for what is not in the mesh")
}

// fill completes the options of a proxy beside a workload.
func (f *workload) fill(o *server.Options, kind announce.Kind) error {
	if f.xds == "" {
		return fmt.Errorf("--xds-address is missing; it says where the control plane is")
	}
	w := f.w
	w.Kind, w.Agent, w.Version, w.Features = kind, "heddle-proxy", version, announce.Features()
	if o.Datagrams != nil {
		if kind != announce.Sidecar || w.Interception == "NONE" {
			return fmt.Errorf("--capture-udp is for sidecars whose traffic is captured; leave it out, or choose --interception-mode REDIRECT")
		}
		w.Features = append(w.Features, announce.CapturesUDP)
	}
	w.Labels = map[string]string{}
	if f.labelsFile != "" {
		text, err := os.ReadFile(f.labelsFile)
		if err != nil {
			return fmt.Errorf("--labels-file: %w", err)
		}
		if w.Labels, err = announce.ParseLabels(string(text)); err != nil {
			return fmt.Errorf("--labels-file %s: %w", f.labelsFile, err)
		}
	}
	for _, text := range f.labels {
		for pair := range strings.SplitSeq(text, ",") {
			k, v, ok := strings.Cut(pair, "=")
			if !ok || k == "" {
				return fmt.Errorf("--label %q: want KEY=VALUE", text)
			}
			w.Labels[k] = v
		}
	}
	for _, text := range f.ips {
		for one := range strings.SplitSeq(text, ",") {
			ip, err := netip.ParseAddr(one)
			if err != nil {
				return fmt.Errorf("--ip %q is not an IP address", one)
			}
			w.IPs = append(w.IPs, ip.Unmap())
		}
	}
	for _, text := range f.apps {
		port, at, _ := strings.Cut(text, "=")
		n, err := strconv.ParseUint(port, 10, 16)
		to, err2 := netip.ParseAddrPort(at)
		if err != nil || err2 != nil || n == 0 {
			return fmt.Errorf("--application %q: want PORT=IP:PORT, such as 15006=127.0.0.1:9000", text)
		}
		if w.Applications == nil {
			w.Applications = map[uint16]netip.AddrPort{}
		}
		w.Applications[uint16(n)] = to
	}
	var probes *kubelet.Handler
	if f.probes != "" {
		if len(w.IPs) == 0 {
			return fmt.Errorf("--app-probes needs --ip: the application is probed at the first address")
		}
		var err error
		if probes, err = kubelet.Parse(f.probes, w.IPs[0]); err != nil {
			return fmt.Errorf("--app-probes: %w", err)
		}
	}
	if err := ask(o, &w); err != nil {
		return err
	}
	o.Around = func(quit func(), pages http.Handler) http.Handler { return kubelet.Status(probes, quit, pages) }
	parts := append(strings.SplitN(f.locality, "/", 3), "", "")
	w.Region, w.Zone, w.Subzone = parts[0], parts[1], parts[2]
	o.XDS = secret.Channel{Address: f.xds, TokenFile: f.tokenFile, RootCert: f.rootCert, Name: f.serverName, ClusterID: w.ClusterID}
	o.CA = o.XDS
	if f.ca != "" {
		o.CA.Address = f.ca
	}
	if o.Workload = &w; !f.noDNS {
		o.DNS = f.dns
	}
	o.ResolvConf, o.SVIDTTL, o.World = f.resolvConf, f.ttl, f.world
	return nil
}
