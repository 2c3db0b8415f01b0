package main

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// config is every setting of the server, read once from the flags.
type config struct {
	dataDir       string
	address       string   // host:port to serve on; port 0 picks a free one
	kubeconfigOut string   // a further place for the admin's kubeconfig
	serverURL     string   // where clients reach the server; empty: the address
	publish       string   // begin of the names of Secrets in the cluster around; empty: none
	rootNamespace string   // of the mesh
	tlsNames      []string // names and addresses that the certificate also covers
	etcdServers   []string // empty: embedded etcd
	etcdPrefix    string
	etcdTLS       struct{ ca, cert, key string }
	crdSets       []string
	crdDirs       []string
	serviceCIDRs  []net.IPNet
	memoryLimit   int64 // bytes; 0 is none
	gcPercent     int
	watchCache    int // events kept per resource
	logLevel      slog.Level
	started       func() // called when ready; never nil
	parentDeath   bool
	showVersion   bool
}

// knownCRDSets are the names that --crds takes.
var knownCRDSets = []string{"istio", "gateway"}

func parseFlags(args []string, out io.Writer) (*config, error) {
	cfg := &config{started: func() {}}
	fs := flag.NewFlagSet("heddle-apiserver", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.Usage = func() {
		fmt.Fprintln(out, "usage: heddle-apiserver --data-dir DIR [flags]\n       heddle-apiserver kubectl ...\n\nflags:")
		fs.PrintDefaults()
	}
	var names, servers, sets, dirs, cidrs, memory, level string
	fs.StringVar(&cfg.dataDir, "data-dir", "", "folder for the store, keys and kubeconfig files (made when absent)")
	fs.StringVar(&cfg.address, "address", "127.0.0.1:6443", "`host:port` to serve HTTPS on; port 0 picks a free one")
	fs.StringVar(&cfg.kubeconfigOut, "kubeconfig-out", "", "also write the admin's kubeconfig to this `file`")
	fs.StringVar(&cfg.serverURL, "server-url", "", "`URL` of the server in kubeconfig files, where clients reach it by a name (see --tls-names)")
	fs.StringVar(&cfg.publish, "publish", "", "in a Pod: keep the kubeconfig files in the Secrets `NAME`-admin and NAME-heddled of its namespace")
	fs.StringVar(&cfg.rootNamespace, "root-namespace", istioNamespace, "`namespace` of rules for the whole mesh; made, and heddled may keep its own objects there")
	fs.StringVar(&names, "tls-names", "", "further `names` and addresses for the serving certificate, comma separated")
	fs.StringVar(&servers, "etcd-servers", "", "`urls` of an etcd cluster to use instead of the embedded one, comma separated")
	fs.StringVar(&cfg.etcdPrefix, "etcd-prefix", "/registry", "`prefix` of all keys in etcd")
	fs.StringVar(&cfg.etcdTLS.ca, "etcd-cafile", "", "CA `file` of the etcd cluster")
	fs.StringVar(&cfg.etcdTLS.cert, "etcd-certfile", "", "client certificate `file` for the etcd cluster")
	fs.StringVar(&cfg.etcdTLS.key, "etcd-keyfile", "", "client key `file` for the etcd cluster")
	fs.StringVar(&sets, "crds", strings.Join(knownCRDSets, ","), "`sets` of embedded definitions to install, comma separated; empty for none")
	fs.StringVar(&dirs, "crd-dirs", "", "`folders` with further CustomResourceDefinitions (YAML or JSON), comma separated")
	fs.StringVar(&cidrs, "service-cidrs", "10.96.0.0/16", "`ranges` that cluster addresses of Services are taken from: one, or one of each family")
	fs.StringVar(&memory, "memory-limit", "280MiB", "soft memory `limit` of the Go runtime, as in 280MiB; 0 for none")
	fs.IntVar(&cfg.gcPercent, "gc-percent", 30, "heap growth in `percent` that starts a garbage collection, once the server is ready")
	fs.IntVar(&cfg.watchCache, "watch-cache", 100, "change `events` kept in memory per kind, for watches that resume")
	fs.StringVar(&level, "log-level", "error", "`level` of the log on stderr: debug, info, warn or error")
	fs.BoolVar(&cfg.parentDeath, "parent-death", false, "end when the parent process ends")
	fs.BoolVar(&cfg.showVersion, "version", false, "print the version and exit")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if cfg.showVersion {
		return cfg, nil
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("%q is no flag and no command: the only command is kubectl, flags begin with --", fs.Arg(0))
	}
	cfg.tlsNames, cfg.etcdServers, cfg.crdSets, cfg.crdDirs = list(names), list(servers), list(sets), list(dirs)
	if err := cfg.logLevel.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q is not known: use debug, info, warn or error", level)
	}
	var err error
	if cfg.memoryLimit, err = parseBytes(memory); err != nil {
		return nil, fmt.Errorf("--memory-limit %q is not a size: write it like 280MiB", memory)
	}
	if cfg.serviceCIDRs, err = parseCIDRs(list(cidrs)); err != nil {
		return nil, err
	}
	return cfg, cfg.check()
}

