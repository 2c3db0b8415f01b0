package stream

import (
	"cmp"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// Transform makes another body of a body, piece by piece. What it gives is valid until the next call. It belongs to one exchange.
type Transform interface {
	// Body takes a piece; end says that it is the last.
	Body(p []byte, end bool) []byte
	// Trailers takes the trailers, which are the end, and may change them; what it gives goes before them. Without a field they are left out.
	Trailers(t *codec.Fields) []byte
	// Close releases what it holds; it may come at any time and is the last call.
	Close()
}

// Fallible is a Transform of a request that may find it broken. The text is for the client, "" as long as nothing is wrong.
type Fallible interface{ Broken() string }

// TransformRequest makes the rest of the request's body, and what waits of it, go through t; what waits went through the transforms before it. The filter that asks has
// changed the head. The text says what is wrong with the part that waited, "" for nothing: see Fallible.
func (x *Exchange) TransformRequest(t Transform) (why string) {
	if len(x.kept) > 0 {
		x.kept = append([]byte(nil), t.Body(x.kept, x.requestDone)...)
		x.recount()
		why = broken(t)
	}
	if x.in != nil {
		t = &chain{x.in, t}
	}
	x.in = t
	return why
}

// TransformResponse makes the response's body go through t. The filter that asks has changed the head.
func (x *Exchange) TransformResponse(t Transform) {
	if x.out != nil {
		t = &chain{x.out, t}
	}
	x.out = t
}

// RequestEnded says that nothing of the request's body is to come, or waits; ResponseEnded that the response's head is all of it.
func (x *Exchange) RequestEnded() bool { return x.requestDone && len(x.kept) == 0 }

// ResponseEnded says that nothing follows the response's head.
func (x *Exchange) ResponseEnded() bool { return x.headOnly }

// deliver sends a piece of the response's body to the client.
func (x *Exchange) deliver(p []byte, end bool) {
	x.replied(p)
	if x.out != nil {
		if p = x.out.Body(p, end); len(p) == 0 && !end {
			return
		}
	}
	x.sent += uint64(len(p))
	x.down.Body(p, end)
}

// deliverTrailers ends the response with trailers.
func (x *Exchange) deliverTrailers(t *codec.Fields) {
	if x.out != nil {
		p := x.out.Trailers(t)
		x.sent += uint64(len(p))
		if t.Len() == 0 {
			x.down.Body(p, true)
			return
		}
		if len(p) > 0 {
			x.down.Body(p, false)
		}
	}
	x.down.Trailers(t)
}

// Accepts notes what encodings the client accepts, the first time that it is called; Accepted is what was noted.
func (x *Exchange) Accepts(encodings []byte) {
	if x.accepts == nil {
		x.accepts = append([]byte{}, encodings...)
	}
}

// Accepted is what Accepts noted; ok is false when the client said nothing.
func (x *Exchange) Accepted() (encodings []byte, ok bool) { return x.accepts, x.accepts != nil }

func (x *Exchange) closeTransforms() {
	for _, t := range [2]Transform{x.in, x.out} {
		if t != nil {
			t.Close()
		}
	}
}

// chain is one transform behind another.
type chain struct{ first, second Transform }

// Body implements Transform.
func (c *chain) Body(p []byte, end bool) []byte { return c.second.Body(c.first.Body(p, end), end) }

// Broken implements Fallible.
func (c *chain) Broken() string { return cmp.Or(broken(c.first), broken(c.second)) }

func broken(t Transform) string {
	if f, ok := t.(Fallible); ok {
		return f.Broken()
	}
	return ""
}

// Trailers implements Transform.
func (c *chain) Trailers(t *codec.Fields) []byte {
	p := c.second.Body(c.first.Trailers(t), false)
	return append(append([]byte(nil), p...), c.second.Trailers(t)...)
}

// Close implements Transform.
func (c *chain) Close() {
	c.first.Close()
	c.second.Close()
}
