package laptop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
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
	// The caller is told of the end when nothing is left of the workload.
	code, err := m.takeIn(inner, c, buf, &r, files)
	switch {
	case err != nil:
		c.Send(RunEvent{Error: err.Error()}, nil)
	case code != nil:
		c.Send(RunEvent{Exit: code}, nil)
	}
}

// takeIn runs a process of the user's in the mesh until it ends or the caller goes; the exit code is nil when the caller went first.
func (m *meshRun) takeIn(inner context.Context, c fdmsg.Conn, buf []byte, r *RunRequest, files []*os.File) (*int, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	if len(files) != 3 {
		return nil, errors.New("three standard descriptors are needed")
	}
	w := &workload{name: r.Name, namespace: r.Namespace, app: r.Name, version: r.Version, account: r.Name, port: r.Port, tcp: r.TCP,
		labels: map[string]string{"app": r.Name, "version": r.Version}, about: "started by heddle run"}
	m.place(w)
	w.proxy.grace = 2 * time.Second
	if !m.add(w) {
		return nil, fmt.Errorf("%s.%s is in the mesh already; choose another --name", w.name, w.namespace)
	}
	ctx, cancel := context.WithCancel(inner)
	defer m.leave(inner, w, cancel)
	start, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	if err := m.bringIn(start, ctx, w); err != nil {
		return nil, err
	}
	p := fabric.Process{ID: "app:" + w.net(), Namespace: w.net(), Path: r.Path, Args: r.Args, Env: r.Env, Dir: r.Dir, UID: -1, Files: files}
	exit, err := m.fabric.Start(start, p)
	if err != nil {
		return nil, err
	}
	m.tellStatus()
	c.Send(RunEvent{Started: &Workload{Name: w.name, Namespace: w.namespace, Version: w.version, Address: w.addresses[0].String(), Ready: true}}, nil)
	return m.attend(inner, c, buf, p.ID, exit), nil
}

// bringIn makes a workload a part of the running mesh and waits for its proxy.
func (m *meshRun) bringIn(start, ctx context.Context, w *workload) error {
	if err := m.settle(start, w); err != nil {
		return err
	}
	if err := m.api.apply(start, namespaceObject(w.namespace)); err != nil {
		return err
	}
	if err := m.api.apply(start, workloadObjects(w)); err != nil {
		return err
	}
	if err := m.startProxy(ctx, w); err != nil {
		return err
	}
	return m.waitProxy(start, w)
}

// attend hands signals of the caller to its process; a caller who goes takes the process along.
func (m *meshRun) attend(inner context.Context, c fdmsg.Conn, buf []byte, id string, exit <-chan fabric.Exit) *int {
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
		return &code
	case <-gone:
		m.stopProcess(id, exit)
		return nil
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

// add makes a workload known; false when one of its name, or a service of its name, is there already.
func (m *meshRun) add(w *workload) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range m.workloads {
		if o.namespace == w.namespace && (o.name == w.name || o.app == w.app && w.app == w.name) {
			return false
		}
	}
	m.workloads = append(m.workloads, w)
	return true
}

// leave takes a workload out of the mesh again: first out of sight of the others, then its proxy, then all that settle made.
func (m *meshRun) leave(inner context.Context, w *workload, cancel context.CancelFunc) {
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	if inner.Err() == nil { // otherwise the API server ends too, and the next start removes them
		if err := m.api.remove(ctx, workloadObjects(w)); err != nil {
			m.log.Warn("objects of a workload stay behind", "workload", w.id(), "error", err)
		}
	}
	cancel()
	if w.proxy.done != nil {
		<-w.proxy.done
	}
	m.fabric.Remove(ctx, w.net()) // it may never have been made
	for _, path := range []string{w.tokenFile, w.admin, m.dir.join("tokens", w.net())} {
		os.Remove(path)
	}
	if w.log != nil {
		w.log.Close()
	}
	m.mu.Lock()
	m.workloads = slices.DeleteFunc(slices.Clone(m.workloads), func(o *workload) bool { return o == w })
	m.mu.Unlock()
	if inner.Err() == nil {
		m.tellStatus()
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
		return 0, fmt.Errorf("reach the mesh, which is still starting or is ending (heddle status tells): %w", err)
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
