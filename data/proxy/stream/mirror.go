package stream

import (
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/pool"
)

const million = 1_000_000

// chooseMirrors decides which of the route's mirrors get a copy: bit i of mirrors stands for mirror i.
func (x *Exchange) chooseMirrors(f *config.Forward) {
	if x.Request.Kind == codec.CONNECT || x.tunnel {
		return
	}
	for i, m := range f.Mirrors {
		if i < 32 && uint32(x.w.Loop.Rand()%million) < m.Share {
			x.mirrors |= 1 << i
		}
	}
}

// mirror sends the copies, when the whole request is here. Nobody waits for the answers.
func (x *Exchange) mirror() {
	need := x.need
	need.Match = nil // the labels are about the route's own cluster
	for i := range x.route.Forward.Mirrors {
		if x.mirrors&(1<<i) == 0 {
			continue
		}
		m := &x.route.Forward.Mirrors[i]
		c := x.w.Pools.Cluster(m.Cluster)
		if c == nil {
			continue
		}
		h := x.w.Pools.Choose(c, need)
		if h == nil {
			continue
		}
		s := &shadow{w: x.w, body: append([]byte(nil), x.kept...)}
		s.head.CopyFrom(&x.Request)
		s.head.SetString(codec.EnvoyInternal, "true")
		if !m.NoSuffix {
			name, port := splitHost(s.head.Authority())
			host := string(name) + "-shadow"
			if port != "" {
				host += ":" + port
			}
			s.head.SetAuthorityString(host)
		}
		if x.deadline > 0 {
			s.limit = x.w.Loop.After(x.deadline, s.overdue)
		}
		switch conn, refused := x.w.Pools.Acquire(h, pool.Want{SNI: x.sni(h), Frames: x.frames(c), Client: x.origin}, &s.ticket, s); {
		case conn != nil:
			s.Ready(conn)
		case refused != codec.NoReason:
			s.limit.Stop()
		}
	}
	x.mirrors = 0
}

// shadow is a copy of a request on its way; its answer is read and forgotten.
type shadow struct {
	w      *Worker
	head   codec.Head
	body   []byte
	ticket pool.Ticket
	up     pool.Stream
	limit  loop.Timer
}

func (s *shadow) overdue() {
	s.ticket.Leave()
	if s.up != nil {
		s.up.Abort(codec.LocalReset, "")
		s.up = nil
	}
}

// Ready implements pool.Waiter.
func (s *shadow) Ready(c pool.Stream) {
	s.up = c
	c.Send(&s.head, len(s.body) == 0, s)
	if len(s.body) > 0 {
		c.Body(s.body, true)
	}
}

// Refused implements pool.Waiter.
func (s *shadow) Refused(codec.Reason, string) { s.limit.Stop() }

// Head implements codec.Receiver.
func (s *shadow) Head(_ *codec.Head, end bool) {
	if end {
		s.done()
	}
}

// Body implements codec.Receiver.
func (s *shadow) Body(_ []byte, end bool) {
	if end {
		s.done()
	}
}

func (s *shadow) done() {
	s.up = nil
	s.limit.Stop()
}

// Informational implements codec.Receiver.
func (s *shadow) Informational(*codec.Head) {}

// Trailers implements codec.Receiver.
func (s *shadow) Trailers(*codec.Fields) { s.done() }

// Abort implements codec.Receiver.
func (s *shadow) Abort(codec.Reason, string) { s.done() }

// Writable implements codec.Receiver.
func (s *shadow) Writable() {}
