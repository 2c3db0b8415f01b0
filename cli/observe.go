package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	kubenames "k8s.io/apimachinery/pkg/util/validation"

	"github.com/heddle-mesh/heddle/platform/observe/jobs"
)

func observeCommand(e *Env) *cobra.Command {
	c := group(&cobra.Command{Use: "observe", Short: "What Prometheus needs to know of a mesh"})
	c.AddCommand(scrapeConfig(e))
	return c
}

func scrapeConfig(e *Env) *cobra.Command {
	var o jobs.Cluster
	c := &cobra.Command{
		Use: "scrape-config", Short: "Print scrape_configs for a Prometheus on a Kubernetes cluster with a mesh", Args: noArgs,
		Long: `Prints Prometheus' configuration in its own language, so that no operator and no ServiceMonitor is needed: every proxy (port 15090), heddled and the node agents (15014), and with
--applications the pods that ask for it by prometheus.io/scrape. Prometheus needs a service account that may list and watch pods.`,
		Example: "  heddle observe scrape-config > prometheus.yml\n  heddle observe scrape-config --applications --interval 30s",
		RunE: func(*cobra.Command, []string) error {
			if o.Every < time.Second {
				return fmt.Errorf("--interval %s is too short; use 1s or more", o.Every)
			}
			if wrong := kubenames.IsDNS1123Label(o.Namespace); len(wrong) > 0 {
				return fmt.Errorf("--namespace %q cannot be a namespace: %s", o.Namespace, wrong[0])
			}
			_, err := io.WriteString(e.out(), jobs.Kubernetes(o))
			return err
		},
	}
	f := c.Flags()
	f.StringVarP(&o.Namespace, "namespace", "n", "istio-system", "namespace of the control plane")
	f.DurationVar(&o.Every, "interval", 15*time.Second, "how often each is scraped")
	f.BoolVar(&o.Applications, "applications", false, "also the pods that ask for it by prometheus.io/scrape")
	return c
}
