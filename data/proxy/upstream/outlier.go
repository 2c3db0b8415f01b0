package upstream

import (
	"sync/atomic"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// outlier is what outlier detection knows of one endpoint. Counters belong to everybody; the rest to who holds the cluster's lock.
type outlier struct {
	server, gateway, local atomic.Uint32 // failures in a row
	answers, reached       rate          // of the endpoint's own answers, and of getting there at all
	times                  uint32        // ejected in a row: each lasts longer
	ejectedAt              time.Time
	jitter                 time.Duration
}

// rate counts successes over one interval.
type rate struct{ total, good atomic.Uint32 }

func (r *rate) add(good bool) {
	r.total.Add(1)
	if good {
		r.good.Add(1)
	}
}

// take begins the next interval. It gives the success rate of the last one in percent, and out of how many.
func (r *rate) take() (percent float64, volume uint32) {
	good, volume := r.good.Swap(0), r.total.Swap(0)
	if volume == 0 {
		return 0, 0
	}
	return min(100, 100*float64(good)/float64(volume)), volume
}

// Outcome is what a try told of an endpoint.
type Outcome uint8

// The outcomes. Connected says that there is a connection, and nothing yet of an answer; Reached that a connection was all that was wanted. LocalFailure is a failure of
// ours to reach it: a connect that failed, a time-out, a reset.
const (
	Success Outcome = iota
	ServerError
	GatewayError // 502, 503, 504
	LocalFailure
	Connected
	Reached
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

// OutcomeFor classifies an answer as the cluster does. Where it names the codes that are errors, each of them counts as a 500 and all others are fine, and a gRPC status
// in the answer's head, which told stands for, is not looked at.
func (c *Cluster) OutcomeFor(status, told int) Outcome {
	codes := c.Config().Errors
	switch {
	case codes == nil:
		return OutcomeOf(told)
	case codes.Has(status):
		return ServerError
	}
	return Success
}

// Report counts an outcome for outlier detection and ejects the endpoint when a limit is reached (envoy.config.cluster.v3.OutlierDetection). chance is random: a limit
// may be enforced now and then only.
func (h *Host) Report(o Outcome, now time.Time, chance uint64) {
	d := h.Cluster.Config().Outlier
	if d == nil || h.outlier == nil {
		return
	}
	if d.SplitLocal {
		switch o {
		case Connected, Reached:
			h.outlier.reached.add(true)
			h.outlier.local.Store(0)
			return
		case LocalFailure:
			h.outlier.reached.add(false)
			h.inARow(&h.outlier.local, consecutiveLocal, d, now, chance)
			return
		}
	}
	switch o {
	case Connected:
		return
	case Reached:
		o = Success
	case LocalFailure:
		o = GatewayError // a failure of ours counts as a 503
	}
	h.answered(o, d, now, chance)
}

// answered counts an answer, or what stands for one.
func (h *Host) answered(o Outcome, d *config.Outlier, now time.Time, chance uint64) {
	h.outlier.answers.add(o == Success)
	if o == Success {
		h.outlier.server.Store(0)
		h.outlier.gateway.Store(0)
		return
	}
	if o == GatewayError {
		h.inARow(&h.outlier.gateway, consecutiveGateway, d, now, chance)
	} else {
		h.outlier.gateway.Store(0)
	}
	h.inARow(&h.outlier.server, consecutive5xx, d, now, chance)
}

// inARow counts one more failure in a row. Whatever comes of the last one, the next row begins.
func (h *Host) inARow(count *atomic.Uint32, why reason, d *config.Outlier, now time.Time, chance uint64) {
	if count.Add(1) != why.limit(d) {
		return
	}
	c := h.Cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.ejected.Load() || h.gone.Load() {
		return
	}
	if c.detected(h, why, d, now, chance) {
		c.remake()
	}
	count.Store(0)
}

// detected counts what was found of an endpoint, and ejects it unless too many are out already or chance is against it. It says whether it did; mu is held.
func (c *Cluster) detected(h *Host, why reason, d *config.Outlier, now time.Time, chance uint64) bool {
	c.counts.detect(why)
	out := 0
	for _, o := range c.hosts {
		if o.ejected.Load() {
			out++
		}
	}
	if 100*(out+1) > int(d.MaxEjectionPercent)*len(c.hosts) && (out > 0 || !d.AlwaysEjectOne) {
		c.counts.overflow()
		return false
	}
	if chance%100 >= uint64(why.enforce(d)) {
		return false
	}
	o := h.outlier
	o.ejectedAt, o.jitter = now, 0
	if ms := uint64(d.MaxJitter.Milliseconds()); ms > 0 {
		o.jitter = time.Duration(chance/100%(ms+1)) * time.Millisecond
	}
	if time.Duration(o.times)*d.BaseEjection < d.MaxEjection+d.BaseEjection {
		o.times++
	}
	h.ejected.Store(true)
	c.counts.enforce(why)
	c.log.Info("an endpoint is ejected", "cluster", c.Name, "endpoint", h.Address.String(), "why", why.String(), "for", o.lasts(d))
	return true
}

// lasts is how long an ejection lasts.
func (o *outlier) lasts(d *config.Outlier) time.Duration {
	return min(time.Duration(o.times)*d.BaseEjection, d.MaxEjection) + o.jitter
}

// takeBack ends an ejection, and forgets what led to it. mu is held.
func (c *Cluster) takeBack(h *Host) {
	o := h.outlier
	o.server.Store(0)
	o.gateway.Store(0)
	o.local.Store(0)
	h.ejected.Store(false)
	c.counts.takeBack()
	c.log.Info("an endpoint is taken back", "cluster", c.Name, "endpoint", h.Address.String())
}
