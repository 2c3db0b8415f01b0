package laptop

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotRunning says that no mesh runs in the folder.
var ErrNotRunning = errors.New("no mesh is running here; start one with heddle up")

// runDir is the folder of one running mesh.
type runDir struct {
	path    string
	lock    *os.File
	hadData bool // kept by an earlier mesh
}

func (d runDir) join(parts ...string) string {
	return filepath.Join(append([]string{d.path}, parts...)...)
}

// marker is a file that says that a folder is ours: only such a folder is ever emptied.
const marker = "heddle-run-folder"

// longestSocket is how long the path of a unix socket may be (sun_path of unix(7), without the zero at its end).
const longestSocket = 107

// claim takes the folder for this process; whoever holds the lock is the running mesh.
func claim(path string) (runDir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return runDir{}, fmt.Errorf("use run folder %s: %w", path, err)
	}
	if over := len(path) + len("/proxy/"+ingressNamespace+"."+ingressName+".sock") - longestSocket; over > 0 {
		return runDir{}, fmt.Errorf("use run folder %s: its path is %d characters too long for the sockets in it; choose a shorter one with --run-dir", path, over)
	}
	if entries, err := os.ReadDir(path); err == nil && !ownFolder(path, entries) {
		return runDir{}, fmt.Errorf("use run folder %s: it holds files that are not Heddle's; choose another with --run-dir", path)
	}
	if err := os.MkdirAll(path, 0o711); err != nil {
		return runDir{}, fmt.Errorf("use run folder %s: %w; choose another with --run-dir", path, err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR|os.O_CREATE, 0o644)
	if errors.Is(err, os.ErrNotExist) { // whoever ended just now removed the folder
		return claim(path)
	}
	if err != nil {
		return runDir{}, fmt.Errorf("use run folder %s: %w; choose another with --run-dir", path, err)
	}
	if err := take(lock, path); err != nil {
		lock.Close()
		return runDir{}, err
	}
	if mine, err := sameFile(lock, filepath.Join(path, lockFile)); err != nil || !mine { // whoever ended just now removed it
		lock.Close()
		return claim(path)
	}
	d := runDir{path: path, lock: lock}
	if err := os.WriteFile(d.join(marker), []byte("made by heddle up; heddle down removes it\n"), 0o644); err != nil {
		return runDir{}, fmt.Errorf("use run folder %s: %w; choose another with --run-dir", path, err)
	}
	if err := d.remove(kept); err != nil {
		return runDir{}, err
	}
	_, err = os.Stat(d.join("api"))
	d.hadData = err == nil
	if err := lock.Truncate(0); err != nil {
		return runDir{}, fmt.Errorf("use run folder %s: %w", path, err)
	}
	if _, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return runDir{}, fmt.Errorf("use run folder %s: %w", path, err)
	}
	return d, nil
}

// tidying bounds the wait for the processes of a mesh that was killed.
const tidying = 25 * time.Second

// take locks a folder. What is left of a mesh that was killed holds the lock until it has tidied up: that is waited for.
func take(lock *os.File, path string) error {
	for deadline := time.Now().Add(tidying); ; time.Sleep(20 * time.Millisecond) {
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			return nil
		}
		if pid := owner(path); alive(pid) {
			return fmt.Errorf("a mesh is running in %s already (process %d); end it with heddle down, or choose another folder with --run-dir", path, pid)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("a mesh was killed in %s and has not tidied up after %s; try again later, or choose another folder with --run-dir", path, tidying)
		}
	}
}

// owner is the process that took a folder last, 0 when none is known.
func owner(path string) int {
	b, err := os.ReadFile(filepath.Join(path, lockFile))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}

// alive says whether a process exists; one of another user counts.
func alive(pid int) bool {
	return pid > 0 && !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
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

// ownFolder says whether a folder with these entries may be taken: it is ours, or empty. A lock alone is that of a mesh which is ending.
func ownFolder(path string, entries []os.DirEntry) bool {
	if len(entries) == 0 || len(entries) == 1 && entries[0].Name() == lockFile {
		return true
	}
	_, err := os.Stat(filepath.Join(path, marker))
	return err == nil
}

// lockFile is locked by the running mesh, and holds its process id.
const lockFile = "lock"

// kept are the parts of the folder that --keep leaves, and a later start uses again.
var kept = []string{"api", "ca", "log", "metrics", "state", marker, lockFile}

// remove takes everything out of the folder but the named entries.
func (d runDir) remove(but []string) error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("empty run folder %s: %w", d.path, err)
	}
	for _, e := range entries {
		if slices.Contains(but, e.Name()) {
			continue
		}
		if err := os.RemoveAll(d.join(e.Name())); err != nil {
			return fmt.Errorf("empty run folder %s: %w", d.path, err)
		}
	}
	return nil
}

// release gives the folder up: with keep, data and logs stay. The lock goes last: while it is there, and held, nobody takes the folder for free.
func (d runDir) release(keep bool) error {
	defer d.lock.Close()
	if keep {
		return d.remove(kept)
	}
	if err := d.remove([]string{lockFile}); err != nil {
		return err
	}
	for _, path := range []string{d.join(lockFile), d.path} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) { // a new mesh may have it already
			return fmt.Errorf("remove run folder %s: %w", d.path, err)
		}
	}
	return nil
}

// Sweep tidies up after a mesh that was killed: it waits until nobody holds the other end of running any more (its daemons end by themselves),
// and then removes its folder, or with keep all but data and logs. lock is the folder's, still held since the mesh began.
func Sweep(path string, keep bool, running, lock *os.File, wait time.Duration) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, running) // nobody writes: this is the end of the last holder
	}()
	select {
	case <-ended:
	case <-time.After(wait):
	}
	return runDir{path: path, lock: lock}.release(keep)
}

// locked says whether a mesh has the folder, be it that it was killed and is not tidied up yet.
func locked(path string) bool {
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer lock.Close()
	return unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
}

// holder is the process of the mesh that runs in the folder, 0 when none does.
func holder(path string) int {
	if pid := owner(path); locked(path) && alive(pid) {
		return pid
	}
	return 0
}

// Down ends the mesh in a folder and waits until it is gone. What a killed mesh left, or one that was told to keep its data, is removed.
func Down(path string, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	pid, wasThere := holder(path), locked(path)
	if pid != 0 {
		if err := terminate(pid, deadline); err != nil {
			return fmt.Errorf("%w; look at %s", err, filepath.Join(path, "log"))
		}
	}
	for locked(path) {
		if time.Now().After(deadline) {
			return fmt.Errorf("the mesh in %s has not ended after %s; look at %s", path, wait, filepath.Join(path, "log"))
		}
		time.Sleep(20 * time.Millisecond)
	}
	if pid != 0 {
		return nil // it has removed what it does not keep
	}
	if _, err := os.Stat(filepath.Join(path, marker)); err != nil {
		if wasThere { // it was killed, and has tidied up meanwhile
			return nil
		}
		return ErrNotRunning
	}
	d, err := claim(path)
	if err != nil {
		return err
	}
	return d.release(false)
}

// terminate asks a process to end and waits for that.
func terminate(pid int, deadline time.Time) error {
	process, err := unix.PidfdOpen(pid, 0)
	if err == nil {
		defer func() { _ = unix.Close(process) }()
		err = unix.PidfdSendSignal(process, unix.SIGTERM, nil, 0)
	}
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("end process %d: %w", pid, err)
	}
	for left := time.Until(deadline); left > 0; left = time.Until(deadline) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(process), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if err == nil && n > 0 {
			return nil
		}
	}
	return fmt.Errorf("process %d has not ended in time", pid)
}
