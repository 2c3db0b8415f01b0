// Command observe measures heddle-observe: memory and CPU with many series that are scraped every 15 seconds, and how long queries over them take.
//
//	go run ./test/observe -series 250000 -for 4m
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/heddle-mesh/heddle/platform/observe/jobs"
)

func main() {
	var b bench
	flag.StringVar(&b.program, "program", "bin/heddle-observe", "what is measured")
	flag.IntVar(&b.series, "series", 250_000, "active series")
	flag.DurationVar(&b.every, "every", 15*time.Second, "time between scrapes of a target")
	flag.DurationVar(&b.length, "for", 4*time.Minute, "how long is measured, after the first two scrapes")
	flag.StringVar(&b.more, "flags", "", "further flags of the program")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "observe:", err)
		os.Exit(1)
	}
}

type bench struct {
	program, more string
	series        int
	every, length time.Duration
}

// sample is what the process used at one moment.
type sample struct {
	rss, anonymous float64 // MiB
	cpu            time.Duration
	at             time.Time
}

func (b *bench) run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "heddle-observe-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // nothing of it is needed any more
	n := (b.series + perTarget - 1) / perTarget
	address, targets, err := serve(n)
	if err != nil {
		return err
	}
	server, client, err := b.start(dir, address, n)
	if err != nil {
		return err
	}
	defer func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
	}()
	if err := b.settle(ctx, client, targets); err != nil {
		return err
	}
	samples, err := b.watch(ctx, server.Process.Pid)
	if err != nil {
		return err
	}
	return b.report(ctx, client, targets, samples)
}

// start runs the program over the targets.
func (b *bench) start(dir, address string, n int) (*exec.Cmd, promv1.API, error) {
	var all []jobs.Target
	for i := range n {
		all = append(all, jobs.Target{Job: jobs.Proxies, Address: address, Path: fmt.Sprintf("/%d/stats/prometheus", i), Instance: fmt.Sprintf("10.0.%d.%d:15090", i/250, i%250),
			Namespace: "shop", Pod: fmt.Sprintf("service-%d-v1", i), Workload: fmt.Sprintf("service-%d-v1", i), App: fmt.Sprintf("service-%d", i)})
	}
	text, err := jobs.Targets(all)
	if err != nil {
		return nil, nil, err
	}
	file, config := filepath.Join(dir, "targets.json"), filepath.Join(dir, "config.yaml")
	if err := errors.Join(os.WriteFile(file, text, 0o600), os.WriteFile(config, []byte(jobs.FromFile(file, b.every)), 0o600)); err != nil {
		return nil, nil, fmt.Errorf("write the configuration: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("find a port: %w", err)
	}
	own := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, nil, fmt.Errorf("find a port: %w", err)
	}
	args := append([]string{"--config", config, "--data-dir", filepath.Join(dir, "data"), "--http-address", own, "--log-level", "warn"}, strings.Fields(b.more)...)
	cmd := exec.Command(b.program, args...)
	cmd.Stderr, cmd.SysProcAttr = os.Stderr, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start %s: %w; run make build", b.program, err)
	}
	c, err := api.NewClient(api.Config{Address: "http://" + own})
	if err != nil {
		return nil, nil, fmt.Errorf("ask %s: %w", own, err)
	}
	return cmd, promv1.NewAPI(c), nil
}

// settle waits until every target was scraped twice.
func (b *bench) settle(ctx context.Context, client promv1.API, targets []*target) error {
	for deadline := time.Now().Add(4*b.every + 30*time.Second); ; {
		behind := slices.ContainsFunc(targets, func(t *target) bool { return t.scrapes.Load() < 2 })
		if n, err := one(ctx, client, `count({job="envoy-stats",__name__=~"istio_.+"})`); !behind && err == nil && int(n) == len(targets)*perTarget {
			fmt.Printf("%d series of %d targets, every %s, pages of %d KiB\n", int(n), len(targets), b.every, targets[0].sent.Load()>>10)
			return nil
		} else if time.Now().After(deadline) {
			return fmt.Errorf("%g series are stored, want %d (%w)", n, len(targets)*perTarget, err)
		}
		if err := wait(ctx, b.every/3); err != nil {
			return err
		}
	}
}

