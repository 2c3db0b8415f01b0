package upstream

import (
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// outlier counts failures of one endpoint in a row.
type outlier struct {
	server, gateway, local atomic.Uint32
	ejections              atomic.Uint32 // times in a row: each lasts longer
	until                  atomic.Int64  // Unix nanoseconds
}

// Outcome is what a try told of an endpoint.
type Outcome uint8

// The outcomes. LocalFailure is a failure of ours to reach it: a connect that failed, a time-out, a reset.
const (
	Success Outcome = iota
	ServerError
	GatewayError // 502, 503, 504
	LocalFailure
)

// OutcomeOf classifies a status code.
func OutcomeOf(status int) Outcome {
	switch {
	case status == 502 || status == 503 || status == 504:
		return GatewayError
	case status >= 500:
		return ServerError
	}
	return Success
}

// Report counts an outcome for outlier detection and ejects the endpoint when a limit is reached (envoy.config.cluster.v3.OutlierDetection).
func (h *Host) Report(o Outcome, now time.Time) {
	d := h.Cluster.Config().Outlier
	if d == nil {
		return
	}
	if o == LocalFailure && !d.SplitLocal {
		o = GatewayError // a failure of ours counts as a 503
	}
	switch o {
	case Success:
		h.outlier.server.Store(0)
		h.outlier.gateway.Store(0)
		h.outlier.local.Store(0)
		return
	case LocalFailure:
		if n := h.outlier.local.Add(1); n == d.ConsecutiveLocal && d.EnforceLocal > 0 {
			h.eject(d, now)
		}
		return
	case GatewayError:
		if n := h.outlier.gateway.Add(1); n == d.ConsecutiveGateway && d.EnforceGateway > 0 {
			h.eject(d, now)
		}
	case ServerError:
		h.outlier.gateway.Store(0)
	}
	if n := h.outlier.server.Add(1); n == d.Consecutive5xx && d.Enforce5xx > 0 {
		h.eject(d, now)
	}
}

// eject takes the endpoint out, unless too many are out already.
func (h *Host) eject(d *config.Outlier, now time.Time) {
	c := h.Cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.ejected.Load() || h.gone.Load() {
		return
	}
	out := 0
	for _, o := range c.hosts {
		if o.ejected.Load() {
			out++
		}
	}
	// One endpoint may always go when the share allows any at all; beyond that the share counts (max_ejection_percent).
	if out > 0 && 100*(out+1) > int(d.MaxEjectionPercent)*len(c.hosts) || out == 0 && d.MaxEjectionPercent == 0 && !d.AlwaysEjectOne {
		return
	}
	n := h.outlier.ejections.Add(1)
	last := time.Duration(n) * d.BaseEjection
	if d.MaxEjection > 0 {
		last = min(last, max(d.MaxEjection, d.BaseEjection))
	}
	h.outlier.until.Store(now.Add(last).UnixNano())
	h.outlier.server.Store(0)
	h.outlier.gateway.Store(0)
	h.outlier.local.Store(0)
	h.ejected.Store(true)
	c.log.Info("an endpoint is ejected", "cluster", c.Name, "endpoint", h.Address.String(), "for", last)
	c.remake()
}

// Sweep takes ejected endpoints back whose time is over; it is called now and then (OutlierDetection.interval is looked at by the caller).
func (s *Set) Sweep(now time.Time) {
	for _, c := range s.All() {
		if c.Config().Outlier != nil {
			c.sweep(now)
		}
	}
}

func (c *Cluster) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := false
	for _, h := range c.hosts {
		if h.ejected.Load() && now.UnixNano() >= h.outlier.until.Load() {
			h.ejected.Store(false)
			changed = true
		}
	}
	if changed {
		c.remake()
	}
}
