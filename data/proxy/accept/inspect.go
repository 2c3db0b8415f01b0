package accept

import (
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/detect"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/proxyprotocol"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
)

// Hooks is what becomes of connections. All but Admit are called on the connection's worker.
type Hooks struct {
	// Admit may refuse what comes to an address before anything is spent on it; it is closed. nil admits all.
	Admit func(at loop.Address) bool
	// Allow asks the chain's network RBAC; nil allows all. A refused connection is closed.
	Allow func(l *config.Listener, c *config.Chain, o *loop.Origin) bool
	// Serve takes a connection whose transport is ready.
	Serve func(c loop.Conn, l *config.Listener, chain *config.Chain)
	// Refused, if set, is told of a connection that was closed before Serve.
	Refused func(l *config.Listener, o *loop.Origin, why Refusal)
}

// Refusal is why a connection was closed before a chain served it.
type Refusal uint8

// The refusals, with Envoy's response flags.
const (
	NoChain      Refusal = iota // no filter chain matches (NR)
	InspectTime                 // the listener filters' time was up
	InspectEnd                  // the peer ended before it was known what it speaks
	Handshake                   // TLS failed; Origin.Failure says why
	Denied                      // network RBAC
	CircularPath                // meant for the proxy's own listener
	ProxyHeader                 // the PROXY header is missing, broken or of a version that is not taken
)

// visit is a connection on its way to a filter chain. It is the stream's handler meanwhile and consumes nothing.
type visit struct {
	set   *Set
	table *table // pinned: the whole way is of one config
	at    *bound
	conn  loop.Conn
	timer loop.Timer
	seen  int
	proxy bool // a PROXY header is still to come
	tls   bool // the inspector is still to decide
	http  bool
	moved bool
	over  bool
}

// enter begins a connection's way at the listener that accepted it.
func (s *Set) enter(t *table, b *bound, c loop.Conn) {
	v := &visit{set: s, table: t, conn: c}
	v.visit(b)
}

// visit starts the listener filters of b.
func (v *visit) visit(b *bound) {
	v.at, v.seen = b, 0
	o, in := v.conn.Origin(), &b.Inspect
	o.KeepSource, o.SourceMark = in.KeepSource, in.SourceMark
	v.proxy = in.Proxy != nil
	port := o.Original.Port()
	v.tls = in.TLS && !in.NoTLSPorts[port] && o.Transport == ""
	v.http = in.HTTP && !in.NoHTTPPorts[port] && len(o.Protocols) == 0
	if !v.undecided(o) {
		v.decided()
		return
	}
	v.conn.SetHandler(v)
	if in.Timeout > 0 {
		v.timer = v.conn.Worker().After(in.Timeout, v.expired)
	}
}

// undecided: bytes of TLS are not HTTP.
func (v *visit) undecided(o *loop.Origin) bool {
	return v.proxy || v.tls || v.http && o.Transport != loop.TLSBytes
}

// OnData implements loop.Handler. Only a PROXY header is consumed.
func (v *visit) OnData(p []byte) int {
	if v.over || len(p) == v.seen {
		return 0
	}
	v.seen = len(p)
	header := 0
	if v.proxy {
		if header = v.header(p); v.proxy || v.over {
			return 0
		}
		if p = p[header:]; len(p) == 0 && v.undecided(v.conn.Origin()) {
			v.seen = 0
			return header
		}
		v.seen = len(p)
	}
	v.inspect(p)
	return header
}

// inspect looks at what the client itself sent.
func (v *visit) inspect(p []byte) {
	o := v.conn.Origin()
	if v.tls {
		hello, verdict := detect.ClientHello(p)
		switch verdict {
		case detect.Found:
			o.Transport, o.ServerName, o.Protocols = loop.TLSBytes, hello.ServerName, hello.Protocols
		case detect.Other:
			o.Transport = loop.RawBuffer
		}
		v.tls = verdict == detect.More
	}
	if !v.tls && v.http && o.Transport != loop.TLSBytes {
		protocol, verdict := detect.HTTP(p)
		if verdict == detect.Found {
			o.Protocols = []string{protocol}
		}
		v.http = verdict == detect.More
	}
	if !v.undecided(o) {
		v.decided()
	}
}

