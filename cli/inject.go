package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/heddle-mesh/heddle/control/config/settings"
	"github.com/heddle-mesh/heddle/control/inject"
	"github.com/heddle-mesh/heddle/control/inject/manifest"
	"github.com/heddle-mesh/heddle/mesh"
)

// injection are the flags of heddle inject; they are heddled's where both have them.
type injection struct {
	file, out                    string
	meshConfig, injectConfig     string
	namespace, plane             string
	cluster, network, trustOfOwn string
}

func injectCommand(e *Env) *cobra.Command {
	var f injection
	c := &cobra.Command{
		Use:   "inject -f FILE",
		Short: "Put a proxy into the pods of a file, as the webhook does in a cluster",
		Long: `Reads objects in YAML or JSON and writes them with a proxy in every pod: Pod, Deployment, StatefulSet, DaemonSet, Job, CronJob,
ReplicaSet, ReplicationController and List. Everything else is passed on byte for byte. No cluster is needed; with the same settings
as heddled (--inject-config, --mesh-config, --cluster-id, ...) the pods are the ones that its webhook makes.`,
		Example: "  heddle inject -f shop.yaml | kubectl apply -f -\n  kubectl get deployment web -o yaml | heddle inject -f - -o web.yaml",
		Args:    noArgs,
		RunE:    func(*cobra.Command, []string) error { return f.run(e) },
	}
	s := c.Flags()
	s.StringVarP(&f.file, "filename", "f", "", "file with objects; - is standard input")
	s.StringVarP(&f.out, "output", "o", "", "file to write (default: standard output)")
	s.StringVar(&f.meshConfig, "mesh-config", "", "file with Istio's MeshConfig")
	s.StringVar(&f.injectConfig, "inject-config", "", "file with the settings of injection: images, revision, templates")
	s.StringVarP(&f.namespace, "namespace", "n", "default", "namespace of objects that name none")
	s.StringVar(&f.plane, "control-plane-namespace", "", "namespace of heddled (default: the root namespace)")
	s.StringVar(&f.cluster, "cluster-id", string(mesh.DefaultCluster), "name of the cluster")
	s.StringVar(&f.network, "network", string(mesh.DefaultNetwork), "name of the network of workloads that name none")
	s.StringVar(&f.trustOfOwn, "trust-domain", "", "trust domain (default: that of the mesh config, or cluster.local)")
	return c
}

func (f *injection) run(e *Env) error {
	if f.file == "" {
		return errors.New("-f is missing; it is the file with the objects, or - for standard input")
	}
	s, err := f.settings()
	if err != nil {
		return err
	}
	in, err := e.readManifest(f.file)
	if err != nil {
		return err
	}
	// Standard output is for the next program: what there is to say goes beside it.
	n := manifest.Injector{Settings: s, Namespace: f.namespace, Tell: func(text string) { _, _ = fmt.Fprintln(e.Err, "heddle inject: "+text) }}
	text, err := n.Inject(in)
	if err != nil {
		return fmt.Errorf("inject %s: %w", f.file, err)
	}
	if f.out == "" {
		_, err = e.out().Write(text)
		return err
	}
	if err := os.WriteFile(f.out, text, 0o644); err != nil {
		return fmt.Errorf("write the injected objects: %w", err)
	}
	return nil
}

func (f *injection) settings() (*inject.Settings, error) {
	file, err := inject.ReadConfig(f.injectConfig)
	if err != nil {
		return nil, err
	}
	whole := settings.Default()
	if f.meshConfig != "" {
		if whole, _, err = settings.Read(f.meshConfig); err != nil {
			return nil, err
		}
	}
	s := &inject.Settings{Config: file, Namespace: f.plane, RootNamespace: string(whole.RootNamespace), TrustDomain: f.trustOfOwn, ClusterID: f.cluster, Network: f.network}
	if s.Namespace == "" {
		s.Namespace = s.RootNamespace
	}
	if s.TrustDomain == "" {
		s.TrustDomain = whole.TrustDomain
	}
	s.Mesh, err = settings.ReadProxyConfig(f.meshConfig)
	return s, err
}
