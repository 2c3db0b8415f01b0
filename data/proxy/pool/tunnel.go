package pool

import (
	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/tcp"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// tunnel is a CONNECT to an upstream in the form of a connection (tunneling_config). It implements loop.Conn.
//
//	asking → (open → closed | closed)
type tunnel struct {
	w      *Worker
	host   *upstream.Host
	ticket Ticket
	head   codec.Head
	stream Stream // used for another exchange as soon as this one is complete; see live
	origin *loop.Origin
	done   func(loop.Conn, *tcp.Failure) // nil: answered, or given up

	handler loop.Handler
	kept    []byte // what the handler has not taken
	paused  bool
	ended   bool // the peer's end has come
	told    bool // and the handler knows
	sent    bool // our end is on its way
	closed  bool
	due     bool
}

// dig asks a host for a tunnel to a destination; done is called once, later. cancel gives up.
func (w *Worker) dig(h *upstream.Host, to string, from *loop.Origin, done func(loop.Conn, *tcp.Failure)) (cancel func()) {
	t := &tunnel{w: w, host: h, done: done}
	t.head.Reset()
	t.head.SetMethod([]byte("CONNECT"))
	t.head.SetAuthorityString(to)
	t.head.Upgrade, t.head.Length = true, -1
	stream, refused := w.Acquire(h, Want{Frames: h.Cluster.Config().Speaks == config.SpeaksHTTP2, Client: from}, &t.ticket, (*answered)(t))
	switch {
	case stream != nil:
		(*answered)(t).Ready(stream)
	case refused != codec.NoReason:
		w.Loop.Defer(func() { t.fail(refused, "") })
	}
	return func() {
		t.done = nil
		t.ticket.Leave()
		t.drop()
	}
}

func (t *tunnel) fail(r codec.Reason, detail string) {
	done := t.done
	t.done, t.closed = nil, true
	if done == nil {
		return
	}
	flag := tcp.ConnectFailed
	if r == codec.Overflow {
		flag = "UO"
	} else {
		t.w.Report(t.host, upstream.LocalFailure)
	}
	done(nil, &tcp.Failure{Flag: flag, Reason: detail, Cluster: t.host.Cluster.Config(), Endpoint: t.host.Config()})
}

// drop gives the exchange up.
func (t *tunnel) drop() {
	t.closed, t.kept = true, nil
	if t.stream != nil {
		t.stream.Abort(codec.LocalReset, "")
	}
}

// Origin implements loop.Conn.
func (t *tunnel) Origin() *loop.Origin { return t.origin }

// live says whether the stream is still this tunnel's.
func (t *tunnel) live() bool { return !t.closed && !(t.ended && t.sent) }

// Worker implements loop.Conn.
func (t *tunnel) Worker() *loop.Worker { return t.w.Loop }

// Buffered implements loop.Conn: the stream says only whether it has enough.
func (t *tunnel) Buffered() int {
	if t.live() && t.stream.Full() {
		return t.origin.High() + 1
	}
	return 0
}

// SetHandler implements loop.Conn.
func (t *tunnel) SetHandler(h loop.Handler) {
	t.handler, t.told = h, false
	t.attendLater()
}

// attendLater makes the calls that are due, later in the turn.
func (t *tunnel) attendLater() {
	if !t.due {
		t.due = true
		t.w.Loop.Defer(t.attend)
	}
}

func (t *tunnel) attend() {
	t.due = false
	if !t.closed && !t.paused {
		t.show(nil)
		t.tellEnd()
	}
}

// show gives bytes to the handler, behind those that it has left.
func (t *tunnel) show(p []byte) {
	if len(t.kept) > 0 {
		t.kept = append(t.kept, p...)
		p, t.kept = t.kept, nil
	}
	if t.handler != nil && !t.paused && len(p) > 0 {
		p = p[t.handler.OnData(p):]
	}
	if len(p) > 0 && !t.closed {
		t.kept = append([]byte(nil), p...)
	}
}

func (t *tunnel) tellEnd() {
	if t.ended && !t.told && len(t.kept) == 0 && !t.paused && !t.closed && t.handler != nil {
		t.told = true
		t.handler.OnEOF()
		t.maybeOver()
	}
}

// PauseRead implements loop.Conn.
func (t *tunnel) PauseRead() {
	if !t.paused && !t.closed {
		t.paused = true
		if t.live() {
			t.stream.Pause()
		}
	}
}

// ResumeRead implements loop.Conn.
func (t *tunnel) ResumeRead() {
	if t.paused && !t.closed {
		t.paused = false
		if t.live() {
			t.stream.Resume()
		}
		t.attendLater()
	}
}

// Write implements loop.Conn.
func (t *tunnel) Write(p []byte) {
	if !t.sent && !t.closed && len(p) > 0 {
		t.stream.Body(p, false)
	}
}

// CloseWrite implements loop.Conn.
func (t *tunnel) CloseWrite() {
	if !t.sent && !t.closed {
		t.sent = true
		t.stream.Body(nil, true)
		t.maybeOver()
	}
}

// maybeOver closes when both directions have ended.
func (t *tunnel) maybeOver() {
	if t.sent && t.told {
		t.over(nil)
	}
}

// over tells the handler, once and last.
func (t *tunnel) over(err error) {
	if t.closed {
		return
	}
	t.closed, t.kept = true, nil
	t.w.Loop.Defer(func() {
		if h := t.handler; h != nil {
			t.handler = nil
			h.OnClose(err)
		}
	})
}

// Close implements loop.Conn.
func (t *tunnel) Close() {
	if t.closed {
		return
	}
	if !t.sent {
		t.sent = true
		t.stream.Body(nil, true)
	}
	t.Abort(false)
}

// Abort implements loop.Conn.
func (t *tunnel) Abort(bool) {
	if !t.closed {
		live := t.live()
		t.over(nil)
		if live {
			t.drop()
		}
	}
}

// answered is the tunnel as its exchange sees it.
type answered tunnel

// Ready implements Waiter.
func (a *answered) Ready(s Stream) {
	a.stream, a.origin = s, s.Origin()
	s.Send(&a.head, false, a)
}

// Refused implements Waiter.
func (a *answered) Refused(r codec.Reason, detail string) { (*tunnel)(a).fail(r, detail) }

// Head implements codec.Receiver.
func (a *answered) Head(h *codec.Head, end bool) {
	t := (*tunnel)(a)
	if t.done == nil {
		return
	}
	if h.Status < 200 || h.Status > 299 {
		t.stream.Abort(codec.LocalReset, "")
		t.fail(codec.RemoteReset, "")
		return
	}
	t.w.Report(t.host, upstream.Success)
	t.ended = end
	done := t.done
	t.done = nil
	done(t, nil)
}

// Informational implements codec.Receiver.
func (a *answered) Informational(*codec.Head) {}

// Body implements codec.Receiver.
func (a *answered) Body(p []byte, end bool) {
	t := (*tunnel)(a)
	if t.closed {
		return
	}
	t.ended = t.ended || end
	t.show(p)
	t.tellEnd()
}

// Trailers implements codec.Receiver.
func (a *answered) Trailers(*codec.Fields) { a.Body(nil, true) }

// Writable implements codec.Receiver.
func (a *answered) Writable() {
	if a.handler != nil && !a.closed {
		a.handler.OnWritable()
	}
}

// Abort implements codec.Receiver: the peer has reset the stream, or its connection has ended.
func (a *answered) Abort(reason codec.Reason, detail string) {
	t := (*tunnel)(a)
	if t.done != nil {
		t.fail(reason, detail)
		return
	}
	t.over(unix.ECONNRESET)
}

var (
	_ loop.Conn      = (*tunnel)(nil)
	_ codec.Receiver = (*answered)(nil)
	_ Waiter         = (*answered)(nil)
)
