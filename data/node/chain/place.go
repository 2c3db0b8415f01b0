package chain

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// ErrNoNetwork says that the node has no network configuration yet: the cluster's own network comes first.
var ErrNoNetwork = errors.New("the node has no network configuration yet")

// saved is behind the name of a configuration of one plug-in, in whose place there is a list.
const saved = ".heddle-saved"

// temporary is before the names of files that are being written.
const temporary = ".heddle-"

// Place is where a node has its plug-ins.
type Place struct {
	BinDir, ConfDir string
	Program         string // the plug-in's file, which is copied to BinDir under the name Kind
	Kind            string // its type
	Entry           []byte // its JSON
}

// Ensure makes everything as it should be, and says what it had to change.
func (p *Place) Ensure() (changed []string, err error) {
	if err := p.sweep(); err != nil {
		return nil, err
	}
	did, err := p.program()
	if err != nil {
		return nil, fmt.Errorf("install the plug-in: %w", err)
	}
	if did {
		changed = append(changed, p.binary())
	}
	all, err := p.configurations()
	if err != nil {
		return changed, err
	}
	if len(all) == 0 {
		return changed, fmt.Errorf("%w in %s", ErrNoNetwork, p.ConfDir)
	}
	did, err = p.chain(all[0])
	if err != nil {
		return changed, fmt.Errorf("chain the plug-in into %s: %w", all[0], err)
	}
	if did {
		changed = append(changed, all[0])
	}
	// Only the first one counts for the runtime. One that came before it has pushed aside what was the first, and that gets its own form back.
	for _, path := range all[1:] {
		if strings.TrimSuffix(path, "list") == all[0] {
			continue // it was made of the first one
		}
		did, err := p.unchain(path)
		if err != nil {
			return changed, err
		}
		if did {
			changed = append(changed, path)
		}
	}
	return changed, nil
}

// Remove takes everything away: configurations first, so that none names a program that is gone.
func (p *Place) Remove() error {
	all, err := p.configurations()
	if err != nil {
		return err
	}
	for _, path := range all {
		if _, err := p.unchain(path); err != nil {
			return err
		}
	}
	if err := os.Remove(p.binary()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the plug-in: %w", err)
	}
	return p.sweep()
}

func (p *Place) binary() string { return filepath.Join(p.BinDir, p.Kind) }

// configurations are the files that runtimes read, in their order.
func (p *Place) configurations() (all []string, err error) {
	entries, err := os.ReadDir(p.ConfDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for network configurations: %w", err)
	}
	for _, e := range entries { // in the order of their names
		if !e.IsDir() && slices.Contains([]string{".conf", ".conflist", ".json"}, filepath.Ext(e.Name())) {
			all = append(all, filepath.Join(p.ConfDir, e.Name()))
		}
	}
	return all, nil
}

func (p *Place) program() (changed bool, err error) {
	want, err := os.ReadFile(p.Program)
	if err != nil {
		return false, err
	}
	if have, err := os.ReadFile(p.binary()); err == nil && bytes.Equal(have, want) {
		return false, nil
	}
	if err := os.MkdirAll(p.BinDir, 0o755); err != nil {
		return false, err
	}
	return true, write(p.binary(), want, nil, 0o755)
}

// chain puts the entry into a file; a configuration of one plug-in gets a list in its place.
func (p *Place) chain(path string) (changed bool, err error) {
	text, info, err := read(path)
	if err != nil {
		return false, err
	}
	list := filepath.Ext(path) == ".conflist"
	now := text
	if !list {
		if _, err := elements(text); err == nil {
			list = true // a list whatever its name, as in a .json
		} else if now, err = List(text); err != nil {
			return false, err
		}
	}
	if now, err = Insert(now, p.Kind, p.Entry); err != nil || bytes.Equal(now, text) {
		return false, err
	}
	if list {
		return true, write(path, now, info, info.Mode().Perm())
	}
	if err := write(path+"list", now, info, info.Mode().Perm()); err != nil {
		return false, err
	}
	return true, os.Rename(path, path+saved)
}

// unchain takes the entry out of a file; where a list was made by chain, the file that was there comes back.
func (p *Place) unchain(path string) (changed bool, err error) {
	text, info, err := read(path)
	if err != nil {
		return false, err
	}
	if !Has(text, p.Kind) {
		return false, nil
	}
	one := strings.TrimSuffix(path, "list")
	if _, err := os.Stat(one + saved); err == nil {
		if _, err := os.Stat(one); err == nil { // its owner has written it anew
			return true, errors.Join(os.Remove(one+saved), os.Remove(path))
		}
		return true, errors.Join(os.Rename(one+saved, one), os.Remove(path))
	}
	if text, err = Remove(text, p.Kind); err != nil {
		return false, fmt.Errorf("take the plug-in out of %s: %w", path, err)
	}
	return true, write(path, text, info, info.Mode().Perm())
}

// sweep removes what a write that broke off has left.
func (p *Place) sweep() error {
	for _, dir := range []string{p.BinDir, p.ConfDir} {
		left, err := filepath.Glob(filepath.Join(dir, temporary+"*"))
		if err != nil {
			return err
		}
		for _, path := range left {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("remove a file that was not finished: %w", err)
			}
		}
	}
	return nil
}

func read(path string) ([]byte, os.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	text, err := os.ReadFile(path)
	return text, info, err
}

// errMeanwhile says that somebody else wrote while we did; the next look comes soon.
var errMeanwhile = errors.New("somebody else has just written it")

// write replaces a file at once. Like is the file that was read before, whose owner the new one gets.
func write(path string, text []byte, like os.FileInfo, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), temporary+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode))
	if like != nil {
		if s, ok := like.Sys().(*syscall.Stat_t); ok {
			_ = f.Chown(int(s.Uid), int(s.Gid)) // without the right to give files away it is the agent's: root's, who reads it
		}
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if like != nil && like.Name() == filepath.Base(path) {
		if now, err := os.Stat(path); err != nil || !os.SameFile(now, like) || !now.ModTime().Equal(like.ModTime()) {
			return errMeanwhile
		}
	}
	return os.Rename(f.Name(), path)
}
