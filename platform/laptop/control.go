package laptop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/heddle-mesh/heddle/internal/fdmsg"
)

const controlSocket = "control.sock"

func (m *meshRun) serveControl(inner context.Context) error {
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: m.dir.join("sock", controlSocket), Net: "unixpacket"})
	if err != nil {
		return fmt.Errorf("open the control socket: %w", err)
	}
	context.AfterFunc(inner, func() { _ = l.Close() })
	m.running.Go(func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			m.running.Go(func() { m.control(inner, c) })
		}
	})
	return nil
}

// control serves one caller: its process lives as long as the connection.
func (m *meshRun) control(inner context.Context, u *net.UnixConn) {
	defer func() { _ = u.Close() }()
	stop := context.AfterFunc(inner, func() { _ = u.SetReadDeadline(time.Now()) })
	defer stop()
	c, err := fdmsg.Wrap(u)
	if err != nil {
		m.log.Warn("the control socket failed", "error", err)
		return
	}
	buf := make([]byte, fdmsg.MaxMessage)
	var r order
	files, err := c.Receive(buf, &r)
	if err != nil {
		return
	}
	defer fdmsg.CloseAll(files)
	if r.Replace != "" {
		done := 0
		if err := m.replaceProxy(inner, r.Replace); err != nil {
			_ = c.Send(RunEvent{Error: err.Error()}, nil)
			return
		}
		_ = c.Send(RunEvent{Exit: &done}, nil)
		return
	}
	// The caller is told of the end when nothing is left of the workload.
	code, err := m.takeIn(inner, c, buf, &r.RunRequest, files)
	switch {
	case err != nil:
		_ = c.Send(RunEvent{Error: err.Error()}, nil)
	case code != nil:
		_ = c.Send(RunEvent{Exit: code}, nil)
	}
}

// RunIn is the caller's side: it asks the mesh in a run folder to run a process with the given standard files, hands on signals,
// and returns the exit code. It tells when the process runs, and what else the user should know.
func RunIn(ctx context.Context, path string, r RunRequest, files []*os.File, signals <-chan os.Signal, started func(*Workload), note func(string)) (int, error) {
	c, err := reach(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if err := c.Send(r, files); err != nil {
		return 0, err
	}
	go func() {
		for s := range signals {
			if n, ok := s.(syscall.Signal); ok {
				_ = c.Send(runSignal{Signal: int(n)}, nil)
			}
		}
	}()
	buf := make([]byte, fdmsg.MaxMessage)
	for {
		var e RunEvent
		if _, err := c.Receive(buf, &e); err != nil {
			return 0, errors.New("the mesh ended, and the process with it")
		}
		switch {
		case e.Error != "":
			return 0, errors.New(e.Error)
		case e.Started != nil:
			started(e.Started)
		case e.Note != "":
			note(e.Note)
		case e.Exit != nil:
			return *e.Exit, nil
		}
	}
}

// reach connects to the mesh in a run folder.
func reach(path string) (fdmsg.Conn, error) {
	if holder(path) == 0 {
		return fdmsg.Conn{}, ErrNotRunning
	}
	u, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: filepath.Join(path, "sock", controlSocket), Net: "unixpacket"})
	if err != nil {
		return fdmsg.Conn{}, fmt.Errorf("reach the mesh, which is still starting or is ending (heddle status tells): %w", err)
	}
	c, err := fdmsg.Wrap(u)
	if err != nil {
		_ = u.Close()
	}
	return c, err
}

// name says whether a word can name a workload everywhere: in DNS, in Kubernetes and as a file.
func name(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && s[0] != '-' && s[len(s)-1] != '-'
}
