package laptop

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotRunning says that no mesh runs in the folder.
var ErrNotRunning = errors.New("no mesh is running here; start one with heddle up")

// runDir is the folder of one running mesh.
type runDir struct {
	path string
	lock *os.File
}

func (d runDir) join(parts ...string) string {
	return filepath.Join(append([]string{d.path}, parts...)...)
}

// marker is a file that says that a folder is ours: only such a folder is ever emptied.
const marker = "heddle-run-folder"

// claim takes the folder for this process; whoever holds the lock is the running mesh.
func claim(path string) (runDir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return runDir{}, fmt.Errorf("use run folder %s: %w", path, err)
	}
	if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(path, marker)); err != nil {
			return runDir{}, fmt.Errorf("use run folder %s: it holds files that are not Heddle's; choose another with --run-dir", path)
		}
	}
	if err := os.MkdirAll(path, 0o711); err != nil {
		return runDir{}, fmt.Errorf("use run folder %s: %w; choose another with --run-dir", path, err)
	}
	if err := os.WriteFile(filepath.Join(path, marker), []byte("made by heddle up; heddle down removes it\n"), 0o644); err != nil {
		return runDir{}, fmt.Errorf("use run folder %s: %w; choose another with --run-dir", path, err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return runDir{}, fmt.Errorf("use run folder %s: %w; choose another with --run-dir", path, err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		pid, _ := os.ReadFile(filepath.Join(path, "lock"))
		lock.Close()
		return runDir{}, fmt.Errorf("a mesh is running in %s already (process %s); end it with heddle down, or choose another folder with --run-dir", path, strings.TrimSpace(string(pid)))
	}
	if mine, err := sameFile(lock, filepath.Join(path, "lock")); err != nil || !mine { // whoever ended just now removed it
		lock.Close()
		return claim(path)
	}
	d := runDir{path: path, lock: lock}
	if err := d.empty(); err != nil {
		return runDir{}, err
	}
	if err := lock.Truncate(0); err != nil {
		return runDir{}, fmt.Errorf("use run folder %s: %w", path, err)
	}
	if _, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return runDir{}, fmt.Errorf("use run folder %s: %w", path, err)
	}
	return d, nil
}

// sameFile says whether an open file is still the one that a path names.
func sameFile(f *os.File, path string) (bool, error) {
	a, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", path, err)
	}
	b, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at %s: %w", path, err)
	}
	return os.SameFile(a, b), nil
}

// kept are the parts of the folder that --keep leaves, and a later start uses again.
var kept = []string{"api", "ca", "log", "state", marker, "lock"}

// empty removes what an earlier mesh left, but what --keep asked to keep.
func (d runDir) empty() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("empty run folder %s: %w", d.path, err)
	}
	for _, e := range entries {
		keep := false
		for _, k := range kept {
			keep = keep || e.Name() == k
		}
		if keep {
			continue
		}
		if err := os.RemoveAll(d.join(e.Name())); err != nil {
			return fmt.Errorf("empty run folder %s: %w", d.path, err)
		}
	}
	return nil
}

// release gives the folder up: with keep, data and logs stay.
func (d runDir) release(keep bool) error {
	defer d.lock.Close()
	if keep {
		return d.empty()
	}
	if err := os.RemoveAll(d.path); err != nil {
		return fmt.Errorf("remove run folder %s: %w", d.path, err)
	}
	return nil
}

// Sweep tidies up after a mesh that was killed: it waits until nobody holds the other end of alive any more (its daemons end by themselves),
// and then removes its folder, or with keep all but data and logs. A folder that a new mesh has taken meanwhile is left alone.
func Sweep(path string, keep bool, alive *os.File, wait time.Duration) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		io.Copy(io.Discard, alive) // nobody writes: this is the end of the last holder
	}()
	select {
	case <-ended:
	case <-time.After(wait):
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // heddle down was faster
	}
	if err != nil {
		return fmt.Errorf("sweep run folder %s: %w", path, err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return lock.Close()
	}
	return runDir{path: path, lock: lock}.release(keep)
}

// holder is the process that holds the folder's lock, 0 when nobody does.
func holder(path string) int {
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR, 0)
	if err != nil {
		return 0
	}
	defer lock.Close()
	if unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB) == nil {
		return 0
	}
	b, err := os.ReadFile(lock.Name())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}

// Down ends the mesh in a folder and waits until it is gone. A folder that a killed mesh left is removed.
func Down(path string, wait time.Duration) error {
	pid := holder(path)
	if pid == 0 {
		if _, err := os.Stat(filepath.Join(path, marker)); err != nil {
			return ErrNotRunning
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove run folder %s: %w", path, err)
		}
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("end process %d: %w", pid, err)
	}
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if holder(path) != pid {
			return nil
		}
	}
	return fmt.Errorf("process %d did not end within %s; look at %s", pid, wait, filepath.Join(path, "log"))
}
