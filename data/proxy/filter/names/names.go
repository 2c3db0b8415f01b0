// Package names looks up the host that a request names, where its cluster goes by that (envoy.filters.http.dynamic_forward_proxy).
//
// In: requests. Out: the same, which know where their host is, or an answer that says why they do not. A Filter is shared by all workers.
package names

import (
	"errors"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/resolve"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
)

// Filter looks names up.
type Filter struct{ names *config.Names }

// New makes a filter.
func New(c *config.Names) *Filter { return &Filter{c} }

// Request implements stream.Filter.
func (f *Filter) Request(x *stream.Exchange) stream.Verdict {
	_, c := x.Cluster()
	if c == nil {
		return stream.Continue
	}
	def := c.Config()
	if def.Type != config.ClientNames || def.Names == nil || def.Names.Name != f.names.Name {
		return stream.Continue
	}
	verdict, waits := stream.Wait, false
	x.LookUp(def.Names, func(at loop.Address, err error) {
		verdict = f.found(x, at, err)
		if waits && verdict == stream.Continue {
			x.Resume()
		}
	})
	waits = true
	return verdict
}

// found goes on with what is known of the host.
func (f *Filter) found(x *stream.Exchange, at loop.Address, err error) stream.Verdict {
	switch {
	case err == nil:
		x.Name(at)
		return stream.Continue
	case errors.Is(err, resolve.ErrPending):
		x.Flag(codec.FlagUpstreamOverflow)
		x.Reply(503, "Dynamic forward proxy pending request overflow", "dynamic_forward_proxy_pending_request_overflow")
	case errors.Is(err, resolve.ErrOverflow):
		x.Reply(503, "DNS cache overflow", "dns_cache_overflow")
	default:
		x.Flag(codec.FlagDNSResolutionFailed)
		x.Reply(503, "DNS resolution failure", "dns_resolution_failure")
	}
	return stream.Responded
}
