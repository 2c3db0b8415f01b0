// Command heddle is the command line: it starts a mesh on this machine (heddle up) and asks running meshes.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/heddle-mesh/heddle/cli"
	"github.com/heddle-mesh/heddle/internal/resident"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	go resident.Keep(ctx, 0)
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, "heddle: find this program:", err)
		os.Exit(1)
	}
	env := cli.Env{
		Version: version, Self: self, In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		RunDir: runDir(), Environ: os.Environ(), Color: os.Getenv("NO_COLOR") == "",
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	err = cli.Root(env).ExecuteContext(ctx)
	var exit cli.ExitCode
	switch {
	case errors.As(err, &exit):
		os.Exit(int(exit))
	case err != nil:
		fmt.Fprintln(os.Stderr, "heddle:", err)
		os.Exit(1)
	}
}

// runDir is where a mesh of this user runs unless --run-dir says otherwise.
func runDir() string {
	if d := os.Getenv("HEDDLE_RUN_DIR"); d != "" {
		return d
	}
	if os.Geteuid() == 0 {
		return "/run/heddle"
	}
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		return filepath.Join(d, "heddle")
	}
	return filepath.Join(os.TempDir(), "heddle-"+strconv.Itoa(os.Getuid()))
}
