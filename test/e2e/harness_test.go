package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var binaries = []string{"heddle", "heddled", "heddle-proxy", "heddle-observe", "heddle-sample", "heddle-apiserver"}

// status is what `heddle status -o json` promises to scripts.
type status struct {
	Ready             bool
	PID               int
	Gateway           string
	Kubeconfig        string
	Debug             string
	DebugToken        string
	Metrics           string
	ReadyAfterSeconds float64
	Workloads         []struct {
		Name, Namespace, Version, Address, ProxyAdmin string
		Ready                                         bool
		Restarts                                      int
	}
	Processes []struct {
		Name          string
		PID, Restarts int
	}
}

// home is a folder with the binaries in it and the run folder of one mesh.
type home struct {
	t        *testing.T
	dir, run string
	command  []string // what comes before bin/heddle, such as setpriv
	before   trace
}

// newHome links the binaries into a folder of the test's own, so that every process of the mesh is known by its path.
func newHome(t *testing.T) *home {
	t.Helper()
	dir, err := os.MkdirTemp("", "heddle-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	h := &home{t: t, dir: dir, run: filepath.Join(dir, "run")}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, b := range binaries {
		from, err := filepath.Abs(filepath.Join("../../bin", b))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(from); err != nil {
			os.RemoveAll(dir)
			t.Skipf("bin/%s is missing: run make build", b)
		}
		if err := os.Link(from, filepath.Join(dir, "bin", b)); err != nil {
			copyFile(t, from, filepath.Join(dir, "bin", b))
		}
	}
	h.before = traces(t)
	t.Cleanup(func() {
		h.save()
		h.killAll()
		os.RemoveAll(dir)
	})
	return h
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

// save shows the logs of a mesh whose test failed.
func (h *home) save() {
	if !h.t.Failed() {
		return
	}
	logs, _ := filepath.Glob(filepath.Join(h.run, "log", "*.log"))
	for _, l := range logs {
		b, _ := os.ReadFile(l)
		h.t.Logf("%s:\n%s", filepath.Base(l), b[max(0, len(b)-2000):])
	}
}

// killAll ends what a failed test left running: only processes of this folder.
func (h *home) killAll() {
	for _, p := range h.processes() {
		syscall.Kill(p, syscall.SIGKILL)
	}
	for range 100 {
		if len(h.processes()) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// environ is the test's environment without what would lead requests elsewhere.
func environ() []string {
	var env []string
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); !strings.HasSuffix(strings.ToLower(name), "_proxy") && name != "KUBECONFIG" {
			env = append(env, e)
		}
	}
	return env
}

// heddle describes a call of bin/heddle for this mesh.
func (h *home) heddle(ctx context.Context, args ...string) *exec.Cmd {
	all := append(append([]string{}, h.command...), "bin/heddle", "--run-dir", h.run)
	all = append(all, args...)
	return h.prepare(exec.CommandContext(ctx, all[0], all[1:]...))
}

func (h *home) prepare(cmd *exec.Cmd) *exec.Cmd {
	cmd.Dir, cmd.Env = h.dir, environ()
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// call runs bin/heddle to its end and gives what it wrote and its exit code.
func (h *home) call(args ...string) (stdout, stderr string, code int) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 90*time.Second)
	defer cancel()
	return h.finish(h.heddle(ctx, args...))
}

// shell runs a command line as it was printed.
func (h *home) shell(line string) (stdout, stderr string, code int) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 60*time.Second)
	defer cancel()
	all := append(append([]string{}, h.command...), "bash", "-c", line)
	return h.finish(h.prepare(exec.CommandContext(ctx, all[0], all[1:]...)))
}

func (h *home) finish(cmd *exec.Cmd) (stdout, stderr string, code int) {
	h.t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatalf("%v: %v", cmd.Args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must is call for what has to succeed; it gives the standard output.
func (h *home) must(args ...string) string {
	h.t.Helper()
	out, errs, code := h.call(args...)
	if code != 0 {
		h.t.Fatalf("heddle %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// up starts a mesh in the background on free ports, as far as the command knows them: it may be of the last release.
func (h *home) up(args ...string) (printed string) {
	h.t.Helper()
	help, all := h.must("up", "--help"), []string{"up", "--detach"}
	for _, port := range []string{"--port", "--api-port", "--metrics-port", "--dashboard-port"} {
		if strings.Contains(help, port+" ") {
			all = append(all, port, "0")
		}
	}
	return h.must(append(all, args...)...)
}

func (h *home) status() (s status) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(h.must("status", "-o", "json")), &s); err != nil {
		h.t.Fatal(err)
	}
	return s
}

// eventually waits for a condition that tells what is still missing.
func eventually(t *testing.T, limit time.Duration, missing func() string) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		what := missing()
		if what == "" {
			return time.Since(start)
		}
		if time.Since(start) > limit {
			t.Fatalf("after %s: %s", limit, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// patient checks that no proxy gave up waiting for a part of its configuration: what is needed is told soon, and what there is none of as well.
func (h *home) patient() {
	h.t.Helper()
	logs, _ := filepath.Glob(filepath.Join(h.run, "log", "*.log"))
	for _, l := range logs {
		b, err := os.ReadFile(l)
		if err != nil {
			h.t.Error(err)
		}
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, "put into force without what it waits for") {
				h.t.Errorf("%s: %s", filepath.Base(l), line)
			}
		}
	}
}

var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// get asks a URL once; code 0 is no answer.
func get(url string) (code int, body string) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// waitSynced waits until n proxies are connected and all have the latest configuration.
func (h *home) waitSynced(n int, limit time.Duration) time.Duration {
	h.t.Helper()
	return eventually(h.t, limit, func() string {
		out, errs, code := h.call("proxy-status")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		switch {
		case code != 0:
			return errs
		case len(lines)-1 != n:
			return fmt.Sprintf("%d proxies are connected, want %d", len(lines)-1, n)
		case strings.Contains(out, "STALE"):
			return out
		}
		for _, l := range lines[1:] {
			if strings.Count(l, "SYNCED") < 3 {
				return l
			}
		}
		return ""
	})
}
