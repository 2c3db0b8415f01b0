// Package filter makes the HTTP filters of a connection manager.
//
// In: filter configurations in their order. Out: stream.Filters in the same order, or an error that names the one that cannot be made.
package filter

import (
	"fmt"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/filter/compress"
	"github.com/heddle-mesh/heddle/data/proxy/filter/cors"
	"github.com/heddle-mesh/heddle/data/proxy/filter/extauthz"
	"github.com/heddle-mesh/heddle/data/proxy/filter/fault"
	"github.com/heddle-mesh/heddle/data/proxy/filter/grpcstats"
	"github.com/heddle-mesh/heddle/data/proxy/filter/grpcweb"
	"github.com/heddle-mesh/heddle/data/proxy/filter/names"
	"github.com/heddle-mesh/heddle/data/proxy/filter/rbac"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
)

// maker makes one kind of filter, or nil for a configuration of another kind. The chain is for those that must know of each other.
type maker func(config.Filter, *chain) (stream.Filter, error)

// chain is what the filters of one connection manager share.
type chain struct {
	*stats.Registry
	compressors compress.Chain
}

// order lists the kinds that there are. Filters run in the order of the configuration; this is the order in which Istio's control plane and ours write them.
var order = []maker{
	func(c config.Filter, r *chain) (stream.Filter, error) {
		if c.RBAC == nil {
			return nil, nil
		}
		return rbac.New(c.Name, c.RBAC, r.Registry), nil
	},
	func(c config.Filter, r *chain) (stream.Filter, error) {
		if c.Fault == nil {
			return nil, nil
		}
		return fault.New(c.Fault, r.Registry), nil
	},
	func(c config.Filter, r *chain) (stream.Filter, error) {
		if !c.CORS {
			return nil, nil
		}
		return cors.New(r.Registry), nil
	},
	func(c config.Filter, _ *chain) (stream.Filter, error) {
		if c.Names == nil {
			return nil, nil
		}
		return names.New(c.Names), nil
	},
	func(c config.Filter, r *chain) (stream.Filter, error) {
		if c.ExtAuthz == nil && !c.Checks {
			return nil, nil
		}
		return extauthz.New(c.ExtAuthz, r.Registry), nil
	},
	func(c config.Filter, _ *chain) (stream.Filter, error) {
		if !c.GRPCWeb {
			return nil, nil
		}
		return &grpcweb.Filter{}, nil
	},
	func(c config.Filter, r *chain) (stream.Filter, error) {
		if c.GRPCStats == nil {
			return nil, nil
		}
		return grpcstats.New(c.GRPCStats, r.Registry), nil
	},
	func(c config.Filter, r *chain) (stream.Filter, error) {
		if c.Compressor == nil {
			return nil, nil
		}
		return compress.New(c.Compressor, &r.compressors, r.Registry)
	},
}

// Make makes filters; use it as stream.Options.Filters.
func Make(r *stats.Registry) func([]config.Filter) ([]stream.Filter, error) {
	return func(list []config.Filter) (out []stream.Filter, err error) {
		shared := &chain{Registry: r}
		for i, c := range list {
			if c.Telemetry || c.PeerMetadata {
				continue // what a Manager does by itself
			}
			made := stream.Filter(nil)
			for _, m := range order {
				if made, err = m(c, shared); err != nil {
					return nil, fmt.Errorf("[%d] %s: %w", i, c.Name, err)
				}
				if made != nil {
					break
				}
			}
			if made == nil {
				return nil, fmt.Errorf("[%d] %s: there is no such filter", i, c.Name)
			}
			out = append(out, made)
		}
		return out, nil
	}
}
