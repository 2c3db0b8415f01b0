package upstream

import (
	"sync"

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

// ejections are the statistics of outlier detection of one cluster. The zero value counts nothing. They are described when the first one is needed: most clusters never eject
// anybody, and a proxy may know thousands.
type ejections struct {
	registry *stats.Registry
	shard    *stats.Shard
	cluster  string
	needed   sync.Once

	total, active      stats.Handle
	overflowed         stats.Handle
	detected, enforced [reasons]stats.Handle
}

// count prepares the statistics of a cluster.
func (e *ejections) count(r *stats.Registry, shard *stats.Shard, def *config.Cluster) {
	if r == nil || def.Outlier == nil {
		return
	}
	e.registry, e.shard, e.cluster = r, shard, def.Name
	if def.AltStat != "" {
		e.cluster = def.AltStat
	}
}

// counts says whether there is anything to count, and describes it.
func (e *ejections) counts() bool {
	if e.registry == nil {
		return false
	}
	e.needed.Do(e.describe)
	return true
}

func (e *ejections) describe() {
	r, labels := e.registry, []stats.Label{{Name: "envoy_cluster_name", Value: e.cluster}}
	of := func(n string) stats.Desc {
		return stats.Desc{Name: "envoy_cluster_outlier_detection_" + n, Labels: labels, Dotted: "cluster." + e.cluster + ".outlier_detection." + n}
	}
	e.active, e.overflowed, e.total = r.Gauge(of("ejections_active")), r.Counter(of("ejections_overflow")), r.Counter(of("ejections_enforced_total"))
	for why := range reasons {
		e.detected[why], e.enforced[why] = r.Counter(of("ejections_detected_"+why.String())), r.Counter(of("ejections_enforced_"+why.String()))
	}
}

func (e *ejections) detect(why reason) {
	if e.counts() {
		e.shard.Inc(e.detected[why])
	}
}

func (e *ejections) overflow() {
	if e.counts() {
		e.shard.Inc(e.overflowed)
	}
}

func (e *ejections) enforce(why reason) {
	if e.counts() {
		e.shard.Inc(e.enforced[why])
		e.shard.Inc(e.total)
		e.shard.Inc(e.active)
	}
}

func (e *ejections) takeBack() {
	if e.counts() {
		e.shard.Dec(e.active)
	}
}
