// Command bench measures the CPU that proxies spend on a request, side by side in one run.
//
// In: the binaries of this repository, nginx, HAProxy, wrk and the stock Envoy. Out: a table of CPU microseconds per request and ratios. Load stays on
// loopback and ends by itself; everything that was started is stopped.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	seconds := flag.Int("seconds", 10, "seconds of each measurement")
	rounds := flag.Int("rounds", 3, "rounds; the median counts")
	what := flag.String("what", "proxies,tls,http2,mesh", "what to measure: proxies, tls, http2, mesh")
	changes := flag.Int("changes", 200, "changes of a route to measure")
	only := flag.String("only", "", "comma-separated proxies to measure")
	flag.Parse()
	dir, err := os.MkdirTemp("", "heddle-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	b := &bench{dir: dir, duration: time.Duration(*seconds) * time.Second, rounds: *rounds, only: *only}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-stop
		b.end()
		os.Exit(130)
	}()
	fmt.Printf("machine: %s, %d CPUs, Linux %s, %s\n", cpuModel(), runtime.NumCPU(), kernel(), runtime.Version())
	if strings.Contains(*what, "proxies") || strings.Contains(*what, "tls") || strings.Contains(*what, "memory") {
		err = b.backend()
	}
	if err == nil && strings.Contains(*what, "proxies") {
		err = b.run()
	}
	if err == nil && strings.Contains(*what, "tls") {
		err = b.runTLS()
	}
	if err == nil && strings.Contains(*what, "memory") {
		err = b.runMemory()
	}
	if err == nil && strings.Contains(*what, "http2") {
		err = b.runFrames()
	}
	if err == nil && strings.Contains(*what, "mesh") {
		err = b.measureMesh(*changes)
	}
	b.end()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures every proxy at 8 and 64 connections and prints the tables.
func (b *bench) run() error {
	for _, p := range b.proxies() {
		if b.only != "" && !strings.Contains(","+b.only+",", ","+p.name+",") {
			continue
		}
		if err := b.startProxy(p); err != nil {
			return err
		}
	}
	for _, connections := range []int{8, 64} {
		fmt.Printf("\nHTTP/1.1, 1 KiB body, %d connections, 1 worker each, %s × %d rounds (median)\n", connections, b.duration, b.rounds)
		fmt.Printf("%-14s %14s %12s %10s %10s %10s\n", "proxy", "CPU µs/request", "requests/s", "RSS MiB", "to nginx", "to Envoy")
		if err := b.measureAll("nginx", func(r running) (int, error) { return b.wrk(r, connections, "/") }); err != nil {
			return err
		}
	}
	return nil
}

func cpuModel() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	data, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(data))
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }
