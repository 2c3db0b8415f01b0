package register

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/control/config"
)

// memoryOwner is under whose name entries stand in the store.
const memoryOwner = "registration"

// Memory keeps entries beside the objects of a folder, which nobody but its user writes to: they last as long as the control plane. Make it with NewMemory.
type Memory struct {
	store *config.Store

	mu     sync.Mutex // between reading an object and writing it
	writes uint64
	marks  map[api.Ref]marks // of objects in files, whose own stay as they are
}

// marks are annotations beside those of a file.
type marks struct {
	annotations map[string]string
	version     string
}

// NewMemory makes a Memory that puts its entries into a store.
func NewMemory(s *config.Store) *Memory { return &Memory{store: s, marks: map[api.Ref]marks{}} }

// Read implements Entries.
func (m *Memory) Read(_ context.Context, ref api.Ref) (api.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.read(ref)
}

func (m *Memory) read(ref api.Ref) (api.Object, error) {
	e, ok := m.store.Get(ref)
	if !ok {
		delete(m.marks, ref)
		return api.Object{}, config.ErrGone
	}
	o := e.Object
	if with, ok := m.marks[ref]; ok && o.Meta.File != "" {
		o.Meta.Annotations, o.Meta.ResourceVersion = merged(o.Meta.Annotations, with.annotations), with.version
	}
	return o, nil
}

// Create implements Entries.
func (m *Memory) Create(_ context.Context, o, _ api.Object) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.store.Get(o.Ref()); ok {
		return config.ErrExists
	}
	o.Meta.Created = time.Now()
	m.put(o)
	return nil
}

// Annotate implements Entries.
func (m *Memory) Annotate(_ context.Context, o api.Object, set map[string]string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.current(o); err != nil {
		return err
	}
	with := o.Meta.Annotations
	if o.Meta.File != "" {
		with = m.marks[o.Ref()].annotations
	}
	with = merged(with)
	for k, v := range set {
		if with[k] = v; v == "" {
			delete(with, k)
		}
	}
	if o.Meta.File != "" {
		m.marks[o.Ref()] = marks{with, m.version()}
		return nil
	}
	o.Meta.Annotations = with
	m.put(o)
	return nil
}

// WriteStatus implements Entries.
func (m *Memory) WriteStatus(_ context.Context, o api.Object, status map[string]any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.current(o); err != nil {
		return err
	}
	m.store.SetStatus(o.Ref(), status)
	return nil
}

// Delete implements Entries.
func (m *Memory) Delete(_ context.Context, o api.Object) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.current(o); err != nil {
		return err
	}
	m.store.Delete(memoryOwner, o.Ref())
	return nil
}

// current says whether an object is still the one that was read; called with the lock held, as those below.
func (m *Memory) current(o api.Object) error {
	now, err := m.read(o.Ref())
	if err == nil && now.Meta.ResourceVersion != o.Meta.ResourceVersion {
		return config.ErrStale
	}
	return err
}

func (m *Memory) put(o api.Object) {
	o.Meta.ResourceVersion = m.version()
	m.store.Put(memoryOwner, o, nil)
}

func (m *Memory) version() string {
	m.writes++
	return strconv.FormatUint(m.writes, 10)
}
