package http1

import (
	"bytes"
	"math"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

func (p *Parser) feedHead(b []byte) (int, bool, error) {
	if p.kind == Request && p.scanned == 0 {
		// Empty lines before a request line are ignored (RFC 9112 section 2.2), a few of them.
		skipped := 0
		for len(b) >= 2 && b[0] == '\r' && b[1] == '\n' {
			if p.blank++; p.blank > 4 {
				return 0, false, ErrCodec
			}
			b, skipped = b[2:], skipped+2
		}
		if len(b) > 0 && !tokenTable[b[0]] && b[0] != '\r' {
			return 0, false, ErrCodec
		}
		n, more, err := p.wholeHead(b)
		return skipped + n, more, err
	}
	if n := min(len(b), len(version)); p.kind == Response && string(b[:n]) != version[:n] {
		return 0, false, ErrCodec // what does not begin so never becomes an answer, and may never have a line end
	}
	return p.wholeHead(b)
}

// version is what a status line begins with.
const version = "HTTP/1."

func (p *Parser) wholeHead(b []byte) (int, bool, error) {
	end, err := p.block(b, ErrHeadSize)
	if end == 0 || err != nil {
		return 0, false, err
	}
	p.scanned, p.blank = 0, 0
	if err := p.parseHead(b[:end]); err != nil {
		return 0, false, err
	}
	p.begin()
	return end, true, nil
}

// parseHead reads a start line and fields, which end with an empty line.
func (p *Parser) parseHead(b []byte) error {
	h := &p.head
	h.Reset()
	i := bytes.IndexByte(b, '\n')
	line := b[:i-1]
	var err error
	if p.kind == Request {
		err = h.requestLine(line)
	} else {
		err = h.statusLine(line)
	}
	if err != nil {
		return err
	}
	if h.Fields, err = p.fields(b[i+1:], h.Fields); err != nil {
		return err
	}
	return h.resolve(p.kind)
}

func (h *Head) requestLine(line []byte) error {
	i := bytes.IndexByte(line, ' ')
	if i <= 0 || !all(line[:i], &tokenTable) {
		return ErrCodec
	}
	h.Method, line = line[:i], line[i+1:]
	if i = bytes.IndexByte(line, ' '); i <= 0 {
		return ErrCodec
	}
	h.Target = line[:i]
	for _, c := range h.Target {
		if c <= ' ' || c >= 0x7f {
			return ErrTarget
		}
	}
	if string(h.Method) != "CONNECT" && h.Target[0] != '/' && !absolute(h.Target) && (string(h.Target) != "*" || string(h.Method) != "OPTIONS") {
		return ErrTarget
	}
	return h.version(line[i+1:])
}

// absolute says whether a target is in absolute form: SCHEME://... with http or https.
func absolute(t []byte) bool {
	return len(t) > 7 && Is(t[:7], "http://") || len(t) > 8 && Is(t[:8], "https://")
}

func (h *Head) version(v []byte) error {
	if len(v) != 8 || string(v[:7]) != "HTTP/1." || v[7] != '0' && v[7] != '1' {
		return ErrVersion
	}
	h.Minor = v[7] - '0'
	return nil
}

func (h *Head) statusLine(line []byte) error {
	if len(line) < 12 || line[8] != ' ' {
		return ErrCodec
	}
	if err := h.version(line[:8]); err != nil {
		return err
	}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return ErrCodec
		}
		h.Status = h.Status*10 + int(c-'0')
	}
	if h.Status < 100 {
		return ErrCodec
	}
	if len(line) > 12 {
		if line[12] != ' ' || !all(line[13:], &valueTable) {
			return ErrCodec
		}
		h.Reason = line[13:]
	}
	return nil
}

