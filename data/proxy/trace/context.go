package trace

import (
	"encoding/hex"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// The headers of W3C's trace context and of B3.
var (
	traceParent = codec.MakeName("traceparent")
	traceState  = codec.MakeName("tracestate")
	b3Single    = codec.MakeName("b3")
	b3Trace     = codec.MakeName("x-b3-traceid")
	b3Span      = codec.MakeName("x-b3-spanid")
	b3Parent    = codec.MakeName("x-b3-parentspanid")
	b3Sampled   = codec.MakeName("x-b3-sampled")
	b3Flags     = codec.MakeName("x-b3-flags")
)

// Context is a span's place in its trace.
type Context struct {
	High, Low    uint64 // of the trace's id; High 0: an id of 64 bits, where the format has such
	Span, Parent uint64 // Parent 0: there is none
	Sampled      bool
	Remote       bool // the parent is another proxy or program
	Debug        bool // B3's flag: everybody samples
	Single       bool // came in B3's single header, and goes on in it
}

// w3c is a traceparent of version 0: 00-TRACE-SPAN-FLAGS.
const w3cSize = 2 + 1 + 32 + 1 + 16 + 1 + 2

// parseW3C reads the caller's context. present tells of a header, ok of one that says something (W3C trace context, section 3.2).
func parseW3C(h *codec.Head) (c Context, present, ok bool) {
	v, present := h.Value(traceParent)
	if !present {
		return c, false, false
	}
	if len(v) != w3cSize || v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return c, true, false
	}
	version, ok0 := number(v[:2])
	high, ok1 := number(v[3:19])
	low, ok2 := number(v[19:35])
	span, ok3 := number(v[36:52])
	flags, ok4 := number(v[53:])
	if !ok0 || !ok1 || !ok2 || !ok3 || !ok4 || version == 0xff || high|low == 0 || span == 0 {
		return c, true, false
	}
	return Context{High: high, Low: low, Span: span, Sampled: flags&1 != 0}, true, true
}

// putW3C tells the next hop of a span. tracestate goes on as it came. scratch is overwritten.
func (c *Context) putW3C(h *codec.Head, scratch []byte) {
	b := append(scratch[:0], "00-                                                 -0 "...)
	putHex(b[3:19], c.High)
	putHex(b[19:35], c.Low)
	b[35] = '-'
	putHex(b[36:52], c.Span)
	b[54] = bit(c.Sampled)
	h.Set(traceParent, b)
}

// number reads lower-case or upper-case hexadecimal digits, 16 at most.
func number(text []byte) (n uint64, ok bool) {
	for _, c := range text {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		case 'A' <= c && c <= 'F':
			n = n<<4 | uint64(c-'A'+10)
		default:
			return 0, false
		}
	}
	return n, len(text) > 0 && len(text) <= 16
}

func putHex(b []byte, n uint64) {
	const digits = "0123456789abcdef"
	for i := range b {
		b[i] = digits[n>>(4*(len(b)-1-i))&15]
	}
}

func bit(yes bool) byte {
	if yes {
		return '1'
	}
	return '0'
}

// appendHex is an id of 16 digits, or of 32 with a high part.
func appendHex(b []byte, high, low uint64) []byte {
	var raw [16]byte
	for i := range 8 {
		raw[i], raw[8+i] = byte(high>>(56-8*i)), byte(low>>(56-8*i))
	}
	if high == 0 {
		return hex.AppendEncode(b, raw[8:])
	}
	return hex.AppendEncode(b, raw[:])
}
