package server

import (
	"fmt"
	"maps"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/filter"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/report"
	"github.com/heddle-mesh/heddle/data/proxy/route"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
	"github.com/heddle-mesh/heddle/data/proxy/trace"
)

// managers are the connection managers in force, by their configuration.
type managers map[*config.HTTP]*stream.Manager

// requests is the proxy's HTTP: routes, connection managers and each worker's exchanges.
type requests struct {
	stats    *stats.Registry
	reporter stream.Reporter
	peers    *report.Peers // nil without a workload
	tracer   func(*config.Tracing) *trace.Tracer
	routes   route.Set
	current  atomic.Pointer[managers]
	workers  []*stream.Worker
	loops    []*loop.Worker
}

func newRequests(s *Server) *requests {
	r := &requests{stats: s.registry, reporter: s.tap, loops: s.workers, tracer: s.traces.tracer}
	r.current.Store(&managers{})
	for _, p := range s.pools {
		r.workers = append(r.workers, stream.NewWorker(p))
	}
	return r
}

// apply prepares what a configuration needs and puts it into force; back undoes it. A manager whose configuration is the same value is kept.
func (r *requests) apply(c *config.Config, former *config.Config) (back func(), err error) {
	old := *r.current.Load()
	next := managers{}
	for _, l := range c.Listeners {
		for i, chain := range allChains(l) {
			if chain.HTTP == nil {
				continue
			}
			if m := old[chain.HTTP]; m != nil {
				next[chain.HTTP] = m
				continue
			}
			if next[chain.HTTP], err = r.manager(chain.HTTP, l, chain); err != nil {
				return nil, fmt.Errorf("listener %s: filter_chains[%d]: %w", l.Name, i, err)
			}
		}
	}
	both := maps.Clone(old) // while listeners are changed, connections of the old and of the new ones come
	maps.Copy(both, next)
	r.current.Store(&both)
	r.routes.Apply(c.Routes)
	return func() {
		r.current.Store(&old)
		r.routes.Apply(former.Routes)
	}, nil
}

// settle lets go of what only the former configuration needed: its managers hand their connections on to those in the same place, or let them end.
func (r *requests) settle(c, former *config.Config) {
	next, current := managers{}, *r.current.Load()
	places := map[string]*config.Chain{}
	for _, l := range c.Listeners {
		for _, chain := range allChains(l) {
			if chain.HTTP != nil {
				next[chain.HTTP] = current[chain.HTTP]
				places[place(l, chain)] = chain
			}
		}
	}
	retired := false
	for _, l := range former.Listeners {
		for _, chain := range allChains(l) {
			m := current[chain.HTTP]
			if m == nil || next[chain.HTTP] != nil {
				continue
			}
			if to := places[place(l, chain)]; to != nil && reflect.DeepEqual(to.TLS, chain.TLS) {
				m.Succeed(next[to.HTTP])
			} else {
				m.Retire()
				retired = true
			}
		}
	}
	r.current.Store(&next)
	if !retired {
		return
	}
	for i, w := range r.loops {
		w.Post(func(*loop.Worker) { r.workers[i].CloseRetired() })
	}
}

// place is what a connection sees of a filter chain from outside: where it is, and what it is matched by.
func place(l *config.Listener, c *config.Chain) string {
	return fmt.Sprintf("%s|%s|%v|%t", l.Name, l.Address, c.Match, c == l.Default)
}

func allChains(l *config.Listener) []*config.Chain {
	if l.Default == nil {
		return l.Chains
	}
	return append(l.Chains[:len(l.Chains):len(l.Chains)], l.Default)
}

func (r *requests) manager(c *config.HTTP, l *config.Listener, chain *config.Chain) (*stream.Manager, error) {
	return stream.NewManager(c, stream.Options{Listener: l.Name, Chain: chain.Name, Stats: r.stats, Routes: &r.routes, Filters: r.filters, Reporter: r.reporter, Direction: l.Direction, Tracer: r.tracer})
}

// filters makes the filters of a connection manager; in a mesh peers introduce themselves before the others look.
func (r *requests) filters(list []config.Filter) ([]stream.Filter, error) {
	out, err := filter.Make(r.stats)(list)
	if err != nil || r.peers == nil {
		return out, err
	}
	return append([]stream.Filter{r.peers}, out...), nil
}

// serve takes a connection, if the manager of its chain is in force.
func (r *requests) serve(c loop.Conn, chain *config.Chain) bool {
	m := (*r.current.Load())[chain.HTTP]
	if m != nil {
		r.workers[c.Worker().Index()].Serve(m, c)
	}
	return m != nil
}

// drain makes every response the last one of its connection. One at rest stays for a while at most; 0 is the usual short time.
func (r *requests) drain(rest time.Duration) {
	for i, w := range r.loops {
		w.Post(func(*loop.Worker) { r.workers[i].Drain(rest) })
	}
}

// closeIdle closes the connections that no exchange uses.
func (r *requests) closeIdle() {
	for i, w := range r.loops {
		w.Post(func(*loop.Worker) { r.workers[i].CloseIdle() })
	}
}
