package interop_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/heddle-mesh/heddle/data/proxy/agent"
)

// TestMain lets the test binary be the agent beside stock Envoy, for trees without bin/heddle-proxy.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "agent" {
		if err := runAgent(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "agent:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func runAgent(args []string) error {
	var o agent.Options
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	o.Bind(fs)
	if err := fs.Parse(args); err != nil {
		return err
	}
	o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return agent.Run(ctx, o)
}
