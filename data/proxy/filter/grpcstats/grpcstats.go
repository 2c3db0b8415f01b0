// Package grpcstats counts calls of gRPC by their cluster, service, method and status, and the messages in them (envoy.extensions.filters.http.grpc_stats.v3).
//
// In: an exchange whose request is gRPC; others pass. Out: counters in Envoy's names, cluster.NAME.grpc.SERVICE.METHOD.*, as the call goes on. Safe for concurrent use.
package grpcstats

import (
	"bytes"
	"strings"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
)

// Filter is the filter.
type Filter struct {
	config *config.GRPCStats
	table  table
}

// New makes the filter.
func New(c *config.GRPCStats, r *stats.Registry) *Filter {
	return &Filter{config: c, table: table{registry: r, upstream: c.Upstream, known: map[method]*counters{}}}
}

// call is what the filter keeps of an exchange.
type call struct {
	x       *stream.Exchange
	c       *counters
	in, out codec.GRPCMessages
	reply   bool // the response is gRPC
}

// Request implements stream.Filter.
func (f *Filter) Request(x *stream.Exchange) stream.Verdict {
	name, cluster := x.Cluster()
	if kind, _ := x.Request.Value(codec.ContentType); !codec.IsGRPC(kind) || cluster == nil {
		return stream.Continue
	}
	service, rpc, ok := split(x.Request.PathOnly())
	if !ok {
		return stream.Continue
	}
	if alt := cluster.Config().AltStat; alt != "" {
		name = alt
	}
	c := &call{x: x, c: f.of(name, service, rpc)}
	x.Note(f, c)
	if !x.RequestEnded() {
		x.TransformRequest((*asked)(c)) // it finds nothing broken
	}
	return stream.Continue
}

// of are the counters of a method, or those of all that are not told apart.
func (f *Filter) of(cluster string, service, rpc []byte) *counters {
	switch {
	case f.config.All && f.config.Underscores:
		return f.table.of(cluster, strings.ReplaceAll(string(service), ".", "_"), string(rpc))
	case f.config.All || f.config.Methods[string(service)][string(rpc)]:
		return f.table.of(cluster, string(service), string(rpc))
	}
	return f.table.of(cluster, "", "")
}

// Response implements stream.ResponseFilter: a status in the head counts, also beside trailers.
func (f *Filter) Response(x *stream.Exchange) {
	c, _ := x.Noted(f).(*call)
	if c == nil {
		return
	}
	status, has := x.Response.Value(codec.GRPCStatus)
	kind, _ := x.Response.Value(codec.ContentType)
	if c.status(status, has); x.ResponseEnded() {
		c.took()
		return
	}
	c.reply = x.Response.Status == 200 && codec.IsGRPC(kind)
	x.TransformResponse((*replied)(c))
}

func (c *call) status(text []byte, has bool) {
	if has {
		c.c.end(c.x.Worker().Shard, text)
	}
}

// took notes how long the server took.
func (c *call) took() {
	if d, ok := c.x.Waited(); ok {
		c.x.Worker().Shard.Observe(c.c.time, uint64(d.Milliseconds()))
	}
}

// split gives the service and the method of a path: /SERVICE/METHOD. Slashes in a row count as one.
func split(path []byte) (service, rpc []byte, ok bool) {
	for part := range bytes.SplitSeq(path, []byte("/")) {
		switch {
		case len(part) == 0:
		case service == nil:
			service = part
		case rpc == nil:
			rpc = part
		default:
			return nil, nil, false
		}
	}
	return service, rpc, rpc != nil
}

var _ stream.ResponseFilter = (*Filter)(nil)
