package http2

import "encoding/binary"

// kind is the type of a frame (RFC 9113 section 6).
type kind uint8

const (
	kindData kind = iota
	kindHeaders
	kindPriority
	kindReset
	kindSettings
	kindPushPromise
	kindPing
	kindGoAway
	kindWindowUpdate
	kindContinuation
)

const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

const (
	preface     = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // RFC 9113 section 3.4
	frameHeader = 9
	maxStreamID = 1<<31 - 1
	maxWindow   = 1<<31 - 1
	// initialWindow, minFrame and maxFrame are those of RFC 9113 section 6.5.2.
	initialWindow = 1<<16 - 1
	minFrame      = 1 << 14
	maxFrame      = 1<<24 - 1
)

// frame is the fixed part of a frame (RFC 9113 section 4.1).
type frame struct {
	length int
	kind   kind
	flags  uint8
	stream uint32
}

func (f frame) has(flag uint8) bool { return f.flags&flag != 0 }

func parseFrame(b []byte) frame {
	_ = b[frameHeader-1]
	return frame{
		length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]), kind: kind(b[3]), flags: b[4],
		stream: binary.BigEndian.Uint32(b[5:]) & maxStreamID,
	}
}

func appendFrame(b []byte, f frame) []byte {
	b = append(b, byte(f.length>>16), byte(f.length>>8), byte(f.length), byte(f.kind), f.flags)
	return binary.BigEndian.AppendUint32(b, f.stream)
}

// payload takes the padding, and of a HEADERS frame the priority, off a frame's payload (RFC 9113 sections 6.1 and 6.2).
func (f frame) payload(p []byte) ([]byte, *Error) {
	pad := 0
	if f.has(flagPadded) {
		if len(p) == 0 {
			return nil, broken(FrameSizeError, "padded frame without a length")
		}
		pad, p = int(p[0]), p[1:]
	}
	if f.has(flagPriority) {
		if len(p) < 5 {
			return nil, broken(FrameSizeError, "priority is cut")
		}
		if binary.BigEndian.Uint32(p)&maxStreamID == f.stream {
			return nil, broken(ProtocolError, "stream depends on itself")
		}
		p = p[5:]
	}
	if pad > len(p) {
		return nil, broken(ProtocolError, "padding is longer than the frame")
	}
	return p[:len(p)-pad], nil
}
