package stream

import "github.com/heddle-mesh/heddle/data/proxy/codec"

// downstream is the client's side of one exchange, as its version of HTTP offers it: the codec.Stream of the response, and what the exchange says of the connection.
type downstream interface {
	codec.Stream
	// protocol is the version as access logs write it.
	protocol() string
	// connection is the number of the connection.
	connection() uint64
	// exchanges is how many exchanges the connection has begun, this one included.
	exchanges() uint32
	// last says that the connection is to take no exchange after this one.
	last()
	// doubtful says that the request broke the protocol, so that nobody knows where the next one on a connection without frames begins.
	doubtful()
	// finished ends the exchange; complete says that request and response are whole.
	finished(complete bool)
}

var _ downstream = (*conn)(nil)

// protocol implements downstream.
func (c *conn) protocol() string {
	if c.minor == 0 {
		return "HTTP/1.0"
	}
	return "HTTP/1.1"
}

// connection implements downstream.
func (c *conn) connection() uint64 { return c.id }

// exchanges implements downstream.
func (c *conn) exchanges() uint32 { return c.served }

// last implements downstream.
func (c *conn) last() { c.close = true }

// doubtful implements downstream.
func (c *conn) doubtful() { c.close = true }
