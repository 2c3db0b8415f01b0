package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config/settings"
	"github.com/heddle-mesh/heddle/control/register/bootstrap"
)

func workloadCommand(e *Env) *cobra.Command {
	entry := group(&cobra.Command{Use: "entry", Short: "Workloads outside of Kubernetes, one by one"})
	entry.AddCommand(configureCommand(e))
	groups := group(&cobra.Command{Use: "group", Short: "Groups by which workloads outside of Kubernetes register"})
	groups.AddCommand(groupCreateCommand(e))
	c := group(&cobra.Command{Use: "workload", Short: "Take machines outside of Kubernetes into a mesh"})
	c.AddCommand(entry, groups)
	return c
}

// configuring are the flags of heddle workload entry configure.
type configuring struct {
	cluster
	file, name, namespace   string
	out                     string
	plane, revision         string
	meshConfig, roots       string
	clusterID, trust        string
	ingress, ingressService string
	internal, external      string
	entry                   string
	register, dns           bool
	life                    time.Duration
	timeout                 time.Duration
	group                   api.Object
	token                   string
	tokenEnds               time.Time
	rootsPEM                []byte
}

func configureCommand(e *Env) *cobra.Command {
	var f configuring
	c := &cobra.Command{
		Use:   "configure (-f FILE | --name GROUP -n NAMESPACE) -o DIR",
		Short: "Write the files with which a machine joins the mesh as a workload of a WorkloadGroup",
		Long: `Writes into a folder what the proxy of a machine needs: cluster.env and mesh.yaml (who it is, whom it asks, how the workload is probed), hosts (a line
for /etc/hosts, by which it finds the control plane), root-cert.pem (which verifies the control plane) and istio-token (which proves the service account).
Copy the folder to the machine, where heddle-proxy sidecar --machine-dir DIR, or Istio's agent, uses it.

The mesh's settings, the roots and the token come from the cluster. With --root-cert FILE no cluster is asked; then there is no token, and you are told how to get one.`,
		Example: "  heddle workload entry configure -f group.yaml -o vm --autoregister --ingress-ip 203.0.113.7\n  heddle workload entry configure --name web-vms -n shop -o vm --autoregister",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), e) },
	}
	s := c.Flags()
	f.flags(s)
	s.StringVarP(&f.file, "filename", "f", "", "file with the WorkloadGroup; - is standard input")
	s.StringVar(&f.name, "name", "", "name of a WorkloadGroup in the cluster")
	s.StringVarP(&f.namespace, "namespace", "n", "default", "its namespace, or that of a group in a file that names none")
	s.StringVarP(&f.out, "output", "o", "", "folder for the files; made if there is none")
	s.BoolVar(&f.register, "autoregister", false, "the workload registers itself: its WorkloadEntry comes and goes with its proxy")
	s.StringVar(&f.entry, "entry", "", "WorkloadEntry that you made for the workload, whose health its proxy is to tell")
	s.StringVar(&f.ingress, "ingress-ip", "", "address where the machine reaches the control plane, at port 15012 (default: that of --ingress-service)")
	s.StringVar(&f.ingressService, "ingress-service", "istio-eastwestgateway", "Service of the gateway that leads to the control plane: NAME, or NAME.NAMESPACE")
	s.StringVar(&f.internal, "internal-ip", "", "address of the machine, where it has one that others reach it at (default: its proxy finds out)")
	s.StringVar(&f.external, "external-ip", "", "address at which others reach the machine, where it is none of the machine's own")
	s.BoolVar(&f.dns, "capture-dns", true, "the proxy answers questions for names of the mesh")
	s.DurationVar(&f.life, "token-duration", time.Hour, "life of the token")
	s.StringVar(&f.plane, "control-plane-namespace", "istio-system", "namespace of heddled")
	s.StringVar(&f.revision, "revision", "default", "which control plane")
	s.StringVar(&f.meshConfig, "mesh-config", "", "file with Istio's MeshConfig (default: the cluster's)")
	s.StringVar(&f.roots, "root-cert", "", "PEM file that verifies the control plane; no cluster is asked")
	s.StringVar(&f.clusterID, "cluster-id", "Kubernetes", "name of the cluster that the control plane is of")
	s.StringVar(&f.trust, "trust-domain", "", "trust domain (default: that of the mesh config, or cluster.local)")
	s.DurationVar(&f.timeout, "timeout", 30*time.Second, "give up after this time")
	s.SetNormalizeFunc(istioctlNames)
	_ = c.MarkFlagDirname("output")
	_ = c.MarkFlagFilename("filename", "yaml", "yml", "json")
	_ = c.MarkFlagFilename("root-cert", "pem", "crt")
	_ = c.MarkFlagFilename("mesh-config", "yaml", "yml")
	return c
}

// istioctlNames takes istioctl's names of flags, too.
func istioctlNames(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	for theirs, ours := range map[string]string{"file": "filename", "clusterID": "cluster-id", "ingressIP": "ingress-ip", "ingressService": "ingress-service", "internalIP": "internal-ip",
		"externalIP": "external-ip", "istioNamespace": "control-plane-namespace"} {
		if name == theirs {
			return pflag.NormalizedName(ours)
		}
	}
	return pflag.NormalizedName(name)
}

