package grpcstats

import "github.com/heddle-mesh/heddle/data/proxy/codec"

// asked and replied count the messages of a body, and pass it on.
type (
	asked   call
	replied call
)

// Body implements stream.Transform.
func (a *asked) Body(p []byte, _ bool) []byte {
	before := a.in.Count
	if a.in.Feed(p); a.in.Count > before {
		a.x.Worker().Shard.Add(a.c.requests, a.in.Count-before)
	}
	return p
}

// Trailers implements stream.Transform.
func (*asked) Trailers(*codec.Fields) []byte { return nil }

// Close implements stream.Transform.
func (*asked) Close() {}

// Body implements stream.Transform.
func (r *replied) Body(p []byte, _ bool) []byte {
	if !r.reply {
		return p
	}
	before := r.out.Count
	if r.out.Feed(p); r.out.Count > before {
		r.x.Worker().Shard.Add(r.c.responses, r.out.Count-before)
	}
	return p
}

// Trailers implements stream.Transform: the status is in them.
func (r *replied) Trailers(t *codec.Fields) []byte {
	c := (*call)(r)
	c.status(t.Value(codec.GRPCStatus))
	c.took()
	return nil
}

// Close implements stream.Transform.
func (*replied) Close() {}
