package istio

import (
	"slices"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/control/config/locality"
	"github.com/heddle-mesh/heddle/mesh"
	"google.golang.org/protobuf/types/known/wrapperspb"
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
	path += ".localityLbSetting"
	return locality.Read(x.LocalityLbSetting,
		func(field, message string) { v.Invalid(path+"."+field, "%s", message) },
		func(field, message string) { v.NotEnforced(path+"."+field, "%s", message) })
}

func (v *visit) pool(x *networking.ConnectionPoolSettings, path string) *mesh.ConnectionPool {
	if x == nil {
		return nil
	}
	p := &mesh.ConnectionPool{}
	if t := x.Tcp; t != nil {
		p.MaxConnections = v.count(t.MaxConnections, path+".tcp.maxConnections")
		p.ConnectTimeout = v.duration(t.ConnectTimeout, path+".tcp.connectTimeout")
		p.TCPIdleTimeout = v.duration(t.IdleTimeout, path+".tcp.idleTimeout")
		p.MaxConnectionDuration = v.duration(t.MaxConnectionDuration, path+".tcp.maxConnectionDuration")
		if k := t.TcpKeepalive; k != nil {
			p.KeepaliveProbes = k.Probes
			p.KeepaliveTime = v.duration(k.Time, path+".tcp.tcpKeepalive.time")
			p.KeepaliveInterval = v.duration(k.Interval, path+".tcp.tcpKeepalive.interval")
		}
	}
	if h := x.Http; h != nil {
		p.MaxPendingRequests = v.count(h.Http1MaxPendingRequests, path+".http.http1MaxPendingRequests")
		p.MaxRequests = v.count(h.Http2MaxRequests, path+".http.http2MaxRequests")
		p.MaxRequestsPerConnection = v.count(h.MaxRequestsPerConnection, path+".http.maxRequestsPerConnection")
		p.MaxRetries = v.count(h.MaxRetries, path+".http.maxRetries")
		p.HTTPIdleTimeout = v.duration(h.IdleTimeout, path+".http.idleTimeout")
		p.MaxStreams = v.count(h.MaxConcurrentStreams, path+".http.maxConcurrentStreams")
		switch {
		case h.UseClientProtocol: // h2UpgradePolicy is without effect then, as in Istio
			p.Version = mesh.VersionOfClient
		case h.H2UpgradePolicy == networking.ConnectionPoolSettings_HTTPSettings_UPGRADE:
			p.Version = mesh.VersionTwo
		}
		v.alive(p, h.Http2KeepAlive, path+".http.http2KeepAlive")
	}
	return p
}

// alive reads how connections of HTTP/2 are asked for signs of life. 20 s is Envoy's customary time-out where none is given.
func (v *visit) alive(p *mesh.ConnectionPool, x *networking.ConnectionPoolSettings_HTTPSettings_ConnectionKeepalive, path string) {
	if x == nil {
		return
	}
	p.AliveInterval, p.AliveTimeout = v.duration(x.Interval, path+".interval"), v.duration(x.Timeout, path+".timeout")
	switch {
	case x.Interval == nil:
		v.Add(mesh.CodeNotEnforced, path, "give interval, such as 30s", "without interval no PING is sent, so none can be late")
	case x.Timeout == nil:
		p.AliveTimeout = 20 * time.Second
	}
}

func (v *visit) outlier(x *networking.OutlierDetection, path string) *mesh.OutlierDetection {
	if x == nil {
		return nil
	}
	o := &mesh.OutlierDetection{
		Consecutive5xx:           number(x.Consecutive_5XxErrors),
		ConsecutiveGatewayErrors: number(x.ConsecutiveGatewayErrors),
		ConsecutiveLocalOrigin:   number(x.ConsecutiveLocalOriginFailures),
		SplitLocalOrigin:         x.SplitExternalLocalOriginErrors,
		Interval:                 v.duration(x.Interval, path+".interval"),
		BaseEjection:             v.duration(x.BaseEjectionTime, path+".baseEjectionTime"),
		MaxEjectionPercent:       v.hundred(x.MaxEjectionPercent, path+".maxEjectionPercent"),
		MinHealthPercent:         v.hundred(x.MinHealthPercent, path+".minHealthPercent"),
	}
	v.deprecatedErrors(o, x, path)
	v.errorCodes(o, x, path)
	if x.ConsecutiveLocalOriginFailures != nil && !x.SplitExternalLocalOriginErrors {
		v.Add(mesh.CodeInvalid, path+".consecutiveLocalOriginFailures", "set splitExternalLocalOriginErrors: true", "it works only when local errors are counted apart")
	}
	return o
}

// deprecatedErrors reads consecutiveErrors, which became consecutiveGatewayErrors: both count 502, 503 and 504.
func (v *visit) deprecatedErrors(o *mesh.OutlierDetection, x *networking.OutlierDetection, path string) {
	n := x.ConsecutiveErrors //nolint:staticcheck // deprecated, and still written by users
	if n == 0 {
		return
	}
	if x.ConsecutiveGatewayErrors != nil {
		v.Invalid(path+".consecutiveErrors", "only one of consecutiveErrors and consecutiveGatewayErrors may be given")
	}
	count := v.count(n, path+".consecutiveErrors")
	o.ConsecutiveGatewayErrors = &count
}

// errorCodes reads which answers are errors, and how many of them in all are too many.
func (v *visit) errorCodes(o *mesh.OutlierDetection, x *networking.OutlierDetection, path string) {
	for i, code := range x.OutlierDetectionHttpErrorCodes {
		if code < 100 || code > 599 {
			v.Invalid(at(path+".outlierDetectionHttpErrorCodes", i), "%d is not a status code", code)
		}
		o.Codes = append(o.Codes, code)
	}
	slices.Sort(o.Codes)
	o.Codes = slices.Compact(o.Codes)
	if p := x.FailurePercentageThreshold; p != nil {
		if p.Value > 100 {
			v.Invalid(path+".failurePercentageThreshold", "%d is not a percentage from 0 to 100", p.Value)
		}
		o.FailurePercentage = &p.Value
	}
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

func number(n *wrapperspb.UInt32Value) *uint32 {
	if n == nil {
		return nil
	}
	return &n.Value
}

func (v *visit) hundred(n int32, path string) uint32 {
	if n < 0 || n > 100 {
		v.Invalid(path, "%d is not a percentage from 0 to 100", n)
		return 0
	}
	return uint32(n)
}
