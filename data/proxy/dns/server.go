// Package dns answers the workload's name queries: names of the mesh from Istio's name table, all others by asking the host's name servers.
//
// In: a name table (NDS) and queries over UDP and TCP. Out: answers. A Server runs goroutines of its own, beside the proxy's workers; its methods are safe for
// concurrent use. What it holds is bounded: questions in flight, connections, and the size of an answer.
package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/xds/nds"
)

const (
	maxForwards    = 512 // questions that wait for the outside
	maxConnections = 128
	idleTimeout    = 10 * time.Second
	// patience is how long after the start questions wait for the first name table: what has not been told yet is not unknown, and a workload that is told so gives up.
	patience = 3 * time.Second
)

// Server is the DNS proxy of one workload.
type Server struct {
	zone     Zone
	upstream *Upstream
	log      *slog.Logger
	lookup   atomic.Pointer[Lookup]
	begun    chan struct{} // closed when the first table has come, or nobody waits for it any more
	begin    func()        // closes it
	forwards chan struct{}
	conns    chan struct{}
	shard    *stats.Shard
	count    counters

	mu      sync.Mutex
	closers []func() error
	leavers []func() error
	open    map[net.Conn]struct{}
	wg      sync.WaitGroup
	ctx     context.Context
	cancel  context.CancelFunc
}

type counters struct{ queries, mesh, forwarded, failed, refused stats.Handle }

// New makes a server without sockets and with an empty table.
func New(zone Zone, upstream *Upstream, registry *stats.Registry, log *slog.Logger) *Server {
	count := func(name string) stats.Handle {
		return registry.Counter(stats.Desc{Name: "heddle_dns_" + name + "_total", Dotted: "dns." + name})
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		zone: zone, upstream: upstream, log: log, shard: registry.NewShard(), open: map[net.Conn]struct{}{}, ctx: ctx, cancel: cancel,
		begun: make(chan struct{}), forwards: make(chan struct{}, maxForwards), conns: make(chan struct{}, maxConnections),
		count: counters{count("queries"), count("mesh_answers"), count("forwarded"), count("upstream_failures"), count("refused")},
	}
	s.lookup.Store(NewLookup(nil, zone))
	s.begin = sync.OnceFunc(func() { close(s.begun) })
	return s
}

// SetTable replaces the names of the mesh.
func (s *Server) SetTable(t nds.Table) {
	s.lookup.Store(NewLookup(t, s.zone))
	s.begin()
}

// Known gives the addresses of a name of the mesh that the proxy itself can dial; ok is false when the outside must be asked.
func (s *Server) Known(name string, v6 bool) (addresses []netip.Addr, ok bool) {
	r := s.lookup.Load().Find(name, v6).dialable()
	return r.Addresses, r.Found
}

// Listen binds an address (HOST:PORT) for UDP and TCP and serves it until Close.
func (s *Server) Listen(address string) (net.Addr, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(s.ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for DNS on %s: %w", address, err)
	}
	pc, err := lc.ListenPacket(s.ctx, "udp", ln.Addr().String())
	if err != nil {
		ln.Close()
		return nil, fmt.Errorf("listen for DNS on %s: %w", address, err)
	}
	s.Serve(ln, pc)
	return ln.Addr(), nil
}

// Serve answers what comes to a pair of sockets, which it takes, until Close or Leave.
func (s *Server) Serve(ln net.Listener, pc net.PacketConn) {
	s.mu.Lock()
	if len(s.closers) == 0 {
		time.AfterFunc(patience, s.begin)
	}
	s.closers = append(s.closers, ln.Close, pc.Close)
	s.leavers = append(s.leavers, ln.Close, func() error { return pc.SetReadDeadline(time.Now()) })
	s.mu.Unlock()
	s.wg.Go(func() { s.serveStreams(ln) })
	s.wg.Go(func() { s.serveDatagrams(pc) })
}

// Leave takes no more questions; those that were taken are answered. Others come to whoever else has the sockets.
func (s *Server) Leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.leavers {
		_ = f() // they are sockets, and somebody else reads from them
	}
}

// Busy is how many questions wait for their answers, and connections for more of them.
func (s *Server) Busy() int { return len(s.forwards) + len(s.conns) }

