package main

import (
	"context"
	"flag"
	"fmt"
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
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range []string{"supervisor-fd", "parent-shutdown-time", "outside-dialer", "inside", "memory-limit", "admin-address", "capture-udp", "accept-time"} {
				if cmd.Flags().Changed(name) {
					return fmt.Errorf("--%s cannot be honoured by a stock Envoy; leave it out, or run heddle-proxy sidecar", name)
				}
			}
			log, _, err := logger("info")
			if err != nil {
				return err
			}
			o.Log = log
			stop := context.AfterFunc(now, func() { os.Exit(1) }) // Envoy dies with its parent
			defer stop()
			return agent.Run(ctx, o)
		},
	}
	flags := flag.NewFlagSet("agent", flag.ContinueOnError)
	o.Bind(flags)
	cmd.Flags().AddGoFlagSet(flags)
	return cmd
}
