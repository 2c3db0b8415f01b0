package live

import (
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/xds"
)

// State is where a resource is on its way.
type State uint8

// The states.
const (
	Active State = iota
	Warming
	Refused // only its last refused version is known
)

// Resource is one resource as it was received.
type Resource struct {
	*xds.Resource
	Static  bool
	State   State
	Updated time.Time
	Fault   *Fault // of the newest version, when it was refused
}

// Dump lists what is held of a type, in the order of the names: active, then warming.
func (l *Live) Dump(typeURL string) (out []Resource) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[string]bool{}
	add := func(name string, x *xds.Resource, static bool, state State, at time.Time) {
		if x == nil {
			return
		}
		r := Resource{Resource: x, Static: static, State: state, Updated: at}
		if f, ok := l.faults[xds.Name{TypeURL: typeURL, Name: name}]; ok {
			r.Fault = &f
		}
		seen[name] = true
		out = append(out, r)
	}
	switch typeURL {
	case xds.Listener:
		dumpSlots(l.listeners, add)
	case xds.Cluster:
		dumpSlots(l.clusters, add)
	case xds.Route:
		dumpHeld(l.tables, add)
	case xds.Endpoints:
		dumpHeld(l.assignments, add)
	case xds.Secret:
		dumpHeld(l.secrets, add)
	case xds.VirtualHost:
		for _, route := range sortedKeys(l.hosts) {
			dumpHeld(l.hosts[route], add)
		}
	case xds.NameTable:
		if l.names != nil {
			add("", l.names.res, false, Active, l.names.at)
		}
	}
	for name, f := range l.faults {
		if name.TypeURL == typeURL && !seen[name.Name] {
			out = append(out, Resource{Resource: &xds.Resource{Name: name}, State: Refused, Updated: f.At, Fault: &f})
		}
	}
	return out
}

type adder func(name string, x *xds.Resource, static bool, state State, at time.Time)

func dumpSlots[T any](slots map[string]*slot[T], add adder) {
	for _, name := range sortedKeys(slots) {
		s := slots[name]
		if s.live != nil {
			add(name, s.live.res, s.live.static, Active, s.live.at)
		}
		if s.next != nil {
			add(name, s.next.res, s.next.static, Warming, s.next.at)
		}
	}
}

func dumpHeld[T any](m map[string]*held[T], add adder) {
	for _, name := range sortedKeys(m) {
		if h := m[name]; h.res != nil {
			add(name, h.res, h.static, Active, h.at)
		}
	}
}

// Waiting says what the first configuration still waits for, in words, for operators.
func (l *Live) Waiting() (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.wanted {
		if !l.heard[t] {
			out = append(out, "an answer of the control plane about "+xds.ShortType(t))
		}
	}
	for _, name := range sortedKeys(l.clusters) {
		if s := l.clusters[name]; s.next != nil {
			out = append(out, "cluster "+name+" for its "+clusterLacks)
		}
	}
	for _, name := range sortedKeys(l.listeners) {
		if s := l.listeners[name]; s.next != nil {
			out = append(out, "listener "+name+" for its "+l.lacks(s.next.value))
		}
	}
	return out
}

// clusterLacks is what a cluster may wait for, in words.
const clusterLacks = "endpoints or certificates"

// lacks is what a listener waits for, in words.
func (l *Live) lacks(x *config.Listener) string {
	for _, r := range listenerRoutes(x) {
		switch t := l.tables[r]; {
		case t == nil:
			return "routes " + r
		case t.value != nil && t.value.VHDS && !l.heardHosts[r]:
			return "virtual hosts " + r
		}
	}
	if !l.listenerLacks(x).lacks {
		return "companions" // the first ones go into force together
	}
	return "certificates"
}