func (b *bench) watch(ctx context.Context, pid int) (all []sample, err error) {
	for end := time.Now().Add(b.length); ; {
		s, err := look(pid)
		if err != nil {
			return nil, err
		}
		if all = append(all, s); time.Now().After(end) {
			return all, nil
		}
		if err := wait(ctx, time.Second); err != nil {
			return nil, err
		}
	}
}

// report says what was measured, and whether everything was stored.
func (b *bench) report(ctx context.Context, client promv1.API, targets []*target, samples []sample) error {
	first, last := samples[0], samples[len(samples)-1]
	var rss, anonymous []float64
	for _, s := range samples {
		rss, anonymous = append(rss, s.rss), append(anonymous, s.anonymous)
	}
	slices.Sort(rss)
	slices.Sort(anonymous)
	fmt.Printf("RSS MiB: median %.0f, largest %.0f; RssAnon: median %.0f, largest %.0f\n", rss[len(rss)/2], rss[len(rss)-1], anonymous[len(anonymous)/2], anonymous[len(anonymous)-1])
	length := last.at.Sub(first.at)
	fmt.Printf("CPU: %.1f %% of one core over %s\n", 100*float64(last.cpu-first.cpu)/float64(length), length.Round(time.Second))
	up, err := one(ctx, client, `min(min_over_time(up{job="envoy-stats"}[10m]))`)
	if err != nil || up != 1 {
		return fmt.Errorf("scrapes failed: up was %g (%w)", up, err)
	}
	longest, err := one(ctx, client, `max(scrape_duration_seconds{job="envoy-stats"})`)
	if err != nil {
		return err
	}
	fmt.Printf("longest scrape: %.3f s\n", longest)
	for _, question := range []string{
		`sum(rate(istio_requests_total[1m]))`,
		`sum by (source_workload, destination_workload) (rate(istio_requests_total[1m]))`,
		`histogram_quantile(0.99, sum by (le) (rate(istio_request_duration_milliseconds_bucket[1m])))`,
		`histogram_quantile(0.99, sum by (le) (rate(istio_request_duration_milliseconds_bucket{destination_workload="service-7-v1"}[1m])))`,
	} {
		start := time.Now()
		if _, _, _, err := client.Query(ctx, question, time.Time{}); err != nil {
			return fmt.Errorf("%s: %w", question, err)
		}
		fmt.Printf("%6d ms  %s\n", time.Since(start).Milliseconds(), question)
	}
	return nil
}

// one asks for one number.
func one(ctx context.Context, client promv1.API, question string) (float64, error) {
	v, _, _, err := client.Query(ctx, question, time.Time{})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", question, err)
	}
	if vector, ok := v.(model.Vector); ok && len(vector) == 1 {
		return float64(vector[0].Value), nil
	}
	return 0, fmt.Errorf("%s is %v", question, v)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// look reads what the kernel says of a process.
func look(pid int) (s sample, err error) {
	folder := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(folder, "status"))
	if err != nil {
		return s, fmt.Errorf("it has ended: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		name, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if name != "VmRSS" && name != "RssAnon" || len(fields) == 0 {
			continue
		}
		kib, err := strconv.ParseFloat(fields[0], 64)
		if err != nil {
			return s, fmt.Errorf("read %s: %w", name, err)
		}
		if name == "VmRSS" {
			s.rss = kib / 1024
		} else {
			s.anonymous = kib / 1024
		}
	}
	stat, err := os.ReadFile(filepath.Join(folder, "stat"))
	if err != nil {
		return s, fmt.Errorf("it has ended: %w", err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	for _, f := range fields[11:13] { // user and system time, in hundredths of a second
		n, err := strconv.Atoi(f)
		if err != nil {
			return s, fmt.Errorf("read its CPU time: %w", err)
		}
		s.cpu += time.Duration(n) * 10 * time.Millisecond
	}
	s.at = time.Now()
	return s, nil
}
