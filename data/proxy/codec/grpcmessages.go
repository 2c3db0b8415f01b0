package codec

import (
	"bytes"
	"encoding/base64"
)

// IsGRPC says whether a content type is that of gRPC, and not of gRPC-Web (gRPC over HTTP/2, Content-Type).
func IsGRPC(contentType []byte) bool {
	rest, ok := bytes.CutPrefix(contentType, []byte("application/grpc"))
	return ok && (len(rest) == 0 || rest[0] == '+' || rest[0] == ';')
}

// GRPCMessages counts the messages of a body of gRPC (gRPC over HTTP/2, Length-Prefixed-Message) or of gRPC-Web, whose trailers are no message, in whatever pieces it comes.
type GRPCMessages struct {
	Count uint64
	Text  bool   // the body is in base64
	skip  uint32 // bytes of the message that are still to come
	size  uint32 // as far as it is known
	head  uint8  // bytes of the prefix that have come
	quads uint8  // bytes of quad that have come
	quad  [4]byte

	trailers bool // what comes is no message
}

// grpcPrefix is a byte of flags and four of length; the flag of trailers is gRPC-Web's.
const (
	grpcPrefix   = 5
	grpcTrailers = 0x80
)

// Feed takes a piece.
func (m *GRPCMessages) Feed(p []byte) {
	if !m.Text {
		m.feed(p)
		return
	}
	for _, c := range p {
		m.quad[m.quads] = c
		if m.quads++; m.quads < 4 {
			continue
		}
		m.quads = 0
		var three [3]byte
		n, _ := base64.StdEncoding.Decode(three[:], m.quad[:]) // of what is broken, nothing is counted
		m.feed(three[:n])
	}
}

func (m *GRPCMessages) feed(p []byte) {
	for len(p) > 0 {
		if m.skip > 0 {
			n := min(int64(m.skip), int64(len(p)))
			m.skip, p = m.skip-uint32(n), p[n:]
			continue
		}
		if m.head == 0 {
			m.trailers = p[0]&grpcTrailers != 0
		} else {
			m.size = m.size<<8 | uint32(p[0])
		}
		if m.head, p = m.head+1, p[1:]; m.head == grpcPrefix {
			if !m.trailers {
				m.Count++
			}
			m.skip, m.size, m.head = m.size, 0, 0
		}
	}
}
