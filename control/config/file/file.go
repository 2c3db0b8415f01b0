// Package file reads objects from a folder of YAML and JSON files and keeps watching it.
//
// In: a folder, subfolders included; names that begin with a dot are left out, links are followed, so a mounted ConfigMap works. Out: the objects of each file
// under the owner "file:PATH" of the store, and complaints. A file that cannot be read as YAML keeps its last good objects. Run is for one goroutine.
package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/api/diagnosis"
	"github.com/heddle-mesh/heddle/control/config"
)

// Name is the name under which the source tells config.Store that it is synced.
const Name = "folder"

// How the folder is looked at: soon after an event, and now and then because events can be lost and some file systems have none.
const (
	settle = 10 * time.Millisecond
	young  = 100 * time.Millisecond // an empty file of this age may be one that is being written
	rescan = 2 * time.Second
)

// Source is one folder.
type Source struct {
	dir   string
	store *config.Store
	log   *slog.Logger
	files map[string]*state
	watch *fsnotify.Watcher // nil when there is none
	gone  bool              // the folder could not be read last time
}

// state is what was last seen of a file.
type state struct {
	stat os.FileInfo
	good bool // its present objects are in the store
}

// New checks that the folder can be read.
func New(dir string, store *config.Store, log *slog.Logger) (*Source, error) {
	abs, err := filepath.Abs(dir)
	if err == nil {
		_, err = os.ReadDir(abs)
	}
	if err != nil {
		return nil, fmt.Errorf("read config folder: %w; create the folder or change --config-dir", err)
	}
	return &Source{dir: abs, store: store, log: log, files: map[string]*state{}}, nil
}

// Run reads the folder, tells the store that it is synced, and follows changes until ctx ends.
func (s *Source) Run(ctx context.Context) error {
	var events chan fsnotify.Event
	var errs chan error
	if watcher, err := fsnotify.NewWatcher(); err != nil {
		s.log.Warn("config folder is not watched, only looked at from time to time", "folder", s.dir, "every", rescan, "error", err)
	} else {
		defer func() { _ = watcher.Close() }() // it only reads
		s.watch, events, errs = watcher, watcher.Events, watcher.Errors
	}
	again := s.scan(nil)
	s.store.Synced(Name)
	timer := time.NewTimer(next(again))
	defer timer.Stop()
	touched := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-events:
			if e.Op != fsnotify.Chmod {
				touched[e.Name] = true
				timer.Reset(settle)
			}
		case err := <-errs:
			s.log.Warn("config folder watch lost events; reading it again", "folder", s.dir, "error", err)
			clear(s.files)
			timer.Reset(settle)
		case <-timer.C:
			again = s.scan(touched)
			clear(touched)
			timer.Reset(next(again))
		}
	}
}

func next(again bool) time.Duration {
	if again {
		return young
	}
	return rescan
}

// scan compares the folder with what was last seen; it says whether it should look again soon.
func (s *Source) scan(touched map[string]bool) (again bool) {
	found := map[string]bool{}
	err := s.walk(s.dir, 0, func(path string) {
		rel := s.rel(path)
		found[rel] = true
		again = s.look(path, rel, touched[path]) || again
	})
	if err != nil {
		// The folder may be in the middle of being replaced: what it held stays.
		if !s.gone {
			s.log.Error("config folder cannot be read; its last objects stay", "folder", s.dir, "error", err)
		}
		s.gone = true
		s.store.Complain("folder", []api.Problem{{Object: api.Ref{Kind: "Folder", Name: s.dir}, Code: diagnosis.CodeInvalid,
			Message: fmt.Sprintf("the config folder cannot be read: %v", err), Hint: "its last good objects stay in effect"}})
		return true
	}
	s.gone = false
	s.store.Complain("folder", nil)
	for rel := range s.files {
		if !found[rel] {
			delete(s.files, rel)
			s.store.Replace(owner(rel), nil)
			s.store.Complain(owner(rel), nil)
			s.log.Info("config file removed", "file", rel)
		}
	}
	return again
}

func owner(rel string) string { return "file:" + rel }

func (s *Source) rel(path string) string {
	if r, err := filepath.Rel(s.dir, path); err == nil {
		return r
	}
	return path
}

// walk visits the files that hold objects, in order, and watches the folders on the way.
func (s *Source) walk(dir string, depth int, visit func(path string)) error {
	if depth > 16 { // a circle of links
		return nil
	}
	if s.watch != nil {
		_ = s.watch.Add(dir) // adding twice is no error; a folder that cannot be watched is looked at from time to time
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, n.Name())
		st, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile, or a link to nothing
		case err == nil && st.IsDir():
			if err := s.walk(path, depth+1, visit); err != nil {
				return err
			}
		case slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(path))):
			visit(path)
		}
	}
	return nil
}

// look reads a file if it changed. A file that was just emptied is probably being written: it is looked at again before its objects go.
func (s *Source) look(path, rel string, force bool) (again bool) {
	st, err := os.Stat(path)
	old := s.files[rel]
	if err == nil && old != nil && !force && os.SameFile(st, old.stat) && st.ModTime().Equal(old.stat.ModTime()) && st.Size() == old.stat.Size() {
		return false
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		s.store.Complain(owner(rel), []api.Problem{{Object: fileRef(rel), Code: diagnosis.CodeInvalid,
			Message: fmt.Sprintf("the file cannot be read: %v", err), Hint: "its last good objects stay in effect"}})
		if old == nil {
			s.files[rel] = &state{stat: noFile{}}
		}
		return true
	}
	if old != nil && old.good && len(strings.TrimSpace(string(data))) == 0 && time.Since(st.ModTime()) < young {
		return true
	}
	s.apply(rel, data, st, old)
	return time.Since(st.ModTime()) < settle
}

// apply puts what a file holds into the store.
func (s *Source) apply(rel string, data []byte, st os.FileInfo, old *state) {
	objects, problems := api.DecodeAll(data, rel)
	var complaints []api.Problem
	items := make([]config.Item, 0, len(objects))
	at := map[api.Ref]int{}
	for _, o := range objects {
		if first, ok := at[o.Ref()]; ok {
			complaints = append(complaints, api.Problem{Object: o.Ref(), Code: diagnosis.CodeConflict,
				Message: fmt.Sprintf("the object in %s is not used: %s defines it too", o.Source(), items[first].Object.Source()), Hint: "keep one of the two"})
			continue
		}
		at[o.Ref()] = len(items)
		items = append(items, config.Item{Object: o})
	}
	broken := false
	for _, p := range problems {
		if i, ok := at[p.Object]; ok {
			items[i].Problems = append(items[i].Problems, p)
			continue
		}
		broken = broken || p.Code.Fatal()
		if p.Object.Kind == "" {
			p.Object = fileRef(rel)
		}
		complaints = append(complaints, p)
	}
	s.store.Complain(owner(rel), complaints)
	now := &state{stat: st, good: !broken}
	if broken && old != nil && old.good {
		now.good = true
		s.files[rel] = now
		s.log.Error("config file is broken; its last good objects stay", "file", rel, "problem", complaints[0].String())
		return
	}
	s.files[rel] = now
	s.store.Replace(owner(rel), items)
	s.log.Info("config file read", "file", rel, "objects", len(items), "problems", len(problems))
}

func fileRef(rel string) api.Ref { return api.Ref{Kind: "File", Name: rel} }

// noFile stands for a file that was never read: it equals no other.
type noFile struct{ os.FileInfo }

func (noFile) ModTime() time.Time { return time.Time{} }
func (noFile) Size() int64        { return -1 }
