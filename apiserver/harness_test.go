package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// binary is the program under test, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	if testing.Short() {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "heddle-apiserver-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if out, err := exec.Command("./gen.sh").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "gen.sh: %v\n%s", err, out)
		return 1
	}
	binary = filepath.Join(dir, "heddle-apiserver")
	// The same flags as the Makefile's, so that the build cache is shared.
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// server is one running heddle-apiserver.
type server struct {
	t      *testing.T
	dir    string
	url    string
	cmd    *exec.Cmd
	stderr *bytes.Buffer
	exited chan error
	admin  *kubernetes.Clientset
	any    dynamic.Interface
}

// start runs a server on a free port and waits for its ready line.
func start(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a server")
	}
	s := &server{t: t, dir: dir, stderr: &bytes.Buffer{}, exited: make(chan error, 1)}
	s.cmd = exec.Command(binary, append([]string{"--data-dir", dir, "--address", "127.0.0.1:0", "--parent-death"}, args...)...)
	s.cmd.Stderr = s.stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	line := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			line <- lines.Text()
		}
		s.exited <- s.cmd.Wait()
	}()
	select {
	case text := <-line:
		url, ok := strings.CutPrefix(text, "ready ")
		if !ok {
			t.Fatalf("first line %q, want ready URL", text)
		}
		s.url = url
	case err := <-s.exited:
		t.Fatalf("ended before it was ready: %v\n%s", err, s.stderr)
	case <-time.After(2 * time.Minute):
		t.Fatalf("not ready after two minutes\n%s", s.stderr)
	}
	cfg := s.config("admin.kubeconfig")
	s.admin, s.any = kubernetes.NewForConfigOrDie(cfg), dynamic.NewForConfigOrDie(cfg)
	return s
}

func (s *server) config(file string) *rest.Config {
	s.t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", filepath.Join(s.dir, file))
	if err != nil {
		s.t.Fatal(err)
	}
	cfg.QPS = -1
	return cfg
}

// kill ends the server the hard way, and waits. It may be called twice.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	select {
	case <-s.exited:
		s.exited <- nil
	case <-time.After(10 * time.Second):
		s.t.Error("the server did not die")
	}
}

// terminate ends it the soft way and tells how long that took.
func (s *server) terminate() (time.Duration, error) {
	begun := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	select {
	case err := <-s.exited:
		s.exited <- nil
		return time.Since(begun), err
	case <-time.After(30 * time.Second):
		return 0, fmt.Errorf("still running 30 s after SIGTERM")
	}
}

// kubectl runs the binary's own kubectl as the user of a kubeconfig file.
func (s *server) kubectl(file, stdin string, args ...string) (string, error) {
	cmd := exec.Command(binary, append([]string{"kubectl", "--kubeconfig", filepath.Join(s.dir, file), "--cache-dir", filepath.Join(s.dir, "kubectl-cache")}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must is kubectl as admin that has to succeed.
func (s *server) must(stdin string, args ...string) string {
	s.t.Helper()
	out, err := s.kubectl("admin.kubeconfig", stdin, args...)
	if err != nil {
		s.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// refuse runs the binary with flags it must not accept, and returns its words.
func refuse(t *testing.T, wantCode int, args ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a server")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != wantCode {
		t.Fatalf("%v: exit %d (%v), want %d\n%s", args, cmd.ProcessState.ExitCode(), err, wantCode, out)
	}
	return string(out)
}

// wantSentence checks that the output is one line with all the parts.
func wantSentence(t *testing.T, out string, parts ...string) {
	t.Helper()
	if n := strings.Count(strings.TrimSpace(out), "\n"); n != 0 {
		t.Errorf("%d lines, want one sentence:\n%s", n+1, out)
	}
	for _, part := range parts {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in: %s", part, out)
		}
	}
}

// eventually polls until ok says so.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within 30 s: %s", what)
}
