package dial

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// Outside relays connections to what a network namespace cannot reach itself. The protocol on the relay's unix socket is one line,
// "CONNECT host:port\n", answered by "OK\n", behind which the stream follows, or by "ERR text\n".
type Outside struct {
	Relay loop.Address
	// Inside are the prefixes that are dialled directly; loopback and unix sockets always are.
	Inside []netip.Prefix
}

const maxAnswer = 512

func (d *Dialer) relays(t *Target) bool {
	a := t.Addr
	switch {
	case d.Outside == nil:
		return false
	case a.IsZero():
		return t.Host != ""
	case a.IsUnix(), a.Addr().IsLoopback():
		return false
	}
	for _, p := range d.Outside.Inside {
		if p.Contains(a.Addr()) {
			return false
		}
	}
	return true
}

// asking is the handler of a relay's connection until the answer has come.
type asking struct {
	c    loop.Conn
	done func(error)
}

func ask(c loop.Conn, to string, done func(error)) {
	c.SetHandler(&asking{c, done})
	c.Write(fmt.Appendf(nil, "CONNECT %s\n", to))
}

func (a *asking) end(err error) {
	if done := a.done; done != nil {
		a.done = nil
		done(err)
	}
}

// OnData implements loop.Handler.
func (a *asking) OnData(p []byte) int {
	end := bytes.IndexByte(p, '\n')
	switch {
	case a.done == nil:
		return 0
	case end < 0 && len(p) < maxAnswer:
		return 0
	case end >= 0 && string(p[:end]) == "OK":
		a.end(nil)
		return end + 1
	case end >= 0 && bytes.HasPrefix(p, []byte("ERR ")):
		a.end(errors.New(string(bytes.ToValidUTF8(p[4:end], nil))))
	default:
		a.end(errors.New("the relay's answer makes no sense"))
	}
	return len(p)
}

// OnEOF implements loop.Handler.
func (a *asking) OnEOF() { a.end(errors.New("the relay closed the connection")) }

// OnWritable implements loop.Handler.
func (a *asking) OnWritable() {}

// OnClose implements loop.Handler.
func (a *asking) OnClose(err error) {
	if err == nil {
		err = errors.New("the relay closed the connection")
	}
	a.end(err)
}
