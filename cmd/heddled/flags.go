package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/control/server"
	"github.com/heddle-mesh/heddle/mesh"
)

// options are what the flags say; they are read once.
type options struct {
	server.Options
	dashboard    string // address; "" is none
	metricsURL   string // of a Prometheus; "" is none
	metricsToken string // file
	logLevel     slog.Level
	memoryLimit  size
	printVersion bool
}

func parse(args []string) (options, error) {
	var o options
	var level string
	f := flag.NewFlagSet("heddled", flag.ContinueOnError)
	f.StringVar(&o.ConfigDir, "config-dir", "", "read objects from this `folder` of YAML files and watch it")
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", "read objects from the Kubernetes API of this `file`; in-cluster is the Pod's own")
	f.StringVar(&o.ClusterKubeconfig, "cluster-kubeconfig", "", "the API of this `file` has the pods: Kubernetes' own kinds come from it, Istio's and the Gateway API's from --kubeconfig; empty: one API has all")
	f.StringVar(&o.MeshConfig, "mesh-config", "", "`file` with Istio's MeshConfig")
	f.StringVar(&o.MeshNetworks, "mesh-networks", "", "`file` with Istio's MeshNetworks, of which heddled says what it does not honour")
	f.StringVar(&o.XDSAddress, "xds-address", "127.0.0.1:15010", "`address` of xDS in plain text; empty: none")
	f.StringVar(&o.XDSTLSAddress, "xds-tls-address", "", "`address` of xDS and certificates over TLS, such as :15012; empty: none")
	f.Var((*list)(&o.XDSSockets), "xds-socket", "`path` of a unix socket for xDS and certificates; may be given several times")
	f.StringVar(&o.HTTPAddress, "http-address", "127.0.0.1:15014", "`address` of /ready, /metrics, /version and /debug")
	f.StringVar(&o.dashboard, "dashboard-address", "", "`address` of the dashboard, such as 127.0.0.1:20001; empty: none")
	f.StringVar(&o.metricsURL, "metrics-url", "", "`URL` of the Prometheus from which the dashboard draws traffic, such as http://127.0.0.1:9090; empty: none")
	f.StringVar(&o.metricsToken, "metrics-token-file", "", "`file` with the bearer token that it wants")
	f.StringVar(&o.WebhookAddress, "webhook-address", "", "`address` of the webhooks that validate objects and inject pods, such as :15017; empty: none")
	f.StringVar(&o.WebhookURL, "webhook-url", "", "`URL` under which the Kubernetes API reaches the webhook; empty: made from its address")
	f.StringVar(&o.WebhookName, "webhook-name", "", "`name` under which the validating webhook is registered (default: heddled-NAMESPACE)")
	f.StringVar(&o.InjectWebhook, "inject-webhook", "", "`name` of the MutatingWebhookConfiguration that is told how to verify heddled; empty: none")
	f.StringVar(&o.CASecret, "ca-secret", "", "`name` of the Secret that keeps the certificate authority for all replicas; made if there is none; empty: the folder alone")
	f.StringVar(&o.Owner, "owner", "", "`name` of the ClusterRole that owns what heddled makes in the cluster, so that it goes with it")
	f.StringVar(&o.GatewayFamilies, "gateway-ip-family-policy", "", "ipFamilyPolicy of the Services of gateways that heddled deploys: SingleStack, PreferDualStack or RequireDualStack; empty: the cluster's")
	f.StringVar(&o.InjectConfig, "inject-config", "", "`file` with the settings of injection: images, revision, templates; empty: the defaults")
	f.StringVar(&o.TokenFile, "token-file", "", "`file` with the bearer token of /debug; made if it does not exist")
	f.StringVar(&o.JoinTokens, "join-tokens", "", "`folder` of join tokens that proxies may show")
	f.StringVar(&o.CADir, "ca-dir", "", "`folder` of the certificate authority; made if it is empty")
	f.StringVar(&o.StateDir, "state-dir", "", "`folder` that keeps given addresses, last accepted versions and workload health across restarts")
	f.BoolVar(&o.AllowAnonymous, "allow-anonymous-xds", false, "serve proxies without credential; on loopback addresses and sockets only")
	f.StringVar(&o.TrustDomain, "trust-domain", "", "trust `domain` (default: that of the mesh config, or cluster.local)")
	f.StringVar(&o.ClusterID, "cluster-id", string(mesh.DefaultCluster), "`name` of the cluster that the objects describe")
	f.StringVar(&o.Network, "network", string(mesh.DefaultNetwork), "`name` of the network of workloads that name none")
	f.StringVar(&o.Namespace, "namespace", "", "`namespace` of heddled itself: its Lease and its names (default: the root namespace)")
	f.Var((*list)(&o.TLSNames), "tls-name", "further `name` or address in heddled's own certificate; may be given several times")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.Var(&o.memoryLimit, "memory-limit", "soft limit of memory in `bytes`, or with Mi or Gi")
	f.DurationVar(&o.Quiet, "debounce", 10*time.Millisecond, "make a snapshot after no change for this `time`")
	f.DurationVar(&o.Max, "debounce-max", time.Second, "and at the latest after this `time`")
	f.DurationVar(&o.EntryGrace, "workload-entry-grace-period", 10*time.Second, "remove the WorkloadEntry of a registered workload when its proxy has been away for this `time`")
	f.BoolVar(&o.LeaderElection, "leader-election", true, "with a Kubernetes API, only one of several replicas writes status")
	f.BoolVar(&o.printVersion, "version", false, "print the version and end")
	f.SetOutput(io.Discard)
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		f.SetOutput(os.Stdout)
		fmt.Println("heddled: the control plane of one mesh\n\nflags:")
		f.PrintDefaults()
		return o, err
	case err != nil: // one sentence; the list of flags would bury it
		return o, fmt.Errorf("%w; see heddled --help", err)
	}
	if o.printVersion {
		return o, nil
	}
	if err := o.logLevel.UnmarshalText([]byte(level)); err != nil {
		return o, fmt.Errorf("flag --log-level %q: want debug, info, warn or error", level)
	}
	if rest := f.Args(); len(rest) > 0 {
		return o, fmt.Errorf("unexpected argument %q; all settings are flags, see heddled --help", rest[0])
	}
	if o.ClusterID == "" || o.Network == "" {
		return o, errors.New("--cluster-id and --network must not be empty")
	}
	if o.dashboard == "" && o.metricsURL+o.metricsToken != "" {
		return o, errors.New("--metrics-url and --metrics-token-file are for the dashboard; give --dashboard-address too")
	}
	return o, nil
}

// list is a flag that may be given several times.
type list []string

// String joins the values.
func (l *list) String() string { return strings.Join(*l, ",") }

// Set adds a value.
func (l *list) Set(s string) error {
	if s != "" {
		*l = append(*l, s)
	}
	return nil
}

// size is a number of bytes.
type size int64

// String is the plain number.
func (s *size) String() string { return strconv.FormatInt(int64(*s), 10) }

// Set reads a number with or without Ki, Mi, Gi (B may follow).
func (s *size) Set(text string) error {
	number, shift := strings.TrimSuffix(text, "B"), 0
	for i, unit := range []string{"Ki", "Mi", "Gi"} {
		if rest, ok := strings.CutSuffix(number, unit); ok {
			number, shift = rest, 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return fmt.Errorf("want bytes such as 268435456 or 256Mi")
	}
	*s = size(n << shift)
	return nil
}
