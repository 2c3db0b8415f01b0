package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/heddle-mesh/heddle/data/proxy/agent"
)

// ofHeddleProxy are the common flags that say something to heddle-proxy itself.
var ofHeddleProxy = []string{"supervisor-fd", "parent-shutdown-time", "parent-shutdown-time-s", "outside-dialer", "inside", "memory-limit", "admin-address", "capture-udp", "accept-time", "drain-time-s"}

// changed is the first of the flags that was given, or "".
func changed(cmd *cobra.Command, flags ...string) string {
	if i := slices.IndexFunc(flags, cmd.Flags().Changed); i >= 0 {
		return flags[i]
	}
	return ""
}

// agentCommand runs a stock Envoy. Its flags are those of sidecar as far as they make sense for Envoy, and stand before the common ones of the same name.
func agentCommand(ctx, now context.Context) *cobra.Command {
	var o agent.Options
	cmd := &cobra.Command{
		Use:   "agent --envoy PATH --xds-address ADDRESS --token-file FILE --name NAME --ip IP",
		Short: "Run a stock Envoy beside a workload: bootstrap, keys, names, drain", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name := changed(cmd, ofHeddleProxy...); name != "" {
				return fmt.Errorf("--%s cannot be honoured by a stock Envoy; leave it out, or run heddle-proxy sidecar", name)
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
	machineFlag(cmd)
	return cmd
}