func (f *configuring) run(ctx context.Context, e *Env) error {
	if err := f.check(); err != nil {
		return err
	}
	if f.file != "" {
		if err := f.readGroup(e); err != nil {
			return err
		}
	}
	o := bootstrap.Options{Namespace: f.plane, ClusterID: f.clusterID, Register: f.register, Entry: f.entry, DNS: f.dns}
	if f.revision != "default" {
		o.Service = "heddled-" + f.revision
	}
	for _, x := range []struct {
		flag, value string
		to          *netip.Addr
	}{{"ingress-ip", f.ingress, &o.Ingress}, {"internal-ip", f.internal, &o.Address}, {"external-ip", f.external, &o.Address}} {
		if x.value == "" {
			continue
		}
		var err error
		if *x.to, err = netip.ParseAddr(x.value); err != nil {
			return fmt.Errorf("--%s %q is not an IP address", x.flag, x.value)
		}
	}
	o.Outside = f.external != ""
	if err := f.settings(&o); err != nil {
		return err
	}
	if f.roots == "" {
		ctx, cancel := context.WithTimeout(ctx, f.timeout)
		defer cancel()
		if err := f.askCluster(ctx, &o); err != nil {
			return err
		}
	} else if err := f.readRoots(); err != nil {
		return err
	}
	files, err := bootstrap.Files(f.group, o)
	if err != nil {
		return err
	}
	files[bootstrap.FileRoots] = f.rootsPEM
	if f.token != "" {
		files[bootstrap.FileToken] = []byte(f.token)
	}
	if err := f.write(files); err != nil {
		return err
	}
	f.say(e, files, o)
	return nil
}

func (f *configuring) check() error {
	switch {
	case (f.file == "") == (f.name == ""):
		return errors.New("which WorkloadGroup? give one of -f FILE and --name GROUP")
	case f.out == "":
		return errors.New("-o is missing; it is the folder for the files")
	case f.roots != "" && f.name != "":
		return errors.New("--name GROUP is read from the cluster, and with --root-cert no cluster is asked; give -f FILE")
	case f.internal != "" && f.external != "":
		return errors.New("give only one of --internal-ip and --external-ip")
	case f.register && f.entry != "":
		return errors.New("give only one of --autoregister and --entry: an entry is made for the workload, or it is there")
	case f.life < 10*time.Minute:
		return fmt.Errorf("--token-duration %s is too short: Kubernetes makes tokens for 10 minutes and longer", f.life)
	}
	return nil
}

// readGroup takes the group out of the file.
func (f *configuring) readGroup(e *Env) error {
	data, err := e.readManifest(f.file)
	if err != nil {
		return err
	}
	objects, problems := api.DecodeAll(data, f.file)
	found := slices.DeleteFunc(objects, func(o api.Object) bool {
		return o.Kind.Kind != "WorkloadGroup" || f.name != "" && o.Meta.Name != f.name
	})
	if len(found) == 1 {
		problems = slices.DeleteFunc(problems, func(p api.Problem) bool { return p.Object != found[0].Ref() && p.Object != (api.Ref{}) })
	}
	for _, p := range problems {
		if p.Code.Fatal() {
			return fmt.Errorf("%s: %s", f.file, p)
		}
	}
	if len(found) != 1 {
		return fmt.Errorf("%s has %d WorkloadGroups; give a file with one", f.file, len(found))
	}
	if f.group = found[0]; f.group.Meta.Namespace == "" {
		f.group.Meta.Namespace = f.namespace
	}
	return nil
}

// settings reads what the mesh says of proxies from a file; the cluster may say it otherwise.
func (f *configuring) settings(o *bootstrap.Options) (err error) {
	if o.Proxies, err = settings.ReadProxyConfig(f.meshConfig); err != nil {
		return err
	}
	whole := settings.Default()
	if f.meshConfig != "" {
		if whole, _, err = settings.Read(f.meshConfig); err != nil {
			return err
		}
	}
	if o.TrustDomain = f.trust; f.trust == "" {
		o.TrustDomain = whole.TrustDomain
	}
	return nil
}

func (f *configuring) readRoots() (err error) {
	if f.rootsPEM, err = os.ReadFile(f.roots); err != nil {
		return fmt.Errorf("--root-cert: %w", err)
	}
	if !strings.Contains(string(f.rootsPEM), "-----BEGIN CERTIFICATE-----") {
		return fmt.Errorf("--root-cert %s holds no certificate in PEM", f.roots)
	}
	return nil
}

func (f *configuring) write(files map[string][]byte) error {
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return fmt.Errorf("make the folder for the files: %w", err)
	}
	for name, data := range files {
		mode := os.FileMode(0o644)
		if name == bootstrap.FileToken {
			mode = 0o600
		}
		path := filepath.Join(f.out, name)
		_ = os.Remove(path) // an older one may have another mode
		if err := os.WriteFile(path, data, mode); err != nil {
			return fmt.Errorf("write the files: %w", err)
		}
	}
	return nil
}

// say tells what was written, and what there is to do.
func (f *configuring) say(e *Env, files map[string][]byte, o bootstrap.Options) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(e.out(), format+"\n", args...) }
	account := f.group.Meta.Namespace + "/" + bootstrap.Account(f.group)
	say("%s has %s", f.out, strings.Join(slices.Sorted(maps.Keys(files)), ", "))
	if !o.Ingress.IsValid() {
		say("hosts is empty, since nothing says where the control plane is: give --ingress-ip, or let the machine resolve %s by itself", o.Host())
	}
	if f.token != "" {
		say("istio-token proves service account %s until %s: keep it secret, and write a new one into the file in time", account, f.tokenEnds.UTC().Format(time.RFC3339))
	} else {
		say("istio-token is missing: it proves service account %s; make one with: kubectl create token %s -n %s --audience istio-ca --duration %s > %s", account,
			bootstrap.Account(f.group), f.group.Meta.Namespace, f.life, filepath.Join(f.out, bootstrap.FileToken))
	}
	if !f.register && f.entry == "" {
		say("the workload does not register itself: write a WorkloadEntry for it, or give --autoregister")
	}
	say("on the machine, with the line of hosts in /etc/hosts: heddle-proxy sidecar --machine-dir DIR")
}
