package http2

import (
	"encoding/binary"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

var (
	nameMethod    = []byte(":method")
	nameScheme    = []byte(":scheme")
	nameAuthority = []byte(":authority")
	namePath      = []byte(":path")
	nameProtocol  = []byte(":protocol")
	valueConnect  = []byte("CONNECT")
	valueHTTP     = []byte("http")

	// blankFrame is the place of a frame's header.
	blankFrame [frameHeader]byte
)

func appendBE32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

// appendRequest appends a request's fields. An upgrade of HTTP/1.1 becomes an extended CONNECT (RFC 8441 section 5).
func (c *Conn) appendRequest(b []byte, h *codec.Head, protocol string) []byte {
	e := &c.encoder
	method, connect := h.Method(), h.Kind == codec.CONNECT
	if protocol != "" {
		method = valueConnect
	}
	b = e.Append(b, nameMethod, method, false)
	if !connect {
		scheme := h.Scheme()
		if len(scheme) == 0 {
			scheme = valueHTTP
		}
		b = e.Append(b, nameScheme, scheme, false)
	}
	if a := h.Authority(); len(a) > 0 {
		b = e.Append(b, nameAuthority, a, false)
	}
	if !connect {
		b = e.Append(b, namePath, h.Path(), false)
	}
	if protocol != "" {
		b = e.Append(b, nameProtocol, []byte(protocol), false)
	}
	return c.appendFields(b, &h.Fields)
}

// appendResponse appends a response's fields. The agreement to an upgrade is 200 to who asked by extended CONNECT.
func (c *Conn) appendResponse(b []byte, h *codec.Head, extended bool) []byte {
	status := h.Status
	if extended && status == 101 {
		status = 200
	}
	b = c.encoder.AppendStatus(b, status)
	return c.appendFields(b, &h.Fields)
}

// appendFields appends fields that a parser, or configuration, has checked, without those that concern a connection of HTTP/1.
func (c *Conn) appendFields(b []byte, f *codec.Fields) []byte {
	for i := range f.Slots() {
		name, value, ok := f.At(i)
		if !ok {
			continue
		}
		switch classOf(name) {
		case classConnection, classSettings, classHost:
			continue
		case classTE:
			if string(value) != "trailers" {
				continue
			}
		}
		b = c.encoder.Append(b, name, value, f.Concealed(i))
	}
	return b
}

// writeBlock sends a block, whose first frame's header is still to be filled in.
func (c *Conn) writeBlock(b []byte, id uint32, end bool) {
	f := frame{length: len(b) - frameHeader, kind: kindHeaders, flags: flagEndHeaders, stream: id}
	if end {
		f.flags |= flagEndStream
	}
	if f.length <= c.peer.frame {
		appendFrame(b[:0], f)
		c.write(b, false)
		return
	}
	c.writeLong(b, f)
}

// writeLong sends a block in several frames.
func (c *Conn) writeLong(b []byte, f frame) {
	rest := b[frameHeader:]
	for f.flags &^= flagEndHeaders; len(rest) > 0; f.kind, f.flags = kindContinuation, 0 {
		n := min(len(rest), c.peer.frame)
		f.length = n
		if n == len(rest) {
			f.flags |= flagEndHeaders
		}
		var header [frameHeader]byte
		appendFrame(header[:0], f)
		c.write(header[:], false)
		if !c.dead {
			c.put(rest[:n])
		}
		rest = rest[n:]
	}
	if cap(b) > cap(c.slab.out) && cap(b) <= keepOut {
		c.slab.out = b
	}
}
