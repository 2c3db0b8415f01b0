// Command heddle-apiserver serves the mesh's Kubernetes-style API where there is
// no Kubernetes cluster to use: upstream's own API server as a library, embedded
// etcd, and the Istio and Gateway API kinds.
//
// In: flags only, and a data folder. Out: HTTPS on one address, kubeconfig files,
// and the line "ready https://HOST:PORT" on stdout once every kind can be used.
// "heddle-apiserver kubectl ..." is kubectl. Everything here runs once at start,
// in one goroutine, unless a comment says otherwise.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"go.uber.org/zap"
	"k8s.io/klog/v2"
)

func main() {
	if filepath.Base(os.Args[0]) == "kubectl" {
		os.Exit(runKubectl(os.Args[1:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "kubectl" {
		os.Exit(runKubectl(os.Args[2:]))
	}
	cfg, err := parseFlags(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "heddle-apiserver:", err)
		os.Exit(2)
	}
	if cfg.showVersion {
		fmt.Println(versionLine())
		return
	}
	level := new(slog.LevelVar)
	log := newLog(os.Stderr, level)
	if cfg.logLevel >= slog.LevelError {
		// While they start, the libraries report as errors what they then try
		// again; what really fails ends in a sentence of ours.
		level.Set(slog.LevelError + 1)
		cfg.started = func() { level.Set(cfg.logLevel) }
	} else {
		level.Set(cfg.logLevel)
	}
	if err := serve(cfg, log); err != nil {
		exitWith(err)
	}
}

// exitWith ends the process with one sentence for the user.
func exitWith(err error) {
	fmt.Fprintln(os.Stderr, "heddle-apiserver:", err)
	os.Exit(1)
}

// newLog makes the one logger and sends the libraries' own logs through it.
// The libraries cannot be handed a logger, so their globals are set here, once.
func newLog(w io.Writer, level slog.Leveler) *slog.Logger {
	log := slog.New(leveled{level, slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})})
	// klog writes warnings as level Info through slog; its errors stay errors.
	klog.SetSlogLogger(log.With("lib", "kubernetes"))
	klog.OsExit = func(int) { os.Exit(1) }
	zap.ReplaceGlobals(zap.NewNop())
	return log
}

// leveled checks the level of each record again: klog asks before it logs
// anything but errors, and those must be hidden at times too.
type leveled struct {
	level slog.Leveler
	slog.Handler
}

// Handle writes the record when its level is on.
func (h leveled) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < h.level.Level() {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the check around the handler with attributes.
func (h leveled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return leveled{h.level, h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the check around the handler with a group.
func (h leveled) WithGroup(name string) slog.Handler {
	return leveled{h.level, h.Handler.WithGroup(name)}
}
