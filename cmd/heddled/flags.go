package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
)

// options are the settings of one heddled; they are read once.
type options struct {
	configDir, kubeconfig, meshConfig       string
	xdsAddress, xdsTLSAddress, httpAddress  string
	webhookAddress, webhookURL              string
	xdsSockets                              list
	tokenFile, joinTokens, caDir, stateDir  string
	allowAnonymous                          bool
	trustDomain, clusterID, network, meshNS string
	domain                                  identity.TrustDomain
	tlsNames                                list
	logLevel                                slog.Level
	memoryLimit                             size
	quiet, max                              time.Duration
	leaderElection                          bool
	printVersion                            bool
}

func parse(args []string) (options, error) {
	var o options
	var level string
	f := flag.NewFlagSet("heddled", flag.ContinueOnError)
	f.StringVar(&o.configDir, "config-dir", "", "read objects from this `folder` of YAML files and watch it")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "read objects from the Kubernetes API of this `file`; in-cluster is the Pod's own")
	f.StringVar(&o.meshConfig, "mesh-config", "", "`file` with Istio's MeshConfig")
	f.StringVar(&o.xdsAddress, "xds-address", "127.0.0.1:15010", "`address` of xDS in plain text; empty: none")
	f.StringVar(&o.xdsTLSAddress, "xds-tls-address", "", "`address` of xDS and certificates over TLS, such as :15012; empty: none")
	f.Var(&o.xdsSockets, "xds-socket", "`path` of a unix socket for xDS and certificates; may be given several times")
	f.StringVar(&o.httpAddress, "http-address", "127.0.0.1:15014", "`address` of /ready, /metrics, /version and /debug")
	f.StringVar(&o.webhookAddress, "webhook-address", "", "`address` of the validating webhook, such as :15017; empty: none")
	f.StringVar(&o.webhookURL, "webhook-url", "", "`URL` under which the Kubernetes API reaches the webhook; empty: made from its address")
	f.StringVar(&o.tokenFile, "token-file", "", "`file` with the bearer token of /debug; made if it does not exist")
	f.StringVar(&o.joinTokens, "join-tokens", "", "`folder` of join tokens that proxies may show")
	f.StringVar(&o.caDir, "ca-dir", "", "`folder` of the certificate authority; made if it is empty")
	f.StringVar(&o.stateDir, "state-dir", "", "`folder` that keeps given addresses, last accepted versions and workload health across restarts")
	f.BoolVar(&o.allowAnonymous, "allow-anonymous-xds", false, "serve proxies without credential; on loopback addresses and sockets only")
	f.StringVar(&o.trustDomain, "trust-domain", "", "trust `domain` (default: that of the mesh config, or cluster.local)")
	f.StringVar(&o.clusterID, "cluster-id", string(mesh.DefaultCluster), "`name` of the cluster that the objects describe")
	f.StringVar(&o.network, "network", string(mesh.DefaultNetwork), "`name` of the network of workloads that name none")
	f.StringVar(&o.meshNS, "namespace", "", "`namespace` of heddled itself: its Lease and its names (default: the root namespace)")
	f.Var(&o.tlsNames, "tls-name", "further `name` or address in heddled's own certificate; may be given several times")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.Var(&o.memoryLimit, "memory-limit", "soft limit of memory in `bytes`, or with Mi or Gi")
	f.DurationVar(&o.quiet, "debounce", 10*time.Millisecond, "make a snapshot after no change for this `time`")
	f.DurationVar(&o.max, "debounce-max", time.Second, "and at the latest after this `time`")
	f.BoolVar(&o.leaderElection, "leader-election", true, "with a Kubernetes API, only one of several replicas writes status")
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
	return o, o.check(f.Args())
}

func (o *options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q; all settings are flags, see heddled --help", rest[0])
	case o.configDir == "" && o.kubeconfig == "":
		return errors.New("nothing to read: give --config-dir DIR (a folder of YAML) or --kubeconfig FILE (a Kubernetes API)")
	case o.configDir != "" && o.kubeconfig != "":
		return errors.New("give only one of --config-dir and --kubeconfig")
	case o.clusterID == "" || o.network == "":
		return errors.New("--cluster-id and --network must not be empty")
	case o.xdsTLSAddress != "" && o.caDir == "" && o.stateDir == "":
		return errors.New("--xds-tls-address needs a certificate authority: give --ca-dir DIR")
	case o.webhookAddress != "" && o.caDir == "" && o.stateDir == "":
		return errors.New("--webhook-address needs a certificate authority: give --ca-dir DIR")
	}
	if o.allowAnonymous && o.xdsAddress != "" && !loopback(o.xdsAddress) {
		return fmt.Errorf("--allow-anonymous-xds is possible on loopback only: --xds-address %s is not; write 127.0.0.1:PORT", o.xdsAddress)
	}
	if o.stateDir != "" {
		if err := os.MkdirAll(o.stateDir, 0o700); err != nil {
			return fmt.Errorf("make the state folder: %w; change --state-dir", err)
		}
		if o.caDir == "" {
			o.caDir = filepath.Join(o.stateDir, "ca")
		}
		if o.tokenFile == "" {
			o.tokenFile = filepath.Join(o.stateDir, "debug-token")
		}
	}
	if o.tokenFile == "" {
		// The name follows the port, so that who asks can find it.
		_, port, _ := net.SplitHostPort(o.httpAddress)
		dir := filepath.Join(os.TempDir(), fmt.Sprintf("heddled-%d-%s", os.Getuid(), port))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make a folder for the debug token: %w; give --token-file FILE", err)
		}
		o.tokenFile = filepath.Join(dir, "debug-token")
	}
	return nil
}

func (o *options) state(name string) string {
	if o.stateDir == "" {
		return ""
	}
	return filepath.Join(o.stateDir, name)
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
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
