package stream

import (
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/pool"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// Question is a request of a filter's own while its exchange waits.
type Question struct {
	Cluster string
	Head    codec.Head
	Body    []byte
	Limit   time.Duration // for the whole answer, 0 for none
	Frames  bool          // in HTTP/2, whatever the cluster says
}

// Answer is what came of a Question: all of it, or the reason why there is none.
type Answer struct {
	Failure  string
	Head     codec.Head
	Body     []byte
	Trailers codec.Fields
}

// mostAnswer bounds the body of an answer, in bytes.
const mostAnswer = 1 << 20

// Ask asks a cluster, and calls then with the answer unless the exchange ends before. It never calls it before it returns.
func (x *Exchange) Ask(q *Question, then func(*Answer)) {
	a := &asked{x: x, q: q, then: then}
	x.asking = a
	c := x.w.Pools.Cluster(q.Cluster)
	if c == nil {
		a.fail("cluster_not_found")
		return
	}
	h := x.w.Pools.Choose(c, upstream.Need{})
	if h == nil {
		a.fail("no_healthy_upstream")
		return
	}
	if q.Limit > 0 {
		a.limit = x.w.Loop.After(q.Limit, func() { a.fail("timeout") })
	}
	conn, refused := x.w.Pools.Acquire(h, pool.Want{Frames: q.Frames || c.Config().Speaks == config.SpeaksHTTP2}, &a.ticket, a)
	switch {
	case conn != nil:
		a.Ready(conn)
	case refused != codec.NoReason:
		a.fail("connection_failure")
	}
}

// asked is a question on its way, and the receiver of its answer.
//
//	asking → answered | failed | cancelled; then is called later in the turn, unless it was cancelled
type asked struct {
	x      *Exchange // nil when nobody waits any more
	q      *Question
	then   func(*Answer)
	answer Answer
	ticket pool.Ticket
	up     pool.Stream
	limit  loop.Timer
	done   bool
}

// cancel gives the question up.
func (a *asked) cancel() {
	a.x = nil
	a.drop()
}

func (a *asked) drop() {
	a.done = true
	a.limit.Stop()
	a.ticket.Leave()
	if up := a.up; up != nil {
		a.up = nil
		up.Abort(codec.LocalReset, "")
	}
}

// fail ends without an answer.
func (a *asked) fail(why string) {
	if a.done {
		return
	}
	a.answer.Failure = why
	a.drop()
	a.tell()
}

// end has the whole answer.
func (a *asked) end() {
	if a.done {
		return
	}
	a.done, a.up = true, nil
	a.limit.Stop()
	a.tell()
}

func (a *asked) tell() {
	w := a.x.w
	w.Loop.Defer(func() {
		x := a.x
		if x == nil {
			return
		}
		a.x, x.asking = nil, nil
		a.then(&a.answer)
	})
}

// Ready implements pool.Waiter.
func (a *asked) Ready(c pool.Stream) {
	a.up = c
	c.Send(&a.q.Head, len(a.q.Body) == 0, a)
	if len(a.q.Body) > 0 && a.up != nil {
		c.Body(a.q.Body, true)
	}
}

// Refused implements pool.Waiter.
func (a *asked) Refused(codec.Reason, string) { a.fail("connection_failure") }

// Head implements codec.Receiver.
func (a *asked) Head(h *codec.Head, end bool) {
	a.answer.Head.CopyFrom(h)
	if end {
		a.end()
	}
}

// Body implements codec.Receiver.
func (a *asked) Body(p []byte, end bool) {
	if len(a.answer.Body)+len(p) > mostAnswer {
		a.fail("answer_too_long")
		return
	}
	if a.answer.Body = append(a.answer.Body, p...); end {
		a.end()
	}
}

// Trailers implements codec.Receiver.
func (a *asked) Trailers(t *codec.Fields) {
	a.answer.Trailers.CopyFrom(t)
	a.end()
}

// Abort implements codec.Receiver.
func (a *asked) Abort(codec.Reason, string) {
	a.up = nil
	a.fail("reset")
}

// Informational implements codec.Receiver.
func (a *asked) Informational(*codec.Head) {}

// Writable implements codec.Receiver.
func (a *asked) Writable() {}

// collecting is a filter that waits for the request's body.
type collecting struct {
	most int
	then func(body []byte, whole bool)
}

// Collect calls then with the request's body as soon as it is whole, or longer than most bytes; at once where that is known already, and never when the exchange ends before.
// The body goes on behind the filters as if nobody had looked.
func (x *Exchange) Collect(most int, then func(body []byte, whole bool)) {
	if x.requestDone || len(x.kept) > most {
		then(x.kept, len(x.kept) <= most)
		return
	}
	x.collecting = &collecting{most, then}
}

// collected looks whether the filter has waited long enough.
func (x *Exchange) collected() {
	c := x.collecting
	if c == nil || !x.requestDone && len(x.kept) <= c.most {
		return
	}
	x.collecting = nil
	c.then(x.kept, len(x.kept) <= c.most)
}
