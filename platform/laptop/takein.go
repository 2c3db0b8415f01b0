package laptop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/heddle-mesh/heddle/internal/fdmsg"
	"github.com/heddle-mesh/heddle/platform/fabric"
)

// takeIn runs a process of the user's in the mesh until it ends or the caller goes; the exit code is nil when the caller went first.
func (m *meshRun) takeIn(inner context.Context, c fdmsg.Conn, buf []byte, r *RunRequest, files []*os.File) (*int, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	if len(files) != 3 {
		return nil, errors.New("three standard descriptors are needed")
	}
	w := &workload{name: r.Name, namespace: r.Namespace, app: r.Service, version: r.Version, account: r.Service, port: r.Port, tcp: r.TCP,
		labels: map[string]string{"app": r.Service, "version": r.Version}, locality: r.Locality, about: "started by heddle run"}
	m.place(w)
	if over := len(w.admin) - longestSocket; over > 0 {
		return nil, fmt.Errorf("--name %s and --namespace %s are %d characters too long together for a socket in %s; choose shorter ones", w.name, w.namespace, over, m.dir.path)
	}
	w.proxy.Grace = 2 * time.Second
	if err := m.add(w); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(inner)
	defer m.leave(inner, w, cancel)
	start, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	if err := m.bringIn(start, ctx, w); err != nil {
		return nil, err
	}
	env := r.Env
	if m.opts.plain() {
		env = plainEnvironment(w, env)
	}
	p := fabric.Process{ID: "app:" + w.net(), Namespace: m.space(w), Path: r.Path, Args: r.Args, Env: env, Dir: r.Dir, UID: -1, Files: files}
	exit, err := m.fabric.Start(start, p)
	if err != nil {
		return nil, err
	}
	m.tellStatus()
	_ = c.Send(RunEvent{Started: &Workload{Name: w.name, Namespace: w.namespace, Version: w.version, Address: w.addresses[0].String(), Ready: true}}, nil)
	if name := ledAside(env); name != "" && !m.opts.plain() {
		_ = c.Send(RunEvent{Note: name + " is set, so HTTP calls of programs that obey it go to that proxy instead of into the mesh; run the command with env -u " + name + " in front to leave it out"}, nil)
	}
	if w.outOfService.Load() {
		m.running.Go(func() { m.openWhenListening(ctx, w, func(note string) { _ = c.Send(RunEvent{Note: note}, nil) }) })
	}
	return m.attend(inner, c, buf, w, p.ID, exit), nil
}

// ledAside names the variable of an environment that leads HTTP calls by any name to a proxy of the user's, "" when there is none.
func ledAside(env []string) (name string) {
	for _, e := range env {
		switch key, value, _ := strings.Cut(e, "="); {
		case (key == "NO_PROXY" || key == "no_proxy") && value == "*":
			return ""
		case (key == "HTTP_PROXY" || key == "http_proxy") && value != "":
			name = key
		}
	}
	return name
}

// bringIn makes a workload a part of the running mesh and waits for its proxy. It takes no traffic yet.
func (m *meshRun) bringIn(start, ctx context.Context, w *workload) error {
	if err := m.settle(start, w); err != nil {
		return err
	}
	if err := m.api.apply(start, namespaceObject(w.namespace)); err != nil {
		return err
	}
	if err := m.join(start, w); err != nil {
		return err
	}
	w.outOfService.Store(w.port != 0)
	if err := m.startProxy(ctx, w); err != nil {
		return err
	}
	return m.waitProxy(start, w)
}

// attend hands signals of the caller to its process; a caller who goes takes the process along. Before the first signal that asks a process to end, others are
// led elsewhere and what is under way finishes; a second signal does not wait for that.
func (m *meshRun) attend(inner context.Context, c fdmsg.Conn, buf []byte, w *workload, id string, exit <-chan fabric.Exit) *int {
	gone := make(chan struct{})
	impatient, hurry := context.WithCancel(inner)
	defer hurry()
	go func() {
		defer close(gone)
		for first := true; ; {
			var s runSignal
			if _, err := c.Receive(buf, &s); err != nil {
				return
			}
			signal := syscall.Signal(s.Signal)
			if ends := signal == syscall.SIGTERM || signal == syscall.SIGINT; ends && first {
				first = false
				go func() {
					m.withdraw(impatient, w)
					_ = m.fabric.Signal(inner, id, signal)
				}()
				continue
			}
			hurry()
			_ = m.fabric.Signal(inner, id, signal)
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
		m.withdraw(impatient, w)
		m.stopProcess(id, exit)
		return nil
	}
}

// stopProcess ends a process whose caller has gone.
func (m *meshRun) stopProcess(id string, exit <-chan fabric.Exit) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = m.fabric.Signal(ctx, id, syscall.SIGTERM)
	select {
	case <-exit:
	case <-ctx.Done():
		_ = m.fabric.Signal(context.Background(), id, syscall.SIGKILL)
	}
}

// add makes a workload known, unless one of its name is there already, or its name is that of a service that it did not ask to join.
func (m *meshRun) add(w *workload) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range m.workloads {
		switch {
		case o.namespace != w.namespace:
		case o.name == w.name:
			return fmt.Errorf("%s.%s is in the mesh already; choose another --name, and add --service %s to serve beside it", w.name, w.namespace, o.app)
		case o.app == w.app && w.app == w.name:
			return fmt.Errorf("%s.%s is a service of the mesh already; choose another --name, and add --service %[1]s to serve beside it", w.name, w.namespace)
		}
	}
	m.workloads = append(m.workloads, w)
	return nil
}

// leave takes a workload out of the mesh again: first out of sight of the others, then its proxy, then all that settle made.
func (m *meshRun) leave(inner context.Context, w *workload, cancel context.CancelFunc) {
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	if inner.Err() == nil { // otherwise the API server ends too, and the next start removes them
		if err := m.part(ctx, w); err != nil {
			m.log.Warn("objects of a workload stay behind", "workload", w.id(), "error", err)
		}
	}
	cancel()
	if done := w.proxy.Done(); done != nil {
		<-done
	}
	if !m.opts.plain() {
		_ = m.fabric.Remove(ctx, w.net()) // it may never have been made
	}
	for _, path := range []string{w.tokenFile, w.admin, m.dir.join("tokens", w.net())} {
		_ = os.Remove(path)
	}
	w.sockets.Close()
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
