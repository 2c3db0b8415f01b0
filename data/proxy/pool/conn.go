package pool

import (
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/http1"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// Conn is a pooled HTTP/1.1 connection, or one exchange on it. After Send it is the codec.Stream of the request until the response has ended.
//
//	resting → busy → (resting | closed); resting → closed
type Conn struct {
	pool     *pool
	admitted bool // counted by the breaker
	lc       loop.Conn
	parser   http1.Parser
	receiver codec.Receiver // nil: nobody listens
	head     codec.Head
	trailers codec.Fields

	asked    codec.Method
	switches bool // the request asks for an upgrade
	framing  http1.Framing
	busy     bool
	sent     bool // the request is complete
	began    bool // the response's head was told
	ended    bool // its end was told with the head
	got      bool // the response is complete
	keep     bool // the response lets the connection live
	bad      error
	resting  bool
	expired  bool // max_connection_duration passed
	closed   bool
	served   uint32
	idle     loop.Alarm
	life     loop.Timer
}

// responseLimits are Envoy's defaults for responses.
var responseLimits = http1.Limits{HeadBytes: 60 << 10, Fields: 100}

func newConn(p *pool, lc loop.Conn, admitted bool) *Conn {
	c := &Conn{pool: p, lc: lc, admitted: admitted}
	c.parser.Init(http1.Response, responseLimits, (*inbound)(c))
	c.idle.Init(p.w.Loop, c.idled)
	if d := p.host.Cluster.Config().MaxConnDuration; d > 0 {
		c.life = p.w.Loop.After(d, c.outlived)
	}
	lc.SetHandler(c)
	return c
}

// Host is who is at the other end.
func (c *Conn) Host() *upstream.Host { return c.pool.host }

// Origin is what is known of the connection.
func (c *Conn) Origin() *loop.Origin { return c.lc.Origin() }

// First says whether this is the first request on the connection.
func (c *Conn) First() bool { return c.served == 1 }

// take begins an exchange.
func (c *Conn) take() {
	if c.resting {
		c.resting = false
		c.idle.Stop()
	}
	c.busy, c.sent, c.began, c.ended, c.got, c.keep = true, false, false, false, false, false
	c.served++
	c.pool.host.Begin()
	sh := c.pool.w.Shard
	sh.Inc(c.pool.l.stats.Requests)
	sh.Inc(c.pool.l.stats.RequestsActive)
}

// release ends the accounts of an exchange.
func (c *Conn) release() {
	if !c.busy {
		return
	}
	c.busy = false
	c.receiver = nil
	c.pool.host.End()
	c.pool.host.Cluster.Breaker(int(c.pool.key.level)).Give(upstream.Requests)
	c.pool.w.Shard.Dec(c.pool.l.stats.RequestsActive)
}

// rest puts the connection back.
func (c *Conn) rest() {
	c.resting = true
	c.pool.idle = append(c.pool.idle, c)
	if d := c.pool.idleTimeout(); d > 0 {
		c.idle.Set(d)
	}
}

// Send begins a request; r hears of the response. The rest of the request follows by Body and Trailers unless end is set.
func (c *Conn) Send(h *codec.Head, end bool, r codec.Receiver) {
	c.receiver = r
	c.Head(h, end)
}

// Head implements codec.Stream; see Send.
func (c *Conn) Head(h *codec.Head, end bool) {
	c.asked, c.switches = h.Kind, h.Upgrade
	c.framing = http1.RequestFraming(h, end)
	c.parser.Expect(h.Method())
	w := c.pool.w
	w.scratch = http1.AppendRequest(w.scratch[:0], h, c.framing)
	c.write(w.scratch)
	c.sent = end && c.framing != http1.Tunnel
}

func (c *Conn) write(p []byte) {
	c.pool.w.Shard.Add(c.pool.l.stats.TxBytes, uint64(len(p)))
	c.lc.Write(p)
}

// Informational implements codec.Stream; a request has none.
func (c *Conn) Informational(*codec.Head) {}

// Body implements codec.Stream.
func (c *Conn) Body(p []byte, end bool) {
	if c.sent || c.closed {
		return
	}
	w := c.pool.w
	switch {
	case c.framing == http1.ByChunks && len(p) > 0:
		w.scratch = http1.AppendChunkSize(w.scratch[:0], len(p))
		c.write(w.scratch)
		c.write(p)
		w.scratch = append(w.scratch[:0], '\r', '\n')
		if end {
			w.scratch = http1.AppendEnd(w.scratch, nil)
		}
		c.write(w.scratch)
	case c.framing == http1.ByChunks && end:
		w.scratch = http1.AppendEnd(w.scratch[:0], nil)
		c.write(w.scratch)
	case len(p) > 0:
		c.write(p)
	}
	if end {
		c.end()
	}
}

// Trailers implements codec.Stream. Only a chunked body has room for them.
func (c *Conn) Trailers(t *codec.Fields) {
	if c.sent || c.closed {
		return
	}
	if c.framing == http1.ByChunks {
		w := c.pool.w
		w.scratch = http1.AppendEnd(w.scratch[:0], t)
		c.write(w.scratch)
	}
	c.end()
}

func (c *Conn) end() {
	c.sent = true
	if c.framing == http1.Tunnel {
		c.lc.CloseWrite()
	}
	if c.got {
		c.finish()
	}
}

// Abort implements codec.Stream: the exchange is given up, and the connection with it unless the response is complete.
func (c *Conn) Abort(codec.Reason, string) {
	if !c.busy {
		return
	}
	c.receiver = nil
	if c.sent && (c.ended || c.got) {
		return // the response is complete, or is in the same breath, and the connection lives on
	}
	c.pool.w.Shard.Inc(c.pool.l.stats.TxReset)
	c.release()
	c.parser.Stop()
	c.lc.Abort(false)
}

// Full implements codec.Stream.
func (c *Conn) Full() bool { return loop.Full(c.lc) }

// Pause implements codec.Stream.
func (c *Conn) Pause() { c.lc.PauseRead() }

// Resume implements codec.Stream.
func (c *Conn) Resume() { c.lc.ResumeRead() }

// finish decides what becomes of the connection after a response.
func (c *Conn) finish() {
	if !c.busy {
		return
	}
	complete := c.sent
	c.release()
	limit := c.pool.host.Cluster.Config().MaxRequestsPerConn
	full := limit > 0 && c.served >= limit
	if full {
		c.pool.w.Shard.Inc(c.pool.l.stats.MaxRequests)
	}
	if !complete || !c.keep || full || c.expired || c.closed || c.pool.host.Gone() {
		c.lc.Close()
		return
	}
	c.lc.ResumeRead()
	c.pool.serve(c)
}

// OnData implements loop.Handler.
func (c *Conn) OnData(p []byte) int {
	c.pool.w.Shard.Add(c.pool.l.stats.RxBytes, uint64(len(p)))
	n, err := c.parser.Feed(p)
	if c.closed {
		return len(p)
	}
	if c.bad != nil {
		err = c.bad
	}
	switch {
	case err != nil && c.got && c.busy:
		c.keep = false // more bytes than the response had: whatever they are, they answer nothing
		c.finish()
	case err != nil:
		c.fail(codec.ProtocolError, "")
		return len(p)
	case c.got && c.sent, c.got && c.receiver == nil:
		c.finish()
	}
	return n
}

// fail ends the exchange and the connection.
func (c *Conn) fail(r codec.Reason, detail string) {
	rec := c.receiver
	if c.busy {
		c.pool.w.Shard.Inc(c.pool.l.stats.RxReset)
	}
	c.release()
	c.parser.Stop()
	c.lc.Abort(false)
	if rec != nil {
		rec.Abort(r, detail)
	}
}

// OnEOF implements loop.Handler.
func (c *Conn) OnEOF() {
	if !c.busy {
		c.lc.Close()
		return
	}
	if c.head.Upgrade && !c.got {
		(*inbound)(c).End(nil)
	} else if err := c.parser.EOF(); err != nil || !c.got {
		if c.began {
			c.fail(codec.ProtocolError, "") // a body that ends early
		} else {
			c.fail(codec.ConnectionTermination, "")
		}
		return
	}
	c.keep = false
	if c.sent {
		c.finish()
	}
}

// OnWritable implements loop.Handler.
func (c *Conn) OnWritable() {
	if c.receiver != nil {
		c.receiver.Writable()
	}
}

// OnClose implements loop.Handler.
func (c *Conn) OnClose(error) {
	c.closed = true
	c.idle.Stop()
	c.life.Stop()
	if c.resting {
		c.resting = false
		c.pool.remove(c)
	}
	rec, got := c.receiver, c.got
	if c.busy {
		c.pool.w.Shard.Inc(c.pool.l.stats.RxReset)
	}
	c.release()
	c.pool.closed(c.admitted)
	if rec != nil && !got {
		rec.Abort(codec.ConnectionTermination, c.lc.Origin().Failure)
	}
}

func (c *Conn) idled() {
	if c.resting {
		c.resting = false
		c.pool.remove(c)
		c.lc.Close()
	}
}

func (c *Conn) outlived() {
	c.expired = true
	c.idled()
}

// inbound is the Conn as the parser sees it.
type inbound Conn

// Head implements http1.Sink.
func (i *inbound) Head(h *http1.Head) {
	c := (*Conn)(i)
	if c.receiver == nil {
		return
	}
	if err := h.Response(&c.head, c.asked, c.switches); err != nil {
		c.bad = err
		c.parser.Stop()
		return
	}
	if c.head.Status < 200 && !c.head.Upgrade {
		c.receiver.Informational(&c.head)
		return
	}
	c.keep, c.began = c.head.KeepAlive, true
	if c.head.Upgrade {
		c.keep = false
		c.parser.Tunnel()
		c.receiver.Head(&c.head, false)
		return
	}
	c.ended = h.Bodiless(c.asked)
	c.receiver.Head(&c.head, c.ended)
}

// Body implements http1.Sink.
func (i *inbound) Body(p []byte) int {
	if i.receiver != nil {
		i.receiver.Body(p, false)
	}
	return len(p)
}

// End implements http1.Sink.
func (i *inbound) End(t []http1.Field) {
	c := (*Conn)(i)
	c.got = true
	if c.receiver == nil || c.ended {
		return
	}
	if len(t) > 0 {
		http1.Trailers(&c.trailers, t)
		c.receiver.Trailers(&c.trailers)
		return
	}
	c.receiver.Body(nil, true)
}
