package fabric_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/internal/spawn"
	"github.com/heddle-mesh/heddle/platform/fabric"
)

// TestMain lets the test binary be the fabric, as cmd/heddle is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "fabric" {
		if _, err := fabric.Serve(len(os.Args) > 2); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func start(t *testing.T, rootless bool) *fabric.Client {
	t.Helper()
	if !rootless && os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c, err := fabric.Start(spawn.NewThread(), fabric.Options{Program: self, Args: []string{"fabric"}, Rootless: rootless, Stderr: os.Stderr})
	if err != nil {
		if rootless {
			t.Skipf("user namespaces are forbidden here: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// output runs a shell line in a namespace and gives what it printed.
func output(t *testing.T, c *fabric.Client, id, ns, line string) (string, fabric.Exit) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	exit, err := c.Start(t.Context(), fabric.Process{ID: id, Namespace: ns, Path: "/bin/sh", Args: []string{"-c", line}, Env: []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, UID: -1, Files: []*os.File{null, w, w}})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(r)
	return strings.TrimSpace(string(b)), <-exit
}

func TestProcessesRunInTheirNamespaces(t *testing.T) {
	for _, rootless := range []bool{false, true} {
		t.Run(fmt.Sprintf("rootless=%v", rootless), func(t *testing.T) {
			c := start(t, rootless)
			ctx := t.Context()
			for i, name := range []string{"a", "b"} {
				addresses := []netip.Addr{netip.AddrFrom4([4]byte{10, 78, 0, byte(2 + i)}), netip.MustParseAddr(fmt.Sprintf("fd78:6864::%d", 2+i))}
				if err := c.Namespace(ctx, name, addresses, &capture.Spec{DNS: true}); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Namespace(ctx, "a", nil, nil); err == nil || !strings.Contains(err.Error(), "already") {
				t.Errorf("a second namespace a: %v", err)
			}
			got, exit := output(t, c, "show", "a", "cat /proc/net/fib_trie | grep -c 10.78.0.2; exit 7")
			if got == "0" || exit.Code != 7 {
				t.Errorf("in namespace a: %q, %+v", got, exit)
			}
			f, err := c.Datagrams(ctx, "a", "127.0.0.1:15053")
			if err != nil {
				t.Fatal(err)
			}
			pc, err := net.FilePacketConn(f)
			f.Close()
			if err != nil {
				t.Fatal(err)
			}
			output(t, c, "say", "a", "python3 -c \"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'hello', ('127.0.0.1', 15053))\"")
			buf := make([]byte, 10)
			if n, _, err := pc.ReadFrom(buf); string(buf[:n]) != "hello" {
				t.Errorf("a socket in a namespace reads %q, %v", buf[:n], err)
			}
			pc.Close()
			serve := fabric.Process{ID: "serve", Namespace: "a", Path: "/usr/bin/env", Args: []string{"python3", "-c", "import socket, time; s = socket.create_server(('10.78.0.2', 9000)); time.sleep(60)"},
				Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin"}, UID: -1, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}}
			if _, err := c.Start(ctx, serve); err != nil {
				t.Fatal(err)
			}
			for found := []netip.Addr(nil); len(found) == 0; {
				var err error
				if found, err = c.Listening(ctx, "a", 9000); err != nil || len(found) > 0 && found[0] != netip.MustParseAddr("10.78.0.2") {
					t.Fatalf("listening on 9000: %v, %v", found, err)
				}
			}
			if found, err := c.Listening(ctx, "b", 9000); err != nil || len(found) > 0 {
				t.Errorf("listening on 9000 in b: %v, %v", found, err)
			}
			if got, _ := output(t, c, "other", "b", "cat /proc/net/fib_trie | grep -c 10.78.0.2"); got != "0" {
				t.Errorf("namespace b has a's address")
			}
			if _, err := c.Start(ctx, fabric.Process{ID: "x", Namespace: "none", Path: "/bin/true", UID: -1, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}}); err == nil {
				t.Error("a process started in a namespace that does not exist")
			}
		})
	}
}

func TestSignalReachesTheGroup(t *testing.T) {
	c := start(t, false)
	if err := c.Namespace(t.Context(), "a", nil, nil); err != nil {
		t.Fatal(err)
	}
	exit, err := c.Start(t.Context(), fabric.Process{ID: "sleeper", Namespace: "a", Path: "/bin/sh", Args: []string{"-c", "sleep 60 & sleep 60"}, UID: -1, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Signal(t.Context(), "sleeper", syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if e := <-exit; e.Signal != int(syscall.SIGTERM) {
		t.Errorf("exit %+v, want SIGTERM", e)
	}
}

// TestKilledFabricLeavesNothing: every process started in it is gone after kill -9.
func TestKilledFabricLeavesNothing(t *testing.T) {
	c := start(t, false)
	marker := fmt.Sprintf("1%d", time.Now().UnixNano()%1e9)
	exit, err := c.Start(context.Background(), fabric.Process{ID: "s", Path: "/bin/sh", Args: []string{"-c", "setsid sleep " + marker + " & sleep " + marker}, UID: -1, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		t.Fatal(err)
	}
	for !running(marker) {
		time.Sleep(time.Millisecond)
	}
	c.Close()
	if e := <-exit; e.Signal == 0 {
		t.Errorf("exit %+v", e)
	}
	for range 1000 {
		if !running(marker) {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("sleep %s still runs", marker)
}

// TestPlainFabricEndsAll: without namespaces, processes run in the host's network, and even those that left their group and their parent end with the fabric.
func TestPlainFabricEndsAll(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c, err := fabric.Start(spawn.NewThread(), fabric.Options{Program: self, Args: []string{"fabric", "plain"}, Plain: true, Stderr: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Namespace(t.Context(), "a", nil, nil); err == nil || !strings.Contains(err.Error(), "no namespaces in a plain fabric") {
		t.Errorf("a namespace: %v", err)
	}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if got, exit := output(t, c, "show", "", "readlink /proc/self/ns/net; exit 3"); got != own || exit.Code != 3 {
		t.Errorf("network %q and %+v, want the host's", got, exit)
	}
	marker := fmt.Sprintf("2%d", time.Now().UnixNano()%1e9)
	begun := filepath.Join(t.TempDir(), "begun")
	line := fmt.Sprintf("setsid sh -c 'sleep %s & touch %s; sleep %[1]s' > /dev/null 2>&1 & while [ ! -e %[2]s ]; do sleep 0.01; done", marker, begun)
	if got, exit := output(t, c, "left", "", line); got != "" || exit.Code != 0 {
		t.Fatalf("%s, %+v", got, exit)
	}
	if !running(marker) {
		t.Fatal("what should be left behind does not run")
	}
	c.Close()
	if running(marker) {
		t.Errorf("sleep %s still runs", marker)
	}
}

func running(marker string) bool {
	out, _ := exec.Command("sh", "-c", "for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $f; echo; done 2>/dev/null").Output()
	return bytes.Contains(out, []byte("\nsleep "+marker))
}
