// Package bounds reads Istio's ConnectionPoolSettings and OutlierDetection, which stand in DestinationRules, Sidecars and MeshConfig.
//
// In: the message. Out: mesh.ConnectionPool and mesh.OutlierDetection, and a word for each mistake with the path of the field below the message. Pure; safe for concurrent use.
package bounds

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/heddle-mesh/heddle/mesh"
)

// Tell writes down what is wrong with a field, or not done.
type Tell func(code mesh.Code, field, hint, message string)

type reader struct{ tell Tell }

func (r *reader) add(code mesh.Code, path, hint, format string, args ...any) {
	r.tell(code, path, hint, fmt.Sprintf(format, args...))
}

func (r *reader) invalid(path, format string, args ...any) {
	r.add(mesh.CodeInvalid, path, "", format, args...)
}

// Pool reads the bounds of what goes to a service; nil stays nil.
func Pool(x *networking.ConnectionPoolSettings, tell Tell) *mesh.ConnectionPool {
	if x == nil {
		return nil
	}
	r := reader{tell}
	p := &mesh.ConnectionPool{}
	if t := x.Tcp; t != nil {
		p.MaxConnections = r.count(t.MaxConnections, "tcp.maxConnections")
		p.ConnectTimeout = r.duration(t.ConnectTimeout, "tcp.connectTimeout")
		p.TCPIdleTimeout = r.duration(t.IdleTimeout, "tcp.idleTimeout")
		p.MaxConnectionDuration = r.duration(t.MaxConnectionDuration, "tcp.maxConnectionDuration")
		if k := t.TcpKeepalive; k != nil {
			p.KeepaliveProbes = k.Probes
			p.KeepaliveTime = r.duration(k.Time, "tcp.tcpKeepalive.time")
			p.KeepaliveInterval = r.duration(k.Interval, "tcp.tcpKeepalive.interval")
		}
	}
	if h := x.Http; h != nil {
		p.MaxPendingRequests = r.count(h.Http1MaxPendingRequests, "http.http1MaxPendingRequests")
		p.MaxRequests = r.count(h.Http2MaxRequests, "http.http2MaxRequests")
		p.MaxRequestsPerConnection = r.count(h.MaxRequestsPerConnection, "http.maxRequestsPerConnection")
		p.MaxRetries = r.count(h.MaxRetries, "http.maxRetries")
		p.HTTPIdleTimeout = r.duration(h.IdleTimeout, "http.idleTimeout")
		p.MaxStreams = r.count(h.MaxConcurrentStreams, "http.maxConcurrentStreams")
		switch {
		case h.UseClientProtocol: // h2UpgradePolicy is without effect then, as in Istio
			p.Version = mesh.VersionOfClient
		case h.H2UpgradePolicy == networking.ConnectionPoolSettings_HTTPSettings_UPGRADE:
			p.Version = mesh.VersionTwo
		case h.H2UpgradePolicy == networking.ConnectionPoolSettings_HTTPSettings_DO_NOT_UPGRADE:
			p.Version = mesh.VersionKept
		}
		r.alive(p, h.Http2KeepAlive, "http.http2KeepAlive")
	}
	return p
}

// alive reads how connections of HTTP/2 are asked for signs of life. 20 s is Envoy's customary time-out where none is given.
func (r *reader) alive(p *mesh.ConnectionPool, x *networking.ConnectionPoolSettings_HTTPSettings_ConnectionKeepalive, path string) {
	if x == nil {
		return
	}
	p.AliveInterval, p.AliveTimeout = r.duration(x.Interval, path+".interval"), r.duration(x.Timeout, path+".timeout")
	switch {
	case x.Interval == nil:
		r.add(mesh.CodeNotEnforced, path, "give interval, such as 30s", "without interval no PING is sent, so none can be late")
	case x.Timeout == nil:
		p.AliveTimeout = 20 * time.Second
	}
}

