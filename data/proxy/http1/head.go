// Package http1 is the HTTP/1.1 codec: bytes in, events out, and the other way round.
//
// In: bytes of one direction of a connection, cut anywhere. Out: calls on a Sink, or an Error that ends the connection. Serialising appends to a
// buffer of the caller's. There is no socket, clock or goroutine here; a Parser belongs to one goroutine and allocates nothing per message.
package http1

import "bytes"

// Field is one header or trailer field, as received (RFC 9110 section 5).
type Field struct{ Name, Value []byte }

// Head is the head of a request or response. Its bytes belong to the caller's buffer and die with the call that shows it; Retain copies them.
type Head struct {
	Method, Target []byte // request: target in origin, absolute, authority or asterisk form
	Status         int    // response
	Reason         []byte
	Minor          uint8 // HTTP/1.Minor
	Fields         []Field
	Host           []byte
	ContentLength  int64 // -1 when not given
	Chunked        bool
	KeepAlive      bool   // what Connection and the version say
	Upgrade        []byte // value of Upgrade when Connection names it, else nil
	Expect100      bool

	slab []byte
}

// Reset empties the head and keeps its memory.
func (h *Head) Reset() {
	*h = Head{Fields: h.Fields[:0], slab: h.slab[:0], ContentLength: -1}
}

// Get is the first value of a field, nil when there is none. name is lower case.
func (h *Head) Get(name string) []byte { return Get(h.Fields, name) }

// Get is the first value of a field of that lower-case name, nil when there is none. An empty value is not nil.
func Get(fields []Field, name string) []byte {
	for i := range fields {
		if Is(fields[i].Name, name) {
			if fields[i].Value == nil {
				return empty
			}
			return fields[i].Value
		}
	}
	return nil
}

var empty = []byte{}

// Is compares a name in any case with a lower-case one.
func Is(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i := range name {
		if lowerTable[name[i]] != lower[i] {
			return false
		}
	}
	return true
}

// Retain copies every byte of src into h, which then outlives the buffer.
func (h *Head) Retain(src *Head) {
	fields, slab := h.Fields[:0], h.slab[:0]
	n := len(src.Method) + len(src.Target) + len(src.Reason) + len(src.Host) + len(src.Upgrade)
	for i := range src.Fields {
		n += len(src.Fields[i].Name) + len(src.Fields[i].Value)
	}
	if cap(slab) < n {
		slab = make([]byte, 0, n+n/4)
	}
	keep := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		at := len(slab)
		slab = append(slab, b...)
		return slab[at:len(slab):len(slab)]
	}
	list := src.Fields
	*h = *src
	h.Method, h.Target, h.Reason, h.Host, h.Upgrade = keep(src.Method), keep(src.Target), keep(src.Reason), keep(src.Host), keep(src.Upgrade)
	for i := range list {
		fields = append(fields, Field{Name: keep(list[i].Name), Value: keep(list[i].Value)})
	}
	h.Fields, h.slab = fields, slab
}

// HasToken says whether a comma-separated list holds a lower-case token (RFC 9110 section 5.6.1).
func HasToken(list []byte, token string) bool {
	for len(list) > 0 {
		part := list
		if i := bytes.IndexByte(list, ','); i >= 0 {
			part, list = list[:i], list[i+1:]
		} else {
			list = nil
		}
		if Is(bytes.Trim(part, " \t"), token) {
			return true
		}
	}
	return false
}

// lowerTable maps ASCII capitals to small letters and everything else to itself.
var lowerTable = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
		if 'A' <= i && i <= 'Z' {
			t[i] += 'a' - 'A'
		}
	}
	return t
}()

// tokenTable holds the characters of a token (RFC 9110 section 5.6.2).
var tokenTable = func() (t [256]bool) {
	for c := byte('0'); c <= '9'; c++ {
		t[c] = true
	}
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] = true
	}
	return t
}()

// valueTable holds the characters of a field value: visible, space, tab and obs-text (RFC 9110 section 5.5).
var valueTable = func() (t [256]bool) {
	for i := range t {
		t[i] = i >= 0x20 && i != 0x7f || i == '\t'
	}
	return t
}()

func all(b []byte, table *[256]bool) bool {
	for _, c := range b {
		if !table[c] {
			return false
		}
	}
	return true
}