// header reads the PROXY header, whose length it gives.
func (v *visit) header(p []byte) int {
	in := v.at.Inspect.Proxy
	h, n, verdict := proxyprotocol.Parse(p, in)
	v.at.headers.count(v.conn.Worker(), h.Version, verdict)
	switch verdict {
	case proxyprotocol.More:
		return 0
	case proxyprotocol.Found, proxyprotocol.Absent:
		v.proxy = false
	default:
		v.refuse(ProxyHeader)
		return 0
	}
	if h.From.IsValid() {
		o := v.conn.Origin()
		o.Direct, o.Remote = o.DirectRemote(), loop.TCP(h.From)
		if h.Extensions > 0 && in.Pass != nil {
			o.Extensions = proxyprotocol.Select(nil, p[h.Extensions:n], in.Pass)
		}
		if to := loop.TCP(h.To); to != o.Original {
			o.Original, o.Restored = to, true
			if v.table.loops(v.at, o) {
				v.refuse(CircularPath)
				return 0
			}
		}
	}
	return n
}

// OnEOF implements loop.Handler: what came is all there is, and it may be enough for a chain.
func (v *visit) OnEOF() {
	switch {
	case v.over:
	case v.seen == 0 || v.proxy:
		v.refuse(InspectEnd)
	default:
		v.decided()
	}
}

// OnWritable implements loop.Handler.
func (v *visit) OnWritable() {}

// OnClose implements loop.Handler.
func (v *visit) OnClose(error) {
	v.timer.Stop()
	if !v.over {
		v.over = true
		v.tell(InspectEnd)
	}
}

// expired: a protocol whose server speaks first must not wait for its client.
func (v *visit) expired() {
	waits := v.proxy && (!v.at.Inspect.Proxy.Optional || v.seen > 0) // half a header is nothing to go on with
	if v.at.Inspect.ContinueOnTimeout && !waits {
		v.decided()
	} else {
		v.refuse(InspectTime)
	}
}

func (v *visit) refuse(why Refusal) {
	v.over = true
	v.timer.Stop()
	v.tell(why)
	v.conn.Abort(false)
}

func (v *visit) tell(why Refusal) {
	if f := v.set.hooks.Refused; f != nil {
		f(v.at.Listener, v.conn.Origin(), why)
	}
}

// decided goes on to the listener of the original destination, then to the filter chain.
func (v *visit) decided() {
	v.timer.Stop()
	o := v.conn.Origin()
	if !v.moved {
		v.moved = true
		if to := v.table.handOn(v.at, o); to != v.at {
			v.visit(to)
			return
		}
	}
	o.BufferLimit = v.at.BufferLimit
	if o.Transport == "" {
		o.Transport = loop.RawBuffer // nobody looked: as Envoy
	}
	chain := v.at.choose(o)
	if chain == nil {
		v.refuse(NoChain)
		return
	}
	v.over = true
	if chain.transport == nil {
		v.serve(v.conn, chain)
		return
	}
	h := tls.Handshake{Timeout: chain.TransportTimeout, Gate: v.set.options.Gate}
	tls.Server(v.conn, chain.transport, h, func(c loop.Conn, err error) {
		v.at.shakes.count(v.conn.Worker(), v.conn.Origin().TLS, err)
		if err != nil {
			v.tell(Handshake)
			return
		}
		v.serve(c, chain)
	})
}

func (v *visit) serve(c loop.Conn, chain *Chain) {
	if allow := v.set.hooks.Allow; allow != nil && len(chain.RBAC) > 0 && !allow(v.at.Listener, chain.Chain, c.Origin()) {
		v.tell(Denied)
		c.Close()
		return
	}
	v.set.hooks.Serve(c, v.at.Listener, chain.Chain)
}
