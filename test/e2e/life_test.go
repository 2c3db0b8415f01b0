package e2e

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestEndings: by whatever means a mesh ends, nothing is left of it.
func TestEndings(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *home, *exec.Cmd){
		"ctrl-c": func(_ *testing.T, _ *home, up *exec.Cmd) { up.Process.Signal(syscall.SIGINT) },
		"down":   func(_ *testing.T, h *home, _ *exec.Cmd) { h.must("down") },
		"kill":   func(_ *testing.T, _ *home, up *exec.Cmd) { up.Process.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			// Busy default ports are replaced and told; this is only tried where nobody has them.
			taken := holdPorts(t, "127.0.0.1:8080", "127.0.0.1:6443")
			up := h.heddle(context.Background(), "up", "--empty")
			var out bytes.Buffer
			pr, pw, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			up.Stdout, up.Stderr = pw, pw
			if err := up.Start(); err != nil {
				t.Fatal(err)
			}
			pw.Close()
			copied := make(chan struct{})
			go func() { defer close(copied); out.ReadFrom(pr) }()
			eventually(t, 60*time.Second, func() string {
				o, _, code := h.call("status", "-o", "json")
				if code == 0 && strings.Contains(o, `"ready": true`) {
					return ""
				}
				return "not ready: " + o
			})
			s := h.status()
			if s.Ready != true || len(s.Workloads) != 1 {
				t.Errorf("--empty has %+v", s.Workloads)
			}
			h.patient()
			namespaces := h.namespaces(s.PID)
			sleeper := h.startRun("--name", "sleeper", "--", "sleep", "600")
			for ns := range h.namespaces(s.PID) {
				namespaces[ns] = true
			}
			if len(namespaces) != 3 {
				t.Errorf("%d network namespaces, want the fabric's, the ingress' and the sleeper's", len(namespaces))
			}
			end(t, h, up)
			up.Wait()
			sleeper.Wait()
			if sleeper.ProcessState.ExitCode() == 0 {
				t.Error("heddle run does not tell that the mesh ended")
			}
			<-copied
			h.nothingLeft(namespaces)
			if name != "kill" && up.ProcessState.ExitCode() != 0 {
				t.Errorf("heddle up ends with exit code %d", up.ProcessState.ExitCode())
			}
			if text := out.String(); taken && (!strings.Contains(text, "port 8080 is busy, so the gateway takes ") || !strings.Contains(text, "port 6443 is busy, so the API server takes ")) {
				t.Errorf("busy default ports are not told:\n%s", text)
			}
		})
	}
}

// TestEndingsWhileItStarts: a mesh that is told to end, or killed, before it is ready leaves nothing either.
func TestEndingsWhileItStarts(t *testing.T) {
	for name, c := range map[string]struct {
		signal syscall.Signal
		args   []string
	}{
		"ctrl-c": {syscall.SIGINT, nil}, "kill": {syscall.SIGTERM, nil}, "kill -9": {syscall.SIGKILL, nil}, "ctrl-c, detached": {syscall.SIGINT, []string{"--detach"}},
		"kill -9, without namespaces": {syscall.SIGKILL, []string{"--mode", "proxy"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			var out bytes.Buffer
			up := h.heddle(context.Background(), append([]string{"up", "--port", "0", "--api-port", "0"}, c.args...)...)
			up.Stdout, up.Stderr = &out, &out
			if err := up.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, 30*time.Second, func() string {
				if o, errs, _ := h.call("status"); !strings.HasPrefix(o, "mesh        starting (process ") {
					return "status: " + o + errs
				}
				if sockets, _ := os.ReadDir(h.run + "/proxy"); len(sockets) < 2 {
					return "no workload is there yet"
				}
				return ""
			})
			if _, errs, code := h.call("run", "--name", "x", "--", "true"); code == 0 || !strings.Contains(errs, "still starting") {
				t.Errorf("heddle run meanwhile: exit code %d, %s", code, errs)
			}
			if err := up.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			up.Wait()
			if c.signal == syscall.SIGKILL {
				// It waits for what tidies up, which may be over already.
				if _, errs, code := h.call("down"); code != 0 && !strings.Contains(errs, "no mesh is running here") {
					t.Errorf("down: exit code %d, %s", code, errs)
				}
			} else if up.ProcessState.ExitCode() != 1 || !strings.HasSuffix(out.String(), "heddle: stopped before the mesh was ready\n") {
				t.Errorf("exit code %d, %s", up.ProcessState.ExitCode(), out.String())
			}
			h.nothingLeft(nil)
		})
	}
}

// holdPorts takes the ports for the time of the test; a port that somebody has already is as good.
func holdPorts(t *testing.T, addresses ...string) bool {
	t.Helper()
	for _, a := range addresses {
		if l, err := net.Listen("tcp", a); err == nil {
			t.Cleanup(func() { l.Close() })
		}
	}
	return true
}

