package laptop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/heddle-mesh/heddle/internal/program"
	"github.com/heddle-mesh/heddle/internal/spawn"
	"github.com/heddle-mesh/heddle/platform/fabric"
)

// onHost starts a program on the host itself; it dies with us. It holds a copy of alive while it runs.
func onHost(thread *spawn.Thread, path string, args []string, out io.Writer, alive *os.File) func(context.Context) (program.Process, error) {
	return func(context.Context) (program.Process, error) {
		cmd := exec.Command(path, args...)
		cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = out, out, []*os.File{alive}
		// A group of its own: Ctrl-C is ours to hand on, in the right order.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
		if err := thread.Start(cmd); err != nil {
			return program.Process{}, fmt.Errorf("start %s: %w", path, err)
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
		return program.Process{PID: cmd.Process.Pid, Ended: ended, Signal: func(s syscall.Signal) { syscall.Kill(-cmd.Process.Pid, s) }}, nil
	}
}

// inFabric starts a program in a namespace.
func inFabric(client func() *fabric.Client, describe func() (fabric.Process, error)) func(context.Context) (program.Process, error) {
	return func(ctx context.Context) (program.Process, error) {
		p, err := describe()
		if err != nil {
			return program.Process{}, err
		}
		f := client()
		exit, err := f.Start(ctx, p)
		if err != nil {
			return program.Process{}, err
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
		return program.Process{Ended: ended, Signal: stop}, nil
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
