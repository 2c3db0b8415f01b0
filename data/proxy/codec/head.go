package codec

import "strconv"

// Method says which of the methods that change the meaning of a message it is.
type Method uint8

// The methods that matter to framing and policy.
const (
	OtherMethod Method = iota
	GET
	HEAD
	POST
	PUT
	DELETE
	CONNECT
	OPTIONS
	TRACE
	PATCH
)

// MethodOf recognises a method.
func MethodOf(m []byte) Method {
	switch string(m) {
	case "GET":
		return GET
	case "HEAD":
		return HEAD
	case "POST":
		return POST
	case "PUT":
		return PUT
	case "DELETE":
		return DELETE
	case "CONNECT":
		return CONNECT
	case "OPTIONS":
		return OPTIONS
	case "TRACE":
		return TRACE
	case "PATCH":
		return PATCH
	}
	return OtherMethod
}

// Head is the start of a request or response: pseudo-fields and fields. A request's host is in Authority and never among the fields.
type Head struct {
	Fields
	method, path, authority, scheme span
	// Kind is the request's method.
	Kind Method
	// Status is the response's code, 0 for a request.
	Status int
	// Minor is the version of HTTP/1 on the wire: 0 or 1.
	Minor int
	// KeepAlive says that the connection can carry another message after this one.
	KeepAlive bool
	// Upgrade marks a CONNECT or upgrade request, or the response that agrees: bytes without framing follow.
	Upgrade bool
	// Length is content-length, -1 if there is none.
	Length int64
	// Chunked says that the body came in chunks.
	Chunked bool
	// Wire is the size of the head as received.
	Wire int
}

// Reset empties the head and keeps its memory.
func (h *Head) Reset() {
	f := h.Fields
	f.Reset()
	*h = Head{Fields: f, Length: -1}
}

// CopyFrom makes h a copy of g.
func (h *Head) CopyFrom(g *Head) {
	f := h.Fields
	f.CopyFrom(&g.Fields)
	*h = *g
	h.Fields = f
}

// Method is the request's method.
func (h *Head) Method() []byte { return h.piece(h.method) }

// SetMethod sets the request's method.
func (h *Head) SetMethod(v []byte) {
	h.method = put(&h.Fields, v)
	h.Kind = MethodOf(h.Method())
}

// Path is the request's path with its query.
func (h *Head) Path() []byte { return h.piece(h.path) }

// SetPath sets the request's path with its query.
func (h *Head) SetPath(v []byte) { h.path = put(&h.Fields, v) }

// Authority is the request's host, with its port if the client sent one.
func (h *Head) Authority() []byte { return h.piece(h.authority) }

// SetAuthority sets the request's host.
func (h *Head) SetAuthority(v []byte) { h.authority = put(&h.Fields, v) }

// SetAuthorityString sets the request's host.
func (h *Head) SetAuthorityString(v string) { h.authority = put(&h.Fields, v) }

// Scheme is http or https.
func (h *Head) Scheme() []byte { return h.piece(h.scheme) }

// SetScheme sets the scheme.
func (h *Head) SetScheme(v string) { h.scheme = put(&h.Fields, v) }

// Get looks a field or a pseudo-field (":path") up by its lower-case name.
func (h *Head) Get(name string) ([]byte, bool) {
	if len(name) > 0 && name[0] == ':' {
		return h.pseudo(name)
	}
	return h.Value(MakeName(name))
}

func (h *Head) pseudo(name string) ([]byte, bool) {
	var s span
	switch name {
	case ":method":
		s = h.method
	case ":path":
		s = h.path
	case ":authority":
		s = h.authority
	case ":scheme":
		s = h.scheme
	case ":status":
		if h.Status == 0 {
			return nil, false
		}
		return strconv.AppendInt(nil, int64(h.Status), 10), true
	}
	return h.piece(s), s.len > 0
}

// Lookup is Get for a prepared name, pseudo-fields included.
func (h *Head) Lookup(n Name) ([]byte, bool) {
	if len(n.text) > 0 && n.text[0] == ':' {
		return h.pseudo(n.text)
	}
	return h.Value(n)
}

// PathOnly is the path without query and fragment.
func (h *Head) PathOnly() []byte {
	p := h.Path()
	for i, c := range p {
		if c == '?' || c == '#' {
			return p[:i]
		}
	}
	return p
}
