// Command heddle-sample is one service of the shop that heddle up brings. It is a program of its own because there are many of them: it links nothing that a service does not need.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/heddle-mesh/heddle/internal/resident"
	"github.com/heddle-mesh/heddle/platform/shop"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	go resident.Keep(ctx, 0)
	switch err := run(ctx, os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "heddle-sample:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("heddle-sample", flag.ContinueOnError)
	f.Usage = func() {
		_, _ = fmt.Fprintln(f.Output(), "Usage: heddle-sample [flags] NAME\n\nRuns a service of the sample shop; NAME is one of", strings.Join(names(), ", "))
		f.PrintDefaults()
	}
	version := f.String("version", "v1", "`version` of the service")
	listen := f.String("listen", "[::]:8080", "`address`, or fd:N for a socket that is open already")
	httpOnly := f.Bool("http-only", false, "leave out calls by plain TCP")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() != 1 {
		return fmt.Errorf("name one service of the shop: %s", strings.Join(names(), ", "))
	}
	p, ok := shop.Find(f.Arg(0), *version)
	if !ok {
		return fmt.Errorf("the shop has no %s %s; there are %s", f.Arg(0), *version, strings.Join(names(), ", "))
	}
	if *httpOnly {
		p.Appends = ""
	}
	l, err := listener(*listen)
	if err != nil {
		return fmt.Errorf("open %s: %w", *listen, err)
	}
	return shop.Serve(ctx, p, l, nil, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
}

// names are the services of the shop, each once.
func names() (all []string) {
	seen := map[string]bool{}
	for _, p := range shop.Parts() {
		if !seen[p.Name] {
			seen[p.Name] = true
			all = append(all, p.Name)
		}
	}
	return all
}

// listener opens an address, or takes over the socket fd:N.
func listener(address string) (net.Listener, error) {
	text, ok := strings.CutPrefix(address, "fd:")
	if !ok {
		return net.Listen("tcp", address)
	}
	fd, err := strconv.Atoi(text)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), address)
	defer func() { _ = file.Close() }() // the listener is a copy
	return net.FileListener(file)
}
