package udp

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// session is one client's datagrams to one endpoint, and the answers.
//
//	begun → over
type session struct {
	p      *port
	course *course
	from   client
	to     Endpoint
	peer   peer    // the client, for answers
	source control // where the client knows us
	counts *clusterCounters
	socket socket
	token  loop.Token
	idle   loop.Alarm
	active loop.Time
	over   bool

	began          loop.Time
	received, sent uint64 // bytes from and to the client
}

// begin opens a session for the client whose datagram stands at a place of the batch.
func (p *port) begin(c *course, from client, at int, to Endpoint) *session {
	in, now := &p.e.in, p.e.w.Now()
	s := &session{p: p, course: c, from: from, to: to, peer: in.peers[at], source: in.controls[at].answering(), counts: c.counters.cluster(c.config.Cluster), active: now, began: now}
	var err error
	if s.socket, err = connect(to.Address, to.Bind, p.e.mark); err == nil {
		if s.token, err = p.e.w.Watch(s.socket, loop.Readable, s); err != nil {
			_ = s.socket.Close() // the failure to watch it counts
		}
	}
	if err != nil {
		p.e.shard.Inc(s.counts.txErrors)
		to.Release()
		return nil
	}
	p.sessions[from] = s
	p.e.shard.Inc(c.counters.total)
	p.e.shard.Inc(c.counters.active)
	s.idle.Init(p.e.w, s.idled)
	s.arm(c.config.IdleTimeout)
	return s
}

func (s *session) arm(d time.Duration) {
	if s.course.config.IdleTimeout > 0 {
		s.idle.Set(d)
	}
}

// idled looks whether the time has passed since the last datagram, so that datagrams need not set a timer.
func (s *session) idled() {
	if left := s.course.config.IdleTimeout - s.p.e.w.Now().Sub(s.active); left > 0 {
		s.arm(left)
		return
	}
	s.p.e.shard.Inc(s.course.counters.idle)
	s.end()
}

// end is the end of the session.
func (s *session) end() {
	if s.over {
		return
	}
	s.over = true
	s.idle.Stop()
	s.p.e.w.Forget(s.token)
	s.log()
	_ = s.socket.Close() // nothing is left to do for a socket that cannot be closed
	if s.p.sessions[s.from] == s {
		delete(s.p.sessions, s.from)
	}
	s.p.e.shard.Dec(s.course.counters.active)
	s.to.Release()
}

// forward sends datagrams of the worker's batch to the endpoint.
func (s *session) forward(first, n int) {
	e, c := s.p.e, s.course.counters
	s.active = e.w.Now()
	bytes := 0
	for i := range n {
		p, _ := e.in.bytes(first + i)
		bytes += len(p)
	}
	e.shard.Add(c.rxDatagrams, uint64(n))
	e.shard.Add(c.rxBytes, uint64(bytes))
	s.received += uint64(bytes)
	sent := s.send(s.socket.fd, first, n, nil, nil)
	e.shard.Add(s.counts.txDatagrams, uint64(sent))
	e.shard.Add(s.counts.txErrors, uint64(n-sent))
}

// send gives datagrams of the worker's batch to a socket; one that the kernel refuses is passed over, as if it were lost on the way.
func (s *session) send(fd, first, n int, to *peer, source *control) (sent int) {
	for done := 0; done < n; {
		k, errno := s.p.e.out.send(fd, &s.p.e.in, first+done, n-done, to, source)
		sent += k
		done += k
		if errno != 0 {
			done++
		}
	}
	return sent
}

// OnReady implements loop.Reactor: the endpoint answers, or cannot be reached.
func (s *session) OnReady(loop.Interest) {
	e := s.p.e
	for range rounds {
		n, errno := e.in.receive(s.socket.fd, s.course.config.FromServers, false)
		if errno != 0 {
			if errno != unix.EAGAIN {
				e.shard.Inc(s.counts.rxErrors)
			}
			return
		}
		s.active = e.w.Now()
		for first := 0; first < n; {
			if _, cut := e.in.bytes(first); cut {
				e.shard.Inc(s.counts.rxDropped)
				first++
				continue
			}
			end, bytes := first, 0
			for ; end < n; end++ {
				p, cut := e.in.bytes(end)
				if cut {
					break
				}
				bytes += len(p)
			}
			s.answer(first, end-first, bytes)
			first = end
		}
		if n < batchSize {
			return
		}
	}
}

// answer sends datagrams of the worker's batch to the client.
func (s *session) answer(first, n, bytes int) {
	e, c := s.p.e, s.course.counters
	e.shard.Add(s.counts.rxDatagrams, uint64(n))
	sent := s.send(s.p.socket.fd, first, n, &s.peer, &s.source)
	e.shard.Add(c.txDatagrams, uint64(sent))
	e.shard.Add(c.txErrors, uint64(n-sent))
	if sent == n {
		e.shard.Add(c.txBytes, uint64(bytes))
		s.sent += uint64(bytes)
	}
}
