package main

import (
	"context"
	"flag"
	"os"

	"github.com/spf13/cobra"

	"github.com/heddle-mesh/heddle/data/proxy/agent"
)

// agentCommand runs a stock Envoy. Its flags are those of sidecar as far as they make sense for Envoy, and stand before the common ones of the same name.
func agentCommand(ctx, now context.Context) *cobra.Command {
	var o agent.Options
	cmd := &cobra.Command{
		Use:   "agent --envoy PATH --xds-address ADDRESS --token-file FILE --name NAME --ip IP",
		Short: "Run a stock Envoy beside a workload: bootstrap, keys, names, drain", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			log, _, err := logger("info")
			if err != nil {
				return err
			}
			o.Log = log
			context.AfterFunc(now, func() { os.Exit(1) }) // Envoy dies with its parent
			return agent.Run(ctx, o)
		},
	}
	flags := flag.NewFlagSet("agent", flag.ContinueOnError)
	o.Bind(flags)
	cmd.Flags().AddGoFlagSet(flags)
	return cmd
}
