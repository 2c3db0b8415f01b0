package upstream

import (
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// reason is why an endpoint is ejected.
type reason uint8

// The reasons. Those of our own are about getting to the endpoint, the others about its answers.
const (
	consecutive5xx reason = iota
	consecutiveGateway
	consecutiveLocal
	successRate
	successRateLocal
	failurePercentage
	failurePercentageLocal
	reasons
)

// String is Envoy's name in statistics.
func (r reason) String() string {
	return [...]string{
		"consecutive_5xx", "consecutive_gateway_failure", "consecutive_local_origin_failure", "success_rate", "local_origin_success_rate", "failure_percentage", "failure_percentage_local_origin",
	}[r]
}

// limit is how many failures in a row are too many.
func (r reason) limit(d *config.Outlier) uint32 {
	switch r {
	case consecutiveGateway:
		return d.ConsecutiveGateway
	case consecutiveLocal:
		return d.ConsecutiveLocal
	}
	return d.Consecutive5xx
}

// enforce is how often the reason counts, in percent.
func (r reason) enforce(d *config.Outlier) uint32 {
	return [...]uint32{
		d.Enforce5xx, d.EnforceGateway, d.EnforceLocal, d.SuccessRate.Enforce, d.SuccessRate.EnforceLocal, d.FailurePercentage.Enforce, d.FailurePercentage.EnforceLocal,
	}[r]
}

// ejections are the statistics of outlier detection of one cluster. The zero value counts nothing.
type ejections struct {
	shard              *stats.Shard
	total, active      stats.Handle
	overflowed         stats.Handle
	detected, enforced [reasons]stats.Handle
}

func newEjections(r *stats.Registry, shard *stats.Shard, def *config.Cluster) (e ejections) {
	if r == nil || def.Outlier == nil {
		return e
	}
	name := def.Name
	if def.AltStat != "" {
		name = def.AltStat
	}
	labels := []stats.Label{{Name: "envoy_cluster_name", Value: name}}
	of := func(n string) stats.Desc {
		return stats.Desc{Name: "envoy_cluster_outlier_detection_" + n, Labels: labels, Dotted: "cluster." + name + ".outlier_detection." + n}
	}
	e.shard, e.active, e.overflowed, e.total = shard, r.Gauge(of("ejections_active")), r.Counter(of("ejections_overflow")), r.Counter(of("ejections_enforced_total"))
	for why := range reasons {
		e.detected[why], e.enforced[why] = r.Counter(of("ejections_detected_"+why.String())), r.Counter(of("ejections_enforced_"+why.String()))
	}
	return e
}

func (e *ejections) inc(h stats.Handle) {
	if e.shard != nil {
		e.shard.Inc(h)
	}
}

func (e *ejections) detect(why reason) { e.inc(e.detected[why]) }

func (e *ejections) overflow() { e.inc(e.overflowed) }

func (e *ejections) enforce(why reason) {
	e.inc(e.enforced[why])
	e.inc(e.total)
	e.inc(e.active)
}

func (e *ejections) takeBack() {
	if e.shard != nil {
		e.shard.Dec(e.active)
	}
}
