// Package health knows which workloads have a living proxy: a workload is healthy while its proxy's stream lives.
//
// In: connects and disconnects, told by control/serve. Out: an answer per workload and a signal that some answer changed.
// A Board is safe for concurrent use.
package health

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Workload names what a proxy stands in front of, as its node says.
type Workload struct{ Namespace, Name string }

// State is what is known of a workload's proxy.
type State uint8

// The states. Unknown → Alive → Gone → Alive; Presumed is Unknown or the recorded Alive during the time after a start.
const (
	Unknown State = iota
	Presumed
	Alive
	Gone
)

// Options of a Board; zero durations are their defaults.
type Options struct {
	// Record is a file that keeps who was alive, so that a restart does not call every workload dead before its proxy is back. "" keeps nothing.
	Record string
	// Grace is how long after the start the record (or without one, every workload) is believed; default 15 s.
	Grace time.Duration
	// Hold is how long a broken stream may stay away before its workload is told gone; default 300 ms.
	Hold time.Duration
}

// Board is the state of all workloads' proxies.
type Board struct {
	opts    Options
	changed chan struct{}

	mu       sync.Mutex
	streams  map[Workload]int
	states   map[Workload]State
	dirty    map[Workload]struct{}
	grace    bool
	recorded map[Workload]bool // nil: there is no record
	timers   map[Workload]*time.Timer
	saving   bool
	closed   bool

	graceTimer   *time.Timer
	writing      sync.Mutex // of the record
	recordedLast bool       // guarded by writing
}

// maxStates bounds what is remembered of workloads that are gone: in a cluster they come and go for ever.
const maxStates = 10_000

// formatVersion is the version of the record on disk.
const formatVersion = 1

type record struct {
	Version int        `json:"version"`
	Alive   []Workload `json:"alive"`
}

// New makes a board and reads its record; a record that cannot be read is an error that names the file.
func New(opts Options) (*Board, error) {
	if opts.Grace == 0 {
		opts.Grace = 15 * time.Second
	}
	if opts.Hold == 0 {
		opts.Hold = 300 * time.Millisecond
	}
	b := &Board{
		opts: opts, changed: make(chan struct{}, 1), grace: true,
		streams: map[Workload]int{}, states: map[Workload]State{}, dirty: map[Workload]struct{}{}, timers: map[Workload]*time.Timer{},
	}
	if opts.Record != "" {
		if err := b.load(); err != nil {
			return nil, err
		}
	}
	b.graceTimer = time.AfterFunc(opts.Grace, b.endGrace)
	return b, nil
}

func (b *Board) load() error {
	raw, err := os.ReadFile(b.opts.Record)
	if errors.Is(err, os.ErrNotExist) { // nobody was alive before
		b.recorded = map[Workload]bool{}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read workload health: %w", err)
	}
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("read workload health %s: %w; remove the file to start without it", b.opts.Record, err)
	}
	if r.Version > formatVersion {
		return fmt.Errorf("read workload health %s: format version %d is newer than this heddled's %d; upgrade heddled or remove the file", b.opts.Record, r.Version, formatVersion)
	}
	b.recorded = make(map[Workload]bool, len(r.Alive))
	for _, w := range r.Alive {
		b.recorded[w] = true
	}
	return nil
}

// Changes is signalled when some workload's state changed; Take says which.
func (b *Board) Changes() <-chan struct{} { return b.changed }

// Take returns the workloads whose state changed since the last call.
func (b *Board) Take() []Workload {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Workload, 0, len(b.dirty))
	for w := range b.dirty {
		out = append(out, w)
	}
	clear(b.dirty)
	return out
}

// State tells what is known of a workload's proxy.
func (b *Board) State(w Workload) State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state(w)
}

func (b *Board) state(w Workload) State {
	if s := b.states[w]; s != Unknown {
		return s
	}
	if b.grace && (b.recorded == nil || b.recorded[w]) {
		return Presumed
	}
	return Unknown
}

// Connected tells of a new stream; the returned function tells of its end and may be called more than once.
func (b *Board) Connected(w Workload) (disconnected func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.streams[w]++
	if t := b.timers[w]; t != nil {
		t.Stop()
		delete(b.timers, w)
	}
	b.set(w, Alive)
	return sync.OnceFunc(func() { b.gone(w) })
}

func (b *Board) gone(w Workload) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.streams[w]--; b.streams[w] > 0 {
		return
	}
	if delete(b.streams, w); b.closed {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(b.opts.Hold, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.timers[w] == t { // otherwise a new stream came meanwhile
			delete(b.timers, w)
			b.set(w, Gone)
		}
	})
	b.timers[w] = t
}

// set is called with the lock held.
func (b *Board) set(w Workload, s State) {
	if b.states[w] == s || b.closed {
		return
	}
	if s == Gone && len(b.states) > maxStates {
		maps.DeleteFunc(b.states, func(_ Workload, old State) bool { return old == Gone })
	}
	b.states[w] = s
	b.signal(w)
	b.save()
}

func (b *Board) signal(ws ...Workload) {
	for _, w := range ws {
		b.dirty[w] = struct{}{}
	}
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// endGrace stops presuming: answers for workloads that never connected change.
func (b *Board) endGrace() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.grace = false
	b.signal(Workload{}) // all that were presumed: the zero workload stands for them
}

// save writes the record soon; called with the lock held. Several changes make one write.
func (b *Board) save() {
	if b.opts.Record == "" || b.saving {
		return
	}
	b.saving = true
	time.AfterFunc(200*time.Millisecond, func() {
		b.writing.Lock()
		defer b.writing.Unlock()
		if !b.recordedLast {
			_ = b.write()
		}
	})
}

// Close writes the record for the last time. Streams that end from here on end with heddled, not with their workloads, so nothing changes any more.
func (b *Board) Close() error {
	b.mu.Lock()
	b.closed = true
	b.graceTimer.Stop()
	for _, t := range b.timers {
		t.Stop()
	}
	clear(b.timers)
	b.mu.Unlock()
	b.writing.Lock()
	defer b.writing.Unlock()
	b.recordedLast = true
	return b.write()
}

// write writes the record; called with the lock of writing held.
func (b *Board) write() error {
	if b.opts.Record == "" {
		return nil
	}
	b.mu.Lock()
	b.saving = false
	alive := maps.Clone(b.recorded)
	if !b.grace || alive == nil {
		alive = map[Workload]bool{}
	}
	for w, s := range b.states {
		alive[w] = s == Alive
	}
	b.mu.Unlock()
	r := record{Version: formatVersion, Alive: []Workload{}}
	for w, ok := range alive {
		if ok {
			r.Alive = append(r.Alive, w)
		}
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write workload health: %w", err)
	}
	part := filepath.Join(filepath.Dir(b.opts.Record), "."+filepath.Base(b.opts.Record))
	if err := os.WriteFile(part, raw, 0o600); err != nil {
		return fmt.Errorf("write workload health: %w", err)
	}
	if err := os.Rename(part, b.opts.Record); err != nil {
		return fmt.Errorf("write workload health: %w", err)
	}
	return nil
}