// fields reads field lines up to the empty line.
func (p *Parser) fields(b []byte, into []Field) ([]Field, error) {
	for {
		i := bytes.IndexByte(b, '\n')
		line := b[:i-1]
		b = b[i+1:]
		if len(line) == 0 {
			return into, nil
		}
		colon := bytes.IndexByte(line, ':')
		// A line that begins with space would be obs-fold (RFC 9112 section 5.2); space before the colon is refused too (section 5.1).
		if colon <= 0 || !all(line[:colon], &tokenTable) {
			return into, ErrCodec
		}
		if p.limits.Underscores != codec.AllowUnderscores && p.kind == Request && bytes.IndexByte(line[:colon], '_') >= 0 {
			if p.limits.Underscores == codec.RejectUnderscores {
				return into, ErrUnderscore
			}
			continue
		}
		value := line[colon+1:]
		for len(value) > 0 && (value[0] == ' ' || value[0] == '\t') {
			value = value[1:]
		}
		for len(value) > 0 && (value[len(value)-1] == ' ' || value[len(value)-1] == '\t') {
			value = value[:len(value)-1]
		}
		if !all(value, &valueTable) {
			return into, ErrCharacters
		}
		if len(into) == p.limits.Fields {
			return into, ErrFieldCount
		}
		into = append(into, Field{Name: line[:colon], Value: value})
	}
}

// resolve reads the fields that frame the message.
func (h *Head) resolve(kind Kind) error {
	hosts, transfers, odd, upgrade, closes, keeps := 0, 0, false, false, false, false
	var upgradeTo []byte
	for i := range h.Fields {
		name, value := h.Fields[i].Name, h.Fields[i].Value
		switch len(name) {
		case 4:
			if Is(name, "host") {
				hosts++
				h.Host = value
			}
		case 6:
			if Is(name, "expect") {
				h.Expect100 = Is(value, "100-continue")
			}
		case 7:
			if Is(name, "upgrade") {
				upgradeTo = value
			}
		case 10:
			if Is(name, "connection") {
				upgrade = upgrade || HasToken(value, "upgrade")
				closes = closes || HasToken(value, "close")
				keeps = keeps || HasToken(value, "keep-alive")
			}
		case 14:
			if Is(name, "content-length") {
				n, err := contentLength(value)
				if err != nil || h.ContentLength >= 0 {
					return ErrLength // malformed, or given twice
				}
				h.ContentLength = n
			}
		case 17:
			if Is(name, "transfer-encoding") {
				h.Chunked = true
				odd = odd || transfers > 0 || !Is(value, "chunked")
				transfers++
			}
		}
	}
	if upgrade {
		h.Upgrade = upgradeTo
	}
	h.KeepAlive = !closes && (h.Minor == 1 || keeps)
	if h.Chunked && (h.ContentLength >= 0 || h.Minor == 0) {
		return ErrLengths
	}
	if odd {
		return ErrTransfer
	}
	if kind == Request {
		return h.checkHost(hosts)
	}
	return nil
}

// checkHost refuses several hosts (RFC 9112 section 3.2) and strange ones. A request without any is the caller's to answer, as Envoy does.
func (h *Head) checkHost(hosts int) error {
	if hosts > 1 {
		return ErrHost
	}
	if codec.StrangeHost(h.Host) {
		return ErrHost
	}
	return nil
}

func contentLength(v []byte) (n int64, err error) {
	if len(v) == 0 || len(v) > 19 {
		return 0, ErrLength
	}
	for _, c := range v {
		if c < '0' || c > '9' || n > (math.MaxInt64-9)/10 {
			return 0, ErrLength
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

// begin shows the head and prepares for its body (RFC 9112 section 6.3).
func (p *Parser) begin() {
	h := &p.head
	if p.kind == Response && h.Status < 200 && h.Status != 101 {
		p.state = stHead
		p.sink.Head(h)
		return
	}
	none := p.kind == Request && !h.Chunked && h.ContentLength <= 0 ||
		p.kind == Response && (p.noBody || h.Status < 200 || h.Status == 204 || h.Status == 304 || p.connect && h.Status < 300 || h.ContentLength == 0)
	switch {
	case none:
		p.state = stWait
	case h.Chunked:
		p.state = stChunkSize
	case h.ContentLength >= 0:
		p.state, p.remaining = stLength, h.ContentLength
	default:
		p.state, h.KeepAlive = stClose, false
	}
	p.sink.Head(h)
	if none && p.state == stWait && !p.stopped {
		p.sink.End(nil)
	}
}
