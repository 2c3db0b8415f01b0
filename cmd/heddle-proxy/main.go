// Command heddle-proxy is the data plane.
//
// It starts one of: a proxy with an Envoy bootstrap file (-c), the sidecar or gateway of a workload (sidecar, gateway), a stock Envoy beside a workload (agent),
// what programs need whose gRPC library is their proxy (grpc-agent), or another heddle-proxy whose listening sockets it keeps (supervise), so that hot-restart
// can replace it without a gap.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/internal/resident"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, now := signals()
	go resident.Keep(now, 25)
	if err := command(ctx, now).Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "heddle-proxy: "+err.Error())
		if errors.Is(err, capture.ErrUncaptured) {
			os.Exit(126) // by which the node agent knows such a pod; Istio's
		}
		os.Exit(1)
	}
}

// signals gives two contexts: the first SIGTERM or SIGINT ends ctx, which drains; the second ends now as well.
func signals() (ctx, now context.Context) {
	ctx, drain := context.WithCancel(context.Background())
	now, quit := context.WithCancel(context.Background())
	c := make(chan os.Signal, 2)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-c
		drain()
		<-c
		quit()
	}()
	return ctx, now
}

func command(ctx, now context.Context) *cobra.Command {
	var common common
	var file fileFlags
	root := &cobra.Command{
		Use:   "heddle-proxy -c FILE",
		Short: "The data plane of Heddle: a proxy that takes Envoy's configuration",
		Long: `heddle-proxy serves traffic as an Envoy bootstrap file says (-c), or beside a workload as the control plane says (sidecar, gateway).
What it cannot honour it refuses, with the path of the field; nothing is ignored.`,
		Args: cobra.NoArgs, SilenceErrors: true, SilenceUsage: true, CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file.path == "" {
				return fmt.Errorf("nothing to do: give a bootstrap file with -c, or one of the commands sidecar, gateway and agent (see --help)")
			}
			return file.run(ctx, now, &common, cmd.OutOrStdout())
		},
	}
	common.add(root.PersistentFlags())
	file.add(root.Flags())
	root.AddCommand(workloadCommand(ctx, now, &common, "sidecar"), workloadCommand(ctx, now, &common, "gateway"), agentCommand(ctx, now), grpcAgentCommand(ctx, &common), superviseCommand(ctx, now), hotRestartCommand(),
		captureCommand(), waitCommand(ctx), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version)
			return err
		},
	}
}

// logger writes to standard error; the level can be changed while it runs.
func logger(level string) (*slog.Logger, *slog.LevelVar, error) {
	v := &slog.LevelVar{}
	name := level
	if name == "warning" { // Envoy's word
		name = "warn"
	}
	if err := v.UnmarshalText([]byte(name)); err != nil {
		return nil, nil, fmt.Errorf("--log-level %q is not one of debug, info, warning and error", level)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: v})), v, nil
}
