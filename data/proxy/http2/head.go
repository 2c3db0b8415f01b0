package http2

import (
	"bytes"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/hpack"
)

// section is which part of a message a block is.
type section uint8

const (
	sectionNone section = iota // nobody wants it, but compression must stay in step
	sectionRequest
	sectionResponse
	sectionTrailers
)

// Pseudo-fields (RFC 9113 section 8.3), as bits.
const (
	pseudoMethod = 1 << iota
	pseudoScheme
	pseudoAuthority
	pseudoPath
	pseudoProtocol
	pseudoStatus
)

// head collects a block's fields, checks them (RFC 9113 sections 8.2 and 8.3) and turns them into a codec.Head. It is the hpack.Sink of a block.
type head struct {
	codec.Head
	section   section
	maxBytes  int
	maxFields int
	bytes     int // as SETTINGS_MAX_HEADER_LIST_SIZE counts
	count     int
	pseudo    uint8
	regular   bool // a regular field has been seen
	hasHost   bool
	host      []byte
	protocol  []byte
	cookie    []byte
	crumbs    bool
	odd       codec.Underscores
	private   bool // a crumb must not be put into a table
	err       *Error
}

// begin prepares a fresh head for a block.
func (h *head) begin(s section, l *Limits) {
	h.section, h.maxBytes, h.maxFields, h.odd = s, l.HeadBytes, l.Fields, l.Underscores
	h.Minor, h.KeepAlive = 1, true
}

func (h *head) reset() {
	h.Head.Reset()
	h.host, h.protocol, h.cookie = h.host[:0], h.protocol[:0], h.cookie[:0]
	h.section, h.bytes, h.count, h.pseudo, h.regular, h.hasHost, h.crumbs, h.err = sectionNone, 0, 0, 0, false, false, false, nil
}

func (h *head) fail(err *Error) {
	if h.err == nil {
		h.err = err
	}
}

// Field implements hpack.Sink. Behind the first mistake fields are only counted.
func (h *head) Field(name, value []byte, never bool) {
	if h.section == sectionNone || h.err != nil {
		return
	}
	if h.bytes += hpack.Size(name, value); h.bytes > h.maxBytes {
		h.fail(ErrHeadSize)
		return
	}
	if len(name) > 0 && name[0] == ':' {
		h.pseudoField(name, value)
		return
	}
	h.regular = true
	if len(name) == 0 || !all(name, &nameTable) || !fieldValue(value) {
		h.fail(ErrField)
		return
	}
	if h.odd != codec.AllowUnderscores && bytes.IndexByte(name, '_') >= 0 {
		if h.odd == codec.RejectUnderscores {
			h.fail(ErrUnderscore)
		}
		return
	}
	if h.special(name, value, never) {
		return
	}
	if h.count++; h.count > h.maxFields {
		h.fail(ErrHeadCount)
		return
	}
	h.AddRaw(name, value)
	if never {
		h.Conceal(h.Slots() - 1)
	}
}

// special handles fields that do not simply go on, and says whether it was one.
func (h *head) special(name, value []byte, never bool) bool {
	class := classOf(name)
	switch class {
	case classConnection:
		h.fail(ErrMessage) // RFC 9113 section 8.2.2
		return true
	case classTE:
		if string(value) != "trailers" || h.section != sectionRequest {
			h.fail(ErrMessage)
			return true
		}
		return false
	case classSettings:
		return true
	}
	if h.section == sectionTrailers {
		return class != classPlain || forbiddenTrailer(name)
	}
	switch class {
	case classHost:
		if h.section == sectionRequest {
			if h.hasHost {
				h.fail(ErrMessage)
			}
			h.hasHost, h.host = true, append(h.host[:0], value...)
		}
		return true
	case classCookie:
		if h.section == sectionRequest { // RFC 9113 section 8.2.3
			// An empty piece adds nothing: a value that ends with a space is none in HTTP/1.1.
			if len(h.cookie) > 0 && len(value) > 0 {
				h.cookie = append(h.cookie, "; "...)
			}
			h.crumbs, h.cookie = true, append(h.cookie, value...)
			h.private = h.private || never
			return true
		}
	case classLength:
		n, ok := number(value)
		if !ok || h.Length >= 0 {
			h.fail(ErrMessage)
		}
		h.Length = n
	}
	return false
}

// pseudoField handles a field whose name begins with a colon.
func (h *head) pseudoField(name, value []byte) {
	bit := pseudoOf(name)
	allowed := uint8(0)
	switch h.section {
	case sectionRequest:
		allowed = pseudoMethod | pseudoScheme | pseudoAuthority | pseudoPath | pseudoProtocol
	case sectionResponse:
		allowed = pseudoStatus
	}
	if bit&allowed == 0 || h.pseudo&bit != 0 || h.regular {
		h.fail(ErrMessage)
		return
	}
	h.pseudo |= bit
	if h.count++; h.count > h.maxFields { // as Envoy counts, and so that the same request in HTTP/1.1 has no more fields than that
		h.fail(ErrHeadCount)
		return
	}
	ok := true
	switch bit {
	case pseudoMethod:
		ok = len(value) > 0 && all(value, &tokenTable)
		h.SetMethod(value)
	case pseudoScheme:
		ok = h.scheme(value)
	case pseudoAuthority:
		ok = !codec.StrangeHost(value)
		h.SetAuthority(value)
	case pseudoPath:
		ok = len(value) > 0 && all(value, &pathTable)
		h.SetPath(value)
	case pseudoProtocol:
		ok = len(value) > 0 && all(value, &tokenTable)
		h.protocol = append(h.protocol[:0], value...)
	case pseudoStatus:
		ok = h.status(value)
	}
	if !ok {
		h.fail(ErrField)
	}
}

