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
	locality int

	active  atomic.Int32
	gone    atomic.Bool
	ejected atomic.Bool
	outlier outlier
}

func newHost(c *Cluster, e *config.Endpoint, t Transport, k key) *Host {
	h := &Host{Cluster: c, Transport: t, key: k, added: c.now()}
	if e.Path != "" {
		h.Address = loop.Unix(e.Path)
	} else {
		h.Address = loop.TCP(e.Address)
	}
	h.config.Store(e)
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
func (h *Host) Begin() { h.active.Add(1) }

// End is the counterpart of Begin.
func (h *Host) End() { h.active.Add(-1) }

// healthy says whether the endpoint may be chosen when there is a choice.
func (h *Host) healthy() bool {
	switch h.Config().Health {
	case config.Unhealthy, config.Draining:
		return false
	}
	return !h.ejected.Load()
}
