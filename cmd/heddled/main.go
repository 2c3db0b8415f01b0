// Command heddled is the control plane of one mesh: what users wrote in, xDS, certificates and status out.
//
// It reads a folder (--config-dir) or a Kubernetes API (--kubeconfig), serves proxies, and ends cleanly on SIGTERM.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"

	"github.com/heddle-mesh/heddle/control/server"
	"github.com/heddle-mesh/heddle/internal/resident"
)

// version is set by the linker.
var version = "dev"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "heddled:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	o, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case o.printVersion:
		fmt.Println(version)
		return nil
	}
	if o.memoryLimit > 0 {
		debug.SetMemoryLimit(int64(o.memoryLimit))
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: o.logLevel}))
	klog.SetSlogLogger(log.With("part", "kubernetes"))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	go resident.Keep(ctx, 0)
	o.Log, o.Version = log, version
	d, err := server.New(ctx, o.Options)
	if err != nil {
		return err
	}
	dashboard, err := openDashboard(d, o)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.Run(ctx) })
	if dashboard != nil {
		group.Go(func() error { return dashboard(ctx) })
	}
	return group.Wait()
}
