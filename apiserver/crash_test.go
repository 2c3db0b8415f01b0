package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestKeepsWhatItAnswered kills the server while it is written to; after a
// restart each object that was acknowledged must be there.
func TestKeepsWhatItAnswered(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	ctx := context.Background()
	written := make(chan string, 10000)
	go func() {
		defer close(written)
		for i := 0; ; i++ {
			name := fmt.Sprintf("object-%d", i)
			_, err := s.admin.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"i": fmt.Sprint(i)}}, metav1.CreateOptions{})
			if err != nil {
				return // the server is gone
			}
			written <- name
		}
	}()
	time.Sleep(time.Second)
	s.kill()
	ca, err := os.ReadFile(filepath.Join(dir, "pki", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}

	s = start(t, dir)
	all, err := s.admin.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, cm := range all.Items {
		have[cm.Name] = true
	}
	count := 0
	for name := range written {
		count++
		if !have[name] {
			t.Errorf("%s was acknowledged and is gone", name)
		}
	}
	if count == 0 {
		t.Error("nothing was written before the kill")
	}
	if again, _ := os.ReadFile(filepath.Join(dir, "pki", "ca.crt")); string(again) != string(ca) {
		t.Error("the restart made a new CA")
	}

	t.Run("second instance", func(t *testing.T) {
		out := refuse(t, 1, "--data-dir", dir, "--address", "127.0.0.1:0")
		wantSentence(t, out, "another heddle-apiserver", fmt.Sprintf("process %d", s.cmd.Process.Pid), dir, "--data-dir")
	})
	t.Run("busy port", func(t *testing.T) {
		addr := strings.TrimPrefix(s.url, "https://")
		out := refuse(t, 1, "--data-dir", t.TempDir(), "--address", addr)
		wantSentence(t, out, addr, "in use by another process", "--address")
	})
	t.Run("SIGTERM", func(t *testing.T) {
		// A watch that is open must not hold the end up.
		w, err := s.admin.CoreV1().ConfigMaps("default").Watch(ctx, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		took, err := s.terminate()
		if err != nil {
			t.Errorf("exit: %v\n%s", err, s.stderr)
		}
		if took > 5*time.Second {
			t.Errorf("took %v, want at most 5 s", took)
		}
		if _, err := os.Stat(filepath.Join(dir, "etcd.sock")); err == nil {
			t.Error("the store's socket was left behind")
		}
	})
}

// TestCorruptStore damages each part of a store in each way that makes sense.
func TestCorruptStore(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, "--crds=")
	if _, err := s.terminate(); err != nil {
		t.Fatal(err)
	}
	glob := func(dir, pattern string) string {
		all, err := filepath.Glob(filepath.Join(dir, "etcd", "member", pattern))
		if err != nil || len(all) == 0 {
			t.Fatalf("no %s in the store: %v", pattern, err)
		}
		return all[0]
	}
	for name, damage := range map[string]func(dir string) error{
		"database truncated": func(dir string) error { return os.Truncate(glob(dir, "snap/db"), 5000) },
		"database emptied":   func(dir string) error { return os.Truncate(glob(dir, "snap/db"), 0) },
		"database garbled":   func(dir string) error { return garble(glob(dir, "snap/db"), 0) },
		"database removed":   func(dir string) error { return os.Remove(glob(dir, "snap/db")) },
		"log garbled":        func(dir string) error { return garble(glob(dir, "wal/0*.wal"), 4096) },
		"log removed":        func(dir string) error { return os.RemoveAll(glob(dir, "wal")) },
	} {
		t.Run(name, func(t *testing.T) {
			broken := t.TempDir()
			if err := os.CopyFS(broken, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			if err := damage(broken); err != nil {
				t.Fatal(err)
			}
			out := refuse(t, 1, "--data-dir", broken, "--address", "127.0.0.1:0", "--crds=")
			wantSentence(t, out, filepath.Join(broken, "etcd"), "cannot be read", "backup", "move it away")
		})
	}
	t.Run("newer format", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(dir, "format"), []byte("99\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out := refuse(t, 1, "--data-dir", dir, "--address", "127.0.0.1:0")
		wantSentence(t, out, dir, "format 99", "newer heddle-apiserver")
	})
}

// garble overwrites 16 KiB from an offset in bytes.
func garble(name string, offset int64) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt([]byte(strings.Repeat("garbage!", 2048)), offset)
	return err
}

func TestRefusesFlags(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	wantSentence(t, refuse(t, 2), "--data-dir is missing")
	wantSentence(t, refuse(t, 2, "--data-dir", t.TempDir(), "--crds=linkerd"), "unknown set", "istio, gateway")
	wantSentence(t, refuse(t, 2, "--data-dir", t.TempDir(), "serve"), "the only command is kubectl")
	wantSentence(t, refuse(t, 1, "--data-dir", "/proc/nowhere"), "data folder cannot be made")
	wantSentence(t, refuse(t, 1, "--data-dir", t.TempDir(), "--address", taken.Addr().String()), "in use")
}
