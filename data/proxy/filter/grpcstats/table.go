package grpcstats

import (
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// most bounds the methods that are told apart: clients may ask for any. Calls beyond it are counted without a method.
const most = 10_000

// statuses are those that gRPC knows.
const statuses = 17

type method struct{ cluster, service, name string }

// table has the counters of methods, made when one is called for the first time.
type table struct {
	registry *stats.Registry
	upstream bool
	mu       sync.RWMutex
	known    map[method]*counters
}

func (t *table) of(cluster, service, name string) *counters {
	t.mu.RLock()
	c, n := t.known[method{cluster, service, name}], len(t.known)
	t.mu.RUnlock()
	if c != nil {
		return c
	}
	if n >= most && name != "" {
		return t.of(cluster, "", "")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := method{cluster, service, name}
	if c = t.known[key]; c == nil {
		c = newCounters(t.registry, key, t.upstream)
		t.known[key] = c
	}
	return c
}

// counters are those of a method.
type counters struct {
	registry                *stats.Registry
	prefix                  string
	labels                  []stats.Label
	requests, responses     stats.Handle
	success, failure, total stats.Handle
	byStatus                [statuses]atomic.Uint32 // handles; made when they are first needed
	time                    stats.Histogram
}

func newCounters(r *stats.Registry, m method, upstream bool) *counters {
	c := &counters{registry: r, prefix: "cluster." + m.cluster + ".grpc.", labels: []stats.Label{{Name: "envoy_cluster_name", Value: m.cluster}}}
	if m.name != "" {
		c.prefix += m.service + "." + m.name + "."
		c.labels = append(c.labels, stats.Label{Name: "envoy_grpc_bridge_method", Value: m.name}, stats.Label{Name: "envoy_grpc_bridge_service", Value: m.service})
	}
	c.requests, c.responses = c.counter("request_message_count"), c.counter("response_message_count")
	c.success, c.failure, c.total = c.counter("success"), c.counter("failure"), c.counter("total")
	if upstream {
		c.time = r.Milliseconds(c.desc("upstream_rq_time"))
	}
	return c
}

func (c *counters) desc(name string) stats.Desc {
	return stats.Desc{Name: "envoy_cluster_grpc_" + name, Labels: c.labels, Dotted: c.prefix + name}
}

func (c *counters) counter(name string) stats.Handle { return c.registry.Counter(c.desc(name)) }

// end counts a status. Of those that gRPC does not know there is none by name, or servers could make any number of them.
func (c *counters) end(s *stats.Shard, text []byte) {
	code, err := strconv.Atoi(string(text))
	if err == nil && code >= 0 && code < statuses {
		h := stats.Handle(c.byStatus[code].Load())
		if h == 0 {
			h = c.counter(strconv.Itoa(code))
			c.byStatus[code].Store(uint32(h))
		}
		s.Inc(h)
	}
	if err == nil && code == 0 {
		s.Inc(c.success)
	} else {
		s.Inc(c.failure)
	}
	s.Inc(c.total)
}