// TestKeep: with --keep, data survive in the documented folders, and a later start goes on with them.
func TestKeep(t *testing.T) {
	h := newHome(t)
	h.up("--keep", "--empty")
	apply := `bin/heddle --run-dir ` + h.run + ` kubectl apply -f - <<'END'
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: mine, namespace: default}
spec:
  hosts: [mine.example.com]
  http: [{route: [{destination: {host: hello}}]}]
END`
	if out, errs, code := h.shell(apply); code != 0 {
		t.Fatal(out, errs)
	}
	namespaces := h.namespaces(h.status().PID)
	h.must("down")
	kept := []string{"api", "ca", "log", "metrics", "state", "heddle-run-folder", "lock"}
	h.nothingLeft(namespaces, kept...)
	if _, errs, code := h.call("status"); code == 0 || !strings.Contains(errs, "no mesh is running here") {
		t.Errorf("status of a kept mesh: exit code %d, %s", code, errs)
	}
	h.up("--keep", "--empty")
	if out := h.must("kubectl", "get", "virtualservice", "-A", "-o", "name"); !strings.Contains(out, "mine") {
		t.Errorf("the object is lost: %s", out)
	}
	s := h.status()
	namespaces = h.namespaces(s.PID)
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	h.nothingLeft(namespaces, kept...)
	h.must("down") // removes what was kept
	h.nothingLeft(namespaces)
}

// TestMistakes: one clear sentence, a code that is not 0, and nothing left.
func TestMistakes(t *testing.T) {
	h := newHome(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, busy, _ := net.SplitHostPort(l.Addr().String())
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"up", "--port", busy}, "open port " + busy + " for the gateway: "},
		{[]string{"up", "--port", "0", "--api-port", busy}, "open port " + busy + " for the API server: "},
		{[]string{"up", "--detach", "--port", busy}, "choose another with --port"},
		{[]string{"up", "--mode", "magic"}, "--mode magic is not known; use auto, root, rootless or proxy"},
		{[]string{"up", "--run-dir", "/proc/heddle"}, "use run folder /proc/heddle: "},
		{[]string{"up", "--run-dir", "bin"}, "it holds files that are not Heddle's; choose another with --run-dir"},
		{[]string{"status"}, "no mesh is running here; start one with heddle up"},
		{[]string{"down"}, "no mesh is running here; start one with heddle up"},
		{[]string{"run", "--name", "x", "--", "true"}, "no mesh is running here; start one with heddle up"},
	} {
		out, errs, code := h.call(c.args...)
		if code == 0 || !strings.Contains(errs, c.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("heddle %s: exit code %d\n%s%s", strings.Join(c.args, " "), code, out, errs)
		}
	}
	if os.Geteuid() == 0 {
		if err := os.Mkdir(h.dir+"/closed", 0o755); err != nil {
			t.Fatal(err)
		}
		as := newAs(t, h)
		if _, errs, code := as.call("up", "--run-dir", h.dir+"/closed/run"); code == 0 || errs != "heddle: use run folder "+h.dir+"/closed/run: mkdir "+h.dir+"/closed/run: permission denied; choose another with --run-dir\n" {
			t.Errorf("a folder of somebody else's: exit code %d, %s", code, errs)
		}
	}
	if err := os.Remove(h.dir + "/bin/heddle-proxy"); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := h.call("up"); code == 0 || !strings.Contains(errs, "heddle-proxy is not beside heddle in") || !strings.Contains(errs, "make build") {
		t.Errorf("a missing binary: exit code %d, %s", code, errs)
	}
	h.nothingLeft(nil)
}

// TestCorruptStore: a store that was damaged is told in one sentence that names it and the next step; nothing of it is touched, and nothing runs on.
func TestCorruptStore(t *testing.T) {
	h := newHome(t)
	h.up("--keep", "--empty")
	h.must("kubectl", "create", "namespace", "mine")
	h.must("down")
	store := h.run + "/api/etcd"
	db := store + "/member/snap/db"
	good, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	kept := []string{"api", "ca", "log", "metrics", "state", "heddle-run-folder", "lock"}
	garbage := bytes.Repeat([]byte("not a page"), 40_000)
	for name, bad := range map[string][]byte{
		"first pages":  append(slices.Clone(garbage), good[len(garbage):]...),
		"pages within": slices.Concat(good[:1<<16], garbage, good[1<<16+len(garbage):]),
		"cut short":    good[:1<<13],
	} {
		if err := os.WriteFile(db, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, keep := range []string{"--keep=true", "--keep=false"} { // a mesh that does not start never deletes what an earlier one kept
			out, errs, code := h.call("up", "--detach", "--empty", "--port", "0", "--api-port", "0", keep)
			want := "heddle: apiserver does not start (exit status 1): the store in " + store + " cannot be read ("
			if code == 0 || !strings.HasPrefix(errs, want) || !strings.HasSuffix(errs, "restore that folder from a backup, or move it away to start empty\n") || strings.Count(errs, "\n") != 1 {
				t.Errorf("%s, %s: exit code %d\n%s%s", name, keep, code, out, errs)
			}
			if now, err := os.ReadFile(db); err != nil || !bytes.Equal(now, bad) {
				t.Errorf("%s, %s: the store was touched: %v", name, keep, err)
			}
			h.nothingLeft(nil, kept...)
		}
	}
	// The next steps that the sentence names.
	if err := os.WriteFile(db, good, 0o600); err != nil {
		t.Fatal(err)
	}
	h.up("--keep", "--empty")
	h.must("kubectl", "get", "namespace", "mine")
	h.must("down")
	if err := os.Rename(store, h.dir+"/away"); err != nil {
		t.Fatal(err)
	}
	h.up("--empty")
	if _, _, code := h.call("kubectl", "get", "namespace", "mine"); code == 0 {
		t.Error("the mesh did not start empty")
	}
	h.must("down")
	h.nothingLeft(nil)
}
