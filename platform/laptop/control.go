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
	"github.com/heddle-mesh/heddle/platform/fabric"
)

const controlSocket = "control.sock"

func (m *meshRun) serveControl(inner context.Context) error {
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: m.dir.join("sock", controlSocket), Net: "unixpacket"})
	if err != nil {
		return fmt.Errorf("open the control socket: %w", err)
	}
	context.AfterFunc(inner, func() { l.Close() })
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
	defer u.Close()
	stop := context.AfterFunc(inner, func() { u.SetReadDeadline(time.Now()) })
	defer stop()
	c, err := fdmsg.Wrap(u)
	if err != nil {
		m.log.Warn("the control socket failed", "error", err)
		return
	}
	buf := make([]byte, fdmsg.MaxMessage)
	var r RunRequest
	files, err := c.Receive(buf, &r)
	if err != nil {
		return
	}
	defer fdmsg.CloseAll(files)
	if err := m.takeIn(inner, c, buf, &r, files); err != nil {
		c.Send(RunEvent{Error: err.Error()}, nil)
	}
}

// takeIn runs a process of the user's in the mesh until it ends or the caller goes.
func (m *meshRun) takeIn(inner context.Context, c fdmsg.Conn, buf []byte, r *RunRequest, files []*os.File) error {
	if err := r.check(); err != nil {
		return err
	}
	if len(files) != 3 {
		return errors.New("three standard descriptors are needed")
	}
	w := &workload{name: r.Name, namespace: r.Namespace, app: r.Name, version: r.Version, account: r.Name, port: r.Port, tcp: r.TCP,
		labels: map[string]string{"app": r.Name, "version": r.Version}, about: "started by heddle run"}
	if !m.add(w) {
		return fmt.Errorf("a workload %s runs already; choose another --name", w.id())
	}
	ctx, cancel := context.WithCancel(inner)
	defer m.leave(w)
	defer cancel()
	start, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	if err := m.api.apply(start, namespaceObject(r.Namespace)); err != nil {
		return err
	}
	if err := m.join(start, w); err != nil {
		return err
	}
	if err := m.startProxy(ctx, w); err != nil {
		return err
	}
	if err := m.waitProxy(start, w); err != nil {
		return err
	}
	p := fabric.Process{ID: "app:" + w.net(), Namespace: w.net(), Path: r.Path, Args: r.Args, Env: r.Env, Dir: r.Dir, UID: -1, Files: files}
	exit, err := m.fabric.Start(start, p)
	if err != nil {
		return err
	}
	c.Send(RunEvent{Started: &Workload{Name: w.name, Namespace: w.namespace, Version: w.version, Address: w.addresses[0].String(), Ready: true}}, nil)
	m.attend(inner, c, buf, p.ID, exit)
	return nil
}

// attend hands signals of the caller to its process and the exit of the process to the caller; a caller who goes takes the process along.
func (m *meshRun) attend(inner context.Context, c fdmsg.Conn, buf []byte, id string, exit <-chan fabric.Exit) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			var s runSignal
			if _, err := c.Receive(buf, &s); err != nil {
				return
			}
			m.fabric.Signal(inner, id, syscall.Signal(s.Signal))
		}
	}()
	select {
	case e := <-exit:
		code := e.Code
		if e.Signal != 0 {
			code = 128 + e.Signal
		}
		c.Send(RunEvent{Exit: &code}, nil)
	case <-gone:
		m.stopProcess(id, exit)
	}
}

// stopProcess ends a process whose caller has gone.
func (m *meshRun) stopProcess(id string, exit <-chan fabric.Exit) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	m.fabric.Signal(ctx, id, syscall.SIGTERM)
	select {
	case <-exit:
	case <-ctx.Done():
		m.fabric.Signal(context.Background(), id, syscall.SIGKILL)
	}
}

func (m *meshRun) add(w *workload) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range m.workloads {
		if o.id() == w.id() {
			return false
		}
	}
	m.workloads = append(m.workloads, w)
	return true
}

// leave takes a workload out of the mesh again, with all that join made.
func (m *meshRun) leave(w *workload) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if len(w.addresses) > 0 {
		if err := m.api.remove(ctx, workloadObjects(w)); err != nil {
			m.log.Warn("objects of a workload stay behind", "workload", w.id(), "error", err)
		}
	}
	m.fabric.Remove(ctx, w.net()) // it may never have been made
	os.Remove(w.tokenFile)
	os.Remove(m.dir.join("tokens", w.net()))
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, o := range m.workloads {
		if o == w {
			m.workloads = append(m.workloads[:i:i], m.workloads[i+1:]...)
			return
		}
	}
}

// RunIn is the caller's side: it asks the mesh in a run folder to run a process with the given standard files, hands on signals,
// and returns the exit code.
func RunIn(ctx context.Context, path string, r RunRequest, files []*os.File, signals <-chan os.Signal, started func(*Workload)) (int, error) {
	if holder(path) == 0 {
		return 0, ErrNotRunning
	}
	u, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: filepath.Join(path, "sock", controlSocket), Net: "unixpacket"})
	if err != nil {
		return 0, fmt.Errorf("reach the running mesh: %w", err)
	}
	defer u.Close()
	stop := context.AfterFunc(ctx, func() { u.Close() })
	defer stop()
	c, err := fdmsg.Wrap(u)
	if err != nil {
		return 0, err
	}
	if err := c.Send(r, files); err != nil {
		return 0, err
	}
	go func() {
		for s := range signals {
			if n, ok := s.(syscall.Signal); ok {
				c.Send(runSignal{Signal: int(n)}, nil)
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
		case e.Exit != nil:
			return *e.Exit, nil
		}
	}
}

// name says whether a word can name a workload everywhere: in DNS, in Kubernetes and as a file.
func name(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && s[0] != '-' && s[len(s)-1] != '-'
}
