package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/heddle-mesh/heddle/internal/backoff"
	"github.com/heddle-mesh/heddle/internal/spawn"
)

const (
	steady      = time.Minute // an Envoy that ran so long is started again at once when it crashes
	killAfter   = 5 * time.Second
	leastDrain  = time.Second // callers hear that the workload is gone, and stop
	drainLook   = 100 * time.Millisecond
	askEnvoyFor = 2 * time.Second
)

// envoy is the child process.
type envoy struct {
	o           Options
	log         *slog.Logger
	silence     func()
	environment []string
	draining    atomic.Bool
}

// supervise starts Envoy, again when it ends by itself, and drains it when the context ends.
func (e *envoy) supervise(ctx context.Context) error {
	thread := spawn.NewThread() // ends with the process: Envoy dies with the agent
	wait := backoff.Backoff{First: 200 * time.Millisecond, Limit: 15 * time.Second}
	for {
		began := time.Now()
		cmd := e.command()
		if err := thread.Start(cmd); err != nil {
			return fmt.Errorf("start Envoy %s: %w", e.o.Envoy, err)
		}
		e.log.Info("Envoy started", "pid", cmd.Process.Pid)
		exit := make(chan error, 1)
		go func() { exit <- cmd.Wait() }()
		select {
		case err := <-exit:
			e.log.Error("Envoy ended by itself and is started again", "error", err, "after", time.Since(began).Round(time.Millisecond))
			if time.Since(began) > steady {
				wait.Reset()
			}
			if wait.Sleep(ctx) != nil {
				return nil
			}
		case <-ctx.Done():
			e.drain(cmd, exit)
			return nil
		}
	}
}

func (e *envoy) command() *exec.Cmd {
	_ = os.Remove(e.o.envoySocket()) // left behind by one that crashed
	args := []string{
		"-c", e.o.bootstrapFile(), "--disable-hot-restart", "-l", e.o.LogLevel, "--drain-strategy", "immediate",
		"--drain-time-s", strconv.Itoa(max(1, int(e.o.DrainTime/time.Second))),
		"--file-flush-interval-msec", "500", // access log lines are looked for while the request is remembered
	}
	if e.o.Concurrency > 0 {
		args = append(args, "--concurrency", strconv.Itoa(e.o.Concurrency))
	}
	cmd := exec.Command(e.o.Envoy, args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = e.o.Stdout, e.o.Stderr, append([]string{"PATH=/usr/bin:/bin"}, e.environment...)
	// A group of its own: a Ctrl-C at the terminal must not end it before it has drained.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return cmd
}

// drain lets callers hear that the workload goes, connections end by themselves, and ends Envoy: when none is left or the time is over.
func (e *envoy) drain(cmd *exec.Cmd, exit <-chan error) {
	e.draining.Store(true)
	e.log.Info("draining", "for", e.o.DrainTime)
	e.silence()
	began := time.Now()
	if err := e.post("/drain_listeners?graceful"); err == nil {
		for gone := false; !gone && time.Since(began) < e.o.DrainTime; {
			select {
			case <-exit:
				return
			case <-time.After(drainLook):
			}
			n, err := e.connections()
			gone = err != nil || n == 0 && time.Since(began) >= min(leastDrain, e.o.DrainTime)
		}
	}
	if err := e.post("/quitquitquit"); err != nil {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended meanwhile
	}
	select {
	case <-exit:
	case <-time.After(killAfter):
		e.log.Warn("Envoy does not end and is killed")
		_ = cmd.Process.Kill()
		<-exit
	}
}

// client talks to Envoy's admin interface.
func (e *envoy) transport() *http.Transport {
	return &http.Transport{MaxIdleConns: 4, IdleConnTimeout: time.Minute, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer{}.DialContext(ctx, "unix", e.o.envoySocket())
	}}
}

func (e *envoy) ask(ctx context.Context, method, path string) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, askEnvoyFor)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://envoy"+path, nil)
	if err != nil {
		return 0, "", err
	}
	t := e.transport()
	defer t.CloseIdleConnections()
	answer, err := t.RoundTrip(r)
	if err != nil {
		return 0, "", fmt.Errorf("ask Envoy for %s: %w", path, err)
	}
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(answer.Body, 4<<20))
	return answer.StatusCode, strings.TrimSpace(string(b)), err
}

func (e *envoy) post(path string) error {
	code, _, err := e.ask(context.Background(), http.MethodPost, path)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("ask Envoy for %s: status %d", path, code)
	}
	return err
}

// connections are those that clients hold open.
func (e *envoy) connections() (n int, err error) {
	_, text, err := e.ask(context.Background(), http.MethodGet, "/stats?usedonly&filter=^listener%5C..*downstream_cx_active$")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ": ")
		if strings.HasPrefix(name, "listener.admin.") || strings.Contains(name, ".worker_") {
			continue
		}
		v, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil {
			return 0, fmt.Errorf("read Envoy's connections from %q: %w", line, err)
		}
		n += v
	}
	return n, nil
}

// ready is nil when Envoy serves: it says LIVE only after its first listeners and clusters have come.
func (e *envoy) ready(ctx context.Context) error {
	if e.draining.Load() {
		return errors.New("DRAINING")
	}
	code, text, err := e.ask(ctx, http.MethodGet, "/ready")
	switch {
	case err != nil:
		return fmt.Errorf("envoy does not answer: %w", err)
	case code != http.StatusOK:
		return errors.New(text)
	}
	return nil
}
