package detect

import "strings"

// Hello is what a ClientHello announces.
type Hello struct {
	// ServerName is the SNI (RFC 6066 section 3) in lower case, "" if absent.
	ServerName string
	// Protocols is the ALPN list (RFC 7301) in the client's order.
	Protocols []string
	// Version is the highest version offered, such as 0x0304 for TLS 1.3.
	Version uint16
}

const (
	recordHeader      = 5
	recordHandshake   = 22
	maxRecord         = 1<<14 + 256
	handshakeHeader   = 4
	clientHello       = 1
	extServerName     = 0
	extALPN           = 16
	extSupportedVers  = 43
	greaseMask        = 0x0f0f
	grease            = 0x0a0a // RFC 8701
	maxHelloProtocols = 64
)

// ClientHello recognises TLS by its first message, which may be split over records. p holds the stream from its first byte.
func ClientHello(p []byte) (Hello, Verdict) {
	message, v := firstMessage(p)
	if v != Found {
		return Hello{}, v
	}
	h, ok := parseHello(message)
	if !ok {
		return Hello{}, Other
	}
	return h, Found
}

// firstMessage gathers the body of the first handshake message.
func firstMessage(p []byte) ([]byte, Verdict) {
	var joined []byte // only for a message in several records
	for rest := p; ; {
		if len(rest) > 0 && rest[0] != recordHandshake || len(rest) > 1 && rest[1] != 3 {
			return nil, Other
		}
		if len(p)-len(rest) >= MaxInspect {
			return nil, Other
		}
		if len(rest) < recordHeader {
			return nil, undecided(p)
		}
		n := int(rest[3])<<8 | int(rest[4])
		if n == 0 || n > maxRecord {
			return nil, Other
		}
		body := rest[recordHeader:]
		whole := len(body) >= n
		body = body[:min(n, len(body))]
		if joined == nil {
			joined = body[:len(body):len(body)]
		} else {
			joined = append(joined, body...)
		}
		if len(joined) >= 1 && joined[0] != clientHello {
			return nil, Other
		}
		if len(joined) >= handshakeHeader {
			size := int(joined[1])<<16 | int(joined[2])<<8 | int(joined[3])
			if size > MaxInspect {
				return nil, Other
			}
			if len(joined) >= handshakeHeader+size {
				return joined[handshakeHeader : handshakeHeader+size], Found
			}
		}
		if !whole {
			return nil, undecided(p)
		}
		rest = rest[recordHeader+n:]
	}
}

func undecided(p []byte) Verdict {
	if len(p) >= MaxInspect {
		return Other
	}
	return More
}

// cursor reads the length-prefixed vectors of RFC 8446 section 3.4; after a short read ok is false for good.
type cursor struct {
	p  []byte
	ok bool
}

func (c *cursor) take(n int) []byte {
	if !c.ok || len(c.p) < n {
		c.ok = false
		return nil
	}
	b := c.p[:n]
	c.p = c.p[n:]
	return b
}

func (c *cursor) number(width int) (n int) {
	for _, b := range c.take(width) {
		n = n<<8 | int(b)
	}
	return n
}

func (c *cursor) vector(width int) cursor {
	b := c.take(c.number(width))
	return cursor{b, c.ok}
}

// parseHello reads the fields of RFC 8446 section 4.1.2.
func parseHello(message []byte) (h Hello, ok bool) {
	c := cursor{message, true}
	h.Version = uint16(c.number(2))
	c.take(32) // random
	if session := c.vector(1); len(session.p) > 32 {
		return h, false
	}
	if suites := c.vector(2); len(suites.p) == 0 || len(suites.p)%2 != 0 {
		return h, false
	}
	if compression := c.vector(1); len(compression.p) == 0 {
		return h, false
	}
	if !c.ok {
		return h, false
	}
	if len(c.p) == 0 {
		return h, true // no extensions at all: TLS 1.2 and older
	}
	extensions := c.vector(2)
	if !c.ok || len(c.p) != 0 {
		return h, false
	}
	for len(extensions.p) > 0 {
		kind := extensions.number(2)
		body := extensions.vector(2)
		if !extensions.ok || !h.extension(kind, body) {
			return h, false
		}
	}
	return h, extensions.ok
}

func (h *Hello) extension(kind int, body cursor) bool {
	switch kind {
	case extServerName:
		names := body.vector(2)
		for names.ok && len(names.p) > 0 {
			kind := names.number(1)
			name := names.vector(2)
			if kind == 0 && h.ServerName == "" && names.ok {
				h.ServerName = strings.ToLower(string(name.p))
			}
		}
		return names.ok
	case extALPN:
		list := body.vector(2)
		for list.ok && len(list.p) > 0 {
			name := list.vector(1)
			if !list.ok || len(name.p) == 0 || len(h.Protocols) == maxHelloProtocols {
				return false
			}
			h.Protocols = append(h.Protocols, string(name.p))
		}
		return list.ok
	case extSupportedVers:
		list := body.vector(1)
		for list.ok && len(list.p) > 0 {
			if v := uint16(list.number(2)); v&greaseMask != grease {
				h.Version = max(h.Version, v)
			}
		}
		return list.ok
	}
	return true
}
