package upstream

import (
	"math"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// slowStep is how often the shares of new endpoints grow.
const slowStep = time.Second

// Sweep does what comes with time: ejected endpoints are taken back, those that do worse than others are ejected, and new ones get more of their share. It gives the time
// after which it is to be called again.
func (s *Set) Sweep(now time.Time) time.Duration {
	next := time.Duration(math.MaxInt64)
	for _, c := range s.All() {
		next = min(next, c.sweep(now, s.Random))
	}
	return next
}

func (c *Cluster) sweep(now time.Time, random func() uint64) (next time.Duration) {
	d, l, v := c.Config().Outlier, c.Config().Load, c.view.Load()
	changed := v != nil && v.starting
	if next = math.MaxInt64; changed {
		next = slowStep
	}
	if d == nil && l == nil && !changed {
		return next
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if d != nil {
		if now.Sub(c.swept) >= d.Interval {
			c.swept = now
			changed = c.interval(d, now, random) || changed
		}
		next = min(next, d.Interval-now.Sub(c.swept))
	}
	if l != nil {
		if now.Sub(c.weighed) >= l.Update {
			c.weighed = now
			changed = c.reweigh(now) || changed
		}
		next = min(next, l.Update-now.Sub(c.weighed))
	}
	if changed {
		c.remake()
	}
	return next
}

// interval is what outlier detection does at the end of each interval. mu is held.
func (c *Cluster) interval(d *config.Outlier, now time.Time, random func() uint64) (changed bool) {
	for _, h := range c.hosts {
		switch o := h.outlier; {
		case !h.ejected.Load():
			o.times = max(o.times, 1) - 1 // one of its ejections is forgiven
		case now.Sub(o.ejectedAt) >= o.lasts(d):
			c.takeBack(h)
			changed = true
		}
	}
	answers, reached := c.rates(func(o *outlier) *rate { return &o.answers }), c.rates(func(o *outlier) *rate { return &o.reached })
	changed = c.compare(answers, d, [2]reason{successRate, failurePercentage}, now, random) || changed
	return c.compare(reached, d, [2]reason{successRateLocal, failurePercentageLocal}, now, random) || changed
}

// measured is how one endpoint did over an interval.
type measured struct {
	host    *Host
	percent float64 // of successes
	volume  uint32
}

// rates ends the interval of all endpoints, and gives those that may be compared. mu is held.
func (c *Cluster) rates(of func(*outlier) *rate) (out []measured) {
	for _, h := range c.hosts {
		if percent, volume := of(h.outlier).take(); volume > 0 && !h.ejected.Load() {
			out = append(out, measured{h, percent, volume})
		}
	}
	return out
}

// compare ejects endpoints that do much worse than others, or fail too often (Envoy, "Success rate" and "Failure percentage"). mu is held.
func (c *Cluster) compare(all []measured, d *config.Outlier, why [2]reason, now time.Time, random func() uint64) (changed bool) {
	eject := func(h *Host, why reason) {
		changed = c.detected(h, why, d, now, random()) || changed
	}
	if list := enough(all, d.SuccessRate.Volume, d.SuccessRate.Hosts); len(list) > 0 {
		for bound, i := threshold(list, d.StdevFactor), 0; i < len(list); i++ {
			if list[i].percent < bound {
				eject(list[i].host, why[0])
			}
		}
	}
	for _, m := range enough(all, d.FailurePercentage.Volume, d.FailurePercentage.Hosts) {
		if 100-m.percent >= float64(d.FailureThreshold) && !m.host.ejected.Load() {
			eject(m.host, why[1])
		}
	}
	return changed
}

// enough are the endpoints with enough requests, if there are enough of them.
func enough(all []measured, volume, hosts uint32) (list []measured) {
	for _, m := range all {
		if m.volume >= volume {
			list = append(list, m)
		}
	}
	if len(list) < int(hosts) {
		return nil
	}
	return list
}

// threshold is the success rate below which an endpoint stands out: the mean, less so many standard deviations.
func threshold(list []measured, factor float64) float64 {
	mean, variance := 0.0, 0.0
	for _, m := range list {
		mean += m.percent / float64(len(list))
	}
	for _, m := range list {
		variance += (m.percent - mean) * (m.percent - mean) / float64(len(list))
	}
	return mean - factor*math.Sqrt(variance)
}
