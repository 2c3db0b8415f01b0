package server

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/trace"
)

// tracers are the exporters of spans, one for each provider that a connection manager names.
type tracers struct {
	s *Server

	mu        sync.Mutex
	exporters map[string]*trace.Exporter
}

// tracer prepares the tracing of a connection manager.
func (t *tracers) tracer(c *config.Tracing) *trace.Tracer {
	return &trace.Tracer{Config: c, Exporter: t.exporter(c.Provider), Node: t.s.node.GetId(), Zone: t.s.node.GetLocality().GetZone()}
}

func (t *tracers) exporter(p *config.TraceProvider) *trace.Exporter {
	if p == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := fmt.Sprintf("%+v", *p)
	e := t.exporters[key]
	if e == nil {
		e = trace.NewExporter(trace.Options{Provider: p, Pools: t.s.pools, Stats: t.s.registry, Version: t.s.opts.Version, Service: t.s.node.GetCluster(), IP: t.s.ownIP()})
		t.exporters[key] = e
	}
	return e
}

// ownIP is the workload's first IPv4 address, "" where it is not known.
func (s *Server) ownIP() string {
	if s.opts.Workload != nil {
		for _, ip := range s.opts.Workload.IPs {
			if ip.Is4() {
				return ip.String()
			}
		}
	}
	return ""
}

// flush sends the last spans, and waits a moment for that.
func (t *tracers) flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var waiting atomic.Int64
		var asked sync.WaitGroup
		for _, e := range t.exporters {
			for i, w := range t.s.workers {
				asked.Add(1)
				w.Post(func(*loop.Worker) {
					defer asked.Done()
					e.Flush(i)
					waiting.Add(int64(e.Waiting(i)))
				})
			}
		}
		if asked.Wait(); waiting.Load() == 0 {
			return
		}
	}
}
