package config

import (
	"net/netip"
	"time"
)

// HealthCheck is envoy.config.core.v3.HealthCheck. One of HTTP, TCP and GRPC is set.
type HealthCheck struct {
	Name                   string // for statistics; "" for none
	Timeout                time.Duration
	InitialJitter          time.Duration
	IntervalJitter         time.Duration
	IntervalJitterPercent  uint32
	Intervals              Intervals
	Unhealthy, Healthy     uint32 // results in a row that change an endpoint's state
	Reuse                  bool   // one connection for all checks of an endpoint
	Transport              map[string]string
	ALPN                   []string // instead of the cluster's own
	LogFailures, LogPasses bool     // all of them, not only those that change something

	HTTP *HTTPCheck
	TCP  *TCPCheck
	GRPC *GRPCCheck
}

// Intervals are the times between two checks of an endpoint, by what the last one showed.
type Intervals struct {
	Healthy, Unhealthy         time.Duration
	HealthyEdge, UnhealthyEdge time.Duration // the endpoint is about to change its state
	// NoTraffic and NoTrafficHealthy hold as long as the cluster has never been used; the latter for endpoints that are well.
	NoTraffic, NoTrafficHealthy time.Duration
}

// HTTPCheck asks for a path (HealthCheck.HttpHealthCheck).
type HTTPCheck struct {
	Host, Path, Method  string // Host "" is the cluster's name
	Send                []byte
	Receive             [][]byte // must be in the first ReceiveLimit bytes of the body, in this order
	ReceiveLimit        uint64   // 0 for none
	Headers             HeaderEdits
	Expected, Retriable []StatusRange
	HTTP2               bool
	Service             *StringMatch // the header x-envoy-upstream-healthchecked-cluster must match
}

// StatusRange is a half-open range of status codes.
type StatusRange struct{ From, To int }

// TCPCheck connects, sends and waits for blocks of bytes (HealthCheck.TcpHealthCheck).
type TCPCheck struct {
	Send    []byte
	Receive [][]byte
}

// GRPCCheck asks grpc.health.v1.Health (HealthCheck.GrpcHealthCheck).
type GRPCCheck struct {
	Service, Authority string // Authority "" is the cluster's name
	Metadata           HeaderEdits
}

// EndpointCheck is Endpoint.HealthCheckConfig.
type EndpointCheck struct {
	Address  netip.AddrPort // where checks go instead; invalid for the endpoint itself
	Port     uint16         // instead of the address' own; 0 for that
	Hostname string         // instead of the check's host
	Disabled bool
}
