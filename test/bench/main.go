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
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	seconds := flag.Int("seconds", 10, "seconds of each measurement")
	rounds := flag.Int("rounds", 3, "rounds; the median counts")
	what := flag.String("what", "proxies,bodies,tls,tcp,http2,latency,idle,memory,mesh", "what to measure, comma-separated; also injection, pods, podstart")
	raw := flag.String("raw", "", "file for every single measurement, one line of JSON each")
	kills := flag.Int("kills", 20, "proxies to kill")
	changes := flag.Int("changes", 200, "changes of a route to measure")
	only := flag.String("only", "", "comma-separated proxies to measure")
	baseline := flag.String("baseline", "", "another heddle-proxy to measure beside this one")
	profiles := flag.String("profiles", "", "folder for profiles of heddle-proxy, one for each shape, from a load of its own")
	pods := flag.String("pods", "200,1000,2000", "pods that heddled has, one run for each; for podstart how many of each form")
	services := flag.Int("services", 100, "services that the pods are of")
	kubeconfig := flag.String("kubeconfig", "", "cluster for podstart")
	heddle := flag.String("heddle", "", "the heddle program for podstart")
	part := flag.Float64("load", 0.5, "part of the load at which latency is measured")
	flag.Parse()
	dir, err := os.MkdirTemp("", "heddle-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	b := &bench{dir: dir, duration: time.Duration(*seconds) * time.Second, rounds: *rounds, part: *part, only: *only, baseline: *baseline, profiles: *profiles, rawFile: *raw}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-stop
		b.end()
		os.Exit(130)
	}()
	if err := b.openRaw(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	facts()
	for _, part := range []struct {
		names string
		run   func() error
	}{
		{"proxies,bodies,tls,tcp,latency,idle,memory", b.backend},
		{"proxies,bodies,latency", b.startProxies},
		{"proxies", b.runConnections},
		{"bodies", b.runBodies},
		{"latency", b.runLatency},
		{"tls", b.runTLS},
		{"tcp", b.runTCP},
		{"http2", b.runFrames},
		{"idle", b.runIdle},
		{"memory", b.runMemory},
		{"mesh", func() error { return b.measureMesh(*changes, *kills) }},
		{"injection", b.runInjection},
		{"pods", func() error { return b.runPods(*pods, *services, *changes) }},
		{"podstart", func() error { return b.runPodStart(*kubeconfig, *heddle, *pods) }},
	} {
		asked := func(name string) bool { return slices.Contains(strings.Split(*what, ","), name) }
		if err == nil && slices.ContainsFunc(strings.Split(part.names, ","), asked) {
			err = part.run()
		}
	}
	b.end()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }
