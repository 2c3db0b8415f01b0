package upstream

import (
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
)

// Transport is how connections to an endpoint begin.
type Transport struct {
	TLS   *tls.ClientContext // nil: plain
	Proxy uint8              // version of the PROXY header that comes before it, 0 for none
	TLVs  *config.ProxyTLVs  // its extensions, nil for none
}

// Host is one endpoint of a cluster with its state, shared by all workers.
type Host struct {
	Cluster *Cluster
	Address loop.Address
	Transport

	key      key
	added    time.Time
	config   atomic.Pointer[config.Endpoint]
	priority uint32
	locality int    // its place in the assignment, -1 when there is none
	listed   uint64 // the latest update that named it
	in       *config.Locality
	where    atomic.Pointer[string] // its name

	quick   quickness
	active  atomic.Int32
	gone    atomic.Bool
	removed atomic.Bool
	ejected atomic.Bool
	checked atomic.Uint32 // Checked
	outlier *outlier      // nil without outlier detection
	load    *load         // nil where endpoints are not weighed by what they tell
}

// together says whether two localities are the same place at the same priority.
func together(a, b *config.Locality) bool {
	return a.Priority == b.Priority && a.Region == b.Region && a.Zone == b.Zone && a.Subzone == b.Subzone
}

func newHost(c *Cluster, e *config.Endpoint, t Transport, k key) *Host {
	h := &Host{Cluster: c, Transport: t, key: k, added: c.now()}
	if e.Path != "" {
		h.Address = loop.Unix(e.Path)
	} else {
		h.Address = loop.TCP(e.Address)
	}
	h.config.Store(e)
	if c.Config().Outlier != nil {
		h.outlier = &outlier{}
	}
	if c.Config().Load != nil {
		h.load = &load{}
	}
	return h
}

// Config is the endpoint as discovery has it.
func (h *Host) Config() *config.Endpoint { return h.config.Load() }

// Gone says that the endpoint is no longer listed: its idle connections are closed, and busy ones after their request.
func (h *Host) Gone() bool { return h.gone.Load() }

// Ejected says whether outlier detection keeps requests away.
func (h *Host) Ejected() bool { return h.ejected.Load() }

// Active is the number of requests in flight.
func (h *Host) Active() int { return int(h.active.Load()) }

// Begin and End count a request in flight.
func (h *Host) Begin() {
	h.active.Add(1)
	if r := h.Cluster.recent; r != nil {
		r.add(h.Cluster.now())
	}
}

// End is the counterpart of Begin.
func (h *Host) End() { h.active.Add(-1) }

// state is how an endpoint stands to those who choose.
type state uint8

const (
	healthy state = iota
	degraded
	unhealthy
	anyState // for those who choose in panic
)

func (h *Host) state() state {
	f, reported := h.Checked(), h.Config().Health
	switch {
	case reported == config.Unhealthy, reported == config.Draining, f&CheckFailed != 0, h.ejected.Load():
		return unhealthy
	case reported == config.Degraded, f&CheckDegraded != 0:
		return degraded
	}
	return healthy
}
