package istio

import (
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
	}
	return p
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
	if x.ConsecutiveLocalOriginFailures != nil && !x.SplitExternalLocalOriginErrors {
		v.Add(mesh.CodeInvalid, path+".consecutiveLocalOriginFailures", "set splitExternalLocalOriginErrors: true", "it works only when local errors are counted apart")
	}
	return o
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
