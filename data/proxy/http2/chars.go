package http2

// Tables of characters. Names and values are as strict as those of HTTP/1, because they may be written there.
var (
	// tokenTable holds the characters of a token (RFC 9110 section 5.6.2), nameTable those of a field's name, which has no capitals (RFC 9113 section 8.2).
	tokenTable = charTable(func(c byte) bool {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			return true
		}
		for _, t := range []byte("!#$%&'*+-.^_`|~") {
			if c == t {
				return true
			}
		}
		return false
	})
	nameTable = charTable(func(c byte) bool { return tokenTable[c] && (c < 'A' || c > 'Z') })
	// valueTable holds visible characters, space, tab and obs-text (RFC 9110 section 5.5).
	valueTable = charTable(func(c byte) bool { return c >= ' ' && c != 0x7f || c == '\t' })
	// pathTable holds what a request line can hold between its blanks.
	pathTable = charTable(func(c byte) bool { return c > ' ' && c < 0x7f })
)

func charTable(in func(byte) bool) (t [256]bool) {
	for i := range t {
		t[i] = in(byte(i))
	}
	return t
}

func all(b []byte, table *[256]bool) bool {
	for _, c := range b {
		if !table[c] {
			return false
		}
	}
	return true
}

// fieldValue checks a value (RFC 9113 section 8.2.1).
func fieldValue(v []byte) bool {
	if n := len(v); n > 0 && (blank(v[0]) || blank(v[n-1])) {
		return false
	}
	return all(v, &valueTable)
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// lowerIs compares text in any case with a lower-case one.
func lowerIs(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		if toLower(b[i]) != lower[i] {
			return false
		}
	}
	return true
}

func equalFold(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if toLower(a[i]) != toLower(b[i]) {
			return false
		}
	}
	return true
}

func toLower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// class says what a field has to do with the connection or the framing.
type class uint8

const (
	classPlain      class = iota
	classConnection       // concerns one connection of HTTP/1: never in a message of HTTP/2 (RFC 9113 section 8.2.2)
	classTE
	classSettings // http2-settings, which means nothing here
	classHost
	classCookie
	classLength
)

// classOf recognises a name.
func classOf(name []byte) class {
	switch len(name) {
	case 2:
		if string(name) == "te" {
			return classTE
		}
	case 4:
		if string(name) == "host" {
			return classHost
		}
	case 6:
		if string(name) == "cookie" {
			return classCookie
		}
	case 7:
		if string(name) == "upgrade" {
			return classConnection
		}
	case 10:
		if string(name) == "connection" || string(name) == "keep-alive" {
			return classConnection
		}
	case 14:
		switch string(name) {
		case "content-length":
			return classLength
		case "http2-settings":
			return classSettings
		}
	case 16:
		if string(name) == "proxy-connection" {
			return classConnection
		}
	case 17:
		if string(name) == "transfer-encoding" {
			return classConnection
		}
	}
	return classPlain
}

// forbiddenTrailer says whether a plain field could change in trailers what the head decided (RFC 9110 section 6.5.1): it is left out there, as http1.Trailers does.
func forbiddenTrailer(name []byte) bool {
	switch len(name) {
	case 7:
		return string(name) == "trailer"
	case 10:
		return string(name) == "set-cookie"
	case 12, 13, 15, 16, 17:
		switch string(name) {
		case "content-type", "authorization", "cache-control", "content-range", "x-forwarded-for", "x-forwarded-host", "content-encoding", "x-forwarded-proto":
			return true
		}
	case 23:
		return string(name) == "x-forwarded-client-cert"
	}
	return false
}
