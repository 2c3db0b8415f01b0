package http1

import (
	"bytes"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// Kind of a Parser.
type Kind uint8

// The kinds.
const (
	Request Kind = iota
	Response
)

// Limits bound a head and, separately, trailers. Zero fields take Envoy's defaults: 60 KiB and 100 fields.
type Limits struct {
	HeadBytes, Fields int
	Underscores       codec.Underscores // of requests
}

// Error is a message that must not be forwarded. Detail is Envoy's response code detail; Status is what a client is told.
type Error struct {
	Detail string
	Status int
}

// Error satisfies error.
func (e *Error) Error() string { return e.Detail }

// The errors.
var (
	ErrCodec       = &Error{"http1.codec_error", 400}
	ErrUnderscore  = &Error{"http1.unexpected_underscore", 400}
	ErrCharacters  = &Error{"http1.invalid_characters", 400}
	ErrLengths     = &Error{"http1.content_length_and_chunked_not_allowed", 400}
	ErrLength      = &Error{"http1.codec_error", 400}
	ErrHost        = &Error{"http.invalid_authority", 400}
	ErrTarget      = &Error{"http1.invalid_url", 400}
	ErrTransfer    = &Error{"http1.invalid_transfer_encoding", 501}
	ErrVersion     = &Error{"http1.codec_error", 400}
	ErrHeadSize    = &Error{"http1.headers_too_large", 431}
	ErrFieldCount  = &Error{"http1.too_many_headers", 431}
	ErrChunk       = &Error{"http1.codec_error", 400}
	ErrTrailers    = &Error{"http1.trailers_too_large", 431}
	ErrEarlyEnd    = &Error{"http1.codec_error", 400}
	ErrUnsolicited = &Error{"http1.codec_error", 502}
)

// Sink takes the events of one direction.
type Sink interface {
	// Head shows a head; its bytes die with the call. A 1xx head other than 101 is followed by the next head, not by End.
	Head(h *Head)
	// Body shows bytes and returns how many are accepted; fewer than len(p) stop the parser until it is fed again.
	Body(p []byte) int
	// End is the end of a message; trailers die with the call.
	End(trailers []Field)
}

type state uint8

const (
	stHead state = iota
	stLength
	stClose
	stChunkSize
	stChunk
	stChunkEnd
	stTrailers
	stTunnel
	stWait // a message is complete; Next or Expect allows the following one
)

// Parser reads one direction of a connection. Init prepares it.
type Parser struct {
	sink   Sink
	limits Limits
	kind   Kind
	state  state
	// scanned is how far the unconsumed bytes are known to hold no end of the head.
	scanned   int
	blank     int // empty lines before the request line
	remaining int64
	noBody    bool // the coming response answers HEAD
	connect   bool // or CONNECT
	stopped   bool
	head      Head
}

// Init prepares the parser for a connection. A request parser is ready; a response parser waits for Expect.
func (p *Parser) Init(kind Kind, limits Limits, sink Sink) {
	if limits.HeadBytes == 0 {
		limits.HeadBytes = 60 << 10
	}
	if limits.Fields == 0 {
		limits.Fields = 100
	}
	fields, slab := p.head.Fields, p.head.slab
	*p = Parser{kind: kind, limits: limits, sink: sink}
	p.head.Fields, p.head.slab = fields, slab
	if kind == Response {
		p.state = stWait
	}
}

// Next allows the next request to be read.
func (p *Parser) Next() {
	if p.state == stWait && p.kind == Request {
		p.state, p.scanned = stHead, 0
	}
}

// Expect tells a response parser that a request of this method was sent.
func (p *Parser) Expect(method []byte) {
	p.noBody, p.connect = string(method) == "HEAD", string(method) == "CONNECT"
	p.state, p.scanned = stHead, 0
}

// Tunnel makes everything from here on Body: after CONNECT, or an upgrade that was accepted.
func (p *Parser) Tunnel() { p.state = stTunnel }

// Stop makes Feed return as soon as the current call on the sink does.
func (p *Parser) Stop() { p.stopped = true }

// Idle says whether no message has begun. Unconsumed bytes are the caller's to know of.
func (p *Parser) Idle() bool {
	return p.state == stWait || p.state == stHead && p.scanned == 0 && p.blank == 0
}

// Feed reads bytes and returns how many are done with; the rest must be shown again, in front of new ones. After an error the parser is dead.
func (p *Parser) Feed(b []byte) (consumed int, err error) {
	for !p.stopped {
		rest := b[consumed:]
		var n int
		var more bool
		switch p.state {
		case stHead:
			n, more, err = p.feedHead(rest)
		case stWait:
			if p.kind == Response && len(rest) > 0 {
				return consumed, ErrUnsolicited
			}
			return consumed, nil
		case stLength, stChunk:
			n, more = p.feedCounted(rest)
		case stClose, stTunnel:
			if len(rest) == 0 {
				return consumed, nil
			}
			n = p.sink.Body(rest)
			more = n == len(rest)
		case stChunkSize:
			n, more, err = p.feedChunkSize(rest)
		case stChunkEnd:
			n, more, err = p.feedChunkEnd(rest)
		case stTrailers:
			n, more, err = p.feedTrailers(rest)
		}
		consumed += n
		if err != nil || !more {
			return consumed, err
		}
	}
	return consumed, nil
}

// EOF tells the end of the bytes. It ends a body that lasts until then; in the middle of a message it is an error.
func (p *Parser) EOF() error {
	switch {
	case p.state == stClose:
		p.state = stWait
		p.sink.End(nil)
		return nil
	case p.state == stTunnel || p.Idle():
		return nil
	}
	return ErrEarlyEnd
}

func (p *Parser) feedCounted(b []byte) (n int, more bool) {
	if p.remaining > 0 {
		if len(b) == 0 {
			return 0, false
		}
		if int64(len(b)) > p.remaining {
			b = b[:p.remaining]
		}
		n = p.sink.Body(b)
		p.remaining -= int64(n)
		if n < len(b) {
			return n, false
		}
	}
	if p.remaining > 0 {
		return n, true
	}
	if p.state == stChunk {
		p.state = stChunkEnd
		return n, true
	}
	if p.state == stLength { // the sink may have made it a tunnel
		p.finish(nil)
	}
	return n, true
}

// finish ends a message.
func (p *Parser) finish(trailers []Field) {
	p.state = stWait
	p.sink.End(trailers)
}

// maxChunkLine bounds a chunk's size line with its extensions, which are ignored.
const maxChunkLine = 1024

func (p *Parser) feedChunkSize(b []byte) (int, bool, error) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		if len(b) > maxChunkLine {
			return 0, false, ErrChunk
		}
		return 0, false, nil
	}
	if i > maxChunkLine || i == 0 || b[i-1] != '\r' {
		return 0, false, ErrChunk
	}
	size, err := chunkSize(b[:i-1])
	if err != nil {
		return 0, false, err
	}
	p.remaining, p.state = size, stChunk
	if size == 0 {
		p.state, p.scanned = stTrailers, 0
	}
	return i + 1, true, nil
}

