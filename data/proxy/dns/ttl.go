package dns

import (
	"encoding/binary"
	"net"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Lifetime watches what name servers answer to one look-up of a net.Resolver, which does not tell how long its addresses hold. The zero Lifetime has seen nothing. It
// is safe for concurrent use: a resolver asks for several kinds of address at once.
type Lifetime struct {
	mu  sync.Mutex
	ttl time.Duration
}

// TTL is the shortest time that anything answered so far holds; 0 when nothing was answered, or with times of 0 only.
func (l *Lifetime) TTL() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ttl
}

// Watch wraps a connection to a name server for the Dial of a net.Resolver. A datagram socket stays one, for the resolver tells by that which protocol to speak.
func (l *Lifetime) Watch(c net.Conn) net.Conn {
	if u, ok := c.(*net.UDPConn); ok {
		return &watchedPackets{u, l}
	}
	return &watchedStream{Conn: c, l: l}
}

type watchedPackets struct {
	*net.UDPConn
	l *Lifetime
}

// Read implements net.Conn.
func (w *watchedPackets) Read(p []byte) (int, error) {
	n, err := w.UDPConn.Read(p)
	w.l.note(p[:n])
	return n, err
}

// watchedStream gathers messages, each behind its length (RFC 1035 section 4.2.2).
type watchedStream struct {
	net.Conn
	l   *Lifetime
	buf []byte
}

// Read implements net.Conn.
func (w *watchedStream) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.buf = append(w.buf, p[:n]...)
	for len(w.buf) >= 2 {
		size := int(binary.BigEndian.Uint16(w.buf)) + 2
		if len(w.buf) < size {
			break
		}
		w.l.note(w.buf[2:size])
		w.buf = w.buf[size:]
	}
	return n, err
}

// note takes the shortest lifetime of a message's addresses and of the names on the way to them.
func (l *Lifetime) note(message []byte) {
	var p dnsmessage.Parser
	if h, err := p.Start(message); err != nil || !h.Response || h.Truncated || p.SkipAllQuestions() != nil {
		return
	}
	for {
		h, err := p.AnswerHeader()
		if err != nil {
			return
		}
		switch h.Type {
		case dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeCNAME:
			l.shorten(time.Duration(h.TTL) * time.Second)
		}
		if p.SkipAnswer() != nil {
			return
		}
	}
}

func (l *Lifetime) shorten(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d > 0 && (l.ttl == 0 || d < l.ttl) {
		l.ttl = d
	}
}
