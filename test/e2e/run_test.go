package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

const echoOnce = `import socket
s = socket.create_server(("::", 7777), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    c, _ = s.accept()
    c.sendall(b"you said " + c.recv(100))
    c.close()
`

const sayHello = `import socket, sys
c = socket.create_connection((sys.argv[1], 7777), 5)
c.sendall(b"hello\n")
print(c.makefile().read().strip())
`

// runs tries `heddle run`: by name, by address, HTTP and TCP, exit codes, signals, and that nothing stays.
func (h *home) runs(t *testing.T, s status) {
	before := len(h.status().Workloads)
	for name, text := range map[string]string{"serve.py": echoOnce, "say.py": sayHello, "index.html": "hello from the folder\n"} {
		if err := os.WriteFile(h.dir+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page := h.startRun("--name", "page", "--port", "9000", "--", "python3", "-m", "http.server", "9000", "--bind", "::")
	lines := h.startRun("--name", "lines", "--port", "7777", "--tcp", "--", "python3", "serve.py")
	eventually(t, 10*time.Second, func() string {
		out, errs, _ := h.call("run", "--name", "me", "--", "curl", "-s", "--max-time", "5", "http://page:9000/")
		if out == "hello from the folder\n" {
			return ""
		}
		return "http://page:9000/ gives " + out + errs
	})
	for _, name := range []string{"page.default", "page.default.svc.cluster.local"} {
		if out, errs, code := h.call("run", "--name", "me", "--", "curl", "-s", "--max-time", "5", "http://"+name+":9000/"); out != "hello from the folder\n" {
			t.Errorf("http://%s:9000/ gives %q %s (exit code %d)", name, out, errs, code)
		}
	}
	h.byAddress(t)
	h.byFamily(t)
	out, errs, code := h.call("run", "--name", "me", "--", "python3", "say.py", "lines")
	if !strings.Contains(out, "you said hello") {
		t.Errorf("TCP by name: %q %s (exit code %d)", out, errs, code)
	}
	if _, errs, code := h.call("run", "--name", "page", "--", "true"); code == 0 || !strings.Contains(errs, "page.default is in the mesh already; choose another --name, and add --service page to serve beside it") {
		t.Errorf("a name that is taken: exit code %d, %s", code, errs)
	}
	for _, want := range []int{0, 7, 130} {
		if _, errs, code := h.call("run", "--name", "me", "--", "sh", "-c", fmt.Sprintf("exit %d", want)); code != want {
			t.Errorf("exit code %d, want %d: %s", code, want, errs)
		}
	}
	asked := h.startRun("--name", "asked", "--", "sh", "-c", "trap 'exit 42' TERM; while :; do sleep 0.05; done")
	asked.Process.Signal(syscall.SIGTERM)
	asked.Wait()
	if code := asked.ProcessState.ExitCode(); code != 42 {
		t.Errorf("a trapped SIGTERM gives exit code %d, want 42", code)
	}
	interrupted := h.startRun("--name", "interrupted", "--", "sleep", "600")
	interrupted.Process.Signal(syscall.SIGINT)
	interrupted.Wait()
	if code := interrupted.ProcessState.ExitCode(); code != 128+int(syscall.SIGINT) {
		t.Errorf("SIGINT gives exit code %d, want 130", code)
	}
	gone := h.startRun("--name", "gone", "--", "sleep", "600")
	gone.Process.Kill()
	gone.Wait()
	for _, cmd := range []interface{ Signal(os.Signal) error }{page.Process, lines.Process} {
		cmd.Signal(syscall.SIGTERM)
	}
	page.Wait()
	lines.Wait()
	eventually(t, 15*time.Second, func() string {
		objects := h.must("kubectl", "get", "services,workloadentries,serviceaccounts", "-n", "default", "-l", "app.kubernetes.io/managed-by=heddle-up", "-o", "name")
		if objects != "" {
			return "objects are left: " + objects
		}
		now := h.status()
		if len(now.Workloads) != before {
			return fmt.Sprintf("%d workloads, want %d as before", len(now.Workloads), before)
		}
		if n := len(h.namespaces(s.PID)); n != before+1 {
			return fmt.Sprintf("%d network namespaces, want %d as before", n, before+1)
		}
		return ""
	})
}

// byAddress calls the workload page by its own addresses, IPv4 and IPv6.
func (h *home) byAddress(t *testing.T) {
	tried := 0
	for _, w := range h.status().Workloads {
		if w.Name != "page" {
			continue
		}
		six := "fd78:6864::" + fmt.Sprintf("%x", lastByte(w.Address))
		for _, host := range []string{w.Address, "[" + six + "]"} {
			tried++
			if out, errs, code := h.call("run", "--name", "me", "--", "curl", "-s", "--max-time", "5", "http://"+host+":9000/"); out != "hello from the folder\n" {
				t.Errorf("http://%s:9000/ gives %q %s (exit code %d)", host, out, errs, code)
			}
		}
	}
	if tried != 2 {
		t.Errorf("tried %d addresses of page, want 2", tried)
	}
}

func lastByte(address string) (n int) {
	fmt.Sscan(address[strings.LastIndexByte(address, '.')+1:], &n)
	return n
}

// byFamily calls by name over IPv4 and IPv6: a name has addresses of both, and leads to the workload by whichever its process takes.
func (h *home) byFamily(t *testing.T) {
	six := h.instanceOf("serve6", "six", "six", "default", "v1", "9006")
	defer h.end(six, syscall.SIGTERM)
	for _, family := range []string{"-4", "-6"} {
		if out, errs, code := h.call("run", "--name", "me", "--", "curl", "-sS", family, "--max-time", "5", "http://page:9000/"); out != "hello from the folder\n" {
			t.Errorf("curl %s http://page:9000/ gives %q %s (exit code %d)", family, out, errs, code)
		}
		if out, errs, code := h.call("run", "--name", "me", "--", "curl", "-sS", family, "--max-time", "5", "http://six:9006/"); !strings.Contains(out, `"service":"six"`) {
			t.Errorf("curl %s to a service that takes IPv6 only gives %q %s (exit code %d)", family, out, errs, code)
		}
	}
	endpoints := h.must("proxy-config", "endpoint", "web-v1.shop")
	for line := range strings.Lines(endpoints) {
		if strings.Contains(line, "outbound|9006||six.default") && !strings.HasPrefix(line, "[fd78:6864::") {
			t.Errorf("the endpoint of six is not its IPv6 address: %s", line)
		}
	}
	if strings.Count(endpoints, "outbound|9006||six.default") != 1 || strings.Count(endpoints, "outbound|9000||page.default") != 1 {
		t.Errorf("a workload is not one endpoint:\n%s", endpoints)
	}
}
