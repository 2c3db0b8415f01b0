package dial

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/proxyprotocol"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
)

// DefaultConnectTimeout is Envoy's for clusters that name none.
const DefaultConnectTimeout = 5 * time.Second

// Target is where to connect and how.
type Target struct {
	Addr loop.Address
	// Host is "name:port" when there is no Addr: only an Outside relay can dial it.
	Host string
	// Bind is the source address, zero for the kernel's choice.
	Bind loop.Address
	// Transparent says that Bind is not this machine's address.
	Transparent bool
	// Mark is SO_MARK; 0 takes the dialer's.
	Mark int
	// Keepalive is the idle time before TCP probes, 0 for none; the interval and number of probes are the kernel's when 0.
	Keepalive, KeepaliveInterval time.Duration
	KeepaliveProbes              int
	// ConnectTimeout holds for the connect and the handshake together, as in Envoy; 0 for the default.
	ConnectTimeout time.Duration
	// Proxy is the version of the PROXY header that comes first, 0 for none; From and To are the ends of the client's connection, zero for none.
	Proxy    uint8
	From, To netip.AddrPort
	// BufferLimit is that of the connection's loop.Origin.
	BufferLimit int
	// Extensions of the header, in version 2.
	Extensions []byte
	// TLS is nil for plaintext. SNI and ALPN go before those of the context.
	TLS  *tls.ClientContext
	SNI  string
	ALPN []string
}

// String is the address, or the host's name and port.
func (t *Target) String() string {
	if t.Addr.IsZero() {
		return t.Host
	}
	return t.Addr.String()
}

// Dialer opens connections. It is immutable and shared by all workers; the zero Dialer connects directly.
type Dialer struct {
	// Mark is SO_MARK of every connection, so that capture leaves the proxy's own traffic alone; 0 for none.
	Mark int
	// Outside, if set, relays what lies outside the mesh.
	Outside *Outside
	// Gate bounds the handshakes that compute at once; nil for no bound.
	Gate tls.Gate
}

// Error is a connection that did not come about.
type Error struct {
	// Reason is Envoy's transport failure reason, "" if it gives none.
	Reason string
	// Timeout says that the time was up.
	Timeout bool
	// Target is the address, or the host's name and port.
	Target string
	Err    error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("connect to %s: %v", e.Target, e.Err) }

// Unwrap implements errors.Unwrap.
func (e *Error) Unwrap() error { return e.Err }

// Attempt is a connect that runs.
type Attempt struct {
	w      *loop.Worker
	d      *Dialer
	target Target
	done   func(loop.Conn, error)
	start  loop.Time
	timer  loop.Timer

	sock  loop.Socket
	token loop.Token
	conn  loop.Conn    // adopted, until it is handed out
	shake *tls.Attempt // while TLS is set up
	over  bool
}

// Dial connects and calls done once, later, with a connection whose handler is to be set at once, or with an *Error. See Cancel.
func (d *Dialer) Dial(w *loop.Worker, t Target, done func(loop.Conn, error)) *Attempt {
	a := &Attempt{w: w, d: d, target: t, done: done, start: w.Now()}
	if t.Mark == 0 {
		a.target.Mark = d.Mark
	}
	timeout := t.ConnectTimeout
	if timeout <= 0 {
		timeout = DefaultConnectTimeout
	}
	a.timer = w.After(timeout, func() { a.fail("", context.DeadlineExceeded) })
	to, o := t.Addr, loop.ConnectOptions{Bind: t.Bind, Transparent: t.Transparent, Mark: a.target.Mark, Keepalive: t.Keepalive, KeepaliveInterval: t.KeepaliveInterval, KeepaliveProbes: t.KeepaliveProbes}
	if d.relays(&t) {
		to, o = d.Outside.Relay, loop.ConnectOptions{}
	}
	var err error
	if a.sock, err = w.Connect(to, o); err == nil {
		a.token, err = w.Watch(a.sock, loop.Writable, a)
	}
	if err != nil {
		w.Defer(func() { a.fail("immediate connect error: "+words(err), err) })
	}
	return a
}

// Cancel gives up; done is not called any more.
func (a *Attempt) Cancel() {
	a.done = nil
	a.fail("", errCanceled)
}

var errCanceled = errors.New("canceled")

// OnReady implements loop.Reactor: the connect has ended.
func (a *Attempt) OnReady(loop.Interest) {
	if err := a.sock.Err(); err != nil {
		a.fail("delayed connect error: "+words(err), err)
		return
	}
	local := a.sock.Local()
	sock, token := a.sock, a.token
	a.sock, a.token = nil, 0
	a.conn = a.w.Adopt(sock, token, loop.Origin{Local: local, Remote: a.target.Addr, Original: a.target.Addr, At: a.start, BufferLimit: a.target.BufferLimit})
	if a.d.relays(&a.target) {
		ask(a.conn, a.target.String(), a.related)
		return
	}
	a.connected()
}

// related is the relay's answer.
func (a *Attempt) related(err error) {
	if err != nil {
		a.fail("relay: "+err.Error(), err)
		return
	}
	a.connected()
}

func (a *Attempt) connected() {
	a.conn.Origin().Connected = a.w.Now()
	a.announce()
	if a.target.TLS == nil {
		a.succeed(a.conn)
		return
	}
	h := tls.Handshake{Timeout: time.Hour, Gate: a.d.Gate, SNI: a.target.SNI, ALPN: a.target.ALPN} // the attempt's own timer comes first
	shake := tls.Client(a.conn, a.target.TLS, h, func(c loop.Conn, err error) {
		a.shake = nil
		if err == nil {
			c.Origin().Secured = a.w.Now()
			a.succeed(c)
			return
		}
		reason := ""
		if e := (*tls.Error)(nil); errors.As(err, &e) {
			reason = e.Reason
		}
		a.conn = nil // closed by its handshake
		a.fail(reason, err)
	})
	if !a.over {
		a.shake = &shake
	}
}

// announce tells the upstream who the client is. Where there is none, version 2 says so, and version 1 names this connection itself, as Envoy does.
func (a *Attempt) announce() {
	t := &a.target
	if t.Proxy == 0 {
		return
	}
	from, to := t.From, t.To
	if t.Proxy == 1 && !from.IsValid() {
		from, to = a.conn.Origin().Local.AddrPort, t.Addr.AddrPort
	}
	var header [128]byte
	a.conn.Write(proxyprotocol.Append(header[:0], t.Proxy, from, to, t.Extensions))
}

func (a *Attempt) succeed(c loop.Conn) {
	a.over = true
	a.timer.Stop()
	a.conn = nil
	if a.done != nil {
		a.done(c, nil)
	} else {
		c.Abort(false)
	}
}

func (a *Attempt) fail(reason string, err error) {
	if a.over {
		return
	}
	a.over = true
	a.timer.Stop()
	if a.shake != nil {
		a.shake.Cancel()
		a.conn = nil
	}
	if a.sock != nil {
		a.w.Forget(a.token)
		_ = a.sock.Close() // the failure is told below
	}
	if a.conn != nil {
		a.conn.Abort(false)
	}
	if a.done != nil {
		a.done(nil, &Error{Reason: reason, Timeout: errors.Is(err, context.DeadlineExceeded), Target: a.target.String(), Err: err})
	}
}

// words is the C library's text of an error, as Envoy prints it: "Connection refused".
func words(err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err.Error()
	}
	text := errno.Error() // Go's table is the C library's with a small first letter
	return string(upper(text[0])) + text[1:]
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}
