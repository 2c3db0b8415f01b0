package stream

import (
	"bytes"
	"encoding/base64"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// readSession finds how the client is to keep to its endpoint, and the one that it names. What the most special place says counts.
func (x *Exchange) readSession() {
	s := x.m.Config.Session
	if s == nil {
		return
	}
	switch {
	case x.weighted != nil && x.weighted.PerFilter.Session != nil:
		s = x.weighted.PerFilter.Session
	case x.route.PerFilter.Session != nil:
		s = x.route.PerFilter.Session
	case x.vhost.PerFilter.Session != nil:
		s = x.vhost.PerFilter.Session
	}
	switch {
	case s.Header != "":
		x.session = s
		if v, ok := x.Request.Get(s.Header); ok {
			x.endpoint, _ = base64.StdEncoding.AppendDecode(nil, v)
		}
	case s.Cookie != nil && within(x.Request.Path(), s.Cookie.Path):
		x.session = s
		if v, ok := cookieValue(&x.Request, s.Cookie.Name); ok {
			x.endpoint = cookieEndpoint(v)
		}
	}
}

// within says whether a request is for the path of a cookie (RFC 6265 section 5.1.4), which "" and "/" are for all.
func within(request []byte, path string) bool {
	if path == "" || path == "/" {
		return true
	}
	if len(request) < len(path) || string(request[:len(path)]) != path {
		return false
	}
	return path[len(path)-1] == '/' || len(request) == len(path) || bytes.IndexByte([]byte("/?#"), request[len(path)]) >= 0
}

// The fields of the message that a cookie has in base64 (Envoy, source/extensions/http/stateful_session/cookie/cookie.proto); the second one is when it expires.
const cookieAddress protowire.Number = 1

// cookieEndpoint is the address in a cookie, nil when there is none.
func cookieEndpoint(value []byte) (address []byte) {
	b, err := base64.StdEncoding.AppendDecode(nil, value)
	if err != nil {
		return nil
	}
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return nil
		}
		b = b[size:]
		if n == cookieAddress && kind == protowire.BytesType {
			if address, size = protowire.ConsumeBytes(b); size < 0 {
				return nil
			}
		} else if size = protowire.ConsumeFieldValue(n, kind, b); size < 0 {
			return nil
		}
		b = b[size:]
	}
	return address
}

// kept is the endpoint that the client names, for the first try: nil when it names none, or one that may not be used.
func (x *Exchange) keptEndpoint() *upstream.Host {
	if len(x.endpoint) == 0 || x.attempts > 1 {
		return nil
	}
	return x.cluster.Named(x.endpoint)
}

// giveSession tells the client which endpoint to name next time, unless it has named that one.
func (x *Exchange) giveSession(h *codec.Head) {
	if x.session == nil || x.host == nil {
		return
	}
	address := x.host.Address.String()
	if address == string(x.endpoint) {
		return
	}
	if name := x.session.Header; name != "" {
		h.SetString(codec.MakeName(name), base64.StdEncoding.EncodeToString([]byte(address)))
		return
	}
	message := protowire.AppendString(protowire.AppendTag(nil, cookieAddress, protowire.BytesType), address)
	h.Add(codec.SetCookie, setCookie(x.session.Cookie, base64.StdEncoding.AppendEncode(nil, message)))
}

// setCookie is the field that makes a client keep a cookie (RFC 6265 section 4.1).
func setCookie(c *config.HashCookie, value []byte) []byte {
	b := append([]byte(c.Name), `="`...)
	b = append(append(b, value...), '"')
	if c.TTL != nil && *c.TTL > 0 {
		b = appendSeconds(append(b, "; Max-Age="...), *c.TTL)
	}
	if c.Path != "" {
		b = append(append(b, "; Path="...), c.Path...)
	}
	for _, a := range c.Attributes {
		b = append(append(b, "; "...), a...)
	}
	return append(b, "; HttpOnly"...)
}
