package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/heddle-mesh/heddle/platform/shop"
)

func sampleCommand(e *Env) *cobra.Command {
	var registry, tag string
	var names []string
	var about strings.Builder
	for _, s := range shop.Steps() {
		names = append(names, s.Name)
		fmt.Fprintf(&about, "  %-8s %s\n", s.Name, s.About)
	}
	c := &cobra.Command{
		Use:   "sample NAME",
		Short: "Print the objects of a sample application for a Kubernetes cluster",
		Long: `Prints objects for kubectl: an application of eight services, and what shows a mesh with it, one after the other:

` + about.String() + `
kubectl delete -f - with the same objects takes each back; sample shop has the catalog's version 1 for everybody.`,
		Example:   "  heddle sample shop | kubectl apply -f -\n  heddle sample canary | kubectl apply -f -",
		ValidArgs: names,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("name one of %s", strings.Join(names, ", "))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			for _, s := range shop.Steps() {
				if s.Name == args[0] {
					_, err := io.WriteString(e.Out, s.Objects(registry+"/heddle-sample:"+tag))
					return err
				}
			}
			return fmt.Errorf("there is no sample %q; there are %s", args[0], strings.Join(names, ", "))
		},
	}
	c.Flags().StringVar(&registry, "registry", "heddle.dev", "registry of the image heddle-sample")
	c.Flags().StringVar(&tag, "tag", e.Version, "tag of the image")
	return c
}