// Outliers reads which endpoints are ejected; nil stays nil.
func Outliers(x *networking.OutlierDetection, tell Tell) *mesh.OutlierDetection {
	if x == nil {
		return nil
	}
	r := reader{tell}
	o := &mesh.OutlierDetection{
		Consecutive5xx:           number(x.Consecutive_5XxErrors),
		ConsecutiveGatewayErrors: number(x.ConsecutiveGatewayErrors),
		ConsecutiveLocalOrigin:   number(x.ConsecutiveLocalOriginFailures),
		SplitLocalOrigin:         x.SplitExternalLocalOriginErrors,
		Interval:                 r.duration(x.Interval, "interval"),
		BaseEjection:             r.duration(x.BaseEjectionTime, "baseEjectionTime"),
		MaxEjectionPercent:       r.hundred(x.MaxEjectionPercent, "maxEjectionPercent"),
		MinHealthPercent:         r.hundred(x.MinHealthPercent, "minHealthPercent"),
	}
	r.deprecatedErrors(o, x)
	r.errorCodes(o, x)
	if x.ConsecutiveLocalOriginFailures != nil && !x.SplitExternalLocalOriginErrors {
		r.add(mesh.CodeInvalid, "consecutiveLocalOriginFailures", "set splitExternalLocalOriginErrors: true", "it works only when local errors are counted apart")
	}
	return o
}

// deprecatedErrors reads consecutiveErrors, which became consecutiveGatewayErrors: both count 502, 503 and 504.
func (r *reader) deprecatedErrors(o *mesh.OutlierDetection, x *networking.OutlierDetection) {
	n := x.ConsecutiveErrors //nolint:staticcheck // deprecated, and still written by users
	if n == 0 {
		return
	}
	if x.ConsecutiveGatewayErrors != nil {
		r.invalid("consecutiveErrors", "only one of consecutiveErrors and consecutiveGatewayErrors may be given")
	}
	count := r.count(n, "consecutiveErrors")
	o.ConsecutiveGatewayErrors = &count
}

// errorCodes reads which answers are errors, and how many of them in all are too many.
func (r *reader) errorCodes(o *mesh.OutlierDetection, x *networking.OutlierDetection) {
	for i, code := range x.OutlierDetectionHttpErrorCodes {
		if code < 100 || code > 599 {
			r.invalid(fmt.Sprintf("outlierDetectionHttpErrorCodes[%d]", i), "%d is not a status code", code)
		}
		o.Codes = append(o.Codes, code)
	}
	slices.Sort(o.Codes)
	o.Codes = slices.Compact(o.Codes)
	if p := x.FailurePercentageThreshold; p != nil {
		if p.Value > 100 {
			r.invalid("failurePercentageThreshold", "%d is not a percentage from 0 to 100", p.Value)
		}
		o.FailurePercentage = &p.Value
	}
}

func (r *reader) duration(d *durationpb.Duration, path string) time.Duration {
	return Duration(d, func(format string, args ...any) { r.invalid(path, format, args...) })
}

// Duration reads a time that must be at least 1 ms, as all of Istio's must; nil gives 0. wrong is told of a shorter one.
func Duration(d *durationpb.Duration, wrong func(format string, args ...any)) time.Duration {
	if d == nil {
		return 0
	}
	t := d.AsDuration()
	if t < time.Millisecond {
		wrong("%s is too short: at least 1ms is wanted", t)
	}
	return t
}

func (r *reader) count(n int32, path string) uint32 {
	if n < 0 {
		r.invalid(path, "%d is negative", n)
		return 0
	}
	return uint32(n)
}

func number(n *wrapperspb.UInt32Value) *uint32 {
	if n == nil {
		return nil
	}
	return &n.Value
}

func (r *reader) hundred(n int32, path string) uint32 {
	if n < 0 || n > 100 {
		r.invalid(path, "%d is not a percentage from 0 to 100", n)
		return 0
	}
	return uint32(n)
}
