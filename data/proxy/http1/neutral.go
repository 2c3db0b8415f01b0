package http1

import (
	"bytes"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
)

// Request copies a request's head into dst, which outlives the buffer: names in lower case, without what concerns the connection only
// (RFC 9110 section 7.6.1), the host of an absolute target before that of the host field (RFC 9112 section 3.2.2).
func (h *Head) Request(dst *codec.Head) error {
	dst.Reset()
	if !methods[string(h.Method)] {
		return ErrMethod
	}
	dst.SetMethod(h.Method)
	dst.SetAuthority(h.Host)
	if err := h.target(dst); err != nil {
		return err
	}
	dst.Minor, dst.KeepAlive, dst.Chunked, dst.Length = int(h.Minor), h.KeepAlive, h.Chunked, h.ContentLength
	dst.Upgrade = dst.Kind == codec.CONNECT || h.Upgrade != nil && !Is(h.Upgrade, "h2c") && !Is(h.Upgrade, "h2")
	if dst.Upgrade && (h.Chunked || h.ContentLength > 0) {
		return ErrLengths
	}
	return h.copyFields(dst)
}

func (h *Head) target(dst *codec.Head) error {
	t := h.Target
	switch {
	case dst.Kind == codec.CONNECT:
		if !codec.TunnelTarget(t) {
			return ErrTarget
		}
		dst.SetAuthority(t)
	case t[0] == '/' || len(t) == 1:
		dst.SetPath(t)
	default:
		rest := t[bytes.Index(t, []byte("://"))+3:]
		end := bytes.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 || codec.StrangeHost(rest[:end]) {
			return ErrHost
		}
		dst.SetAuthority(rest[:end])
		switch {
		case end == len(rest):
			dst.SetPath([]byte{'/'})
		case rest[end] == '?':
			dst.SetPath(append([]byte{'/'}, rest[end:]...))
		default:
			dst.SetPath(rest[end:])
		}
	}
	return nil
}

// Response copies a response's head into dst. asked is the request's method; switched says that it asked for an upgrade.
func (h *Head) Response(dst *codec.Head, asked codec.Method, switched bool) error {
	dst.Reset()
	dst.Status, dst.Minor, dst.KeepAlive, dst.Chunked, dst.Length = h.Status, int(h.Minor), h.KeepAlive, h.Chunked, h.ContentLength
	switch {
	case h.Status == 101:
		if !switched || asked == codec.CONNECT {
			return ErrCodec
		}
		dst.Upgrade = true
	case asked == codec.CONNECT && h.Status >= 200 && h.Status < 300:
		dst.Upgrade = true
	}
	return h.copyFields(dst)
}

// Bodiless says whether nothing follows a final response's head.
func (h *Head) Bodiless(asked codec.Method) bool {
	return asked == codec.HEAD || h.Status == 204 || h.Status == 304 || !h.Chunked && h.ContentLength == 0
}

func (h *Head) copyFields(dst *codec.Head) error {
	var nominated [8][]byte
	named := nominated[:0]
	for i := range h.Fields {
		name, value := h.Fields[i].Name, h.Fields[i].Value
		switch hop(name) {
		case hopConnection:
			var err error
			if named, err = nominate(named, value); err != nil {
				return err
			}
			if !dst.Upgrade || dst.Kind == codec.CONNECT || dst.Status != 0 && dst.Status != 101 { // of an upgrade it stays, as it is
				continue
			}
		case hopUpgrade:
			if !dst.Upgrade {
				continue
			}
		case hopTE:
			if dst.Status == 0 && HasToken(value, "trailers") {
				dst.AddString(codec.TE, "trailers")
			}
			continue
		case hopDrop:
			continue
		case hopLength:
			if dst.Upgrade {
				continue
			}
		}
		dst.AddFolded(name, value)
	}
	for _, n := range named {
		dst.Del(codec.MakeName(string(bytes.ToLower(n))))
	}
	return nil
}

