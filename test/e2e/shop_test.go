package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/platform/shop"
	"github.com/heddle-mesh/heddle/test/lab"
)

// TestShop is one life of `heddle up`, from the start to SIGTERM, with everything that a user tries meanwhile.
func TestShop(t *testing.T) {
	h := newHome(t)
	printed := h.up()
	s := h.status()
	namespaces := h.namespaces(s.PID)
	t.Run("contract", func(t *testing.T) { h.contract(t, s, namespaces) })
	t.Run("memory", func(t *testing.T) { h.memory(t, s) })
	t.Run("tour", func(t *testing.T) { h.tour(t, printed, s) })
	t.Run("run", func(t *testing.T) { h.runs(t, s) })
	t.Run("answers", func(t *testing.T) { h.answers(t, s) })
	t.Run("weights", func(t *testing.T) { h.weights(t, s) })
	t.Run("rolling", func(t *testing.T) { h.rolling(t, s) })
	t.Run("second up", func(t *testing.T) {
		_, errs, code := h.call("up", "--detach")
		if code == 0 || !strings.Contains(errs, "a mesh is running in "+h.run+" already") || strings.Count(strings.TrimSpace(errs), "\n") != 0 {
			t.Errorf("exit code %d, %s", code, errs)
		}
	})
	t.Run("tap", func(t *testing.T) { h.tap(t, s) })
	t.Run("proxies are replaced under load", func(t *testing.T) { h.replaceProxies(t, s) })
	t.Run("heddled is killed under load", func(t *testing.T) { h.killHeddled(t, s) })
	t.Run("a proxy is killed", func(t *testing.T) { h.killProxy(t, s) })
	t.Run("names while a proxy is killed", func(t *testing.T) { h.killWhileAsking(t, s) })
	if err := syscall.Kill(s.PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	h.nothingLeft(namespaces)
}

func (h *home) contract(t *testing.T, s status, namespaces map[string]bool) {
	if !s.Ready || s.PID == 0 || !strings.HasPrefix(s.Gateway, "http://127.0.0.1:") {
		t.Errorf("status %+v", s)
	}
	t.Logf("first page after %.1f s", s.ReadyAfterSeconds)
	h.patient()
	for _, path := range []string{s.Kubeconfig, s.DebugToken} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if len(s.Workloads) != len(shop.Parts())+1 {
		t.Errorf("%d workloads, want the shop's %d and the ingress", len(s.Workloads), len(shop.Parts()))
	}
	if len(namespaces) != len(s.Workloads)+1 {
		t.Errorf("%d network namespaces, want one for each workload and the fabric's", len(namespaces))
	}
	for _, w := range s.Workloads {
		if w.Name == "" || w.Namespace == "" || w.Version == "" || w.Address == "" {
			t.Errorf("workload %+v", w)
		}
		if code, body := get(w.ProxyAdmin + "/ready"); code != 200 {
			t.Errorf("%s: %d %s", w.ProxyAdmin, code, body)
		}
	}
	for _, path := range []string{"/", "/catalog", "/cart"} {
		if code, body := get(s.Gateway + path); code != 200 || !strings.Contains(body, `"service":"web"`) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if text := h.must("kubeconfig"); !strings.Contains(text, "clusters:") || strings.TrimSpace(h.must("kubeconfig", "--path")) != s.Kubeconfig {
		t.Errorf("kubeconfig: %s", text)
	}
}

// memory checks the sum of all processes; the figure goes to docs/features/laptop.md.
func (h *home) memory(t *testing.T, s status) {
	tree, err := lab.Tree(s.PID)
	if err != nil {
		t.Fatal(err)
	}
	sum, by := int64(0), map[string]int64{}
	for _, p := range tree {
		sum += p.PSS
		name, _, _ := strings.Cut(strings.TrimPrefix(p.Command, h.dir+"/"), " --")
		by[filepath.Base(strings.Join(strings.Fields(name)[:min(2, len(strings.Fields(name)))], " "))] += p.PSS
	}
	for name, bytes := range by {
		t.Logf("%4d MB %s", bytes>>20, name)
	}
	t.Logf("%4d MB in %d processes", sum>>20, len(tree))
	if limit := int64(700 << 20); sum > limit {
		t.Errorf("%d MB, the limit is %d", sum>>20, limit>>20)
	}
}

// load asks a URL from several clients until stop is called, which gives the number of requests and the failures.
func load(url string, clients int) (stop func() (int64, []string)) {
	ctx, cancel := context.WithCancel(context.Background())
	var n atomic.Int64
	var mu sync.Mutex
	var failures []string
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for ctx.Err() == nil {
				code, body := get(url)
				n.Add(1)
				if code != 200 {
					mu.Lock()
					failures = append(failures, fmt.Sprintf("%d %.200s", code, body))
					mu.Unlock()
				}
			}
		})
	}
	return func() (int64, []string) {
		cancel()
		wg.Wait()
		return n.Load(), failures
	}
}

