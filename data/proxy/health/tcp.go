package health

import (
	"github.com/heddle-mesh/heddle/data/proxy/dial"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/pool"
)

// tcpProbe connects, sends and waits for an answer. A check without an answer to wait for has passed with the connection, which is closed.
type tcpProbe struct {
	s       *session
	attempt *dial.Attempt
	conn    *answering
}

// begin implements probe.
func (p *tcpProbe) begin() {
	if p.conn != nil {
		p.send()
		return
	}
	p.attempt = p.s.c.p.Dialer.Dial(p.s.c.p.Loop, pool.Target(p.s.target, ""), p.connected)
}

func (p *tcpProbe) connected(c loop.Conn, err error) {
	p.attempt = nil
	if err != nil {
		p.s.report(broken, false)
		return
	}
	if len(p.s.c.config.TCP.Receive) == 0 {
		c.SetHandler(&answering{})
		c.Close()
		p.s.report(passed, false)
		return
	}
	p.conn = &answering{p: p, c: c}
	c.SetHandler(p.conn)
	p.send()
}

func (p *tcpProbe) send() {
	if b := p.s.c.config.TCP.Send; len(b) > 0 {
		p.conn.c.Write(b)
	}
}

// cancel implements probe.
func (p *tcpProbe) cancel() {
	if p.attempt != nil {
		p.attempt.Cancel()
		p.attempt = nil
	}
	p.close()
}

func (p *tcpProbe) close() {
	if a := p.conn; a != nil {
		p.conn, a.p = nil, nil
		a.c.Abort(false)
	}
}

// answering is a connection of a check. It implements loop.Handler.
type answering struct {
	p   *tcpProbe // nil: nobody listens any more
	c   loop.Conn
	got []byte
}

// mostGot bounds what an endpoint may send that does not answer.
const mostGot = 64 << 10

// OnData implements loop.Handler.
func (a *answering) OnData(b []byte) int {
	p := a.p
	if p == nil {
		return len(b)
	}
	a.got = append(a.got, b...)
	switch {
	case contains(a.got, p.s.c.config.TCP.Receive):
		a.got = a.got[:0]
		if !p.s.c.config.Reuse {
			p.close()
		}
		p.s.report(passed, false)
	case len(a.got) > mostGot:
		a.got = append(a.got[:0], a.got[len(a.got)-mostGot/2:]...)
	}
	return len(b)
}

// OnEOF implements loop.Handler.
func (a *answering) OnEOF() { a.c.Close() }

// OnWritable implements loop.Handler.
func (a *answering) OnWritable() {}

// OnClose implements loop.Handler: a connection that ends is a failure, also between two checks (as in Envoy).
func (a *answering) OnClose(error) {
	p := a.p
	if p == nil {
		return
	}
	p.conn, a.p = nil, nil
	p.s.lost()
}
