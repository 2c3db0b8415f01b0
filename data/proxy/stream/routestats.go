package stream

import (
	"strconv"
	"strings"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// routeKey names a route that has counters of its own.
type routeKey struct{ host, prefix string }

// routeStats are the handles of a route's counters, in Envoy's names.
type routeStats struct {
	total, completed, retry, timeout stats.Handle
	byClass                          [6]stats.Handle
	byCode                           [600]stats.Handle // from 100 on; made when they are wanted first
	time                             stats.Histogram
}

func newRouteStats(r *stats.Registry, k routeKey) *routeStats {
	s := &routeStats{total: r.Counter(k.desc("upstream_rq_total")), completed: r.Counter(k.desc("upstream_rq_completed")), retry: r.Counter(k.desc("upstream_rq_retry")),
		timeout: r.Counter(k.desc("upstream_rq_timeout")), time: r.Milliseconds(k.desc("upstream_rq_time"))}
	for i := 1; i < len(s.byClass); i++ {
		d := k.desc("upstream_rq_" + strconv.Itoa(i) + "xx")
		d.Name, d.Labels = "envoy_vhost_route_upstream_rq_xx", append(d.Labels, stats.Label{Name: "envoy_response_code_class", Value: strconv.Itoa(i)})
		s.byClass[i] = r.Counter(d)
	}
	return s
}

func (k routeKey) desc(name string) stats.Desc {
	return stats.Desc{
		Name: "envoy_vhost_route_" + name, Labels: []stats.Label{{Name: "envoy_virtual_host", Value: k.host}, {Name: "envoy_route", Value: k.prefix}},
		Dotted: "vhost." + k.host + ".route." + k.prefix + "." + name,
	}
}

// countRoute counts a finished exchange for its route. A virtual host that came by itself has the name of its resource, ROUTE/HOST; what counts is the host.
func (x *Exchange) countRoute() {
	k := routeKey{x.vhost.Name[strings.LastIndexByte(x.vhost.Name, '/')+1:], x.route.StatPrefix}
	s := x.w.routes[k]
	if s == nil {
		if x.w.routes == nil {
			x.w.routes = map[routeKey]*routeStats{}
		}
		s = newRouteStats(x.m.registry, k)
		x.w.routes[k] = s
	}
	sh := x.w.Shard
	for range x.attempts {
		sh.Inc(s.total)
	}
	for range x.attempts - 1 {
		sh.Inc(s.retry)
	}
	if x.flags.Has(codec.FlagUpstreamRequestTimeout) {
		sh.Inc(s.timeout)
	}
	if code := x.Response.Status; code >= 100 && code < len(s.byCode) {
		sh.Inc(s.completed)
		sh.Inc(s.byClass[code/100])
		if s.byCode[code] == 0 {
			d := k.desc("upstream_rq_" + strconv.Itoa(code))
			d.Name, d.Labels = "envoy_vhost_route_upstream_rq", append(d.Labels, stats.Label{Name: "envoy_response_code", Value: strconv.Itoa(code)})
			s.byCode[code] = x.m.registry.Counter(d)
		}
		sh.Inc(s.byCode[code])
	}
	if waited, ok := x.Waited(); ok {
		sh.Observe(s.time, uint64(millis(waited)))
	}
}