// Close ends all sockets and waits for the goroutines.
func (s *Server) Close() {
	s.cancel()
	s.mu.Lock()
	for _, f := range s.closers {
		_ = f() // they are sockets, and nobody reads from them any more
	}
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Server) serveDatagrams(pc net.PacketConn) {
	buf := make([]byte, 4096)
	for {
		n, from, err := pc.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			continue // an ICMP error of an earlier answer
		}
		raw := buf[:n]
		if s.told() {
			answer, forward := s.answer(raw, false)
			if !forward {
				if answer != nil {
					pc.WriteTo(answer, from)
				}
				continue
			}
		}
		own := append([]byte(nil), raw...)
		if !s.spawn(func() {
			if answer := s.resolve("udp", own); answer != nil {
				pc.WriteTo(answer, from)
			}
		}) {
			pc.WriteTo(s.refuse(own), from)
		}
	}
}

// told says whether questions can be answered.
func (s *Server) told() bool {
	select {
	case <-s.begun:
		return true
	default:
		return false
	}
}

// resolve answers a raw message when the names are there, if need be by asking the outside; nil for one that deserves no answer.
func (s *Server) resolve(network string, raw []byte) []byte {
	select {
	case <-s.begun:
	case <-s.ctx.Done():
		return nil
	}
	answer, forward := s.answer(raw, network == "tcp")
	if forward {
		answer = s.forward(network, raw)
	}
	return answer
}

// spawn runs a forward if there is room.
func (s *Server) spawn(f func()) bool {
	select {
	case s.forwards <- struct{}{}:
	default:
		return false
	}
	s.wg.Go(func() {
		defer func() { <-s.forwards }()
		f()
	})
	return true
}

func (s *Server) refuse(raw []byte) []byte {
	s.shard.Inc(s.count.refused)
	q, _ := parseQuery(raw)
	return q.fail(dnsmessage.RCodeServerFailure)
}

func (s *Server) serveStreams(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors: let some be closed
			continue
		}
		select {
		case s.conns <- struct{}{}:
		default:
			s.shard.Inc(s.count.refused)
			c.Close()
			continue
		}
		s.mu.Lock()
		s.open[c] = struct{}{}
		s.mu.Unlock()
		s.wg.Go(func() {
			s.serveStream(c)
			c.Close()
			s.mu.Lock()
			delete(s.open, c)
			s.mu.Unlock()
			<-s.conns
		})
	}
}

func (s *Server) serveStream(c net.Conn) {
	buf := make([]byte, 64<<10)
	for s.ctx.Err() == nil {
		c.SetDeadline(time.Now().Add(idleTimeout))
		raw, err := readStream(c, buf)
		if err != nil {
			return
		}
		answer := s.resolve("tcp", raw)
		if answer == nil || writeStream(c, answer) != nil {
			return
		}
	}
}

// answer gives the answer to a raw message, nil for one that deserves none, or says that the outside must be asked.
func (s *Server) answer(raw []byte, stream bool) (answer []byte, forward bool) {
	q, err := parseQuery(raw)
	if err != nil {
		if q.header.Response || len(raw) < 12 {
			return nil, false
		}
		return q.fail(dnsmessage.RCodeFormatError), false
	}
	s.shard.Inc(s.count.queries)
	if q.header.OpCode != 0 {
		return q.fail(dnsmessage.RCodeNotImplemented), false
	}
	limit := q.udpSize
	if stream {
		limit = 64<<10 - 1
	}
	address := q.question.Type == dnsmessage.TypeA || q.question.Type == dnsmessage.TypeAAAA
	lookup, name := s.lookup.Load(), q.question.Name.String()
	if address && q.question.Class == dnsmessage.ClassINET {
		if r := lookup.Find(name, q.question.Type == dnsmessage.TypeAAAA); r.Found {
			s.shard.Inc(s.count.mesh)
			return q.respond(dnsmessage.RCodeSuccess, r, limit), false
		}
	}
	if lookup.ours(name) {
		code := dnsmessage.RCodeNameError
		if lookup.Find(name, false).Found {
			code = dnsmessage.RCodeSuccess // the name exists without records of this type
		}
		return q.respond(code, Result{}, limit), false
	}
	return nil, true
}

func (s *Server) forward(network string, raw []byte) []byte {
	q, err := parseQuery(raw)
	if err != nil {
		return nil
	}
	s.shard.Inc(s.count.forwarded)
	answer, err := s.upstream.Exchange(s.ctx, network, raw, q.question)
	if err != nil {
		s.shard.Inc(s.count.failed)
		s.log.Debug("name not resolved", "error", err)
		return q.respond(dnsmessage.RCodeServerFailure, Result{}, minUDP)
	}
	if network == "udp" && len(answer) > q.udpSize { // it came over TCP; the client asks again over TCP
		return q.truncated()
	}
	return answer
}

func (q *query) truncated() []byte {
	b, err := q.build(dnsmessage.RCodeSuccess, Result{}, true)
	if err != nil {
		return q.fail(dnsmessage.RCodeServerFailure)
	}
	return b
}