// check refuses settings that cannot work, and makes paths absolute.
func (c *config) check() error {
	if c.dataDir == "" {
		return fmt.Errorf("--data-dir is missing: name the folder that keeps the store and the keys")
	}
	if _, _, err := net.SplitHostPort(c.address); err != nil {
		return fmt.Errorf("--address %q is not host:port, as in 127.0.0.1:6443", c.address)
	}
	if u, err := url.Parse(c.serverURL); c.serverURL != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		return fmt.Errorf("--server-url %q is not a URL, as in https://api.mesh.svc:6443", c.serverURL)
	}
	if problems := validation.IsDNS1123Label(c.rootNamespace); len(problems) > 0 {
		return fmt.Errorf("--root-namespace %q cannot be the name of a namespace: %s", c.rootNamespace, problems[0])
	}
	for _, set := range c.crdSets {
		if !contains(knownCRDSets, set) {
			return fmt.Errorf("--crds names the unknown set %q: known are %s", set, strings.Join(knownCRDSets, ", "))
		}
	}
	if len(c.etcdServers) == 0 && (c.etcdTLS.ca != "" || c.etcdTLS.cert != "" || c.etcdTLS.key != "") {
		return fmt.Errorf("--etcd-cafile, --etcd-certfile and --etcd-keyfile have a meaning only with --etcd-servers")
	}
	if !strings.HasPrefix(c.etcdPrefix, "/") {
		return fmt.Errorf("--etcd-prefix %q must begin with a slash", c.etcdPrefix)
	}
	if c.gcPercent < 1 || c.watchCache < 1 {
		return fmt.Errorf("--gc-percent and --watch-cache must be at least 1")
	}
	paths := []*string{&c.dataDir, &c.kubeconfigOut, &c.etcdTLS.ca, &c.etcdTLS.cert, &c.etcdTLS.key}
	for i := range c.crdDirs {
		paths = append(paths, &c.crdDirs[i])
	}
	for _, p := range paths {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return fmt.Errorf("path %s: %w", *p, err)
		}
		*p = abs
	}
	for _, dir := range c.crdDirs {
		if st, err := os.Stat(dir); err != nil || !st.IsDir() {
			return fmt.Errorf("--crd-dirs names %s, which is not a folder", dir)
		}
	}
	return nil
}

func list(s string) []string {
	var out []string
	for _, part := range strings.Split(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

// parseBytes reads sizes as the Go runtime writes them (GOMEMLIMIT), in bytes.
func parseBytes(s string) (int64, error) {
	units := []struct {
		suffix string
		shift  uint
	}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"B", 0}, {"", 0}}
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64>>u.shift {
			return 0, fmt.Errorf("size %q", s)
		}
		return n << u.shift, nil
	}
	return 0, fmt.Errorf("size %q", s)
}

// parseCIDRs takes one range, or two of different families.
func parseCIDRs(all []string) ([]net.IPNet, error) {
	if len(all) == 0 || len(all) > 2 {
		return nil, fmt.Errorf("--service-cidrs takes one range, or one IPv4 and one IPv6 range")
	}
	var out []net.IPNet
	for _, s := range all {
		_, n, err := net.ParseCIDR(s)
		if err != nil {
			return nil, fmt.Errorf("--service-cidrs: %q is not a range, as in 10.96.0.0/16", s)
		}
		ones, bits := n.Mask.Size()
		if bits-ones < 3 || (bits == 128 && ones < 64) {
			return nil, fmt.Errorf("--service-cidrs: %s has the wrong size: use at least 8 addresses, and for IPv6 /64 or smaller", s)
		}
		out = append(out, *n)
	}
	if len(out) == 2 && (out[0].IP.To4() == nil) == (out[1].IP.To4() == nil) {
		return nil, fmt.Errorf("--service-cidrs: %s and %s are of the same family; give one IPv4 and one IPv6 range", all[0], all[1])
	}
	return out, nil
}
