// Package cors lets pages of other origins read answers: it answers preflights, and adds what browsers want to see to other responses
// (Fetch standard, "CORS protocol"; envoy.extensions.filters.http.cors.v3).
//
// In: an exchange whose route has a policy. Out: a local reply to a preflight, or a response with more headers. Safe for concurrent use.
package cors

import (
	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/route"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
)

const million = 1_000_000

// The headers of the protocol.
var (
	origin         = codec.MakeName("origin")
	requestMethod  = codec.MakeName("access-control-request-method")
	requestHeaders = codec.MakeName("access-control-request-headers")
	requestPrivate = codec.MakeName("access-control-request-private-network")
	allowOrigin    = codec.MakeName("access-control-allow-origin")
	allowMethods   = codec.MakeName("access-control-allow-methods")
	allowHeaders   = codec.MakeName("access-control-allow-headers")
	credentials    = codec.MakeName("access-control-allow-credentials")
	exposeHeaders  = codec.MakeName("access-control-expose-headers")
	maxAge         = codec.MakeName("access-control-max-age")
	allowPrivate   = codec.MakeName("access-control-allow-private-network")
)

// Filter is the filter; its policies stand on routes.
type Filter struct{ valid, invalid stats.Handle }

// New makes the filter.
func New(r *stats.Registry) *Filter {
	counter := func(n string) stats.Handle {
		return r.Counter(stats.Desc{Name: "envoy_http_cors_" + n, Dotted: "http.cors." + n})
	}
	return &Filter{valid: counter("origin_valid"), invalid: counter("origin_invalid")}
}

// Request implements stream.Filter. A preflight is answered here when its origin is allowed, and without permission when it may not be passed on.
func (f *Filter) Request(x *stream.Exchange) stream.Verdict {
	c := of(x)
	w := x.Worker()
	if c == nil || c.Share < million && uint32(w.Loop.Rand()%million) >= c.Share {
		return stream.Continue
	}
	from, _ := x.Request.Value(origin)
	if len(from) == 0 {
		return stream.Continue
	}
	ok := allowed(c, from)
	if ok {
		w.Shard.Inc(f.valid)
		x.Acted(stream.Act{Filter: "cors", Did: "origin allowed"})
		x.AllowOrigin(c, from)
	} else {
		w.Shard.Inc(f.invalid)
		x.Acted(stream.Act{Filter: "cors", Did: "origin not allowed"})
	}
	method, _ := x.Request.Value(requestMethod)
	if x.Request.Kind != codec.OPTIONS || len(method) == 0 || !ok && (c.Forward == nil || *c.Forward) {
		return stream.Continue
	}
	x.Acted(stream.Act{Filter: "cors", Did: "preflight answered", Status: 200})
	x.ReplyWith(200, "", "cors_response", func(h *codec.Head) { preflight(h, c, &x.Request) })
	return stream.Responded
}

// preflight says what may be asked; Response adds the origin.
func preflight(h *codec.Head, c *config.CORS, asked *codec.Head) {
	if is(c.Credentials) {
		h.SetString(credentials, "true")
	}
	echo(h, allowMethods, c.Methods, asked, requestMethod)
	echo(h, allowHeaders, c.Headers, asked, requestHeaders)
	if c.MaxAge != "" {
		h.SetString(maxAge, c.MaxAge)
	}
	if v, _ := asked.Value(requestPrivate); is(c.PrivateNetwork) && string(v) == "true" {
		h.SetString(allowPrivate, "true")
	}
}

// echo sets a header to what is configured, or to what is asked for when that is "*".
func echo(h *codec.Head, name codec.Name, value string, asked *codec.Head, what codec.Name) {
	if value == "*" {
		v, _ := asked.Value(what)
		h.Set(name, v)
	} else if value != "" {
		h.SetString(name, value)
	}
}

// Response implements stream.ResponseFilter.
func (f *Filter) Response(x *stream.Exchange) {
	c, from := x.AllowedOrigin()
	if c == nil {
		return
	}
	h := &x.Response
	h.Set(allowOrigin, from)
	if is(c.Credentials) {
		h.SetString(credentials, "true")
	}
	if c.Expose != "" {
		h.SetString(exposeHeaders, c.Expose)
	}
}

// of is the policy of the weighted cluster or of the route. Routes that answer by themselves have none, as in Envoy.
func of(x *stream.Exchange) *config.CORS {
	if w := x.Weighted(); w != nil && w.PerFilter.CORS != nil {
		return w.PerFilter.CORS
	}
	if _, r := x.Route(); r != nil && r.Forward != nil {
		return r.PerFilter.CORS
	}
	return nil
}

// allowed says whether an origin is; a condition that "*" meets allows all.
func allowed(c *config.CORS, from []byte) bool {
	for _, m := range c.Origins {
		if route.String(m, all) || route.String(m, from) {
			return true
		}
	}
	return false
}

var all = []byte("*")

func is(b *bool) bool { return b != nil && *b }

var _ stream.ResponseFilter = (*Filter)(nil)