// chunkSize reads chunk-size [ chunk-ext ] (RFC 9112 section 7.1).
func chunkSize(line []byte) (n int64, err error) {
	digits := 0
	for ; digits < len(line); digits++ {
		d := hexTable[line[digits]]
		if d < 0 {
			break
		}
		if n >= 1<<58 {
			return 0, ErrChunk
		}
		n = n<<4 | int64(d)
	}
	if digits == 0 {
		return 0, ErrChunk
	}
	ext := line[digits:]
	if len(ext) > 0 && ext[0] != ';' && ext[0] != ' ' && ext[0] != '\t' || !all(ext, &valueTable) {
		return 0, ErrChunk
	}
	if trimmed := bytes.TrimLeft(ext, " \t"); len(ext) > 0 && (len(trimmed) == 0 || trimmed[0] != ';') {
		return 0, ErrChunk
	}
	return n, nil
}

var hexTable = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i := range int8(10) {
		t['0'+i] = i
	}
	for i := range int8(6) {
		t['a'+i], t['A'+i] = 10+i, 10+i
	}
	return t
}()

func (p *Parser) feedChunkEnd(b []byte) (int, bool, error) {
	if len(b) >= 1 && b[0] != '\r' || len(b) >= 2 && b[1] != '\n' {
		return 0, false, ErrChunk
	}
	if len(b) < 2 {
		return 0, false, nil
	}
	p.state = stChunkSize
	return 2, true, nil
}

func (p *Parser) feedTrailers(b []byte) (int, bool, error) {
	end, err := p.block(b, ErrTrailers)
	if end == 0 || err != nil {
		return 0, false, err
	}
	fields, err := p.fields(b[:end], p.head.Fields[:0])
	if err != nil {
		return 0, false, err
	}
	for i := range fields { // fields that frame or route a message have no place in trailers (RFC 9110 section 6.5.1)
		if n := fields[i].Name; Is(n, "content-length") || Is(n, "transfer-encoding") || Is(n, "host") {
			return 0, false, ErrCodec
		}
	}
	p.head.Fields = fields
	if len(fields) == 0 {
		fields = nil
	}
	p.finish(fields)
	return end, true, nil
}

// block finds the empty line that ends a head or trailers and returns the length with it, 0 when it has not come yet.
func (p *Parser) block(b []byte, tooLarge *Error) (int, error) {
	for at := p.scanned; ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			p.scanned = at
			if len(b) > p.limits.HeadBytes {
				return 0, tooLarge
			}
			return 0, nil
		}
		if i == 0 || b[at+i-1] != '\r' {
			return 0, ErrCodec // a bare LF
		}
		if at+i+1 > p.limits.HeadBytes {
			return 0, tooLarge
		}
		if i == 1 {
			return at + 2, nil
		}
		at += i + 1
	}
}
