// Command heddle-observe keeps the metrics of a mesh and answers PromQL by Prometheus' HTTP API. It is beside heddled, not in it: what Prometheus' database
// links and holds would otherwise be in every control plane.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/klog/v2"

	"github.com/heddle-mesh/heddle/internal/resident"
	"github.com/heddle-mesh/heddle/platform/observe"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := command(ctx).Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "heddle-observe:", err)
		os.Exit(1)
	}
}

// garbage is how much of it there may be, in percent of what is in use: most of a store's memory lives for hours, so that collecting it often is cheap.
const garbage = 50

// settings are what the command line says besides the server's own.
type settings struct {
	o        observe.Options
	check    bool
	memory   int64
	maxSize  int64
	logLevel slog.Level
}

func command(ctx context.Context) *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use: "heddle-observe", Short: "The metrics of a mesh: a store, its scrapes, PromQL by Prometheus' HTTP API", Args: cobra.NoArgs,
		SilenceErrors: true, SilenceUsage: true, Version: version, CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE: func(c *cobra.Command, _ []string) error { return s.run(ctx, c.Flags()) },
	}
	f, o := c.Flags(), &s.o
	f.StringVar(&o.Config, "config", "", "`file` in Prometheus' language: global, scrape_configs (with file_sd_configs, kubernetes_sd_configs and static_configs) and remote_write; SIGHUP reads it again")
	f.BoolVar(&s.check, "check", false, "read the configuration, say whether it is right, and end")
	f.StringVar(&o.Dir, "data-dir", "", "`folder` of the samples; made if it does not exist")
	f.StringVar(&o.Address, "http-address", "127.0.0.1:9090", "address of the API")
	f.StringVar(&o.TokenFile, "token-file", "", "`file` with the bearer token of the API; made if it does not exist; needed unless the address is a loopback address")
	f.DurationVar(&o.Retention, "retention", 24*time.Hour, "how long samples are kept")
	f.Int64Var(&s.maxSize, "retention-size", 1024, "how many `MiB` of samples are kept on disk, what is in memory besides; 0 for no limit")
	f.DurationVar(&o.Block, "block", 2*time.Hour, "how much time a block on disk holds; one and a half of it are in memory and in the write-ahead log")
	f.IntVar(&o.Series.Series, "max-series", 400_000, "how many series there may be; what is beyond is refused, counted and told")
	f.IntVar(&o.Series.PerTarget, "max-series-per-target", 50_000, "how many series one target may have")
	f.DurationVar(&o.Queries.Timeout, "query-timeout", 30*time.Second, "how long a query may take")
	f.IntVar(&o.Queries.Samples, "query-max-samples", 10_000_000, "how many samples a query may hold in memory (16 bytes each)")
	f.IntVar(&o.Queries.Concurrent, "query-concurrency", 8, "how many queries run at a time; more wait")
	f.DurationVar(&o.Queries.Lookback, "query-lookback", 5*time.Minute, "how long a sample counts as the latest of its series")
	f.Int64Var(&s.memory, "memory-limit", 0, "soft limit of memory in `bytes`; 0 for none")
	f.TextVar(&s.logLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	return c
}

// meaningful finds settings that mean nothing.
func (s *settings) meaningful() error {
	if s.o.Config == "" || s.o.Dir == "" {
		return errors.New("--config and --data-dir are needed: what to scrape, and where to keep it; heddle observe scrape-config prints a configuration")
	}
	if s.maxSize < 0 {
		return fmt.Errorf("--retention-size %d is not possible; use 0 for no limit", s.maxSize)
	}
	for flag, n := range map[string]int{"max-series": s.o.Series.Series, "max-series-per-target": s.o.Series.PerTarget, "query-max-samples": s.o.Queries.Samples, "query-concurrency": s.o.Queries.Concurrent} {
		if n < 1 {
			return fmt.Errorf("--%s %d is not possible; use 1 or more", flag, n)
		}
	}
	for flag, d := range map[string]time.Duration{"query-timeout": s.o.Queries.Timeout, "query-lookback": s.o.Queries.Lookback} {
		if d <= 0 {
			return fmt.Errorf("--%s %s is not possible; use more than 0s", flag, d)
		}
	}
	return nil
}

func (s *settings) run(ctx context.Context, f *pflag.FlagSet) error {
	o := s.o
	o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: s.logLevel}))
	if s.check {
		return observe.Check(o.Config, o.Log)
	}
	if err := s.meaningful(); err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	if s.memory > 0 {
		debug.SetMemoryLimit(s.memory)
	}
	go resident.Keep(ctx, 0)
	o.MaxBytes, o.Version, o.Flags = s.maxSize<<20, version, map[string]string{}
	f.VisitAll(func(v *pflag.Flag) { o.Flags[v.Name] = v.Value.String() })
	klog.SetSlogLogger(o.Log.With("part", "kubernetes"))
	server, err := observe.New(o)
	if err != nil {
		return err
	}
	resident.Now() // what is linked allocates tables that nobody reads here, and most of the program runs only once
	o.Log.Info("the metrics are served", "address", server.Address(), "data", o.Dir)
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	go func() {
		for range again {
			if err := server.Reload(); err != nil {
				o.Log.Error("the configuration is not changed", "error", err)
				continue
			}
			o.Log.Info("the configuration was read again")
		}
	}()
	return server.Run(ctx)
}
