package laptop

import (
	"errors"
	"os"
	"path/filepath"
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

// TestSweepWaitsForTheDaemons: what a killed mesh left goes when its last daemon has gone, and not before.
func TestSweepWaitsForTheDaemons(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	d, err := claim(path)
	if err != nil {
		t.Fatal(err)
	}
	d.lock.Close() // as a kill does
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	swept := make(chan error, 1)
	go func() { swept <- Sweep(path, false, r, time.Minute) }()
	select {
	case err := <-swept:
		t.Fatalf("swept while a daemon lives: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	w.Close()
	if err := <-swept; err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestSweepLeavesANewMeshAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	d, err := claim(path)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := Sweep(path, false, r, time.Minute); err != nil {
		t.Fatal(err)
	}
	if holder(path) != os.Getpid() {
		t.Error("the new mesh has lost its folder")
	}
	if err := d.release(false); err != nil {
		t.Fatal(err)
	}
	if err := Sweep(path, false, r, time.Minute); err != nil {
		t.Errorf("nothing to sweep: %v", err)
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
