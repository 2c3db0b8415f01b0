// Command soak runs a whole mesh under load and churn for a long time and fails if memory, goroutines or descriptors of any of its processes grow, or if a request fails.
//
// In: the binaries of this repository. Out: a table of what each process held in the second and in the last quarter of the time. It starts `heddle up` with the shop and a folder
// of its own, keeps to this machine, and ends everything that it started.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/heddle-mesh/heddle/platform/laptop"
)

func main() {
	length := flag.Duration("length", 30*time.Minute, "how long")
	rate := flag.Int("rate", 300, "requests a second")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *length, *rate); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, length time.Duration, rate int) error {
	dir, err := os.MkdirTemp("", "heddle-soak-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	mesh, down, err := up(filepath.Join(dir, "run"))
	if err != nil {
		return err
	}
	defer down()
	change, err := newChurn(mesh)
	if err != nil {
		return err
	}
	ctx, end := context.WithTimeout(ctx, length)
	defer end()
	load := start(ctx, mesh.Gateway, rate)
	changed := make(chan error, 1)
	go func() { changed <- change.run(ctx) }()
	fmt.Printf("soak: %s, %d requests/s, a change of the configuration every second, %s\n", mesh.Gateway, rate, length)
	samples := watch(ctx, mesh, length/120)
	load.wait()
	churned := <-changed
	fmt.Printf("soak: %d requests, %d connections cut on purpose, %d failed; %d changes\n", load.done.Load(), load.cut.Load(), load.failed.Load(), change.made)
	var failed error
	if n := load.failed.Load(); n > 0 {
		failed = fmt.Errorf("%d requests failed, such as: %s", n, load.example())
	}
	return errors.Join(judge(samples), failed, churned)
}

// up starts the mesh, without the shop's own visitor.
func up(run string) (*laptop.Status, func(), error) {
	heddle := func(args ...string) *exec.Cmd {
		return exec.Command("bin/heddle", append([]string{"--run-dir", run}, args...)...)
	}
	start := heddle("up", "--detach", "--rate", "0")
	start.Stderr = os.Stderr
	down := func() { _ = heddle("down").Run() } // a mesh that has ended is what is wanted
	if err := start.Run(); err != nil {
		down()
		return nil, nil, fmt.Errorf("heddle up: %w", err)
	}
	out, err := heddle("status", "-o", "json").Output()
	var s laptop.Status
	if err == nil {
		err = json.Unmarshal(out, &s)
	}
	if err != nil {
		down()
		return nil, nil, fmt.Errorf("heddle status: %w", err)
	}
	return &s, down, nil
}
