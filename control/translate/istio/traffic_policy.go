package istio

import (
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/control/config/bounds"
	"github.com/heddle-mesh/heddle/control/config/locality"
	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
)

func (v *visit) loadBalancer(x *networking.LoadBalancerSettings, path string) *mesh.LoadBalancer {
	if x == nil {
		return nil
	}
	lb := &mesh.LoadBalancer{}
	if s, ok := x.LbPolicy.(*networking.LoadBalancerSettings_Simple); ok {
		switch s.Simple {
		case networking.LoadBalancerSettings_RANDOM:
			lb.Algorithm = mesh.Random
		case networking.LoadBalancerSettings_PASSTHROUGH:
			lb.Algorithm = mesh.Passthrough
		case networking.LoadBalancerSettings_ROUND_ROBIN:
			lb.Algorithm = mesh.RoundRobin
		default: // UNSPECIFIED, LEAST_REQUEST and the deprecated LEAST_CONN
			lb.Algorithm = mesh.LeastRequest
		}
	}
	if h := x.GetConsistentHash(); h != nil {
		lb.Hash = v.consistentHash(h, path+".consistentHash")
	}
	lb.Locality = v.localityBalance(x, path)
	lb.Utilization = v.utilization(x.GetBackendUtilization(), path+".backendUtilization")
	if x.WarmupDurationSecs != nil { //nolint:staticcheck // deprecated, and still written by users
		lb.Warmup = v.duration(x.WarmupDurationSecs, path+".warmupDurationSecs") //nolint:staticcheck
	}
	if x.Warmup != nil {
		if x.Warmup.Duration == nil {
			v.Invalid(path+".warmup.duration", "the duration is missing")
		}
		lb.Warmup = v.duration(x.Warmup.Duration, path+".warmup.duration")
		if p := x.Warmup.MinimumPercent; p != nil {
			least := p.Value
			if lb.WarmupLeast = &least; !(p.Value >= 0 && p.Value <= 100) {
				v.Invalid(path+".warmup.minimumPercent", "%v is not a percentage from 0 to 100", p.Value)
			}
		}
		if a := x.Warmup.Aggression; a != nil {
			aggression := a.Value
			if lb.WarmupAggression = &aggression; !(a.Value >= 1) {
				v.Invalid(path+".warmup.aggression", "%v is not a number of 1 or more", a.Value)
			}
		}
	}
	return lb
}

// utilization reads how endpoints are weighed by what they tell of their load.
func (v *visit) utilization(x *networking.LoadBalancerSettings_BackendUtilizationLB, path string) *mesh.Utilization {
	if x == nil {
		return nil
	}
	u := &mesh.Utilization{
		Stabilization: v.duration(x.WeightStabilizationPeriod, path+".weightStabilizationPeriod"), Expiration: v.duration(x.WeightExpirationPeriod, path+".weightExpirationPeriod"),
		Update: v.duration(x.WeightUpdatePeriod, path+".weightUpdatePeriod"), PenaltyPercent: x.ErrorUtilizationPenaltyPercent, Metrics: x.MetricNamesForComputingUtilization,
	}
	if x.WeightUpdatePeriod != nil && u.Update < 100*time.Millisecond {
		v.Invalid(path+".weightUpdatePeriod", "%s is below 100ms", u.Update)
	}
	for i, name := range u.Metrics {
		kind, key, _ := strings.Cut(name, ".")
		if name != "cpu_utilization" && name != "mem_utilization" && !(key != "" && (kind == "named_metrics" || kind == "utilization")) {
			v.Add(mesh.CodeInvalid, at(path+".metricNamesForComputingUtilization", i), "use cpu_utilization, mem_utilization, named_metrics.NAME or utilization.NAME", "%q is not a metric of load reports", shorten(name))
		}
	}
	return u
}

func (v *visit) localityBalance(x *networking.LoadBalancerSettings, path string) *mesh.LocalityBalance {
	below := func(name string) func(field, message string) {
		return func(field, message string) { v.Invalid(path+"."+name+"."+field, "%s", message) }
	}
	near := locality.Read(x.LocalityLbSetting, below("localityLbSetting"))
	zones := locality.Zones(x.ZoneAwareLbSetting, below("zoneAwareLbSetting"))
	switch {
	case zones == nil:
		return near
	case near != nil:
		v.Invalid(path+".zoneAwareLbSetting", "localityLbSetting and zoneAwareLbSetting exclude each other")
	case !zones.Off && x.GetConsistentHash() != nil:
		v.NotEnforced(path+".zoneAwareLbSetting", "consistentHash chooses among the endpoints of all zones alike, so only the order of regions counts")
	case !zones.Off && x.GetBackendUtilization() != nil:
		v.NotEnforced(path+".zoneAwareLbSetting", "backendUtilization weighs the endpoints of all zones alike, so only the order of regions counts")
	}
	return zones
}

func (v *visit) pool(x *networking.ConnectionPoolSettings, path string) *mesh.ConnectionPool {
	return bounds.Pool(x, v.below(path))
}

func (v *visit) outlier(x *networking.OutlierDetection, path string) *mesh.OutlierDetection {
	return bounds.Outliers(x, v.below(path))
}

// below writes down what is told of fields below a path.
func (v *visit) below(path string) bounds.Tell {
	return func(code mesh.Code, field, hint, message string) { v.Add(code, path+"."+field, hint, "%s", message) }
}

// budget reads a retry budget; 20 % and 3 are the defaults of both fields (TrafficPolicy.RetryBudget).
func (v *visit) budget(x *networking.TrafficPolicy_RetryBudget, path string) *mesh.RetryBudget {
	if x == nil {
		return nil
	}
	b := &mesh.RetryBudget{Percent: 20, Minimum: 3}
	if x.Percent != nil {
		if b.Percent = x.Percent.Value; !(b.Percent >= 0 && b.Percent <= 100) {
			v.Invalid(path+".percent", "%v is not a percentage from 0 to 100", b.Percent)
		}
	}
	if x.MinRetryConcurrency > 0 {
		b.Minimum = x.MinRetryConcurrency
	}
	if x.BudgetInterval != nil {
		if b.Interval = x.BudgetInterval.AsDuration(); b.Interval < 0 {
			v.Invalid(path+".budgetInterval", "%v is not a duration of 0 or more", b.Interval)
		}
	}
	return b
}

// proxyHeader reads the version of the PROXY header; V1 where none is given.
func (v *visit) proxyHeader(x *networking.TrafficPolicy_ProxyProtocol, path string) uint8 {
	switch {
	case x == nil:
		return 0
	case x.Version == networking.TrafficPolicy_ProxyProtocol_V1:
		return 1
	case x.Version == networking.TrafficPolicy_ProxyProtocol_V2:
		return 2
	}
	v.Invalid(path+".version", "%d is not a version of the PROXY protocol", x.Version)
	return 0
}
