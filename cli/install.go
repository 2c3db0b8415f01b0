package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/strvals"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/heddle-mesh/heddle/charts"
	"github.com/heddle-mesh/heddle/platform/install"
)

// installation are the flags of heddle install.
type installation struct {
	cluster
	namespace, revision, profile string
	files, sets                  []string
	dry, crds, wait              bool
	timeout                      time.Duration
}

func installCommand(e *Env) *cobra.Command {
	var f installation
	c := &cobra.Command{
		Use:   "install",
		Short: "Put the control plane and a gateway into a Kubernetes cluster",
		Long: `Applies the objects of the Helm chart charts/heddle and waits until they work. Run again, with the same or other settings, it upgrades; what is not part of
it any more is removed. Several revisions may be side by side: give each a name with --revision, and move namespaces with the label istio.io/rev.`,
		Example: "  heddle install --profile demo\n  heddle install --revision canary --set controlPlane.replicas=2\n  heddle install --dry-run > heddle.yaml",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), e) },
	}
	s := c.Flags()
	f.flags(s)
	s.StringVarP(&f.namespace, "namespace", "n", "istio-system", "namespace of the control plane; made if there is none")
	s.StringVar(&f.revision, "revision", "default", "name of this control plane beside others")
	s.StringVar(&f.profile, "profile", "default", "settings to begin with: "+strings.Join(charts.Profiles(), ", "))
	s.StringArrayVarP(&f.files, "values", "f", nil, "file with settings (values.yaml of the chart says which there are); may be given several times")
	s.StringArrayVar(&f.sets, "set", nil, "one setting, as NAME=VALUE; may be given several times")
	s.BoolVar(&f.dry, "dry-run", false, "print the objects and apply nothing")
	s.BoolVar(&f.crds, "crds", true, "also bring the definitions of the Istio and Gateway APIs; those of others are left alone")
	s.BoolVar(&f.wait, "wait", true, "wait until everything is ready")
	s.DurationVar(&f.timeout, "timeout", 5*time.Minute, "give up after this time")
	return c
}

func (f *installation) values() (map[string]any, error) {
	all := map[string]any{}
	for _, name := range f.files {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read settings: %w; give --values another file", err)
		}
		one := map[string]any{}
		if err := yaml.Unmarshal(raw, &one); err != nil {
			return nil, fmt.Errorf("read settings %s: %w", name, err)
		}
		all = loader.MergeMaps(all, one)
	}
	for _, text := range f.sets {
		if err := strvals.ParseInto(text, all); err != nil {
			return nil, fmt.Errorf("--set %s: %w", text, err)
		}
	}
	if given, ok := all["revision"]; ok && given != f.revision {
		return nil, errors.New("the revision is chosen with --revision, because the names of the installation follow it")
	}
	all["revision"] = f.revision
	return all, nil
}

func (f *installation) run(ctx context.Context, e *Env) error {
	values, err := f.values()
	if err != nil {
		return err
	}
	release := charts.Release{Name: install.ReleaseOf(f.revision), Namespace: f.namespace, Profile: f.profile, Values: values, Version: e.Version}
	if f.dry {
		return f.print(e, release)
	}
	cfg, err := f.open()
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("use the cluster: %w", err)
	}
	found, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return fmt.Errorf("use the cluster: %w", err)
	}
	version, err := found.ServerVersion()
	if err != nil {
		return fmt.Errorf("ask the cluster at %s: %w", cfg.Host, err)
	}
	release.Kubernetes = version.GitVersion
	r, err := charts.Render(release)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	c := &install.Cluster{Dynamic: client, Say: func(line string) { _, _ = fmt.Fprintln(e.out(), line) }}
	if err := c.Install(ctx, install.Plan{Release: release.Name, Namespace: f.namespace, Version: e.Version, Rendered: r, Definitions: f.crds, Wait: f.wait}); err != nil {
		return err
	}
	_, _ = fmt.Fprint(e.out(), "\n"+r.Notes)
	return nil
}

func (f *installation) print(e *Env, release charts.Release) error {
	r, err := charts.Render(release)
	if err != nil {
		return err
	}
	objects := r.Objects
	if f.crds {
		objects = append(r.Definitions, objects...)
	}
	for _, u := range objects {
		text, err := yaml.Marshal(u.Object)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(e.out(), "---\n%s", text); err != nil {
			return err
		}
	}
	return nil
}

// removal are the flags of heddle uninstall.
type removal struct {
	cluster
	namespace, revision string
	force, purge        bool
	timeout             time.Duration
}

func uninstallCommand(e *Env) *cobra.Command {
	var f removal
	c := &cobra.Command{
		Use:   "uninstall",
		Short: "Take out of a Kubernetes cluster what heddle install put there",
		Long: `Removes everything that heddle install applied and the control plane made, and waits until it is gone. The definitions of the Istio and Gateway APIs go
too if heddle install brought them and nobody has objects of them; the volume of the mesh's own API stays. While pods have proxies of the installation it refuses.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), e) },
	}
	s := c.Flags()
	f.flags(s)
	s.StringVarP(&f.namespace, "namespace", "n", "istio-system", "namespace of the control plane")
	s.StringVar(&f.revision, "revision", "default", "which control plane")
	s.BoolVar(&f.force, "force", false, "also while pods have proxies; they run on and lose their certificates")
	s.BoolVar(&f.purge, "purge", false, "also remove what users wrote: definitions that are used, with all their objects, and the volume of the mesh's own API")
	s.DurationVar(&f.timeout, "timeout", 5*time.Minute, "give up after this time")
	return c
}

func (f *removal) run(ctx context.Context, e *Env) error {
	cfg, err := f.open()
	if err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("use the cluster: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	c := &install.Cluster{Dynamic: client, Say: func(line string) { _, _ = fmt.Fprintln(e.out(), line) }}
	return c.Uninstall(ctx, install.Removal{Release: install.ReleaseOf(f.revision), Namespace: f.namespace, Proxies: f.force, Purge: f.purge})
}
