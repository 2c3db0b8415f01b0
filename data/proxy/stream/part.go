package stream

import (
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/http2"
)

// part is one exchange of a shared connection: the stream of its response, and the receiver of its request. It lives until the stream's place is free, which may be later
// than the exchange.
type part struct {
	*http2.Stream
	c    *shared
	x    *Exchange // nil when it has finished
	bad  bool      // the request broke the protocol: the codec resets the stream
	free *part
}

func (w *Worker) part() *part {
	p := w.parts
	if p == nil {
		return &part{}
	}
	w.parts, p.free = p.free, nil
	w.freeParts--
	return p
}

func (w *Worker) giveUp(p *part) {
	*p = part{}
	if w.freeParts < maxFree {
		p.free, w.parts = w.parts, p
		w.freeParts++
	}
}

// protocol implements downstream.
func (p *part) protocol() string { return "HTTP/2" }

// connection implements downstream.
func (p *part) connection() uint64 { return p.c.id }

// exchanges implements downstream.
func (p *part) exchanges() uint32 { return p.c.served }

// last implements downstream.
func (p *part) last() { p.c.drain() }

// doubtful implements downstream: frames tell where the next request begins.
func (p *part) doubtful() {}

// finished implements downstream.
func (p *part) finished(complete bool) {
	p.x = nil
	if !complete && !p.bad {
		p.Stream.Abort(codec.LocalReset, "")
	}
}

// receiver is the part as its stream sees it.
type receiver part

// Head implements codec.Receiver; it does not happen.
func (r *receiver) Head(*codec.Head, bool) {}

// Informational implements codec.Receiver; it does not happen.
func (r *receiver) Informational(*codec.Head) {}

// Body implements codec.Receiver.
func (r *receiver) Body(p []byte, end bool) {
	if r.x != nil {
		r.x.body(p, end)
	}
}

// Trailers implements codec.Receiver.
func (r *receiver) Trailers(t *codec.Fields) {
	if r.x != nil {
		r.x.trail(t)
	}
}

// Writable implements codec.Receiver.
func (r *receiver) Writable() {
	if r.x != nil {
		r.x.clientWritable()
	}
}

// Abort implements codec.Receiver.
func (r *receiver) Abort(reason codec.Reason, detail string) {
	x := r.x
	if x == nil {
		return
	}
	r.x = nil
	if reason == codec.ConnectionTermination {
		x.gone()
	} else {
		x.cancelled(detail)
	}
}

var (
	_ downstream     = (*part)(nil)
	_ codec.Receiver = (*receiver)(nil)
)