func (h *home) killHeddled(t *testing.T, s status) {
	stop := load(s.Gateway+"/cart", 4)
	time.Sleep(300 * time.Millisecond)
	for _, p := range s.Processes {
		if p.Name == "heddled" {
			if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, 10*time.Second, func() string {
		for _, p := range h.status().Processes {
			if p.Name == "heddled" && p.Restarts == 1 && p.PID != 0 {
				return ""
			}
		}
		return "heddled is not back"
	})
	took := h.waitSynced(len(s.Workloads), 20*time.Second)
	n, failures := stop()
	t.Logf("%d requests, %d failed; all proxies have the latest configuration %s after the restart", n, len(failures), took.Round(time.Millisecond))
	if len(failures) > 0 {
		t.Errorf("%d of %d requests failed, such as: %s", len(failures), n, failures[0])
	}
}

// killProxy: traffic is back soon after the proxy behind the ingress was killed, for every client. The bound is generous; the figure is logged.
func (h *home) killProxy(t *testing.T, s status) {
	tree, err := lab.Tree(s.PID)
	if err != nil {
		t.Fatal(err)
	}
	pid := 0
	for _, p := range tree {
		if strings.Contains(p.Command, "heddle-proxy sidecar --name web-v1 ") {
			pid = p.PID
		}
	}
	if pid == 0 {
		t.Fatal("the proxy of web-v1 does not run")
	}
	const bound = 5 * time.Second
	visits := visitors(s.Gateway+"/", 4)
	time.Sleep(300 * time.Millisecond)
	killed := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	time.Sleep(bound + time.Second)
	all := visits()
	if first, what := back(all, killed), outage(all, killed); first > bound || what.after > bound {
		t.Errorf("the first page came %s after kill -9, and %s after it a visitor still had: %s", first, what.after, what.page)
	} else {
		t.Logf("a page again %s after kill -9; the last visitor without one, or with a slow one, after %s", first.Round(time.Millisecond), what.after.Round(time.Millisecond))
	}
	h.waitSynced(len(s.Workloads), 10*time.Second)
}

const asker = `import socket, struct, sys, time
question = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + b"".join(bytes([len(p)]) + p for p in b"cart.shop.svc.cluster.local".split(b".")) + struct.pack(">BHH", 0, 1, 1)
lost = 0
for i in range(int(sys.argv[1])):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(3)
    try:
        s.connect(("10.255.255.53", 53))
        s.send(question)
        answer = s.recv(512)
        if answer[3] & 15 or not answer[7]: sys.exit("question %d: %r" % (i, answer))
    except OSError as e:
        lost += 1
    if i % 50 == 0: print(i, flush=True)
    time.sleep(0.003)
print("lost", lost)
`

// killWhileAsking: a program that asks for a name all the time, and never twice, gets its answers although its proxy is killed meanwhile, but for what the proxy has in
// hand at that moment: questions that come while none runs wait for the next one.
func (h *home) killWhileAsking(t *testing.T, s status) {
	if err := os.WriteFile(h.dir+"/ask.py", []byte(asker), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd, text := h.background("run", "--name", "asker", "--", "python3", "ask.py", "1500")
	kills := []string{"\n50\n", "\n450\n", "\n850\n"}
	for _, from := range kills {
		eventually(t, 30*time.Second, func() string {
			if strings.Contains(text(), from) {
				return ""
			}
			return "the asker says: " + text()
		})
		tree, err := lab.Tree(s.PID)
		if err != nil {
			t.Fatal(err)
		}
		killed := false
		for _, p := range tree {
			if strings.Contains(p.Command, "heddle-proxy sidecar --name asker ") {
				killed = syscall.Kill(p.PID, syscall.SIGKILL) == nil
			}
		}
		if out := text(); !killed || strings.Contains(out, "lost") {
			t.Fatalf("the proxy was not killed while names were asked for:\n%s", out)
		}
	}
	cmd.Wait()
	_, lost, _ := strings.Cut(text(), "lost ")
	if n, err := strconv.Atoi(strings.TrimSpace(lost)); err != nil || n > len(kills) {
		t.Errorf("lost: %q, want a number of at most %d; exit code %d\n%s", lost, len(kills), cmd.ProcessState.ExitCode(), text())
	}
}

// background starts `heddle run` and gives its process; the test ends it.
func (h *home) background(args ...string) (*exec.Cmd, func() string) {
	h.t.Helper()
	cmd := h.heddle(context.Background(), args...)
	out, err := os.CreateTemp(h.dir, "run-*.log")
	if err != nil {
		h.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	return cmd, func() string {
		b, _ := os.ReadFile(out.Name())
		return string(b)
	}
}

// startRun is background, and waits until the process is in the mesh.
func (h *home) startRun(args ...string) *exec.Cmd {
	h.t.Helper()
	cmd, text := h.background(append([]string{"run"}, args...)...)
	eventually(h.t, 20*time.Second, func() string {
		if strings.Contains(text(), " runs at ") {
			return ""
		}
		return "heddle run " + strings.Join(args, " ") + " says: " + text()
	})
	return cmd
}
