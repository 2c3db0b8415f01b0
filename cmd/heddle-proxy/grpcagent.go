package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/heddle-mesh/heddle/data/proxy/agent"
)

// grpcAgentCommand serves programs whose gRPC library is the data plane. Its flags are those of agent as far as there is something that they could say.
func grpcAgentCommand(ctx context.Context, common *common) *cobra.Command {
	var o agent.Options
	cmd := &cobra.Command{
		Use:   "grpc-agent --work-dir DIR --xds-address ADDRESS --token-file FILE --name NAME --ip IP",
		Short: "Serve programs that speak xDS through gRPC: bootstrap, keys, streams", Args: cobra.NoArgs,
		Long: `grpc-agent writes ` + agent.GRPCBootstrap + ` into --work-dir. Programs that find its path in GRPC_XDS_BOOTSTRAP dial xds:///HOST:PORT without a proxy: their gRPC library balances,
routes and authenticates as the control plane says. The agent carries their streams, shows the workload's token, and keeps its certificate fresh.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name := changed(cmd, append(ofHeddleProxy, "admin-socket", "concurrency", "drain-time")...); name != "" {
				return fmt.Errorf("--%s is about a proxy; grpc-agent runs none, so leave it out", name)
			}
			log, _, err := logger(common.logLevel)
			if err != nil {
				return err
			}
			o.Log = log
			return agent.RunGRPC(ctx, o)
		},
	}
	flags := flag.NewFlagSet("grpc-agent", flag.ContinueOnError)
	o.BindGRPC(flags)
	cmd.Flags().AddGoFlagSet(flags)
	return cmd
}
