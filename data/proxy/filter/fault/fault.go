// Package fault delays and aborts a share of requests on purpose (envoy.extensions.filters.http.fault.v3.HTTPFault).
//
// In: an exchange. Out: the exchange later, or a local reply with the flag DI or FI. Safe for concurrent use.
package fault

import (
	"sync/atomic"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
)

const million = 1_000_000

// Filter is the filter with its own configuration, which routes override.
type Filter struct {
	config          *config.Fault
	active          atomic.Int64
	delayed, abort_ stats.Handle
	overflow        stats.Handle
}

// New makes the filter.
func New(c *config.Fault, r *stats.Registry) *Filter {
	counter := func(n string) stats.Handle {
		return r.Counter(stats.Desc{Name: "envoy_http_fault_" + n, Dotted: "http.fault." + n})
	}
	return &Filter{config: c, delayed: counter("delays_injected"), abort_: counter("aborts_injected"), overflow: counter("faults_overflow")}
}

// Request implements stream.Filter: first the delay, then the abort.
func (f *Filter) Request(x *stream.Exchange) stream.Verdict {
	c := f.of(x)
	if c == nil || c.DelayShare == 0 && c.AbortShare == 0 || !f.concerns(c, x) {
		return stream.Continue
	}
	w := x.Worker()
	if c.Delay > 0 && uint32(w.Loop.Rand()%million) < c.DelayShare && f.enter(c, x) {
		x.Flag(codec.FlagDelayInjected)
		x.Acted(stream.Act{Filter: "fault", Did: "delayed", Took: c.Delay})
		w.Shard.Inc(f.delayed)
		x.Delay(c.Delay, func() {
			f.active.Add(-1)
			if f.aborts(c, x) == stream.Continue {
				x.Resume()
			}
		})
		return stream.Wait
	}
	return f.aborts(c, x)
}

// enter counts an active fault, if the limit allows one more (max_active_faults).
func (f *Filter) enter(c *config.Fault, x *stream.Exchange) bool {
	if n := f.active.Add(1); c.MaxActive > 0 && n > int64(c.MaxActive) {
		f.active.Add(-1)
		x.Worker().Shard.Inc(f.overflow)
		return false
	}
	return true
}

func (f *Filter) aborts(c *config.Fault, x *stream.Exchange) stream.Verdict {
	w := x.Worker()
	if c.AbortShare == 0 || uint32(w.Loop.Rand()%million) >= c.AbortShare {
		return stream.Continue
	}
	w.Shard.Inc(f.abort_)
	x.Flag(codec.FlagFaultInjected)
	x.Acted(stream.Act{Filter: "fault", Did: "aborted", Status: c.AbortStatus})
	if c.AbortGRPC >= 0 {
		x.ReplyGRPC(c.AbortGRPC, "fault filter abort", "fault_filter_abort")
	} else {
		x.Reply(c.AbortStatus, "fault filter abort", "fault_filter_abort")
	}
	return stream.Responded
}

// of is the most special configuration: weighted cluster, route, virtual host, the filter's own.
func (f *Filter) of(x *stream.Exchange) *config.Fault {
	if w := x.Weighted(); w != nil && w.PerFilter.Fault != nil {
		return w.PerFilter.Fault
	}
	host, route := x.Route()
	switch {
	case route != nil && route.PerFilter.Fault != nil:
		return route.PerFilter.Fault
	case host != nil && host.PerFilter.Fault != nil:
		return host.PerFilter.Fault
	}
	return f.config
}

// concerns says whether the fault is meant for the request (headers, upstream_cluster).
func (f *Filter) concerns(c *config.Fault, x *stream.Exchange) bool {
	if c.Upstream != "" {
		if name, _ := x.Cluster(); name != c.Upstream {
			return false
		}
	}
	for i := range c.Headers {
		if !x.Matches(&c.Headers[i]) {
			return false
		}
	}
	return true
}
