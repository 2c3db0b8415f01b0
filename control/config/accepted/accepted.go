// Package accepted remembers the last usable version of each object, so that an object which breaks keeps its meaning, after a restart too.
//
// In: objects that were accepted. Out: the last accepted version by reference. The record is one file beside heddled's other state: an annotation or
// ConfigMap on the Kubernetes API would be shared by replicas, but doubles every write of a user; so replicas with a record each can differ while an
// object is broken, until it is corrected. Safe for concurrent use.
package accepted

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/heddle-mesh/heddle/api"
)

const (
	formatVersion = 1
	// maxRecord bounds the file: beyond it nothing more is recorded, only remembered.
	maxRecord = 64 << 20
	saveAfter = time.Second
)

// Versions are the last accepted versions.
type Versions struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	objects map[api.Ref]api.Object
	timer   *time.Timer
	saving  sync.Mutex // one writer of the file
}

type record struct {
	Version int               `json:"version"`
	Objects []json.RawMessage `json:"objects"`
}

// Open reads the record, if there is one. An empty path remembers only while the process lives.
func Open(path string, log *slog.Logger) (*Versions, error) {
	v := &Versions{path: path, log: log, objects: map[api.Ref]api.Object{}}
	if path == "" {
		return v, nil
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return v, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read accepted versions: %w", err)
	}
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("read accepted versions %s: %w; remove the file to start without it", path, err)
	}
	if r.Version > formatVersion {
		return nil, fmt.Errorf("read accepted versions %s: format version %d is newer than this heddled's %d; upgrade heddled or remove the file", path, r.Version, formatVersion)
	}
	for _, one := range r.Objects {
		// A version that this build does not accept any more is no last good version.
		if o, problems := api.Decode(one); o.Kind != nil && api.Valid(problems) {
			v.objects[o.Ref()] = o
		}
	}
	return v, nil
}

// Get finds the last accepted version.
func (v *Versions) Get(ref api.Ref) (api.Object, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	o, ok := v.objects[ref]
	return o, ok
}

// Put takes a version that is usable.
func (v *Versions) Put(o api.Object) {
	v.mu.Lock()
	defer v.mu.Unlock()
	old, ok := v.objects[o.Ref()]
	v.objects[o.Ref()] = o
	if !ok || old.Spec != o.Spec {
		v.later()
	}
}

// Delete forgets an object that is gone.
func (v *Versions) Delete(ref api.Ref) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.objects[ref]; ok {
		delete(v.objects, ref)
		v.later()
	}
}

// later saves soon; many changes make one write. Called with the lock held.
func (v *Versions) later() {
	if v.path == "" || v.timer != nil {
		return
	}
	v.timer = time.AfterFunc(saveAfter, func() {
		if err := v.Save(); err != nil {
			v.log.Error("accepted versions are not recorded", "error", err)
		}
	})
}

// Save writes the record now; heddled calls it when it ends.
func (v *Versions) Save() error {
	if v.path == "" {
		return nil
	}
	v.saving.Lock()
	defer v.saving.Unlock()
	v.mu.Lock()
	if v.timer != nil {
		v.timer.Stop()
		v.timer = nil
	}
	objects := make([]api.Object, 0, len(v.objects))
	for _, o := range v.objects {
		objects = append(objects, o)
	}
	v.mu.Unlock()
	r := record{Version: formatVersion, Objects: []json.RawMessage{}}
	size := 0
	for _, o := range objects {
		one, err := encode(o)
		if err != nil {
			return fmt.Errorf("write accepted versions: %s: %w", o.Ref(), err)
		}
		if size += len(one); size > maxRecord {
			v.log.Warn("record of accepted versions is full; the rest is remembered only until heddled ends", "objects", len(objects), "recorded", len(r.Objects))
			break
		}
		r.Objects = append(r.Objects, one)
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write accepted versions: %w", err)
	}
	part := filepath.Join(filepath.Dir(v.path), "."+filepath.Base(v.path))
	if err := os.WriteFile(part, raw, 0o600); err != nil {
		return fmt.Errorf("write accepted versions: %w", err)
	}
	if err := os.Rename(part, v.path); err != nil {
		return fmt.Errorf("write accepted versions: %w", err)
	}
	return nil
}

// encode writes an object as its source would have it.
func encode(o api.Object) (json.RawMessage, error) {
	meta := map[string]any{"name": o.Meta.Name}
	for key, value := range map[string]string{"namespace": o.Meta.Namespace, "uid": o.Meta.UID} {
		if value != "" {
			meta[key] = value
		}
	}
	if !o.Meta.Created.IsZero() {
		meta["creationTimestamp"] = o.Meta.Created.UTC().Format(time.RFC3339Nano)
	}
	if o.Meta.Generation != 0 {
		meta["generation"] = o.Meta.Generation
	}
	if len(o.Meta.Labels) > 0 {
		meta["labels"] = o.Meta.Labels
	}
	if len(o.Meta.Annotations) > 0 {
		meta["annotations"] = o.Meta.Annotations
	}
	spec, err := json.Marshal(o.Spec)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"apiVersion": o.Kind.APIVersion(), "kind": o.Kind.Kind, "metadata": meta, "spec": json.RawMessage(spec)})
}
