package trace

import (
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Tracer is a connection manager's tracing.
type Tracer struct {
	Config   *config.Tracing
	Exporter *Exporter // nil without a provider
	Egress   bool      // the requests leave the workload
	Node     string    // the proxy's id
	Zone     string    // where it is
}

// Decide says whether a request is traced.
func (t *Tracer) Decide(h *codec.Head, random uint64) bool {
	return Decide(h, Shares{t.Config.Client, t.Config.Random, t.Config.Overall}, random)
}

// Begin gives the context of a request's span, from what the caller told and what was decided. It is false when nothing is to be told to the next hop: without a provider,
// or when the caller's context cannot be read.
func (t *Tracer) Begin(h *codec.Head, traced bool, random func() uint64) (Context, bool) {
	if t.Exporter == nil {
		return Context{}, false
	}
	p := t.Exporter.Provider
	if !p.Zipkin {
		caller, present, ok := parseW3C(h)
		switch {
		case ok:
			return Context{High: caller.High, Low: caller.Low, Span: id(random), Parent: caller.Span, Sampled: caller.Sampled, Remote: true}, true
		case present:
			return Context{}, false
		}
		return Context{High: random(), Low: id(random), Span: id(random), Sampled: traced}, true
	}
	caller, found, said := parseB3(h)
	if !found && !said && p.W3C {
		if w3c, _, ok := parseW3C(h); ok {
			caller, found, said = w3c, true, true
		}
	}
	c := caller
	if !said {
		c.Sampled = traced
	}
	switch {
	case found && !t.Joins():
		c.Parent, c.Span, c.Remote = caller.Span, id(random), true
	case found: // one span, of which both tell
		c.Remote = true
	default:
		c.Span = id(random)
		c.Low = c.Span
		if p.LongIDs {
			c.High = random()
		}
	}
	return c, true
}

// Joins says whether spans have the ids of their callers' spans. As Envoy's they do even where the caller has none.
func (t *Tracer) Joins() bool {
	return !t.Egress && t.Exporter.Provider.Zipkin && t.Exporter.Provider.SharedIDs
}

// Kind is what this proxy is to the request.
func (t *Tracer) Kind() Kind {
	if t.Egress && (t.Exporter.Provider.Zipkin || !t.Config.SpawnUpstream) {
		return Client
	}
	return Server
}

// Child is the context of a try.
func (c *Context) Child(random func() uint64) Context {
	child := *c
	child.Parent, child.Span, child.Remote = c.Span, id(random), false
	return child
}

// Propagate tells the next hop of a context. scratch is overwritten.
func (t *Tracer) Propagate(h *codec.Head, c *Context, scratch []byte) {
	p := t.Exporter.Provider
	if t.Config.NoContext {
		return
	}
	if p.Zipkin {
		c.putB3(h, scratch)
	}
	if !p.Zipkin || p.W3C {
		c.putW3C(h, scratch)
	}
}

// State is the caller's tracestate.
func State(h *codec.Head) string {
	v, _ := h.Value(traceState)
	return string(v)
}

// ClientID is the id that a client gave its request.
func ClientID(h *codec.Head) ([]byte, bool) { return h.Value(clientTrace) }

// id is a random number that is not 0.
func id(random func() uint64) uint64 {
	for {
		if n := random(); n != 0 {
			return n
		}
	}
}
