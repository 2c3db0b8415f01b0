package agent

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/announce"
	"github.com/heddle-mesh/heddle/identity"
)

// Bind makes a flag of every option, under the names that `heddle-proxy sidecar` has.
func (o *Options) Bind(fs *flag.FlagSet) {
	o.bindWorkload(fs)
	o.bindCommon(fs)
	text := fs.StringVar
	text(&o.Envoy, "envoy", "envoy", "path of the stock Envoy binary")
	text(&o.AdminSocket, "admin-socket", "", "path of a unix socket with the admin pages")
	text(&o.ResolvConf, "resolv-conf", "/etc/resolv.conf", "name servers for what is not in the mesh")
	text(&o.WorkDir, "work-dir", "", "folder for bootstrap and sockets (default: beside the admin socket)")
	text(&o.Workload.Config, "proxy-config", "", "a ProxyConfig in JSON or YAML that counts for this proxy instead of the mesh's defaultConfig")
	fs.Func("kind", "sidecar (default) or gateway", func(s string) error {
		kind, ok := map[string]announce.Kind{"sidecar": announce.Sidecar, "gateway": announce.Gateway}[s]
		if !ok {
			return errors.New("want sidecar or gateway")
		}
		o.Workload.Kind = kind
		return nil
	})
	text(&o.LogLevel, "log-level", "warning", "Envoy's: trace, debug, info, warning, error, critical or off")
	fs.IntVar(&o.Concurrency, "concurrency", 0, "number of worker threads; 0 takes one per CPU")
	fs.DurationVar(&o.DrainTime, "drain-time", 5*time.Second, "the longest time that connections may still finish after SIGTERM")
	fs.Func("status-address", "HOST:PORT with /healthz/ready and /stats/prometheus, such as 0.0.0.0:15021 (repeated)", appendTo(&o.Status))
	o.DNS = []string{"127.0.0.1:15053", "[::1]:15053"}
	fresh := true
	fs.Func("dns-address", "where names are answered (repeated; default 127.0.0.1:15053 and [::1]:15053)", func(s string) error {
		if fresh {
			o.DNS, fresh = nil, false
		}
		return appendTo(&o.DNS)(s)
	})
	fs.BoolFunc("no-dns", "answer no names", func(string) error {
		o.DNS, fresh = nil, false
		return nil
	})
}

// BindGRPC makes a flag of every option of RunGRPC.
func (o *Options) BindGRPC(fs *flag.FlagSet) {
	o.bindWorkload(fs)
	o.bindCommon(fs)
	fs.StringVar(&o.WorkDir, "work-dir", "", "folder for the bootstrap, the socket and the certificate (default: a temporary one)")
	fs.BoolVar(&o.Shared, "shared", false, "let other users of this machine read the folder; for a folder that only the workload sees")
	fs.Func("status-address", "HOST:PORT with /healthz/ready, such as 0.0.0.0:15021 (repeated)", appendTo(&o.Status))
}

func (o *Options) bindCommon(fs *flag.FlagSet) {
	text := fs.StringVar
	text(&o.XDSAddress, "xds-address", "", "the control plane: HOST:PORT or unix:PATH")
	text(&o.CAAddress, "ca-address", "", "the certificate authority: HOST:PORT or unix:PATH (default: the control plane)")
	text(&o.TokenFile, "token-file", "", "file with the token that proves the service account")
	text(&o.RootCertFile, "root-cert", "", "PEM file that verifies the control plane; without it the address must be a unix socket or loopback")
	text(&o.ServerName, "control-plane-name", "", "name in the control plane's certificate (default: the host of its address)")
	text(&o.LabelsFile, "labels-file", "", "file with KEY=\"VALUE\" in each line, as Kubernetes' downward API writes labels")
	text(&o.Probes, "app-probes", "", "JSON with probes of the application that are answered at /app-health/ of the status addresses")
	fs.IntVar(&o.Mark, "mark", 0, "SO_MARK of the proxy's own connections, by which capture leaves them alone; 0 for none")
}

func (o *Options) bindWorkload(fs *flag.FlagSet) {
	w, text := &o.Workload, fs.StringVar
	text(&w.Name, "name", "", "name of the workload")
	text(&w.Namespace, "namespace", "", "its namespace")
	text(&w.Account, "service-account", "", "its service account")
	text(&w.ClusterID, "cluster-id", "Kubernetes", "name of the cluster")
	text(&w.Network, "network", "", "name of the network")
	text(&w.Mesh, "mesh-id", "", "name of the mesh")
	text(&w.TrustDomain, "trust-domain", identity.DefaultTrustDomain, "domain of the identity")
	text(&w.Group, "register-group", "", "WorkloadGroup in which the workload is registered, for workloads outside of Kubernetes")
	text(&w.Entry, "workload-entry", "", "WorkloadEntry that was made for the workload, whose health the proxy is to tell")
	text(&w.DNSDomain, "dns-domain", "cluster.local", "services are named NAME.NAMESPACE.svc.DOMAIN")
	text(&w.Interception, "interception-mode", "", "REDIRECT, TPROXY or NONE (default: REDIRECT, of a gateway NONE)")
	fs.BoolVar(&w.SelfDiscovery, "self-discovery", false, "learn where the proxies of like workloads run, so that requests can stay in the zone")
	fs.Func("locality", "REGION/ZONE/SUBZONE", func(s string) error {
		parts := append(strings.SplitN(s, "/", 3), "", "")
		w.Region, w.Zone, w.Subzone = parts[0], parts[1], parts[2]
		return nil
	})
	fs.Func("ip", "an address of the workload (repeated)", func(s string) error {
		for one := range strings.SplitSeq(s, ",") {
			ip, err := netip.ParseAddr(one)
			if err != nil {
				return fmt.Errorf("%q is not an IP address", one)
			}
			w.IPs = append(w.IPs, ip.Unmap())
		}
		return nil
	})
	label := func(s string) error {
		for pair := range strings.SplitSeq(s, ",") {
			k, v, ok := strings.Cut(pair, "=")
			if !ok || k == "" {
				return errors.New("want KEY=VALUE")
			}
			if w.Labels == nil {
				w.Labels = map[string]string{}
			}
			w.Labels[k] = v
		}
		return nil
	}
	fs.Func("label", "KEY=VALUE (repeated)", label)
	fs.Func("labels", "KEY=VALUE,KEY=VALUE (repeated)", label)
}

func appendTo(list *[]string) func(string) error {
	return func(s string) error {
		*list = append(slices.Clip(*list), s)
		return nil
	}
}
