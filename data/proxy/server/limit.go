package server

import (
	"sync/atomic"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// limiter counts the connections of one connection_limit filter, as long as there is one.
type limiter struct {
	open           atomic.Int64
	active, turned stats.Handle
}

func (s *Server) limiter(l *config.ConnectionLimit) *limiter {
	if have, ok := s.limits.Load(l); ok {
		return have.(*limiter)
	}
	desc := func(name string) stats.Desc {
		return stats.Desc{Name: "envoy_connection_limit_" + name, Labels: []stats.Label{{Name: "envoy_connection_limit_prefix", Value: l.Stat}}, Dotted: "connection_limit." + l.Stat + "." + name}
	}
	made, _ := s.limits.LoadOrStore(l, &limiter{active: s.registry.Gauge(desc("active_connections")), turned: s.registry.Counter(desc("limited_connections"))})
	return made.(*limiter)
}

// within counts a connection for the limits of its chain, until its socket is closed. One that is above a limit is closed, and within is false.
func (s *Server) within(c loop.Conn, chain *config.Chain) bool {
	shard := s.shards[c.Worker().Index()]
	for _, l := range chain.Limits {
		n := s.limiter(l)
		if n.open.Add(1) > int64(l.Max) {
			n.open.Add(-1)
			shard.Inc(n.turned)
			if l.Delay == 0 {
				c.Abort(false)
			} else {
				c.PauseRead()
				c.Worker().After(l.Delay, func() { c.Abort(false) })
			}
			return false
		}
		shard.Inc(n.active)
		o := c.Origin()
		before := o.Released
		o.Released = func() {
			shard.Dec(n.active)
			n.open.Add(-1)
			if before != nil {
				before()
			}
		}
	}
	return true
}

// forgetLimits lets go of the counts of filters that are not in force any more.
func (s *Server) forgetLimits(c *config.Config) {
	wanted := map[any]bool{}
	for _, l := range c.Listeners {
		for _, chain := range allChains(l) {
			for _, limit := range chain.Limits {
				wanted[limit] = true
			}
		}
	}
	s.limits.Range(func(key, _ any) bool {
		if !wanted[key] {
			s.limits.Delete(key)
		}
		return true
	})
}
