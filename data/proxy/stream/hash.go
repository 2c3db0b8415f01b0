package stream

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// hashRequest digests what keeps like requests on one endpoint. Each policy that finds something adds to the digest; a terminal one that does is the last.
func (x *Exchange) hashRequest(policies []config.HashPolicy) {
	for i := range policies {
		p := &policies[i]
		if !x.hash(p) {
			continue
		}
		if i < 32 {
			x.hashedBy |= 1 << i
		}
		if p.Terminal {
			return
		}
	}
}

// hash adds what one policy finds, and says whether it found something.
func (x *Exchange) hash(p *config.HashPolicy) bool {
	var v []byte
	var found bool
	switch {
	case p.Header != "":
		return x.hashHeader(p.Header)
	case p.Query != "":
		v, found = queryValue(x.Request.Path(), p.Query)
	case p.Cookie != nil:
		v, found = x.hashCookie(p.Cookie)
	case p.SourceIP:
		ip := x.Client.Address.Addr()
		x.w.scratch = ip.AppendTo(x.w.scratch[:0])
		v, found = x.w.scratch, ip.IsValid()
	}
	if found {
		x.need.Mix(v)
	}
	return found
}

// hashHeader digests a header, or the values of one that is there several times, in the order of their bytes.
func (x *Exchange) hashHeader(name string) bool {
	v, ok := x.Request.Get(name)
	if !ok || name[0] == ':' || x.Request.Count(codec.MakeName(name)) == 1 {
		if ok {
			x.need.Mix(v)
		}
		return ok
	}
	var all [][]byte
	for i := range x.Request.Slots() {
		if field, v, ok := x.Request.At(i); ok && string(field) == name {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, bytes.Compare)
	x.need.Mix(all...)
	return true
}

// hashCookie is the value of a cookie. One that is missing is made where it has a TTL.
func (x *Exchange) hashCookie(c *config.HashCookie) ([]byte, bool) {
	if v, ok := cookieValue(&x.Request, c.Name); ok && len(v) > 0 {
		return v, true
	}
	if c.TTL == nil {
		return nil, false
	}
	x.given = c
	return x.cookie(), true
}

// cookie is the value of a cookie that the proxy makes, good until the worker's scratch is used again: the same for all requests of a connection, so that requests at
// the same time get the same.
func (x *Exchange) cookie() []byte {
	b := append(x.w.scratch[:0], x.origin.Remote.String()...)
	b = append(b, x.origin.Local.String()...)
	var of upstream.Need
	of.Mix(b)
	b = b[:0]
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[of.Hash>>shift&15])
	}
	x.w.scratch = b
	return b
}

// giveCookie sets the cookie that was made for the request (RFC 6265 section 4.1).
func (x *Exchange) giveCookie(h *codec.Head) {
	c := x.given
	if c == nil {
		return
	}
	h.Add(codec.SetCookie, setCookie(c, x.cookie()))
}

func appendSeconds(b []byte, d time.Duration) []byte {
	return strconv.AppendInt(b, int64(d.Seconds()), 10)
}

// cookieValue finds a cookie by name; quotes around its value are left out.
func cookieValue(h *codec.Head, name string) (value []byte, found bool) {
	for i := range h.Slots() {
		field, line, ok := h.At(i)
		if !ok || string(field) != "cookie" {
			continue
		}
		for len(line) > 0 {
			var pair []byte
			pair, line, _ = bytes.Cut(line, semicolon)
			if k, v, ok := bytes.Cut(bytes.TrimLeft(pair, " "), equals); ok && string(k) == name {
				return bytes.Trim(bytes.TrimSpace(v), `"`), true
			}
		}
	}
	return nil, false
}

// queryValue finds the first parameter of a name; nothing is decoded, as in Envoy.
func queryValue(path []byte, name string) ([]byte, bool) {
	_, query, _ := bytes.Cut(path, []byte{'?'})
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte{'&'})
		if k, v, _ := bytes.Cut(pair, equals); string(k) == name {
			return v, true
		}
	}
	return nil, false
}

var semicolon, equals = []byte{';'}, []byte{'='}
