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

// Report counts an outcome for outlier detection and ejects the endpoint when a limit is reached (envoy.config.cluster.v3.OutlierDetection). chance is random: a limit
// may be enforced now and then only.
func (h *Host) Report(o Outcome, now time.Time, chance uint64) {
	d := h.Cluster.Config().Outlier
	if d == nil {
		return
	}
	if o == LocalFailure && !d.SplitLocal {
		o = GatewayError // a failure of ours counts as a 503
	}
	reached := func(count *atomic.Uint32, limit, enforce uint32) {
		if count.Add(1) != limit {
			return
		}
		if chance%100 < uint64(enforce) {
			h.eject(d, now)
		}
		count.Store(0) // whatever came of it, the next row begins
	}
	switch o {
	case Success:
		h.outlier.server.Store(0)
		h.outlier.gateway.Store(0)
		h.outlier.local.Store(0)
		return
	case LocalFailure:
		reached(&h.outlier.local, d.ConsecutiveLocal, d.EnforceLocal)
		return
	case GatewayError:
		reached(&h.outlier.gateway, d.ConsecutiveGateway, d.EnforceGateway)
	case ServerError:
		h.outlier.gateway.Store(0)
	}
	reached(&h.outlier.server, d.Consecutive5xx, d.Enforce5xx)
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
	if 100*(out+1) > int(d.MaxEjectionPercent)*len(c.hosts) && (out > 0 || !d.AlwaysEjectOne) {
		return
	}
	n := h.outlier.ejections.Add(1)
	last := time.Duration(n) * d.BaseEjection
	if d.MaxEjection > 0 {
		last = min(last, max(d.MaxEjection, d.BaseEjection))
	}
	h.outlier.until.Store(now.Add(last).UnixNano())
	h.ejected.Store(true)
	c.log.Info("an endpoint is ejected", "cluster", c.Name, "endpoint", h.Address.String(), "for", last)
	c.remake()
}

// Sweep does what comes with time; it is called now and then: ejected endpoints are taken back, and new ones get more of their share.
func (s *Set) Sweep(now time.Time) {
	for _, c := range s.All() {
		c.sweep(now)
	}
}

func (c *Cluster) sweep(now time.Time) {
	d, v := c.Config().Outlier, c.view.Load()
	if d == nil && (v == nil || !v.starting) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := v != nil && v.starting
	if d != nil && now.Sub(c.swept) >= d.Interval {
		c.swept = now
		changed = c.takeBack(now) || changed
	}
	if changed {
		c.remake()
	}
}

// takeBack ends ejections whose time is over, and forgives the others one of theirs.
func (c *Cluster) takeBack(now time.Time) (changed bool) {
	for _, h := range c.hosts {
		switch {
		case !h.ejected.Load():
			if n := h.outlier.ejections.Load(); n > 0 {
				h.outlier.ejections.Store(n - 1)
			}
		case now.UnixNano() >= h.outlier.until.Load():
			h.ejected.Store(false)
			changed = true
		}
	}
	return changed
}
