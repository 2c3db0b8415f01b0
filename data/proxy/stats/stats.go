// Package stats holds the proxy's counters, gauges and histograms as arrays of numbers, one array per worker.
//
// In: series that are described when configuration is built, which gives handles, and additions by handle on the request path. Out: samples for a scrape, added up
// over all workers. A handle stays valid for the life of its Registry. Registry is safe for concurrent use. A Shard has one owner on the path (a worker) so that
// its cache lines stay local, but additions are atomic and may come from any goroutine.
package stats

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/heddle-mesh/heddle/telemetry"
)

// Handle addresses one number in every shard. The zero Handle counts into a slot that is never shown, so that an unset handle is harmless.
type Handle uint32

// Label is one label of a series.
type Label struct{ Name, Value string }

// Desc describes a series. Name and Labels are Prometheus' form; Dotted is the form of Envoy's text statistics ("" leaves the series out of them).
type Desc struct {
	Name   string
	Labels []Label
	Dotted string
	Help   string
}

// Kind is what a series means.
type Kind uint8

// The kinds.
const (
	KindCounter Kind = iota
	KindGauge
	KindHistogram
)

// Histogram addresses the buckets and the sum of one histogram. The zero Histogram is never shown.
type Histogram struct {
	first  Handle
	bounds []float64 // upper bounds, rising; one more bucket holds what is above the last
}

// MaxSlots bounds the numbers of a registry; what is described beyond it counts into the hidden slot and into Overflow.
const MaxSlots = chunkSlots * maxChunks

const (
	chunkSlots = 1024
	maxChunks  = 512
)

type chunk [chunkSlots]atomic.Uint64

type series struct {
	desc Desc
	kind Kind
	at   Handle
	hist Histogram
}

// Registry knows the series and the shards.
type Registry struct {
	mu       sync.Mutex
	next     Handle
	series   []*series
	byKey    map[string]*series
	shards   []*Shard
	overflow atomic.Uint64
}

// New makes an empty registry.
func New() *Registry { return &Registry{next: 1, byKey: map[string]*series{}} }

// Counter describes a counter; the same name and labels give the same handle.
func (r *Registry) Counter(d Desc) Handle { return r.describe(d, KindCounter, nil).at }

// Gauge describes a gauge: the sum of what was added and subtracted in all shards.
func (r *Registry) Gauge(d Desc) Handle { return r.describe(d, KindGauge, nil).at }

// Histogram describes a histogram with rising upper bounds. Values are whole numbers in the unit that the name says (milliseconds, bytes).
func (r *Registry) Histogram(d Desc, bounds []float64) Histogram {
	return r.describe(d, KindHistogram, bounds).hist
}

// Milliseconds describes a histogram of durations, with the bounds that all of them have.
func (r *Registry) Milliseconds(d Desc) Histogram { return r.Histogram(d, telemetry.Buckets()) }

func (r *Registry) describe(d Desc, kind Kind, bounds []float64) *series {
	key := d.key()
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.byKey[key]; ok {
		if s.kind == kind {
			return s
		}
		return &series{} // a name with two kinds is a mistake of ours; it counts nowhere rather than wrongly
	}
	slots := Handle(1)
	if kind == KindHistogram {
		slots = Handle(len(bounds)) + 2 // the bucket above the last bound, and the sum
	}
	if uint64(r.next)+uint64(slots) > MaxSlots {
		r.overflow.Add(1)
		return &series{}
	}
	s := &series{desc: d, kind: kind, at: r.next}
	if kind == KindHistogram {
		s.hist = Histogram{first: r.next, bounds: bounds}
	}
	r.next += slots
	r.byKey[key] = s
	r.series = append(r.series, s)
	return s
}

func (d Desc) key() string {
	var b strings.Builder
	b.WriteString(d.Name)
	for _, l := range d.Labels {
		b.WriteByte(0)
		b.WriteString(l.Name)
		b.WriteByte(1)
		b.WriteString(l.Value)
	}
	return b.String()
}

// Overflow is how many series found no room.
func (r *Registry) Overflow() uint64 { return r.overflow.Load() }

// NewShard adds a shard.
func (r *Registry) NewShard() *Shard {
	s := &Shard{}
	r.mu.Lock()
	r.shards = append(r.shards, s)
	r.mu.Unlock()
	return s
}

// Sample is the state of one series, added up over all shards.
type Sample struct {
	Desc
	Kind    Kind
	Value   uint64    // of a counter
	Gauge   int64     // of a gauge
	Bounds  []float64 // of a histogram
	Buckets []uint64  // not cumulative; one more than Bounds
	Sum     uint64
}

// Snapshot reads every series, sorted by name and then in the order of description.
func (r *Registry) Snapshot() []Sample {
	r.mu.Lock()
	all, shards := slices.Clone(r.series), slices.Clone(r.shards)
	r.mu.Unlock()
	out := make([]Sample, len(all))
	for i, s := range all {
		out[i] = s.read(shards)
	}
	slices.SortStableFunc(out, func(a, b Sample) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (s *series) read(shards []*Shard) Sample {
	m := Sample{Desc: s.desc, Kind: s.kind}
	switch s.kind {
	case KindCounter:
		m.Value = sum(shards, s.at)
	case KindGauge:
		m.Gauge = int64(sum(shards, s.at))
	case KindHistogram:
		m.Bounds = s.hist.bounds
		m.Buckets = make([]uint64, len(m.Bounds)+1)
		for i := range m.Buckets {
			m.Buckets[i] = sum(shards, s.at+Handle(i))
		}
		m.Sum = sum(shards, s.at+Handle(len(m.Buckets)))
	}
	return m
}

// Zero says whether nothing was ever counted in a series, or all of it was taken back.
func (m *Sample) Zero() bool {
	n := m.Value | uint64(m.Gauge)
	for _, b := range m.Buckets {
		n |= b
	}
	return n == 0
}

// ResetCounters sets all counters to zero. What is counted at the same moment may be lost.
func (r *Registry) ResetCounters() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.series {
		if s.kind != KindCounter {
			continue
		}
		for _, shard := range r.shards {
			if n := shard.Load(s.at); n > 0 {
				shard.Sub(s.at, n)
			}
		}
	}
}

func sum(shards []*Shard, h Handle) (n uint64) {
	for _, s := range shards {
		n += s.Load(h)
	}
	return n
}
