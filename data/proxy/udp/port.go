package udp

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// rounds is the number of batches that one socket takes in a turn, so that nobody starves.
const rounds = 8

// maxSessions bounds the sessions of one listener on one worker, beside the connections that the cluster's circuit breaker allows.
const maxSessions = 1 << 16

// Upstreams chooses endpoints; package pool implements it.
type Upstreams interface {
	// Begin chooses an endpoint of a cluster for a session from an address, and counts the session until Release.
	Begin(cluster string, from netip.AddrPort, bySource bool) (Endpoint, Verdict)
}

// Verdict is whether a session may begin.
type Verdict uint8

// The verdicts: there is no such cluster, or none of its endpoints may be used, or the circuit breaker is open.
const (
	Begun Verdict = iota
	NoCluster
	NoEndpoint
	Overflow
)

// Endpoint is where a session's datagrams go.
type Endpoint struct {
	Address netip.AddrPort
	Bind    netip.Addr  // source address, invalid for the kernel's choice
	Usable  func() bool // false when the endpoint is gone, or others are better
	Release func()
}

// engine is what a worker needs for all its sockets.
type engine struct {
	w         *loop.Worker
	shard     *stats.Shard
	upstreams Upstreams
	registry  *stats.Registry
	log       func(worker int, e *Ended) // nil for none
	mark      int
	in, out   batch
}

// course is what becomes of datagrams.
type course struct {
	at       netip.AddrPort // where they were sent to; invalid where that is an address of the socket
	config   *config.Datagrams
	counters *counters
}

// port is a listener's socket on one worker, with its sessions.
type port struct {
	e        *engine
	at       string // of the socket
	socket   socket
	token    loop.Token
	course   *course
	captured map[netip.Addr]*course // by the address of ours that they came to; nil unless captured datagrams come here
	sessions map[client]*session
	closed   bool
}

// client is who a session is for: an address, and the address of ours that it knows.
type client struct {
	from  netip.AddrPort
	local netip.Addr
}

// OnReady implements loop.Reactor.
func (p *port) OnReady(loop.Interest) {
	for range rounds {
		n, errno := p.e.in.receive(p.socket.fd, p.course.config.FromClients, true)
		if errno != 0 {
			if errno != unix.EAGAIN {
				p.e.shard.Inc(p.course.counters.rxErrors)
			}
			return
		}
		p.take(n)
		if n < batchSize || p.closed {
			return
		}
	}
}

// take gives the datagrams of a batch to their sessions, those of one client together.
func (p *port) take(n int) {
	in := &p.e.in
	for first := 0; first < n; {
		if p.captured != nil && !in.controls[first].inside() {
			p.e.shard.Inc(p.course.counters.noRoute) // nobody else's datagrams are passed on in this workload's name
			first++
			continue
		}
		from := client{in.peers[first].address(), in.controls[first].local()}
		longest := p.courseOf(from).config.FromClients
		if b, cut := in.bytes(first); cut || len(b) > longest {
			p.e.shard.Inc(p.course.counters.dropped)
			first++
			continue
		}
		end := first + 1
		for ; end < n; end++ {
			if b, cut := in.bytes(end); cut || len(b) > longest || in.peers[end].address() != from.from || in.controls[end].local() != from.local {
				break
			}
		}
		if s := p.session(from, first); s != nil {
			s.forward(first, end-first)
		}
		first = end
	}
}

// session finds the session of a client, or begins one; nil when none may begin, and the datagrams are lost, as datagrams may be.
func (p *port) session(from client, at int) *session {
	s := p.sessions[from]
	if s != nil && !s.to.Usable() {
		s.end()
		s = nil
	}
	if s != nil {
		return s
	}
	if len(p.sessions) >= maxSessions {
		return nil
	}
	c := p.courseOf(from)
	to, verdict := p.e.upstreams.Begin(c.config.Cluster, from.from, c.config.HashSource)
	switch verdict {
	case Begun:
		return p.begin(c, from, at, to)
	case NoCluster:
		p.e.shard.Inc(c.counters.noRoute)
	case Overflow: // as Envoy counts
		p.e.shard.Inc(c.counters.total)
	}
	return nil
}

// courseOf is what becomes of a client's datagrams.
func (p *port) courseOf(from client) *course {
	if c := p.captured[from.local]; c != nil {
		return c
	}
	return p.course
}

// close ends all sessions and the socket. It is called on the worker.
func (p *port) close() {
	if p.closed {
		return
	}
	p.closed = true
	for _, s := range p.sessions {
		s.end()
	}
	p.e.w.Forget(p.token)
	_ = p.socket.Close() // nothing is left to do for a socket that cannot be closed
}
