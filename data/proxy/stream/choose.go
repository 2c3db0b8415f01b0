package stream

import (
	"strconv"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/http1"
	"github.com/heddle-mesh/heddle/data/proxy/route"
)

func portText(p uint16) string { return strconv.Itoa(int(p)) }

// view shows the head to the routes.
func (w *Worker) view(h *codec.Head, random uint64) *route.Request {
	w.fields = w.fields[:0]
	for i := range h.Slots() {
		if name, value, ok := h.At(i); ok {
			w.fields = append(w.fields, http1.Field{Name: name, Value: value})
		}
	}
	w.request = route.Request{Method: h.Method(), Scheme: h.Scheme(), Host: w.lower(h.Authority()), Path: h.Path(), Fields: w.fields, Random: random}
	return &w.request
}

// lower gives a host in lower case, without a copy when it is so already.
func (w *Worker) lower(host []byte) []byte {
	for i, c := range host {
		if c >= 'A' && c <= 'Z' {
			w.scratch = append(w.scratch[:0], host...)
			for ; i < len(w.scratch); i++ {
				if c := w.scratch[i]; c >= 'A' && c <= 'Z' {
					w.scratch[i] = c + 'a' - 'A'
				}
			}
			return w.scratch
		}
	}
	return host
}

// choose finds the route and its cluster, and pins both for the life of the exchange.
func (x *Exchange) choose() {
	if x.table = x.m.table(); x.table == nil {
		return
	}
	x.vhost, x.route = x.table.Route(x.w.view(&x.Request, x.random))
	if x.route == nil || x.route.Forward == nil {
		return
	}
	f := x.route.Forward
	x.need.Match = f.Match
	switch {
	case len(f.Weighted) > 0:
		if x.weighted = route.Pick(f, x.random>>20); x.weighted != nil {
			x.name, x.need.Match = x.weighted.Name, x.weighted.Match
		}
	case f.ClusterHeader != "":
		v, _ := x.Request.Get(f.ClusterHeader)
		x.name = string(v)
	default:
		x.name = f.Cluster
	}
	if x.cluster = x.w.Pools.Cluster(x.name); x.cluster != nil {
		x.counters = x.w.Pools.Stats(x.cluster)
	}
	if d := f.IdleTimeout; d != nil {
		x.watchIdle(*d)
	}
	x.limitDuration(f)
}

// dispatch does what the route says.
func (x *Exchange) dispatch() {
	sh, s := x.w.Shard, &x.m.stats
	sh.Inc(s.Total)
	r := x.route
	if x.needsTLS() {
		sh.Inc(s.Redirect)
		x.redirect(&config.Redirect{HTTPS: true, Code: 301})
		return
	}
	switch {
	case r == nil:
		sh.Inc(s.NoRoute)
		x.flags = x.flags.With(codec.FlagNoRoute)
		x.Reply(404, "", "route_not_found")
	case r.Redirect != nil:
		sh.Inc(s.Redirect)
		x.redirect(r.Redirect)
	case r.Direct != nil:
		sh.Inc(s.Direct)
		x.reply(r.Direct.Status, string(r.Direct.Body), "direct_response", x.routeResponse)
	case x.cluster == nil:
		sh.Inc(s.NoCluster)
		x.flags = x.flags.With(codec.FlagNoCluster)
		code := r.Forward.NotFoundCode
		if code == 0 {
			code = 503
		}
		x.answer(code, "", "cluster_not_found", nil)
	default:
		x.forward()
	}
}

func (x *Exchange) needsTLS() bool {
	return x.vhost != nil && x.vhost.RequireTLS && string(x.Request.Scheme()) != "https"
}
