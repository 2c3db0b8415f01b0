package decode

import (
	"encoding/hex"
	"net/netip"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

const (
	defaultNoTraffic    = time.Minute
	defaultReceiveLimit = 1024
)

func (r *read) healthChecks(path string, m *clusterv3.Cluster, c *config.Cluster) {
	c.IgnoreHealthOnRemoval = m.GetIgnoreHealthOnHostRemoval()
	c.IgnoreNewHosts = m.GetCommonLbConfig().GetIgnoreNewHostsUntilFirstHc()
	list := m.GetHealthChecks()
	switch {
	case len(list) == 0:
		return
	case len(list) > 1:
		r.add(at(path, "health_checks", 1), "a cluster has at most one health check")
	case c.Type == config.OriginalDst:
		r.add(join(path, "health_checks"), "the endpoints of an ORIGINAL_DST cluster are not checked")
	}
	c.Check = r.healthCheck(at(path, "health_checks", 0), list[0])
	if c.Check.GRPC != nil && c.Speaks == config.SpeaksHTTP1 {
		r.add(at(path, "health_checks", 0)+".grpc_health_check", "the cluster must speak HTTP/2: want explicit_http_config.http2_protocol_options")
	}
}

func (r *read) healthCheck(path string, m *corev3.HealthCheck) *config.HealthCheck {
	positive := func(field string, d *durationpb.Duration, unset time.Duration) time.Duration {
		v := r.duration(path+"."+field, d, unset)
		if v == 0 {
			r.add(path+"."+field, "want more than 0")
		}
		return v
	}
	c := &config.HealthCheck{
		Name: m.GetName(), Timeout: positive("timeout", m.GetTimeout(), 0), IntervalJitterPercent: m.GetIntervalJitterPercent(), Reuse: boolean(m.GetReuseConnection(), true),
		InitialJitter: r.duration(path+".initial_jitter", m.GetInitialJitter(), 0), IntervalJitter: r.duration(path+".interval_jitter", m.GetIntervalJitter(), 0),
		ALPN: m.GetTlsOptions().GetAlpnProtocols(), LogFailures: m.GetAlwaysLogHealthCheckFailures(), LogPasses: m.GetAlwaysLogHealthCheckSuccess(),
	}
	if t := m.GetTransportSocketMatchCriteria(); t != nil {
		c.Transport = words(t)
	}
	i := &c.Intervals
	i.Healthy = positive("interval", m.GetInterval(), 0)
	i.Unhealthy = positive("unhealthy_interval", m.GetUnhealthyInterval(), i.Healthy)
	i.UnhealthyEdge = positive("unhealthy_edge_interval", m.GetUnhealthyEdgeInterval(), i.Unhealthy)
	i.HealthyEdge = positive("healthy_edge_interval", m.GetHealthyEdgeInterval(), i.Healthy)
	i.NoTraffic = positive("no_traffic_interval", m.GetNoTrafficInterval(), defaultNoTraffic)
	i.NoTrafficHealthy = positive("no_traffic_healthy_interval", m.GetNoTrafficHealthyInterval(), i.NoTraffic)
	for field, v := range map[string]interface{ GetValue() uint32 }{"unhealthy_threshold": m.GetUnhealthyThreshold(), "healthy_threshold": m.GetHealthyThreshold()} {
		if v.GetValue() == 0 {
			r.add(path+"."+field, "want 1 or more")
		}
	}
	c.Unhealthy, c.Healthy = m.GetUnhealthyThreshold().GetValue(), m.GetHealthyThreshold().GetValue()
	switch k := m.GetHealthChecker().(type) {
	case *corev3.HealthCheck_HttpHealthCheck_:
		c.HTTP = r.httpCheck(path+".http_health_check", k.HttpHealthCheck)
	case *corev3.HealthCheck_TcpHealthCheck_:
		p := path + ".tcp_health_check"
		c.TCP = &config.TCPCheck{Send: r.payload(p+".send", k.TcpHealthCheck.GetSend()), Receive: r.payloads(p, k.TcpHealthCheck.GetReceive())}
	case *corev3.HealthCheck_GrpcHealthCheck_:
		g := k.GrpcHealthCheck
		c.GRPC = &config.GRPCCheck{Service: g.GetServiceName(), Authority: g.GetAuthority(), Metadata: config.HeaderEdits{
			Request: r.headerSets(path+".grpc_health_check.initial_metadata", g.GetInitialMetadata()),
		}}
	default:
		r.add(path, "it says nothing to check: want http_health_check, tcp_health_check or grpc_health_check")
	}
	return c
}

func (r *read) httpCheck(path string, m *corev3.HealthCheck_HttpHealthCheck) *config.HTTPCheck {
	c := &config.HTTPCheck{
		Host: m.GetHost(), Path: m.GetPath(), Method: "GET", Send: r.payload(path+".send", m.GetSend()), Receive: r.payloads(path, m.GetReceive()), ReceiveLimit: defaultReceiveLimit,
		Headers:  r.edits(path, m.GetRequestHeadersToAdd(), m.GetRequestHeadersToRemove(), nil, nil),
		Expected: r.statuses(path+".expected_statuses", m.GetExpectedStatuses()), Retriable: r.statuses(path+".retriable_statuses", m.GetRetriableStatuses()),
		HTTP2: m.GetCodecClientType() == typev3.CodecClientType_HTTP2,
	}
	if c.Path == "" || c.Path[0] != '/' {
		r.add(path+".path", "want a path that begins with /")
	}
	if m.GetMethod() != corev3.RequestMethod_METHOD_UNSPECIFIED {
		c.Method = m.GetMethod().String()
	}
	switch c.Method {
	case "CONNECT":
		r.add(path+".method", "CONNECT is no request for a health check")
	case "POST", "PUT", "PATCH", "OPTIONS":
	default:
		if m.GetSend() != nil {
			r.add(path+".send", "a request with the method %s has no body", c.Method)
		}
	}
	if m.GetResponseBufferSize() != nil {
		c.ReceiveLimit = m.GetResponseBufferSize().GetValue()
	}
	if len(c.Expected) == 0 {
		c.Expected = []config.StatusRange{{From: 200, To: 201}}
	}
	if s := m.GetServiceNameMatcher(); s != nil {
		match := r.stringMatch(path+".service_name_matcher", s)
		c.Service = match
	}
	return c
}

func (r *read) statuses(path string, list []*typev3.Int64Range) (out []config.StatusRange) {
	for i, x := range list {
		if x.GetStart() < 100 || x.GetEnd() > 600 || x.GetStart() >= x.GetEnd() {
			r.add(path+indexed(i), "[%d, %d) is no range of status codes from 100 to 599", x.GetStart(), x.GetEnd())
		}
		out = append(out, config.StatusRange{From: int(x.GetStart()), To: int(x.GetEnd())})
	}
	return out
}

// payload is a block of bytes; text is hexadecimal.
func (r *read) payload(path string, m *corev3.HealthCheck_Payload) []byte {
	switch p := m.GetPayload().(type) {
	case *corev3.HealthCheck_Payload_Text:
		b, err := hex.DecodeString(p.Text)
		if err != nil || len(b) == 0 {
			r.add(path+".text", "%q is not hexadecimal", p.Text)
		}
		return b
	case *corev3.HealthCheck_Payload_Binary:
		return p.Binary
	}
	if m != nil {
		r.add(path, "it is empty")
	}
	return nil
}

func (r *read) payloads(path string, list []*corev3.HealthCheck_Payload) (out [][]byte) {
	for i, p := range list {
		out = append(out, r.payload(at(path, "receive", i), p))
	}
	return out
}

func (r *read) endpointCheck(path string, m *endpointv3.Endpoint_HealthCheckConfig) *config.EndpointCheck {
	if m == nil {
		return nil
	}
	c := &config.EndpointCheck{Hostname: m.GetHostname(), Disabled: m.GetDisableActiveHealthCheck()}
	if m.GetPortValue() > 65535 {
		r.add(path+".port_value", "%d is above 65535", m.GetPortValue())
	}
	c.Port = uint16(m.GetPortValue())
	if m.GetAddress() != nil {
		a := r.address(path+".address", m.GetAddress())
		if c.Address = a.ip; a.ip == (netip.AddrPort{}) {
			r.add(path+".address", "want an IP address")
		}
	}
	return c
}