// What a field has to do with the connection.
const (
	hopNothing = iota
	hopConnection
	hopUpgrade
	hopTE
	hopLength
	hopDrop
)

func hop(name []byte) int {
	switch len(name) {
	case 2:
		if Is(name, "te") {
			return hopTE
		}
	case 4:
		if Is(name, "host") {
			return hopDrop
		}
	case 7:
		if Is(name, "upgrade") {
			return hopUpgrade
		}
	case 10:
		if Is(name, "connection") {
			return hopConnection
		}
		if Is(name, "keep-alive") {
			return hopDrop
		}
	case 14:
		if Is(name, "content-length") {
			return hopLength
		}
		if Is(name, "http2-settings") {
			return hopDrop
		}
	case 16:
		if Is(name, "proxy-connection") {
			return hopDrop
		}
	case 17:
		if Is(name, "transfer-encoding") {
			return hopDrop
		}
	}
	return hopNothing
}

// nominate collects the fields that connection names; some must not be taken away by a client (Envoy refuses these too).
func nominate(into [][]byte, list []byte) ([][]byte, error) {
	for len(list) > 0 {
		word := list
		if i := bytes.IndexByte(list, ','); i >= 0 {
			word, list = list[:i], list[i+1:]
		} else {
			list = nil
		}
		word = bytes.Trim(word, " \t")
		switch {
		case len(word) == 0 || Is(word, "close") || Is(word, "keep-alive") || Is(word, "upgrade") || Is(word, "te") || Is(word, "http2-settings"):
			continue
		case hop(word) != hopNothing || word[0] == ':' || Is(word, "authorization") || Is(word, "cookie") || len(word) > 11 && Is(word[:12], "x-forwarded-"):
			return into, ErrNominated
		}
		if len(into) == 8 {
			return into, ErrNominated
		}
		into = append(into, word)
	}
	return into, nil
}

// ErrNominated is a connection field that names what must not be removed.
var ErrNominated = &Error{"http1.connection_header_rejected", 400}

// Trailers copies trailers into dst, without those that could change what the head decided (RFC 9110 section 6.5.1).
func Trailers(dst *codec.Fields, list []Field) {
	dst.Reset()
	for i := range list {
		dst.AddFolded(list[i].Name, list[i].Value)
	}
	for _, n := range forbidden {
		dst.Del(n)
	}
}

var forbidden = []codec.Name{
	codec.Connection, codec.KeepAlive, codec.ProxyConnection, codec.Upgrade, codec.TE, codec.Trailer, codec.ContentType, codec.ForwardedFor, codec.ForwardedProto,
	codec.ForwardedHost, codec.ForwardedClientCert, codec.MakeName("authorization"), codec.MakeName("cookie"), codec.MakeName("set-cookie"),
	codec.MakeName("content-encoding"), codec.MakeName("content-range"), codec.MakeName("cache-control"),
}

// ErrMethod is a method that Envoy does not know either (allow_custom_methods is off).
var ErrMethod = &Error{"http1.codec_error", 400}

// methods are those that Envoy's parser knows.
var methods = map[string]bool{
	"ACL": true, "BIND": true, "CHECKOUT": true, "CONNECT": true, "COPY": true, "DELETE": true, "GET": true, "HEAD": true, "LINK": true, "LOCK": true, "MERGE": true,
	"MKACTIVITY": true, "MKCALENDAR": true, "MKCOL": true, "MOVE": true, "MSEARCH": true, "NOTIFY": true, "OPTIONS": true, "PATCH": true, "POST": true, "PROPFIND": true,
	"PROPPATCH": true, "PURGE": true, "PUT": true, "REBIND": true, "REPORT": true, "SEARCH": true, "SOURCE": true, "SUBSCRIBE": true, "TRACE": true, "UNBIND": true,
	"UNLINK": true, "UNLOCK": true, "UNSUBSCRIBE": true,
}
