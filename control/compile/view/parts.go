package view

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/heddle-mesh/heddle/mesh"
)

// Parts are the endpoints of a service, each encoded once for each port of the service: when some change, those of the others are copied. Safe for concurrent use.
type Parts struct {
	endpoints []*mesh.Endpoint
	encoded   *atomic.Uint64 // how many endpoints were encoded since the start

	mu   sync.Mutex
	by   []onPort  // mostly one: no map is as small
	room [1]onPort // for that one
	old  []onPort  // of the endpoints before, until they were looked at; of other ports than those in by
}

// onPort are the endpoints on one port.
type onPort struct {
	port    mesh.Port
	encoded *Encoded
}

// on is what a list has for a port, nil for nothing.
func on(list []onPort, port mesh.Port) *Encoded {
	for i := range list {
		if list[i].port == port {
			return list[i].encoded
		}
	}
	return nil
}

// Encoded are the endpoints of a service on one port, one behind the other. Immutable, but for the room around the bytes.
type Encoded struct {
	endpoints []*mesh.Endpoint
	ends      []uint32 // where in bytes an endpoint ends
	bytes     []byte
	around    []byte // has the bytes in it, with room before and behind them
	before    int    // how much room is before them
	taken     atomic.Bool
}

// behind is the room behind the bytes: for the weight and the priority of a locality.
const behind = 24

// Of are the bytes of an endpoint by its place in the list; none where the endpoint does not have the port.
func (e *Encoded) Of(i int) []byte { return e.Between(i, i) }

// Between are the bytes of the endpoints from the first to the last, both included.
func (e *Encoded) Between(first, last int) []byte {
	start := uint32(0)
	if first > 0 {
		start = e.ends[first-1]
	}
	return e.bytes[start:e.ends[last]]
}

// Whole says whether the endpoints from the first to the last are all that there are.
func (e *Encoded) Whole(first, last int) bool { return first == 0 && last == len(e.ends)-1 }

// Within are the bytes of all endpoints with others before and after them. The first that asks, and needs no more than the room that is there, is given them without a copy.
func (e *Encoded) Within(before, after []byte) []byte {
	start, end := e.before-len(before), e.before+len(e.bytes)+len(after)
	if start < 0 || end > len(e.around) || !e.taken.CompareAndSwap(false, true) {
		return slices.Concat(before, e.bytes, after)
	}
	copy(e.around[start:], before)
	copy(e.around[e.before+len(e.bytes):], after)
	return e.around[start:end:end]
}

// next are the parts of a service whose endpoints changed. What was encoded for a port that the service does not have any more is let go of.
func (p *Parts) next(endpoints []*mesh.Endpoint, ports []mesh.Port, encoded *atomic.Uint64) *Parts {
	out := &Parts{endpoints: endpoints, encoded: encoded}
	if p == nil {
		return out
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	out.old = slices.DeleteFunc(slices.Concat(p.by, p.old), func(x onPort) bool { return !slices.Contains(ports, x.port) })
	p.old = nil
	return out
}

// Encode appends the bytes of an endpoint on a port, which depend on nothing else.
type Encode func(b []byte, e *mesh.Endpoint, port mesh.Port) []byte

// Work is what endpoints are encoded with.
type Work struct {
	View   *View         // lends room
	Begin  func() Encode // starts a row of endpoints; what comes out must be the same for every call
	Before int           // the room that is wanted before the bytes
}

// On are the endpoints on a port of the service.
func (p *Parts) On(port mesh.Port, w Work) *Encoded {
	if p == nil {
		return &Encoded{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := on(p.by, port); e != nil {
		return e
	}
	e, count := w.all(p.endpoints, port, on(p.old, port))
	p.encoded.Add(count)
	if p.by == nil {
		p.by = p.room[:0]
	}
	p.by = append(p.by, onPort{port, e})
	p.old = slices.DeleteFunc(p.old, func(x onPort) bool { return x.port == port })
	return e
}

// All are endpoints on a port that nobody keeps: those inside of a cluster.
func (w Work) All(list []*mesh.Endpoint, port mesh.Port) *Encoded {
	e, _ := w.all(list, port, nil)
	return e
}

// all encodes what was not there before, tells how many that were, and copies the rest.
func (w Work) all(list []*mesh.Endpoint, port mesh.Port, before *Encoded) (out *Encoded, count uint64) {
	out = &Encoded{endpoints: list, ends: make([]uint32, 0, len(list)), before: w.Before}
	b, encode := w.room(list, before), w.Begin()
	start, seek := len(b), before.seeker()
	for _, e := range list {
		if was, ok := seek(e); ok {
			b = append(b, was...)
		} else {
			b = encode(b, e, port)
			count++
		}
		out.ends = append(out.ends, uint32(len(b)-start))
	}
	if start == 0 { // now it is known how much room they need
		b = append(make([]byte, w.Before, w.Before+len(b)+behind), b...)
	}
	out.around = append(b, make([]byte, behind)...)
	out.bytes = b[w.Before:len(b):len(b)]
	return out, count
}

// room is where endpoints are encoded: with the room before them where it is known about how many bytes they take, else in room that is lent, from its beginning on.
func (w Work) room(list []*mesh.Endpoint, before *Encoded) []byte {
	if before == nil {
		return w.View.Scratch(64 + 128*len(list))
	}
	return make([]byte, w.Before, w.Before+len(before.bytes)+len(before.bytes)/max(1, len(before.endpoints))+behind+16)
}

// seeker finds the bytes of endpoints that are asked for in about the order of the list.
func (e *Encoded) seeker() func(*mesh.Endpoint) ([]byte, bool) {
	if e == nil {
		return func(*mesh.Endpoint) ([]byte, bool) { return nil, false }
	}
	at := 0 // both lists have the same order, so that the next one is nearly always where the last one was found
	var places map[*mesh.Endpoint]int
	return func(x *mesh.Endpoint) ([]byte, bool) {
		if at >= len(e.endpoints) || e.endpoints[at] != x {
			if places == nil {
				places = make(map[*mesh.Endpoint]int, len(e.endpoints))
				for i, x := range e.endpoints {
					places[x] = i
				}
			}
			i, known := places[x]
			if !known {
				return nil, false
			}
			at = i
		}
		at++
		return e.Of(at - 1), true
	}
}

// Parts are the endpoints of a service in an encoded form. Asking is a read of the endpoints.
func (v *View) Parts(id mesh.ServiceID) (*Parts, []*mesh.Endpoint) {
	endpoints := v.Endpoints(id)
	p, _ := v.s.parts.Get(id)
	return p, endpoints
}
