package trace

import (
	"bytes"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// parseB3 reads the caller's context from the single header, or else from the others. found tells whether there is a span; said whether somebody decided on sampling, which
// may be without one.
func parseB3(h *codec.Head) (c Context, found, said bool) {
	if v, ok := h.Value(b3Single); ok {
		return parseSingle(v)
	}
	if v, ok := h.Value(b3Flags); ok && string(v) == "1" {
		c.Debug, c.Sampled, said = true, true, true
	} else if v, ok := h.Value(b3Sampled); ok {
		c.Sampled, said = string(v) == "1" || string(v) == "true", true
	}
	t, ok := h.Value(b3Trace)
	s, ok2 := h.Value(b3Span)
	if !ok || !ok2 || !c.ids(t, s) {
		return Context{Sampled: c.Sampled, Debug: c.Debug}, false, said
	}
	if p, ok := h.Value(b3Parent); ok {
		if c.Parent, ok = number(p); !ok {
			return Context{Sampled: c.Sampled, Debug: c.Debug}, false, said
		}
	}
	return c, true, said
}

// parseSingle reads TRACE-SPAN[-SAMPLED[-PARENT]], or SAMPLED alone.
func parseSingle(v []byte) (c Context, found, said bool) {
	c.Single = true
	decide := func(v []byte) {
		if len(v) == 1 {
			said = v[0] == '0' || v[0] == '1' || v[0] == 'd'
			c.Sampled, c.Debug = v[0] != '0', v[0] == 'd'
		}
	}
	trace, rest, ok := bytes.Cut(v, []byte("-"))
	if !ok {
		decide(v)
		return c, false, said
	}
	span, rest, more := bytes.Cut(rest, []byte("-"))
	if !c.ids(trace, span) {
		return Context{Single: true}, false, false
	}
	if more {
		sampled, parent, also := bytes.Cut(rest, []byte("-"))
		decide(sampled)
		if also {
			c.Parent, _ = number(parent)
		}
	}
	return c, true, said
}

func (c *Context) ids(trace, span []byte) (ok bool) {
	if len(trace) == 32 {
		if c.High, ok = number(trace[:16]); !ok {
			return false
		}
		trace = trace[16:]
	}
	if c.Low, ok = number(trace); !ok {
		return false
	}
	c.Span, ok = number(span)
	return ok && c.Low|c.High != 0 && c.Span != 0
}

// putB3 tells the next hop of a span, in the form that the caller used. scratch is overwritten.
func (c *Context) putB3(h *codec.Head, scratch []byte) {
	if c.Single {
		b := append(appendHex(scratch[:0], c.High, c.Low), '-')
		b = append(appendHex(b, 0, c.Span), '-')
		if c.Debug {
			b = append(b, 'd')
		} else {
			b = append(b, bit(c.Sampled))
		}
		if c.Parent != 0 {
			b = appendHex(append(b, '-'), 0, c.Parent)
		}
		h.Set(b3Single, b)
		return
	}
	h.Set(b3Trace, appendHex(scratch[:0], c.High, c.Low))
	h.Set(b3Span, appendHex(scratch[:0], 0, c.Span))
	if c.Parent != 0 {
		h.Set(b3Parent, appendHex(scratch[:0], 0, c.Parent))
	}
	h.Set(b3Sampled, append(scratch[:0], bit(c.Sampled)))
}
