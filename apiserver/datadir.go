package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// formatVersion is the layout of the data folder that this build writes. A
// newer one is refused: reading it with old code could lose what it added.
const formatVersion = 1

// dataDir is the folder that holds everything which outlives the process.
type dataDir struct {
	path string
	lock *os.File
}

// openDataDir makes the folder, locks it against a second server and checks its
// format. The lock is the kernel's, so it cannot outlive the process.
func openDataDir(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("the data folder cannot be made: %w; choose another with --data-dir", err)
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return nil, fmt.Errorf("the data folder must belong to this user: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the data folder cannot be written: %w; choose another with --data-dir", err)
	}
	d := &dataDir{path: path, lock: lock}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder := d.holder()
		d.close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another heddle-apiserver%s uses the data folder %s: stop it, or choose another with --data-dir", holder, path)
		}
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if err := d.checkFormat(); err != nil {
		d.close()
		return nil, err
	}
	if err := d.writePID(); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *dataDir) file(parts ...string) string {
	return filepath.Join(append([]string{d.path}, parts...)...)
}

func (d *dataDir) close() { _ = d.lock.Close() }

// holder tells which process holds the lock, as it wrote itself.
func (d *dataDir) holder() string {
	text, err := os.ReadFile(d.lock.Name())
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return " (process " + pid + ")"
	}
	return ""
}

func (d *dataDir) writePID() error {
	if err := d.lock.Truncate(0); err != nil {
		return err
	}
	_, err := d.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func (d *dataDir) checkFormat() error {
	name := d.file("format")
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return writeFile(name, []byte(strconv.Itoa(formatVersion)+"\n"), 0o600)
	}
	if err != nil {
		return err
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || v < 1 {
		return fmt.Errorf("the file %s should hold a version number but holds %.20q: restore it, or move the folder away to start empty", name, text)
	}
	if v > formatVersion {
		return fmt.Errorf("the data folder %s has format %d and this build knows %d: use the newer heddle-apiserver that wrote it", d.path, v, formatVersion)
	}
	return nil
}

// writeFile replaces a file as a whole: a reader, or a crash, sees the old
// contents or the new ones.
func writeFile(name string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer os.Remove(f.Name()) // nothing is left to remove after the rename
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
