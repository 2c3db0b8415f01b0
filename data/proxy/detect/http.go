package detect

import (
	"bytes"
	"strings"
)

// Application protocols that HTTP finds (Envoy's names, for filter chain matches).
const (
	HTTP10 = "http/1.0"
	HTTP11 = "http/1.1"
	H2C    = "h2c"
)

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // RFC 9113 section 3.4

// methods are those that Envoy's inspector knows.
var methods = []string{
	"ACL", "BIND", "CHECKOUT", "CONNECT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE",
	"M-SEARCH", "NOTIFY", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE", "PUT", "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE",
	"TRACE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE",
}

// HTTP recognises a cleartext request by its first line, or HTTP/2 by its preface. p holds the stream from its first byte.
func HTTP(p []byte) (protocol string, v Verdict) {
	if len(p) == 0 {
		return "", More
	}
	if n := min(len(p), len(preface)); string(p[:n]) == preface[:n] {
		if n == len(preface) {
			return H2C, Found
		}
		return "", More
	}
	end := bytes.IndexAny(p[:min(len(p), MaxInspect)], "\r\n")
	line := p
	if end >= 0 {
		line = p[:end]
	}
	space := bytes.IndexByte(line, ' ')
	if space < 0 {
		if end < 0 && methodPrefix(line) {
			return "", More
		}
		return "", Other
	}
	if !knownMethod(line[:space]) {
		return "", Other
	}
	if end < 0 {
		if len(p) >= MaxInspect || !visible(line[space+1:]) {
			return "", Other
		}
		return "", More
	}
	return version(line[space+1:])
}

// version reads the end of a request line: request-target SP HTTP-version (RFC 9112 section 3).
func version(rest []byte) (string, Verdict) {
	space := bytes.LastIndexByte(rest, ' ')
	if space <= 0 || !visible(rest) {
		return "", Other
	}
	switch string(rest[space+1:]) {
	case "HTTP/1.1":
		return HTTP11, Found
	case "HTTP/1.0":
		return HTTP10, Found
	}
	return "", Other
}

func visible(p []byte) bool {
	for _, c := range p {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

func knownMethod(p []byte) bool {
	for _, m := range methods {
		if string(p) == m {
			return true
		}
	}
	return false
}

func methodPrefix(p []byte) bool {
	for _, m := range methods {
		if len(p) <= len(m) && strings.HasPrefix(m, string(p)) {
			return true
		}
	}
	return false
}
