// Package compress compresses bodies on their way (envoy.extensions.filters.http.compressor.v3).
//
// In: an exchange, and what its client accepts. Out: a response, or a request, whose body goes through a library, and a head that says so. Safe for concurrent use.
package compress

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/route"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
)

var (
	acceptEncoding  = codec.MakeName("accept-encoding")
	cacheControl    = codec.MakeName("cache-control")
	contentEncoding = codec.MakeName("content-encoding")
	etag            = codec.MakeName("etag")
	vary            = codec.MakeName("vary")
)

// Filter is one compressor of a connection manager.
type Filter struct {
	config   *config.Compressor
	encoders *encoders
	counted  [2]counters // requests, responses
	etagKept stats.Handle
	// peers are the compressors of the same chain, this one included, in its order.
	peers *Chain
}

// Chain is the compressors of one connection manager, which choose together.
type Chain struct{ filters []*Filter }

type counters struct{ compressed, not, small, in, out stats.Handle }

// New makes the filter and adds it to its chain.
func New(c *config.Compressor, chain *Chain, r *stats.Registry) (*Filter, error) {
	e, err := newEncoders(c.Library)
	if err != nil {
		return nil, err
	}
	f := &Filter{config: c, encoders: e, peers: chain}
	chain.filters = append(chain.filters, f)
	library := [...]string{"gzip", "brotli", "zstd"}[c.Library.Encoding]
	counter := func(n string) stats.Handle {
		return r.Counter(stats.Desc{
			Name: "envoy_http_compressor_" + n, Dotted: "http." + c.Stat + ".compressor." + c.Library.Name + "." + library + "." + n,
			Labels: []stats.Label{{Name: "envoy_http_conn_manager_prefix", Value: c.Stat}, {Name: "library", Value: c.Library.Name + "." + library}},
		})
	}
	direction := func(prefix string) counters {
		return counters{counter(prefix + "compressed"), counter(prefix + "not_compressed"), counter(prefix + "content_length_too_small"), counter(prefix + "total_uncompressed_bytes"),
			counter(prefix + "total_compressed_bytes")}
	}
	root := ""
	if c.Response.Rooted {
		root = "response."
	}
	f.counted = [2]counters{direction("request."), direction(root)}
	f.etagKept = counter(root + "not_compressed_etag")
	return f, nil
}

// on is what a route says of the response's direction: whether it is compressed, and whether the upstream learns what the client accepts.
func (f *Filter) on(x *stream.Exchange) (enabled, off, remove bool) {
	enabled, remove = f.config.Response.Enabled, f.config.Response.RemoveAccept
	host, to := x.Route()
	weighted := x.Weighted()
	var r *config.CompressorRoute
	switch {
	case weighted != nil && weighted.PerFilter.Compressor != nil:
		r = weighted.PerFilter.Compressor
	case to != nil && to.PerFilter.Compressor != nil:
		r = to.PerFilter.Compressor
	case host != nil:
		r = host.PerFilter.Compressor
	}
	if r == nil {
		return enabled, false, remove
	}
	if r.RemoveAccept != nil {
		remove = *r.RemoveAccept
	}
	return !r.Off && (enabled || r.Response), r.Off, remove
}

// Request implements stream.Filter.
func (f *Filter) Request(x *stream.Exchange) stream.Verdict {
	enabled, off, remove := f.on(x)
	if v, _, ok := x.Request.Joined(acceptEncoding, nil); ok && enabled {
		x.Accepts(v)
		if remove {
			x.Request.Del(acceptEncoding)
		}
	}
	d := f.config.Request
	if d == nil || !d.Enabled || off || x.RequestEnded() {
		return stream.Continue
	}
	h, n := &x.Request, &f.counted[0]
	if !f.longEnough(x, h, d, n) || !allowed(d.Types, h) || h.Has(contentEncoding) {
		x.Worker().Shard.Inc(n.not)
		return stream.Continue
	}
	f.changed(h)
	x.Worker().Shard.Inc(n.compressed)
	x.TransformRequest(f.encoders.begin(x.Worker().Shard, n.in, n.out))
	return stream.Continue
}

