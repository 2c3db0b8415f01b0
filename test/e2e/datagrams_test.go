package e2e

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// answerDatagrams answers each datagram with it and the address of its sender.
const answerDatagrams = `import socket
t = socket.create_server(("::", 7777), family=socket.AF_INET6, dualstack_ipv6=True)
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", 7777))
while True:
    b, a = s.recvfrom(65536)
    s.sendto(b"you said " + b, a)
`

// askBoth asks two services from one socket before it reads the answers, and says who answered.
const askBoth = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(3)
names = {socket.gethostbyname(n): n for n in ("log", "trail")}
for ip, n in names.items():
    s.sendto(n.encode(), (ip, 514))
for _ in names:
    b, a = s.recvfrom(100)
    print(names.get(a[0], a[0]), a[1], b.decode())
`

const datagramServices = `
{apiVersion: v1, kind: Service, metadata: {name: log, namespace: default}, spec: {selector: {app: words}, ports: [{name: log, port: 514, targetPort: 7777, protocol: UDP}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: trail, namespace: default}, spec: {selector: {app: words}, ports: [{name: log, port: 514, targetPort: 7777, protocol: UDP}]}}
`

// TestDatagrams sends datagrams to services of a mesh that captures them, as root and without root.
func TestDatagrams(t *testing.T) {
	t.Run("root", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("needs root")
		}
		datagrams(t, newHome(t))
	})
	t.Run("rootless", func(t *testing.T) {
		h := newHome(t)
		if os.Geteuid() == 0 {
			try := exec.Command("unshare", "-Urn", "true")
			try.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			if out, err := try.CombinedOutput(); err != nil {
				t.Skipf("user namespaces are not allowed here: %v %s", err, out)
			}
			h = newAs(t, h)
			if err := os.Chown(h.dir, nobody, nobody); err != nil {
				t.Fatal(err)
			}
		}
		datagrams(t, h)
	})
}

func datagrams(t *testing.T, h *home) {
	for name, text := range map[string]string{"answer.py": answerDatagrams, "ask.py": askBoth, "services.yaml": datagramServices} {
		if err := os.WriteFile(h.dir+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h.up("--empty", "--capture-udp")
	namespaces := h.namespaces(h.status().PID)
	words := h.startRun("--name", "words", "--port", "7777", "--tcp", "--", "python3", "answer.py")
	h.must("kubectl", "apply", "-f", "services.yaml")
	for _, want := range []string{"log 514 you said log\n", "trail 514 you said trail\n"} {
		eventually(t, 20*time.Second, func() string {
			out, errs, _ := h.call("run", "--name", "me", "--", "python3", "ask.py")
			if strings.Contains(out, want) {
				return ""
			}
			return out + errs
		})
	}
	words.Process.Signal(syscall.SIGTERM)
	words.Wait()
	h.must("down")
	h.nothingLeft(namespaces)
}
