package enrol

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/heddle-mesh/heddle/data/node/capture"
)

// Agent answers for pods.
type Agent interface {
	// Enrol says what is to be captured, or why nothing is (skip).
	Enrol(ctx context.Context, p Pod) (spec *capture.Spec, skip string, err error)
	// Reported hears what came of it.
	Reported(p Pod, r Report)
}

// patience is how long one pod may take: the API is asked within it, and the plug-in waits longer.
const patience = 20 * time.Second

// Listen makes the socket, which only root may use: what pods ask for is nobody else's business. A socket that an earlier agent left is replaced.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the socket: %w", err)
	}
	// Under another name first, so that there is no moment without a socket while an agent is replaced.
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.Remove(fresh); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("replace the socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for the CNI plug-in: %w", err)
	}
	l.SetUnlinkOnClose(false) // it may be the next agent's by then
	if err := errors.Join(os.Chmod(fresh, 0o600), os.Rename(fresh, path)); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("listen for the CNI plug-in: %w", err)
	}
	return l, nil
}

// Serve answers until the context ends; then it waits for conversations that have begun.
func Serve(ctx context.Context, l net.Listener, a Agent) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept from the CNI plug-in: %w", err)
		}
		all.Go(func() { talk(ctx, c, a) })
	}
}

func talk(ctx context.Context, c net.Conn, a Agent) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience/2)
	defer cancel()
	r := bufio.NewReader(io.LimitReader(c, maxLine))
	var q Question
	if err := read(r, &q); err != nil {
		return // somebody who looks whether we are here
	}
	answer := Answer{Format: Format}
	if q.Format > Format {
		answer.Error = fmt.Sprintf("the plug-in speaks format %d, and this agent knows %d", q.Format, Format)
	} else if spec, skip, err := a.Enrol(ctx, q.Pod); err != nil {
		answer.Error = err.Error()
	} else {
		answer.Capture, answer.Skip = spec, skip
	}
	if write(c, answer) != nil || answer.Capture == nil {
		return
	}
	var report Report
	if err := read(r, &report); err != nil {
		report = Report{Error: "the plug-in went away: " + err.Error()}
	}
	a.Reported(q.Pod, report)
}
