package trace

import (
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/pool"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// report is a request with spans on its way, and the receiver of its answer.
type report struct {
	q      *queue
	spans  int
	head   codec.Head
	body   []byte
	ticket pool.Ticket
	up     pool.Stream
	limit  loop.Timer
	status int  // HTTP's, 0 before there is one
	grpc   byte // gRPC's first digit; 0: not said
	over   bool
}

func (r *report) begin() {
	e, w := r.q.e, r.q.w
	p := e.Provider
	c := w.Cluster(p.Cluster)
	if c == nil {
		w.Shard.Add(e.count.noCluster, uint64(r.spans))
		r.end()
		return
	}
	h := w.Choose(c, upstream.Need{})
	if h == nil {
		r.fail()
		return
	}
	head{p}.write(&r.head, p.Cluster, len(r.body))
	for _, x := range p.Headers {
		r.head.SetString(codec.MakeName(x.Name), x.Value)
	}
	if p.Timeout > 0 {
		r.limit = w.Loop.After(p.Timeout, r.overdue)
	}
	switch conn, refused := w.Acquire(h, pool.Want{Frames: p.GRPC || c.Config().Speaks == config.SpeaksHTTP2}, &r.ticket, r); {
	case conn != nil:
		r.Ready(conn)
	case refused != codec.NoReason:
		r.fail()
	}
}

func (r *report) overdue() {
	r.ticket.Leave()
	if up := r.up; up != nil {
		r.up = nil
		up.Abort(codec.LocalReset, "")
	}
	r.fail()
}

func (r *report) fail() {
	if !r.over {
		r.q.w.Shard.Add(r.q.e.count.failed, uint64(r.spans))
		r.end()
	}
}

// end lets what has come meanwhile follow, after the pause that spans wait for each other.
func (r *report) end() {
	r.over, r.up = true, nil
	r.limit.Stop()
	if q := r.q; q.busy == r {
		if q.busy = nil; q.held > 0 {
			q.alarm.Set(soon)
		}
	}
}

// judge counts what the receiver said.
func (r *report) judge() {
	if r.over {
		return
	}
	good := r.status >= 200 && r.status < 300 || r.q.e.Provider.Zipkin && r.status == 202
	if r.q.e.Provider.GRPC {
		good = r.status == 200 && r.grpc == '0'
	}
	if !good {
		r.fail()
		return
	}
	r.q.w.Shard.Add(r.q.e.count.sent, uint64(r.spans))
	r.end()
}

func (r *report) heard(f *codec.Fields) {
	if v, ok := f.Value(codec.GRPCStatus); ok && len(v) > 0 {
		r.grpc = v[0]
	}
}

// Ready implements pool.Waiter.
func (r *report) Ready(c pool.Stream) {
	r.up = c
	c.Send(&r.head, false, r)
	if r.up != nil {
		c.Body(r.body, true)
	}
}

// Refused implements pool.Waiter.
func (r *report) Refused(codec.Reason, string) { r.fail() }

// Head implements codec.Receiver.
func (r *report) Head(h *codec.Head, end bool) {
	r.status = h.Status
	r.heard(&h.Fields)
	if end {
		r.judge()
	}
}

// Body implements codec.Receiver.
func (r *report) Body(_ []byte, end bool) {
	if end {
		r.judge()
	}
}

// Trailers implements codec.Receiver.
func (r *report) Trailers(t *codec.Fields) {
	r.heard(t)
	r.judge()
}

// Informational implements codec.Receiver.
func (r *report) Informational(*codec.Head) {}

// Abort implements codec.Receiver.
func (r *report) Abort(codec.Reason, string) {
	r.up = nil
	r.fail()
}

// Writable implements codec.Receiver.
func (r *report) Writable() {}
