// Package overload gives up something before the process runs out of memory or takes more connections than it should (Envoy's overload manager).
//
// In: what is watched and what is done at which pressure. Out: a State that workers ask on the request path, calls that stop and start accepting, and statistics in Envoy's names.
// State is safe for concurrent use; a Manager has one goroutine.
package overload

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

const million = 1_000_000

// State is how much of each action is in force. The nil State is of a proxy without an overload manager.
type State struct {
	parts [config.OverloadKinds]atomic.Uint32 // of a million
}

// Hits says whether an action in force meets this one: always when it is saturated, else as often as its state says. random is any number.
func (s *State) Hits(k config.OverloadKind, random uint64) bool {
	if s == nil {
		return false
	}
	n := s.parts[k].Load()
	return n != 0 && uint32(random%million) < n
}

// Hooks are what a Manager asks of the rest of the proxy.
type Hooks struct {
	// Connections is the number of the clients' connections.
	Connections func() int
	// Accept starts and stops accepting.
	Accept func(on bool)
	// Release lets go of what carries nothing: memory that is kept for the next use, connections to upstreams that rest, and those of clients as well.
	Release func(clients bool)
	// Relieve gives up some of the exchanges that hold most memory.
	Relieve func()
}

// Manager watches.
type Manager struct {
	State
	config *config.Overload
	hooks  Hooks
	shard  *stats.Shard

	pressures [2]*gauge
	active    [config.OverloadKinds]*gauge
	scale     [config.OverloadKinds]*gauge
	stopped   bool
	shrunk    time.Time
	released  time.Time
}

// gauge is a gauge that is set.
type gauge struct {
	at   stats.Handle
	last uint64
}

func (g *gauge) set(s *stats.Shard, v uint64) {
	s.Add(g.at, v-g.last)
	g.last = v
}

// New prepares a Manager. Its statistics begin with "overload.".
func New(c *config.Overload, h Hooks, r *stats.Registry) *Manager {
	m := &Manager{config: c, hooks: h, shard: r.NewShard()}
	named := func(of, what string) *gauge {
		return &gauge{at: r.Gauge(stats.Desc{Name: "envoy_overload_" + what, Labels: []stats.Label{{Name: "envoy_overload", Value: of}}, Dotted: "overload." + of + "." + what})}
	}
	if c.MaxHeap > 0 {
		m.pressures[config.Heap] = named(config.Heap.String(), "pressure")
	}
	if c.MaxConnections > 0 {
		m.pressures[config.Connections] = named(config.Connections.String(), "pressure")
	}
	for _, a := range c.Actions {
		m.active[a.Kind], m.scale[a.Kind] = named(a.Kind.String(), "active"), named(a.Kind.String(), "scale_percent")
	}
	return m
}

// Run looks at the pressures until ctx ends. Where nobody has given the garbage collector a limit it works against that of the heap.
func (m *Manager) Run(ctx context.Context) {
	if m.config.MaxHeap > 0 && debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(int64(min(m.config.MaxHeap, math.MaxInt64)))
		defer debug.SetMemoryLimit(math.MaxInt64)
	}
	tick := time.NewTicker(m.config.Refresh)
	defer tick.Stop()
	for {
		before := m.released
		m.look()
		var again <-chan time.Time
		if m.released != before {
			again = time.After(relief)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-again:
		}
	}
}

// look measures, and puts into force what follows from it.
func (m *Manager) look() {
	var pressures [2]float64
	if m.config.MaxHeap > 0 {
		pressures[config.Heap] = m.heap()
	}
	if m.config.MaxConnections > 0 {
		pressures[config.Connections] = float64(m.hooks.Connections()) / float64(m.config.MaxConnections)
	}
	for i, g := range m.pressures {
		if g != nil {
			g.set(m.shard, uint64(math.Round(pressures[i]*100)))
		}
	}
	for _, a := range m.config.Actions {
		m.put(a.Kind, state(a.Triggers, pressures))
	}
}

// state is the highest state of the triggers.
func state(triggers []config.OverloadTrigger, pressures [2]float64) (s float64) {
	for _, t := range triggers {
		switch p := pressures[t.Resource]; {
		case p >= t.High:
			return 1
		case p > t.Low:
			s = max(s, (p-t.Low)/(t.High-t.Low))
		}
	}
	return s
}

func (m *Manager) put(k config.OverloadKind, s float64) {
	saturated := uint64(0)
	if s == 1 {
		saturated = 1
	}
	m.active[k].set(m.shard, saturated)
	m.scale[k].set(m.shard, uint64(math.Round(s*100)))
	m.parts[k].Store(uint32(s * million))
	switch stop := saturated == 1; k {
	case config.StopConnections:
		if stop != m.stopped {
			m.stopped = stop
			m.hooks.Accept(!stop)
		}
	case config.ResetStreams:
		if stop {
			m.hooks.Relieve()
		}
	case config.DisableKeepAlive:
		if stop && time.Since(m.released) >= releaseEvery {
			m.released = time.Now()
			m.hooks.Release(false)
		}
	case config.ShrinkHeap:
		if stop && time.Since(m.shrunk) >= shrinkEvery {
			m.shrunk = time.Now()
			m.hooks.Release(true)
			debug.FreeOSMemory()
		}
	}
}

// shrinkEvery is how often memory is given back (Envoy's default). What rests is let go of more often: a burst may leave hundreds of connections to upstreams, whose memory
// nothing else would give back before they time out, an hour later.
const (
	shrinkEvery  = 10 * time.Second
	releaseEvery = time.Second
)

// relief is when the pressure is looked at again after something was let go of: nobody is to be refused until the next turn for memory that is free already.
const relief = 20 * time.Millisecond

// heap is the memory that is in use as a part of the maximum. Above the first threshold the garbage collector runs before anything is given up.
func (m *Manager) heap() float64 {
	part := func() float64 { return float64(used()) / float64(m.config.MaxHeap) }
	p := part()
	for _, a := range m.config.Actions {
		for _, t := range a.Triggers {
			if t.Resource == config.Heap && p > t.Low {
				runtime.GC()
				return part()
			}
		}
	}
	return p
}

// used is what of the process's memory is neither free nor given back: objects, stacks and the runtime's own.
func used() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64() - s[2].Value.Uint64() - s[3].Value.Uint64()
}

// Full says whether a connection more would be one too many for the proxy.
func (m *Manager) Full() bool {
	return m != nil && m.config.MaxConnections > 0 && uint64(m.hooks.Connections()) >= m.config.MaxConnections
}
