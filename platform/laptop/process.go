package laptop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/heddle-mesh/heddle/internal/spawn"
	"github.com/heddle-mesh/heddle/platform/fabric"
)

// program is a process that is started again when it ends by itself.
type program struct {
	name string
	// start starts it once; the channel tells its end, stop asks it to end.
	start func(ctx context.Context) (ended <-chan string, stop func(syscall.Signal), pid int, err error)
	log   *slog.Logger
	// down and up are told when it dies and when it runs again; either may be nil.
	down, up func()
	grace    time.Duration // between SIGTERM and SIGKILL

	done chan struct{} // closed when it has ended for good; nil before begin

	mu       sync.Mutex
	pid      int
	restarts int
	last     string
}

// firstRestart is the pause before a restart; it doubles while the process keeps dying young.
const (
	firstRestart = 20 * time.Millisecond
	lastRestart  = 5 * time.Second
	oldEnough    = 10 * time.Second
)

// begin starts the program for the first time: its error is the caller's. Afterwards it is kept running until the context ends.
func (p *program) begin(ctx context.Context, all *sync.WaitGroup) error {
	ended, stop, pid, err := p.start(ctx)
	if err != nil {
		return err
	}
	p.set(pid, 0, "")
	p.done = make(chan struct{})
	all.Go(func() {
		defer close(p.done)
		p.keep(ctx, ended, stop)
	})
	return nil
}

func (p *program) keep(ctx context.Context, ended <-chan string, stop func(syscall.Signal)) {
	pause, since := firstRestart, time.Now()
	for {
		select {
		case <-ctx.Done():
			p.finish(ended, stop)
			return
		case how := <-ended:
			if ctx.Err() != nil {
				return
			}
			if time.Since(since) > oldEnough {
				pause = firstRestart
			}
			p.log.Warn("a process ended and is started again", "process", p.name, "how", how, "in", pause)
			p.set(0, 1, how)
			if p.down != nil {
				p.down()
			}
		}
		var err error
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			pause = min(2*pause, lastRestart)
			var pid int
			if ended, stop, pid, err = p.start(ctx); err == nil {
				since = time.Now()
				p.set(pid, 0, "")
				break
			}
			p.log.Error("a process cannot be started", "process", p.name, "error", err)
		}
		if p.up != nil {
			p.up()
		}
	}
}

// finish asks the process to end, and insists after the grace time.
func (p *program) finish(ended <-chan string, stop func(syscall.Signal)) {
	stop(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(p.grace):
		p.log.Warn("a process did not end in time and is killed", "process", p.name)
		stop(syscall.SIGKILL)
		<-ended
	}
}

func (p *program) set(pid, restarts int, how string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pid, p.restarts = pid, p.restarts+restarts
	if how != "" {
		p.last = how
	}
}

func (p *program) state() (pid, restarts int, last string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pid, p.restarts, p.last
}

// onHost starts a program on the host itself; it dies with us. It holds a copy of alive while it runs.
func onHost(thread *spawn.Thread, path string, args []string, out io.Writer, alive *os.File) func(context.Context) (<-chan string, func(syscall.Signal), int, error) {
	return func(context.Context) (<-chan string, func(syscall.Signal), int, error) {
		cmd := exec.Command(path, args...)
		cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = out, out, []*os.File{alive}
		// A group of its own: Ctrl-C is ours to hand on, in the right order.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
		if err := thread.Start(cmd); err != nil {
			return nil, nil, 0, fmt.Errorf("start %s: %w", path, err)
		}
		ended := make(chan string, 1)
		go func() {
			err := cmd.Wait()
			how := "exit status 0"
			if err != nil {
				how = err.Error()
			}
			ended <- how
		}()
		return ended, func(s syscall.Signal) { syscall.Kill(-cmd.Process.Pid, s) }, cmd.Process.Pid, nil
	}
}

// inFabric starts a program in a namespace.
func inFabric(client func() *fabric.Client, describe func() (fabric.Process, error)) func(context.Context) (<-chan string, func(syscall.Signal), int, error) {
	return func(ctx context.Context) (<-chan string, func(syscall.Signal), int, error) {
		p, err := describe()
		if err != nil {
			return nil, nil, 0, err
		}
		f := client()
		exit, err := f.Start(ctx, p)
		if err != nil {
			return nil, nil, 0, err
		}
		ended := make(chan string, 1)
		go func() {
			e := <-exit
			ended <- how(e)
		}()
		// The context of the caller may have ended by then; signals must still arrive.
		stop := func(s syscall.Signal) {
			c, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := f.Signal(c, p.ID, s); err != nil && !errors.Is(err, fabric.ErrEnded) {
				slog.Debug("a signal was not delivered", "process", p.ID, "error", err)
			}
		}
		return ended, stop, 0, nil
	}
}

func how(e fabric.Exit) string {
	if e.Signal != 0 {
		return "signal: " + syscall.Signal(e.Signal).String()
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

// logFile opens a log of a process for appending.
func (d runDir) logFile(name string) (*os.File, error) {
	if err := os.MkdirAll(d.join("log"), 0o700); err != nil {
		return nil, fmt.Errorf("make the log folder: %w", err)
	}
	f, err := os.OpenFile(d.join("log", name+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", name, err)
	}
	return f, nil
}