// Response implements stream.ResponseFilter.
func (f *Filter) Response(x *stream.Exchange) {
	enabled, _, _ := f.on(x)
	h, n, shard := &x.Response, &f.counted[1], x.Worker().Shard
	d := &f.config.Response
	compressible := enabled && !h.Upgrade && f.longEnough(x, h, &d.CompressDirection, n) && f.compressible(x)
	switch {
	case compressible && !x.ResponseEnded() && f.chosen(x):
		f.tag(h)
		f.changed(h)
		shard.Inc(n.compressed)
		x.TransformResponse(f.encoders.begin(shard, n.in, n.out))
	default:
		shard.Inc(n.not)
	}
	if compressible {
		varies(h)
	}
}

func (f *Filter) changed(h *codec.Head) {
	h.Del(codec.ContentLength)
	h.Length = -1
	h.SetString(contentEncoding, f.config.Library.Encoding.String())
}

// longEnough: a body without a length is.
func (f *Filter) longEnough(x *stream.Exchange, h *codec.Head, d *config.CompressDirection, n *counters) bool {
	v, ok := h.Value(codec.ContentLength)
	if !ok {
		return true
	}
	if length, err := strconv.ParseUint(string(v), 10, 64); err == nil && length >= d.MinLength {
		return true
	}
	x.Worker().Shard.Inc(n.small)
	return false
}

// allowed: what has no type is.
func allowed(types []*config.StringMatch, h *codec.Head) bool {
	v, ok := h.Value(codec.ContentType)
	if !ok || len(types) == 0 {
		return true
	}
	if i := bytes.IndexByte(v, ';'); i >= 0 {
		v = v[:i]
	}
	v = bytes.TrimSpace(v)
	return slices.ContainsFunc(types, func(m *config.StringMatch) bool { return route.String(m, v) })
}

func (f *Filter) compressible(x *stream.Exchange) bool {
	h, d := &x.Response, &f.config.Response
	if d.KeepETag && h.Has(etag) {
		x.Worker().Shard.Inc(f.etagKept)
		return false
	}
	return allowed(d.Types, h) && !h.Has(contentEncoding) && !slices.Contains(d.NotCodes, h.Status) && !noTransform(h)
}

// noTransform looks for the directive (RFC 9111 section 5.2.2.6).
func noTransform(h *codec.Head) bool {
	v, _, ok := h.Joined(cacheControl, nil)
	if !ok {
		return false
	}
	for one := range bytes.SplitSeq(v, []byte(",")) {
		if bytes.EqualFold(bytes.TrimSpace(one), []byte("no-transform")) {
			return true
		}
	}
	return false
}

// chosen says whether the client likes this compressor best of those of the chain that would take the response.
func (f *Filter) chosen(x *stream.Exchange) bool {
	accept, ok := x.Accepted()
	if !ok {
		return false
	}
	var offers []offer
	for _, p := range f.peers.filters {
		e := p.config.Library.Encoding.String()
		known := slices.ContainsFunc(offers, func(o offer) bool { return o.encoding == e })
		if enabled, _, _ := p.on(x); enabled && !known && allowed(p.config.Response.Types, &x.Response) && !refused(accept, e) {
			offers = append(offers, offer{e, p.config.First})
		}
	}
	return choose(accept, offers) == f.config.Library.Encoding.String()
}

// tag treats the ETag of a response that is not the same any more (RFC 9110 section 8.8.3): a strong one is taken away or made weak.
func (f *Filter) tag(h *codec.Head) {
	v, ok := h.Value(etag)
	if !ok || len(v) > 2 && (v[0] == 'W' || v[0] == 'w') && v[1] == '/' {
		return
	}
	if f.config.Response.WeakenETag {
		h.SetString(etag, "W/"+string(v))
		return
	}
	h.Del(etag)
}

// varies tells caches that others may get another body.
func varies(h *codec.Head) {
	v, _, ok := h.Joined(vary, nil)
	if !ok || len(v) == 0 {
		h.SetString(vary, "Accept-Encoding")
		return
	}
	for one := range bytes.SplitSeq(v, []byte(",")) {
		if string(bytes.TrimSpace(one)) == "Accept-Encoding" { // as Envoy compares; two spellings do no harm
			return
		}
	}
	h.Set(vary, append(bytes.Clone(v), ", Accept-Encoding"...))
}
