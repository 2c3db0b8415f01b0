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

	mu  sync.Mutex
	by  []onPort // mostly one: no map is as small
	old []onPort // of the endpoints before, until they were looked at; of other ports than those in by
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

// Encoded are the endpoints of a service on one port, one behind the other. Immutable.
type Encoded struct {
	endpoints []*mesh.Endpoint
	bytes     []byte
	ends      []int // where in bytes an endpoint ends
}

// Of are the bytes of an endpoint by its place in the list; none where the endpoint does not have the port.
func (e *Encoded) Of(i int) []byte {
	start := 0
	if i > 0 {
		start = e.ends[i-1]
	}
	return e.bytes[start:e.ends[i]]
}

// Between are the bytes of the endpoints from the first to the last, both included.
func (e *Encoded) Between(first, last int) []byte {
	start := 0
	if first > 0 {
		start = e.ends[first-1]
	}
	return e.bytes[start:e.ends[last]]
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

// On are the endpoints on a port of the service. begin starts a row of them; what it gives must be the same for every call.
func (p *Parts) On(port mesh.Port, begin func() Encode) *Encoded {
	if p == nil {
		return &Encoded{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := on(p.by, port); e != nil {
		return e
	}
	encode := begin()
	e := encodeAll(p.endpoints, on(p.old, port), func(b []byte, x *mesh.Endpoint) []byte {
		p.encoded.Add(1)
		return encode(b, x, port)
	})
	p.by = append(p.by, onPort{port, e})
	p.old = slices.DeleteFunc(p.old, func(x onPort) bool { return x.port == port })
	return e
}

// EncodeAll are endpoints on a port that nobody keeps: those inside of a cluster.
func EncodeAll(list []*mesh.Endpoint, port mesh.Port, encode Encode) *Encoded {
	return encodeAll(list, nil, func(b []byte, e *mesh.Endpoint) []byte { return encode(b, e, port) })
}

// encodeAll encodes what was not there before and copies the rest.
func encodeAll(list []*mesh.Endpoint, before *Encoded, encode func([]byte, *mesh.Endpoint) []byte) *Encoded {
	out := &Encoded{endpoints: list, ends: make([]int, 0, len(list))}
	if before == nil {
		out.bytes = make([]byte, 0, 192)
		for i, e := range list {
			if i == 1 { // they are all about as long as the first one
				out.bytes = slices.Grow(out.bytes, (len(list)-1)*(len(out.bytes)+1))
			}
			out.bytes = encode(out.bytes, e)
			out.ends = append(out.ends, len(out.bytes))
		}
		return out
	}
	out.bytes = make([]byte, 0, len(before.bytes)+len(before.bytes)/max(1, len(before.endpoints))+16)
	at := 0 // both lists have the same order, so that the next one is nearly always where the last one was found
	var places map[*mesh.Endpoint]int
	for _, e := range list {
		if at >= len(before.endpoints) || before.endpoints[at] != e {
			if places == nil {
				places = make(map[*mesh.Endpoint]int, len(before.endpoints))
				for i, x := range before.endpoints {
					places[x] = i
				}
			}
			i, known := places[e]
			if !known {
				out.bytes = encode(out.bytes, e)
				out.ends = append(out.ends, len(out.bytes))
				continue
			}
			at = i
		}
		out.bytes = append(out.bytes, before.Of(at)...)
		out.ends = append(out.ends, len(out.bytes))
		at++
	}
	return out
}

// Parts are the endpoints of a service in an encoded form. Asking is a read of the endpoints.
func (v *View) Parts(id mesh.ServiceID) (*Parts, []*mesh.Endpoint) {
	endpoints := v.Endpoints(id)
	p, _ := v.s.parts.Get(id)
	return p, endpoints
}
