package server

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/overload"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// buildOverload prepares what the bootstrap's overload_manager asks for, or else what follows from the memory limit.
func (s *Server) buildOverload() {
	var c *config.Overload
	switch {
	case s.bootstrap != nil && s.bootstrap.Overload != nil:
		c = s.bootstrap.Overload
	case s.opts.MemoryLimit > 0:
		c = limited(uint64(s.opts.MemoryLimit))
	default:
		return
	}
	s.overload = overload.New(c, overload.Hooks{Connections: func() int { return s.listeners.Connections() }, Accept: func(on bool) { s.listeners.Pause(!on) }, Relieve: s.relieve, Release: s.release}, s.registry)
	for _, w := range s.requests.workers {
		w.Overload = &s.overload.State
	}
	for _, p := range s.pools {
		p.Short = func() bool { return s.overload.Hits(config.DisableKeepAlive, p.Loop.Rand()) }
	}
}

// limited is what a proxy does by itself below a memory limit: connections end with their requests and those to upstreams are not kept, then clients' connections are not kept
// either, then requests are refused, more and more of them, and then nothing is accepted any more.
func limited(limit uint64) *config.Overload {
	at := func(low, high float64) []config.OverloadTrigger {
		return []config.OverloadTrigger{{Resource: config.Heap, Low: low, High: high}}
	}
	return &config.Overload{Refresh: time.Second / 4, MaxHeap: limit, Actions: []config.OverloadAction{
		{Kind: config.DisableKeepAlive, Triggers: at(0.85, 0.85)}, {Kind: config.StopRequests, Triggers: at(0.9, 0.95)},
		{Kind: config.ShrinkHeap, Triggers: at(0.88, 0.88)}, {Kind: config.ResetStreams, Triggers: at(0.97, 0.97)},
		{Kind: config.StopConnections, Triggers: at(0.98, 0.98)},
	}}
}

// release makes every worker let go of what rests.
func (s *Server) release(clients bool) {
	for i, w := range s.workers {
		w.Post(func(*loop.Worker) {
			s.pools[i].CloseIdle()
			if clients {
				s.requests.workers[i].CloseIdle()
			}
			s.pools[i].Trim()
			s.requests.workers[i].Trim()
			w.Trim()
		})
	}
}

// relieve makes every worker give up some of its exchanges.
func (s *Server) relieve() {
	for i, w := range s.workers {
		w.Post(func(*loop.Worker) { s.requests.workers[i].Relieve() })
	}
}

// admit refuses connections above the bound of the whole proxy, or by the overload manager.
func (s *Server) admit(at loop.Address) bool {
	if s.overload == nil {
		return true
	}
	why := ""
	switch {
	case s.overload.Full():
		why = "downstream_global_cx_overflow"
	case s.overload.Hits(config.RejectConnections, rand.Uint64()):
		why = "downstream_cx_overload_reject"
	default:
		return true
	}
	address := strings.NewReplacer(":", "_").Replace(at.String())
	s.shards[0].Inc(s.registry.Counter(stats.Desc{
		Name: "envoy_listener_" + why, Labels: []stats.Label{{Name: "envoy_listener_address", Value: address}}, Dotted: "listener." + address + "." + why,
	}))
	return false
}
