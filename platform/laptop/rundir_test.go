package laptop

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestFolderIsClaimedOnceAndReleased(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	d, err := claim(path)
	if err != nil {
		t.Fatal(err)
	}
	if holder(path) != os.Getpid() {
		t.Errorf("held by %d, want this process", holder(path))
	}
	if _, err := claim(path); err == nil || !strings.Contains(err.Error(), "is running in") || !strings.Contains(err.Error(), "heddle down") {
		t.Errorf("a second claim: %v", err)
	}
	if err := d.release(false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if holder(path) != 0 {
		t.Error("a folder that does not exist is held")
	}
	if _, err := ReadStatus(path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("status of nothing: %v", err)
	}
}

func TestAFolderIsTooDeepForSockets(t *testing.T) {
	for n, ok := range map[int]bool{62: true, 63: false} {
		path := filepath.Join(t.TempDir(), "x")
		path += strings.Repeat("y", max(0, n-len(path)))
		d, err := claim(path)
		if len(path) > n {
			t.Skipf("temporary folders are deep here: %s", path)
		}
		if ok != (err == nil) || err != nil && !strings.Contains(err.Error(), "its path is 1 characters too long for the sockets in it; choose a shorter one with --run-dir") {
			t.Errorf("%d characters: %v", n, err)
		}
		if err == nil {
			if err := d.release(false); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestKeepLeavesDataAndLogsOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	d, err := claim(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"api", "ca", "state", "log", "sock", "proxy", "tokens"} {
		if err := os.Mkdir(d.join(f), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.writeStatus(&Status{Ready: true}); err != nil {
		t.Fatal(err)
	}
	if s, err := ReadStatus(path); err != nil || !s.Ready {
		t.Errorf("status %+v, %v", s, err)
	}
	if err := d.release(true); err != nil {
		t.Fatal(err)
	}
	if got := names(t, path); got != "api ca heddle-run-folder lock log state" {
		t.Errorf("left behind: %s", got)
	}
	// A later start takes the folder again, with what was kept.
	d, err = claim(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(d.join("api")); err != nil {
		t.Error(err)
	}
	if err := d.release(false); err != nil {
		t.Fatal(err)
	}
}

func TestForeignFolderIsRefusedAndUntouched(t *testing.T) {
	path := t.TempDir()
	file := filepath.Join(path, "thesis.txt")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := claim(path); err == nil || !strings.Contains(err.Error(), "not Heddle's") {
		t.Errorf("claimed: %v", err)
	}
	if err := Down(path, time.Second); !errors.Is(err, ErrNotRunning) {
		t.Errorf("down: %v", err)
	}
	if got := names(t, path); got != "thesis.txt" {
		t.Errorf("left: %s", got)
	}
}

// TestSweepWaitsForTheDaemons: what a killed mesh left goes when its last daemon has gone, and not before; until then nobody gets the folder.
func TestSweepWaitsForTheDaemons(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	d, err := claim(path)
	if err != nil {
		t.Fatal(err)
	}
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.join(lockFile), []byte(strconv.Itoa(dead.Process.Pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadStatus(path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("status of a killed mesh: %v", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	swept, next := make(chan error, 1), make(chan error, 1)
	go func() { swept <- Sweep(path, false, r, d.lock, time.Minute) }()
	go func() {
		n, err := claim(path)
		if err == nil {
			err = n.release(false)
		}
		next <- err
	}()
	select {
	case err := <-swept:
		t.Fatalf("swept while a daemon lives: %v", err)
	case err := <-next:
		t.Fatalf("a new mesh has the folder while a daemon of the old one lives: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	w.Close()
	for _, done := range []chan error{swept, next} {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// TestDownRemovesWhatWasKept: also when the mesh was killed and is being tidied up.
func TestDownRemovesWhatWasKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	d, err := claim(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(d.join("api"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.join(lockFile), []byte("0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	down := make(chan error, 1)
	go func() { down <- Down(path, time.Minute) }()
	select {
	case err := <-down:
		t.Fatalf("down does not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := d.release(true); err != nil {
		t.Fatal(err)
	}
	if err := <-down; err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if err := Down(path, time.Minute); !errors.Is(err, ErrNotRunning) {
		t.Errorf("down again: %v", err)
	}
}

// TestDownWaitsForTheProcess: when it returns, the process of the mesh has ended.
func TestDownWaitsForTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	d, err := claim(path)
	if err != nil {
		t.Fatal(err)
	}
	mesh := exec.Command("sh", "-c", `trap 'sleep 0.1; exit 0' TERM; echo; while :; do sleep 0.01; done`)
	mesh.ExtraFiles = []*os.File{d.lock}
	out, err := mesh.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := mesh.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.join(lockFile), []byte(strconv.Itoa(mesh.Process.Pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	d.lock.Close()
	if err := Down(path, time.Minute); err != nil {
		t.Fatal(err)
	}
	if locked(path) {
		t.Error("the process still holds the lock")
	}
	if err := mesh.Wait(); err != nil {
		t.Errorf("the process ended with %v, want its own end after SIGTERM", err)
	}
}

func names(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}
