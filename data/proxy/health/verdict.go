package health

import (
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// outcome is how one check ended.
type outcome uint8

const (
	passed outcome = iota
	passedDegraded
	failed    // an answer that says no: once is enough
	retriable // an answer that says no, perhaps only now
	broken    // no answer
	late      // no answer in time
)

func (o outcome) String() string {
	return [...]string{"passed", "passed, degraded", "a wrong answer", "a wrong answer that may pass", "no connection, or a broken one", "no answer in time"}[o]
}

// well says whether the check passed.
func (o outcome) well() bool { return o <= passedDegraded }

// change is what an outcome did to an endpoint's state.
type change uint8

const (
	unchanged change = iota
	awaited          // more of the same is needed
	changed
)

// verdict counts outcomes in a row.
type verdict struct {
	seen             bool
	passes, failures uint32
}

// judge gives the state of an endpoint after an outcome. The first one decides at once (Envoy, HealthCheck.healthy_threshold).
func (v *verdict) judge(k *config.HealthCheck, o outcome, was upstream.Checked) (is upstream.Checked, c change) {
	first := !v.seen
	v.seen = true
	is = was &^ upstream.CheckPending
	if o.well() {
		is, c = v.pass(k, o, is, first)
	} else {
		is, c = v.fail(k, o, is)
	}
	if was&upstream.CheckPending != 0 {
		c = changed
	}
	return is, c
}

func (v *verdict) pass(k *config.HealthCheck, o outcome, is upstream.Checked, first bool) (upstream.Checked, change) {
	v.failures = 0
	c := unchanged
	if is&upstream.CheckFailed != 0 {
		c = awaited
		if v.passes++; first || v.passes == k.Healthy {
			is, c = is&^(upstream.CheckFailed|upstream.CheckTimeout|upstream.CheckExcluded), changed
		}
	}
	if degraded := o == passedDegraded; degraded != (is&upstream.CheckDegraded != 0) {
		if is ^= upstream.CheckDegraded; c == unchanged {
			c = changed
		}
	}
	return is, c
}

func (v *verdict) fail(k *config.HealthCheck, o outcome, is upstream.Checked) (upstream.Checked, change) {
	v.passes = 0
	c := unchanged
	if is&upstream.CheckFailed == 0 {
		c = awaited
		if o != failed {
			v.failures++
		}
		if o == failed || v.failures == k.Unhealthy {
			is, c = is|upstream.CheckFailed, changed
		}
	}
	is &^= upstream.CheckTimeout
	if o == late && is&upstream.CheckFailed != 0 {
		is |= upstream.CheckTimeout
	}
	return is, c
}

// pause is the time before the next check.
func pause(k *config.HealthCheck, well bool, c change, used bool, random func() uint64) time.Duration {
	i := &k.Intervals
	d := i.Healthy
	switch {
	case !used && well && c != awaited:
		d = i.NoTrafficHealthy
	case !used:
		d = i.NoTraffic
	case well && c == awaited:
		d = i.HealthyEdge
	case !well && c == awaited:
		d = i.UnhealthyEdge
	case !well:
		d = i.Unhealthy
	}
	return jittered(k, d, k.IntervalJitter, random)
}

// jittered adds up to a percentage of a time, and up to another time, in whole milliseconds; the sum is at least one of them.
func jittered(k *config.HealthCheck, d, more time.Duration, random func() uint64) time.Duration {
	ms := uint64(d.Milliseconds())
	if part := uint64(k.IntervalJitterPercent) * ms / 100; part > 0 {
		ms += random() % part
	}
	if part := uint64(more.Milliseconds()); part > 0 {
		ms += random() % part
	}
	return time.Duration(max(1, ms)) * time.Millisecond
}
