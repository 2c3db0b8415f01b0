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
	log := newLog(os.Stderr, cfg.logLevel)
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
func newLog(w io.Writer, level slog.Level) *slog.Logger {
	log := slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
	// klog writes warnings as level Info through slog; its errors stay errors.
	klog.SetSlogLogger(log.With("lib", "kubernetes"))
	klog.OsExit = func(int) { os.Exit(1) }
	zap.ReplaceGlobals(zap.NewNop())
	return log
}