func pseudoOf(name []byte) uint8 {
	switch string(name) {
	case ":method":
		return pseudoMethod
	case ":scheme":
		return pseudoScheme
	case ":authority":
		return pseudoAuthority
	case ":path":
		return pseudoPath
	case ":protocol":
		return pseudoProtocol
	case ":status":
		return pseudoStatus
	}
	return 0
}

// scheme takes the two schemes that a request can be sent on by.
func (h *head) scheme(v []byte) bool {
	switch {
	case lowerIs(v, "http"):
		h.SetScheme("http")
	case lowerIs(v, "https"):
		h.SetScheme("https")
	default:
		return false
	}
	return true
}

func (h *head) status(v []byte) bool {
	if len(v) != 3 {
		return false
	}
	for _, c := range v {
		if c < '0' || c > '9' {
			return false
		}
		h.Status = h.Status*10 + int(c-'0')
	}
	return h.Status >= 100
}

// request completes a request's head; end says that the stream has ended with it. extended allows RFC 8441.
func (h *head) request(end, extended bool) {
	switch {
	case h.err != nil:
		return
	case h.Kind == codec.CONNECT && h.pseudo&pseudoProtocol != 0:
		if !extended {
			h.fail(ErrMessage)
			return
		}
		h.extendedConnect(end)
	case h.Kind == codec.CONNECT:
		h.connect(end)
	case h.pseudo&pseudoProtocol != 0:
		h.fail(ErrMessage)
	default:
		h.ordinary()
	}
	if h.hasHost && h.err == nil {
		h.agree()
	}
	if h.crumbs && h.err == nil {
		if h.count++; h.count > h.maxFields {
			h.fail(ErrHeadCount)
			return
		}
		if h.Add(cookieName, h.cookie); h.private {
			h.Conceal(h.Slots() - 1)
		}
	}
	if end && h.Length > 0 {
		h.fail(ErrMessage) // RFC 9113 section 8.1.1
	}
}

var cookieName = codec.MakeName("cookie")

// ordinary checks what RFC 9113 section 8.3.1 asks of every request but CONNECT.
func (h *head) ordinary() {
	const needed = pseudoMethod | pseudoScheme | pseudoPath
	p := h.Path()
	if h.pseudo&needed != needed || p[0] != '/' && (string(p) != "*" || h.Kind != codec.OPTIONS) {
		h.fail(ErrMessage)
	}
}

// connect checks RFC 9113 section 8.5.
func (h *head) connect(end bool) {
	if h.pseudo != pseudoMethod|pseudoAuthority || !codec.TunnelTarget(h.Authority()) || end || h.Length > 0 {
		h.fail(ErrMessage)
	}
	h.Upgrade = true
	h.forgetLength()
}

// extendedConnect checks RFC 8441 section 4 and makes the upgrade of HTTP/1.1 of it, which is the form in which upgrades meet.
func (h *head) extendedConnect(end bool) {
	const needed = pseudoMethod | pseudoScheme | pseudoAuthority | pseudoPath | pseudoProtocol
	if h.pseudo != needed || h.Path()[0] != '/' || end || h.Length > 0 {
		h.fail(ErrMessage)
		return
	}
	h.SetMethod([]byte("GET"))
	h.Upgrade = true
	h.AddString(codec.Connection, "upgrade")
	h.Add(codec.Upgrade, h.protocol)
	h.forgetLength()
}

// forgetLength removes the content-length of what has no content.
func (h *head) forgetLength() {
	if h.Length >= 0 {
		h.Length = -1
		h.Del(codec.ContentLength)
	}
}

// agree compares host with :authority (RFC 9113 section 8.3.1).
func (h *head) agree() {
	if h.pseudo&pseudoAuthority == 0 && h.Kind != codec.CONNECT {
		if codec.StrangeHost(h.host) {
			h.fail(ErrField)
		}
		h.SetAuthority(h.host)
		return
	}
	if !equalFold(h.host, h.Authority()) {
		h.fail(ErrMessage)
	}
}

// response completes the head of a response to s; end says that the stream has ended with it.
func (h *head) response(s *Stream, end bool) {
	switch {
	case h.err != nil:
	case h.Status == 0, h.Status == 101, h.Status < 200 && end: // RFC 9113 sections 8.1 and 8.6
		h.fail(ErrMessage)
	case h.Status < 200:
	case s.tunnel && h.Status < 300:
		h.Upgrade = true
		h.forgetLength()
		if s.protocol != "" {
			h.Status = 101
			h.AddString(codec.Connection, "upgrade")
			h.AddString(codec.Upgrade, s.protocol)
		}
	case end && h.Length > 0 && s.asked != codec.HEAD && h.Status != 304:
		h.fail(ErrMessage)
	}
}

// number reads a content-length.
func number(v []byte) (n int64, ok bool) {
	if len(v) == 0 || len(v) > 18 {
		return -1, false
	}
	for _, c := range v {
		if c < '0' || c > '9' {
			return -1, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
