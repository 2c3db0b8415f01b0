package grpcweb

import (
	"encoding/base64"
	"encoding/binary"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// decoder undoes the base64 of a request, which may be cut anywhere, and may be several encodings one after the other.
type decoder struct {
	quad   [4]byte
	n      int // of quad
	out    []byte
	broken bool
}

// Body implements stream.Transform.
func (d *decoder) Body(p []byte, end bool) []byte {
	d.out = d.out[:0]
	for _, c := range p {
		d.quad[d.n] = c
		if d.n++; d.n < 4 {
			continue
		}
		d.n = 0
		var three [3]byte
		k, err := base64.StdEncoding.Decode(three[:], d.quad[:])
		if err != nil {
			d.broken = true
			return nil
		}
		d.out = append(d.out, three[:k]...)
	}
	if end && d.n != 0 {
		d.broken = true
		return nil
	}
	return d.out
}

// Broken implements stream.Fallible, with Envoy's words.
func (d *decoder) Broken() string {
	if d.broken {
		return "Bad gRPC-web request, invalid base64 data."
	}
	return ""
}

// Trailers implements stream.Transform: requests of browsers have none.
func (d *decoder) Trailers(*codec.Fields) []byte { return d.Body(nil, true) }

// Close implements stream.Transform.
func (d *decoder) Close() {}

// headLength is the length of what is in front of a message: a byte of flags, and its length.
const headLength = 5

// encoder puts trailers into the body, and all of it into base64 if the client wants text. Messages are encoded each by itself, so that one that is whole can be read.
type encoder struct {
	text bool
	head [headLength]byte
	seen int    // of head
	left uint32 // of the message
	rest []byte // fewer than three bytes that wait
	out  []byte
}

// Body implements stream.Transform.
func (e *encoder) Body(p []byte, end bool) []byte {
	if !e.text {
		return p
	}
	e.out = e.out[:0]
	for len(p) > 0 {
		n := 0
		if e.seen < headLength {
			n = copy(e.head[e.seen:], p)
			if e.seen += n; e.seen == headLength {
				e.left = binary.BigEndian.Uint32(e.head[1:])
			}
		} else {
			n = int(min(uint64(len(p)), uint64(e.left)))
			e.left -= uint32(n)
		}
		whole := e.seen == headLength && e.left == 0
		e.encode(p[:n], whole)
		if p = p[n:]; whole {
			e.seen = 0
		}
	}
	if end {
		e.encode(nil, true)
	}
	return e.out
}

// encode appends base64; what does not fill three bytes waits, unless it is the end of something.
func (e *encoder) encode(p []byte, end bool) {
	e.rest = append(e.rest, p...)
	n := len(e.rest) / 3 * 3
	if end {
		n = len(e.rest)
	}
	e.out = base64.StdEncoding.AppendEncode(e.out, e.rest[:n])
	e.rest = e.rest[:copy(e.rest, e.rest[n:])]
}

// Trailers implements stream.Transform: they become a message with the highest flag set (gRPC-Web, "Message framing").
func (e *encoder) Trailers(t *codec.Fields) []byte {
	frame := append([]byte{0x80}, 0, 0, 0, 0)
	for i := range t.Slots() {
		name, value, ok := t.At(i)
		if !ok {
			continue
		}
		frame = append(append(append(append(frame, name...), ':'), value...), '\r', '\n')
		t.DelAt(i)
	}
	binary.BigEndian.PutUint32(frame[1:], uint32(len(frame)-headLength))
	if !e.text {
		return frame
	}
	e.out = e.out[:0]
	e.encode(nil, true) // of a message that did not end
	e.encode(frame, true)
	return e.out
}

// Close implements stream.Transform.
func (e *encoder) Close() {}
