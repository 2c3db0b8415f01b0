package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/heddle-mesh/heddle/platform/laptop"
)

func proxyRestart(e *Env) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "proxy-restart {WORKLOAD[.NAMESPACE]... | --all}", Short: "Replace running proxies by new ones without a gap", ValidArgsFunction: e.completeWorkloads,
		Long: `Starts a new heddle-proxy beside the running one, as it is on disk now. When the new one serves, the old one takes no more connections and finishes
what it has begun. When the new one does not come up, the old one goes on.`,
		Example: `  heddle proxy-restart web-v1.shop
  heddle proxy-restart --all`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return errors.New("name workloads, such as web-v1.shop, or give --all")
			}
			s, err := e.running()
			if err != nil {
				return err
			}
			chosen := s.Workloads
			if !all {
				chosen = nil
				for _, name := range args {
					w, err := pick(s, name)
					if err != nil {
						return err
					}
					chosen = append(chosen, *w)
				}
			}
			for _, w := range chosen {
				if err := laptop.ReplaceProxy(cmd.Context(), e.RunDir, w); err != nil {
					return fmt.Errorf("the proxy of %s.%s was not replaced: %w", w.Name, w.Namespace, err)
				}
				if _, err := fmt.Fprintf(e.Out, "the proxy of %s.%s was replaced\n", w.Name, w.Namespace); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&all, "all", false, "every proxy of the mesh, one after the other")
	return c
}
