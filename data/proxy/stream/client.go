package stream

import (
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
)

// client is a client's connection as its worker keeps it, whatever it speaks.
type client interface {
	// manager is that of the latest exchange.
	manager() *Manager
	// drain begins the end: no exchange is lost by it.
	drain()
	// leave closes the connection if no exchange uses it and no request is on its way.
	leave()
}

// link is a client's place in the list of its worker.
type link struct {
	client
	prev, next *link
}

func (w *Worker) enlist(l *link, c client) {
	l.client, l.next = c, w.clients
	if w.clients != nil {
		w.clients.prev = l
	}
	w.clients = l
}

func (w *Worker) strike(l *link) {
	if l.prev != nil {
		l.prev.next = l.next
	} else {
		w.clients = l.next
	}
	if l.next != nil {
		l.next.prev = l.prev
	}
	l.prev, l.next = nil, nil
}

// each calls fn for every client, which may leave.
func (w *Worker) each(fn func(client)) {
	for l := w.clients; l != nil; {
		next := l.next
		fn(l.client)
		l = next
	}
}

// Serve takes over a connection whose transport is ready.
func (w *Worker) Serve(m *Manager, c loop.Conn) {
	w.Shard.Inc(m.stats.Connections)
	w.Shard.Inc(m.stats.ConnectionsActive)
	switch speaks(m.Config.Codec, c.Origin()) {
	case config.HTTP2:
		newShared(w, m, c)
	case config.HTTP1:
		newConn(w, m, c, false)
	default:
		newConn(w, m, c, true)
	}
}

// speaks is the version of HTTP that a connection begins with: the only one that is configured, what ALPN agreed on, or what the listener's inspector saw. AutoHTTP is
// still to be seen.
func speaks(codec config.Codec, o *loop.Origin) config.Codec {
	if codec != config.AutoHTTP {
		return codec
	}
	switch o.Application() {
	case "h2", "h2c":
		return config.HTTP2
	case "http/1.1", "http/1.0":
		return config.HTTP1
	}
	return config.AutoHTTP
}

// preface is what a client of HTTP/2 begins with (RFC 9113 section 3.4). No request of HTTP/1 begins so.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
