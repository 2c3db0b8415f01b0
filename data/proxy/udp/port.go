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
	mark      int
	in, out   batch
}

// port is a listener's socket on one worker, with its sessions.
type port struct {
	e        *engine
	socket   socket
	token    loop.Token
	config   *config.Datagrams
	counters *counters
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
		n, errno := p.e.in.receive(p.socket.fd, p.config.FromClients, true)
		if errno != 0 {
			if errno != unix.EAGAIN {
				p.e.shard.Inc(p.counters.rxErrors)
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
		if _, cut := in.bytes(first); cut {
			p.e.shard.Inc(p.counters.dropped)
			first++
			continue
		}
		from := client{in.peers[first].address(), in.controls[first].local()}
		end := first + 1
		for ; end < n; end++ {
			if _, cut := in.bytes(end); cut || in.peers[end].address() != from.from || in.controls[end].local() != from.local {
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
	to, verdict := p.e.upstreams.Begin(p.config.Cluster, from.from, p.config.HashSource)
	switch verdict {
	case Begun:
		return p.begin(from, at, to)
	case NoCluster:
		p.e.shard.Inc(p.counters.noRoute)
	case Overflow: // as Envoy counts
		p.e.shard.Inc(p.counters.total)
	}
	return nil
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
