// Package path brings request paths into the one form that policy, routes and upstreams see (RFC 3986 section 6.2.2, as Envoy does it).
//
// In: a path with its query, and what to do. Out: the same path or its normal form, or a refusal. Pure and safe for concurrent use.
package path

import (
	"bytes"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Verdict says what to do with the request.
type Verdict uint8

// The verdicts.
const (
	Same     Verdict = iota // nothing changed
	Changed                 // go on with the new path
	Redirect                // send the client to the new path
	Refused
)

// Options are the connection manager's settings.
type Options struct {
	Normalize, MergeSlashes bool
	Escaped                 config.EscapedSlashes
}

// Clean gives the normal form, built in scratch when it differs.
func Clean(p []byte, o Options, scratch []byte) ([]byte, Verdict) {
	path, query := p, []byte(nil)
	if i := bytes.IndexByte(p, '?'); i >= 0 {
		path, query = p[:i], p[i:]
	}
	if len(path) == 0 || path[0] != '/' {
		return p, Same // "*"
	}
	redirect, changed := false, false
	if o.Escaped != config.KeepEscaped && hasEscapedSlash(path) {
		switch o.Escaped {
		case config.RejectEscaped:
			return p, Refused
		case config.UnescapeRedirect:
			redirect = true
		}
		path, changed = unescapeSlashes(path), true
	}
	if o.Normalize && !normal(path) {
		next, ok := normalize(path, scratch[:0])
		if !ok {
			return p, Refused
		}
		changed = changed || !bytes.Equal(next, path)
		path = next
	}
	if o.MergeSlashes && bytes.Contains(path, []byte("//")) {
		path, changed = mergeSlashes(path), true
	}
	if !changed {
		return p, Same
	}
	out := append(append(make([]byte, 0, len(path)+len(query)), path...), query...)
	if redirect {
		return out, Redirect
	}
	return out, Changed
}

func hasEscapedSlash(p []byte) bool {
	for i := bytes.IndexByte(p, '%'); i >= 0 && i+2 < len(p); {
		if v, ok := unhex(p[i+1], p[i+2]); ok && (v == '/' || v == '\\') {
			return true
		}
		next := bytes.IndexByte(p[i+1:], '%')
		if next < 0 {
			return false
		}
		i += 1 + next
	}
	return false
}

func unescapeSlashes(p []byte) []byte {
	out := make([]byte, 0, len(p))
	for i := 0; i < len(p); i++ {
		if p[i] == '%' && i+2 < len(p) {
			if v, ok := unhex(p[i+1], p[i+2]); ok && (v == '/' || v == '\\') {
				out = append(out, v)
				i += 2
				continue
			}
		}
		out = append(out, p[i])
	}
	return out
}

func mergeSlashes(p []byte) []byte {
	out := make([]byte, 0, len(p))
	for i, c := range p {
		if c != '/' || i == 0 || p[i-1] != '/' {
			out = append(out, c)
		}
	}
	return out
}

// What normalize does with a byte.
const (
	pass     = iota // stays as it is, escaped or not
	unescape        // stays, and its escape is undone
	escape          // is escaped
)

var classes = makeClasses()

func makeClasses() (t [256]uint8) {
	for i := range t {
		if i <= ' ' || i >= 0x7f {
			t[i] = escape
		}
	}
	for _, c := range []byte("\"<>^`{|}") {
		t[c] = escape
	}
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-32] = unescape, unescape
	}
	for c := byte('0'); c <= '9'; c++ {
		t[c] = unescape
	}
	for _, c := range []byte("-._~") {
		t[c] = unescape
	}
	return t
}

// normal is a quick look: nothing to escape or to undo, no backslash, no segment that begins with a dot.
func normal(p []byte) bool {
	for i, c := range p {
		if classes[c] == escape || c == '%' || c == '\\' || c == '.' && p[i-1] == '/' {
			return false
		}
	}
	return true
}

// normalize resolves dot segments, undoes needless escapes and makes necessary ones. An escaped NUL is refused.
func normalize(p, out []byte) ([]byte, bool) {
	const hex = "0123456789ABCDEF"
	segment := 0 // where the current segment begins in out, behind its slash
	for i := 0; i <= len(p); i++ {
		if i == len(p) || p[i] == '/' || p[i] == '\\' {
			last := i == len(p)
			switch dots(out[segment:]) {
			case 1:
				if segment > 0 {
					out = out[:segment]
					if !last {
						continue
					}
				}
			case 2:
				if segment > 0 {
					out = out[:max(bytes.LastIndexByte(out[:segment-1], '/'), 0)+1]
					segment = len(out)
					if !last {
						continue
					}
				}
			}
			if !last {
				out = append(out, '/')
				segment = len(out)
			}
			continue
		}
		c := p[i]
		if c == '%' && i+2 < len(p) {
			if v, ok := unhex(p[i+1], p[i+2]); ok {
				i += 2
				switch {
				case v == 0:
					return nil, false
				case classes[v] == unescape:
					out = append(out, v)
				default:
					out = append(out, '%', p[i-1], p[i])
				}
				continue
			}
		}
		if c == '%' && rewritten(p[i+1:min(i+3, len(p))]) { // it must not become the beginning of an escape by what becomes of the next bytes
			out = append(out, '%', '2', '5')
			continue
		}
		if classes[c] == escape {
			out = append(out, '%', hex[c>>4], hex[c&15])
			continue
		}
		out = append(out, c)
	}
	return out, true
}

// rewritten says whether normalize may write something else for one of these bytes, and nothing in between ends an escape.
func rewritten(p []byte) bool {
	for _, c := range p {
		if c == '%' || classes[c] == escape {
			return true
		}
		if digit(c) > 15 {
			return false
		}
	}
	return false
}

// dots is 1 for the segment "." and 2 for "..", with or without parameters ("..;a=b"), which some servers take away before they look; 0 for any other.
func dots(segment []byte) int {
	if i := bytes.IndexByte(segment, ';'); i >= 0 {
		segment = segment[:i]
	}
	if len(segment) > 2 || string(segment) != ".."[:len(segment)] {
		return 0
	}
	return len(segment)
}

func unhex(a, b byte) (byte, bool) {
	x, y := digit(a), digit(b)
	return x<<4 | y, x < 16 && y < 16
}

func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
