package http2

import "github.com/heddle-mesh/heddle/data/proxy/codec"

// away is how far the end of the connection has come.
//
//	open → announced → final, by us; and told by the peer
type away struct {
	announced bool // we take no more for long
	final     bool // we take nothing behind last
	last      uint32
	told      bool
	pingID    uint64 // whose answer makes the announcement final
}

// limit is the last stream of the peer that a GOAWAY may name: never one behind an earlier one (RFC 9113 section 6.8).
func (a *away) limit(last uint32) uint32 {
	if a.final {
		return min(a.last, last)
	}
	return last
}

// Open makes room for a request of a client, whose head must be sent at once; r hears of the response. It gives nil when there is none: see Available.
func (c *Conn) Open(r codec.Receiver) *Stream {
	if c.Available() <= 0 {
		return nil
	}
	s := c.slab.stream()
	s.c, s.receiver = c, r
	c.opened++
	return s
}

// Available is how many more requests a client may send now.
func (c *Conn) Available() int {
	if c.dead || c.role == Server || c.GoingAway() || c.lastOwn >= maxStreamID-1 {
		return 0
	}
	return max(int(c.peer.streams)-c.Active(), 0)
}

// Greeted says whether the peer's settings are here. Until then a client does not know whether the server takes upgrades.
func (c *Conn) Greeted() bool { return c.state > stateSettings }

// Upgrades says whether a client may send upgrades (SETTINGS_ENABLE_CONNECT_PROTOCOL of RFC 8441).
func (c *Conn) Upgrades() bool { return c.peer.connect }

// GoingAway says that the connection takes no new streams, or not for long.
func (c *Conn) GoingAway() bool { return c.away.told || c.away.announced || c.away.final }

// Drained says that the connection takes no new streams and has none: it can be closed.
func (c *Conn) Drained() bool {
	return c.Active() == 0 && (c.away.final || c.away.told || c.role == Client && c.away.announced)
}

// Shutdown begins a graceful end. A server announces it first, and takes the requests that were on their way: the answer to a PING tells that none are, then Finish is
// called (RFC 9113 section 6.8). The owner calls Finish itself when that takes too long.
func (c *Conn) Shutdown() {
	if c.away.announced || c.away.final || c.dead {
		return
	}
	if c.role == Client {
		c.Finish()
		return
	}
	c.away.announced = true
	c.sendGoAway(maxStreamID, NoError, "")
	c.away.pingID = c.sendPing()
}

// Finish makes the end final: streams that the peer opens from here on are not looked at, and it knows that it may send them elsewhere.
func (c *Conn) Finish() {
	if c.away.final || c.dead {
		return
	}
	c.away.final, c.away.last = true, c.lastPeer
	c.sendGoAway(c.lastPeer, NoError, "")
}

func (c *Conn) sendGoAway(last uint32, code Code, detail string) {
	b := appendFrame(c.slab.out[:0], frame{length: 8 + len(detail), kind: kindGoAway})
	b = appendBE32(appendBE32(b, last), uint32(code))
	c.write(append(b, detail...), true)
}

// goAway hears that the peer takes no more streams; those behind the last one that it looked at can be sent again elsewhere.
func (c *Conn) goAway(f frame, p []byte) *Error {
	switch {
	case f.stream != 0:
		return broken(ProtocolError, "GOAWAY of a stream")
	case len(p) < 8:
		return broken(FrameSizeError, "GOAWAY is cut")
	}
	c.away.told = true
	if c.role == Server {
		return nil
	}
	last := be32(p) & maxStreamID
	for {
		s := c.behind(last)
		if s == nil {
			return nil
		}
		s.refused, s.code = true, RefusedStream
		s.abort(codec.RemoteReset, "http2.remote_refuse")
	}
}

// behind is an open stream with a higher number.
func (c *Conn) behind(last uint32) (found *Stream) {
	if c.lastOwn > last {
		c.streams.each(func(s *Stream) {
			if s.id > last {
				found = s
			}
		})
	}
	return found
}

// pings are our own that wait for an answer.
type pings struct{ sent, answered uint64 }

// Ping asks the peer for a sign of life; Unanswered tells whether it came.
func (c *Conn) Ping() { c.sendPing() }

// Unanswered is how many pings wait for their answers.
func (c *Conn) Unanswered() int { return int(c.pings.sent - c.pings.answered) }

func (c *Conn) sendPing() uint64 {
	c.pings.sent++
	b := appendFrame(c.slab.out[:0], frame{length: 8, kind: kindPing})
	c.write(appendBE32(appendBE32(b, uint32(c.pings.sent>>32)), uint32(c.pings.sent)), true)
	return c.pings.sent
}

// ping answers, or hears an answer. Answers come in order; those that we did not ask for mean nothing.
func (c *Conn) ping(f frame, p []byte) *Error {
	switch {
	case f.stream != 0:
		return broken(ProtocolError, "PING of a stream")
	case len(p) != 8:
		return broken(FrameSizeError, "PING of a wrong size")
	case !f.has(flagAck):
		c.flood.Pings++
		b := appendFrame(c.slab.out[:0], frame{length: 8, kind: kindPing, flags: flagAck})
		c.write(append(b, p...), true)
		return nil
	}
	id := uint64(be32(p))<<32 | uint64(be32(p[4:]))
	if id > c.pings.sent || id <= c.pings.answered {
		return nil
	}
	c.pings.answered = id
	if a := &c.away; a.announced && !a.final && id >= a.pingID {
		c.Finish()
	}
	return nil
}
