package http1

import (
	"strconv"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// Framing says how the end of a body is told.
type Framing uint8

// The framings.
const (
	NoBody     Framing = iota
	ByLength           // the head has a content-length
	ByChunks           // transfer-encoding: chunked
	UntilClose         // of a response to HTTP/1.0
	Tunnel             // after an upgrade
)

// RequestFraming chooses the framing of a request. end says that there is no body.
func RequestFraming(h *codec.Head, end bool) Framing {
	switch {
	case h.Upgrade:
		return Tunnel
	case end:
		return NoBody
	case h.Has(codec.ContentLength):
		return ByLength
	}
	return ByChunks
}

// ResponseFraming chooses the framing of a response to a request of the method, sent by HTTP/1.minor.
func ResponseFraming(h *codec.Head, end bool, asked codec.Method, minor int) Framing {
	switch {
	case h.Upgrade:
		return Tunnel
	case end || asked == codec.HEAD || h.Status == 204 || h.Status == 304:
		return NoBody
	case h.Has(codec.ContentLength):
		return ByLength
	case minor == 0:
		return UntilClose
	}
	return ByChunks
}

// AppendRequest appends the head of a request.
func AppendRequest(b []byte, h *codec.Head, f Framing) []byte {
	b = append(b, h.Method()...)
	b = append(b, ' ')
	if h.Kind == codec.CONNECT {
		b = append(b, h.Authority()...)
	} else {
		b = append(b, h.Path()...)
	}
	b = append(b, " HTTP/1.1\r\nhost: "...)
	b = append(b, h.Authority()...)
	b = append(b, '\r', '\n')
	b = appendFields(b, &h.Fields)
	switch {
	case f == ByChunks:
		b = append(b, "transfer-encoding: chunked\r\n"...)
	case f == NoBody && expectsBody(h.Kind) && !h.Has(codec.ContentLength):
		b = append(b, "content-length: 0\r\n"...)
	}
	return append(b, '\r', '\n')
}

// expectsBody is false for methods whose requests have no body as a rule, and where content-length: 0 would surprise.
func expectsBody(m codec.Method) bool {
	switch m {
	case codec.GET, codec.HEAD, codec.DELETE, codec.TRACE, codec.CONNECT:
		return false
	}
	return true
}

// Closing says what a response tells of the connection.
type Closing uint8

// What a response may say.
const (
	Silent    Closing = iota // the default of the version holds
	Close                    // connection: close
	StaysOpen                // connection: keep-alive, to an HTTP/1.0 client that asked for it
)

// AppendResponse appends the head of a response to a request of the method, sent by HTTP/1.minor.
func AppendResponse(b []byte, h *codec.Head, f Framing, asked codec.Method, minor int, c Closing) []byte {
	b = append(b, "HTTP/1."...)
	b = append(b, byte('0'+minor), ' ')
	b = strconv.AppendInt(b, int64(h.Status), 10)
	b = append(b, ' ')
	b = append(b, Reason(h.Status)...)
	b = append(b, '\r', '\n')
	b = appendFields(b, &h.Fields)
	switch {
	case f == Tunnel: // what a connection header says of an upgrade is among the fields
	case c == Close:
		b = append(b, "connection: close\r\n"...)
	case c == StaysOpen:
		b = append(b, "connection: keep-alive\r\n"...)
	}
	switch {
	case f == ByChunks:
		b = append(b, "transfer-encoding: chunked\r\n"...)
	case f == NoBody && asked != codec.HEAD && h.Status >= 200 && h.Status != 204 && h.Status != 304 && !h.Has(codec.ContentLength):
		b = append(b, "content-length: 0\r\n"...)
	}
	return append(b, '\r', '\n')
}

// AppendInformational appends a 1xx response.
func AppendInformational(b []byte, h *codec.Head) []byte {
	b = AppendStatusLine(b, h.Status)
	b = appendFields(b, &h.Fields)
	return append(b, '\r', '\n')
}

// AppendChunkSize appends the line before n bytes of a chunk; "\r\n" must follow the bytes.
func AppendChunkSize(b []byte, n int) []byte {
	b = strconv.AppendUint(b, uint64(n), 16)
	return append(b, '\r', '\n')
}

// AppendEnd appends the end of a chunked body with its trailers, nil for none.
func AppendEnd(b []byte, t *codec.Fields) []byte {
	b = append(b, '0', '\r', '\n')
	if t != nil {
		b = appendFields(b, t)
	}
	return append(b, '\r', '\n')
}

// appendFields writes fields that a parser, or configuration, has checked.
func appendFields(b []byte, f *codec.Fields) []byte {
	for i := range f.Slots() {
		name, value, ok := f.At(i)
		if !ok {
			continue
		}
		b = append(b, name...)
		b = append(b, ':', ' ')
		b = append(b, value...)
		b = append(b, '\r', '\n')
	}
	return b
}
