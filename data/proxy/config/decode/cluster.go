package decode

import (
	"math"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Envoy's defaults for clusters.
const (
	defaultConnectTimeout  = 5 * time.Second
	defaultPoolIdle        = time.Hour
	defaultDNSRefresh      = 5 * time.Second
	defaultOverprovision   = 140
	defaultPanic           = 50
	httpProtocolOptions    = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	defaultKeepaliveTime   = 2 * time.Hour
	defaultOutlierInterval = 10 * time.Second
	maxMaglevSize          = 5_000_011
)

func (r *read) cluster(path string, m *clusterv3.Cluster) *config.Cluster {
	c := &config.Cluster{
		Name: m.GetName(), AltStat: m.GetAltStatName(), BufferLimit: r.bufferLimit(path, m.GetPerConnectionBufferLimitBytes()),
		ConnectTimeout: r.duration(join(path, "connect_timeout"), m.GetConnectTimeout(), defaultConnectTimeout),
		IdleTimeout:    defaultPoolIdle, Panic: defaultPanic, Overprovisioning: defaultOverprovision, ServiceName: m.GetEdsClusterConfig().GetServiceName(),
		DNSRefresh: r.duration(join(path, "dns_refresh_rate"), m.GetDnsRefreshRate(), defaultDNSRefresh), RespectDNSTTL: m.GetRespectDnsTtl(),
		MaxRequestsPerConn: m.GetMaxRequestsPerConnection().GetValue(),
		DNSFamily: map[clusterv3.Cluster_DnsLookupFamily]config.DNSFamily{
			clusterv3.Cluster_V4_ONLY: config.DNSV4, clusterv3.Cluster_V6_ONLY: config.DNSV6, clusterv3.Cluster_ALL: config.DNSAll,
		}[m.GetDnsLookupFamily()],
		Telemetry: clusterTelemetry(m.GetMetadata()), Origin: m.GetMetadata().GetFilterMetadata()["istio"].GetFields()["config"].GetStringValue(),
		Denied: m.GetMetadata().GetFilterMetadata()["heddle.dev/denied"].GetFields()["reason"].GetStringValue(),
	}
	if c.Name == "" {
		r.add(join(path, "name"), "it is empty")
	}
	if c.ServiceName == "" {
		c.ServiceName = c.Name
	}
	c.DNSRetry = [2]time.Duration{time.Second, max(c.DNSRefresh, time.Second)}
	if f := m.GetDnsFailureRefreshRate(); f != nil {
		base := r.duration(join(path, "dns_failure_refresh_rate.base_interval"), f.GetBaseInterval(), time.Second)
		c.DNSRetry = [2]time.Duration{base, r.duration(join(path, "dns_failure_refresh_rate.max_interval"), f.GetMaxInterval(), 10*base)}
	}
	r.matching(path, m)
	if m.GetClusterType() != nil {
		r.clientNames(path, m, c)
	} else {
		r.discovery(path, m, c)
	}
	r.balancing(path, m, c)
	r.protocols(path, m, c)
	r.breakers(join(path, "circuit_breakers.thresholds"), m.GetCircuitBreakers().GetThresholds(), c)
	c.Outlier = r.outlier(join(path, "outlier_detection"), m.GetOutlierDetection())
	r.healthChecks(path, m, c)
	r.bind(join(path, "upstream_bind_config"), m.GetUpstreamBindConfig(), c)
	c.Keepalive = keepalive(m.GetUpstreamConnectionOptions().GetTcpKeepalive())
	if m.GetTransportSocket() != nil {
		c.Proxy, c.TLVs, c.TLS = r.transport(join(path, "transport_socket"), m.GetTransportSocket())
	}
	for i, t := range m.GetTransportSocketMatches() {
		out := config.TransportMatch{Labels: words(t.GetMatch())}
		out.Proxy, out.TLVs, out.TLS = r.transport(at(path, "transport_socket_matches", i)+".transport_socket", t.GetTransportSocket())
		c.Matches = append(c.Matches, out)
	}
	r.autoSNI(c, m)
	r.ownNames(path, m, c)
	return c
}

func keepalive(k *corev3.TcpKeepalive) config.Keepalive {
	if k == nil {
		return config.Keepalive{}
	}
	return config.Keepalive{
		Time:     time.Duration(number(k.GetKeepaliveTime(), uint32(defaultKeepaliveTime/time.Second))) * time.Second,
		Interval: time.Duration(k.GetKeepaliveInterval().GetValue()) * time.Second, Probes: k.GetKeepaliveProbes().GetValue(),
	}
}

// matching refuses settings of another kind of cluster than this one, which nobody would look at.
func (r *read) matching(path string, m *clusterv3.Cluster) {
	eds, original, custom := m.GetType() == clusterv3.Cluster_EDS, m.GetType() == clusterv3.Cluster_ORIGINAL_DST, m.GetClusterType() != nil
	for _, x := range []struct {
		field      string
		set, fits  bool
		wants, has string
	}{
		{"eds_cluster_config", m.GetEdsClusterConfig() != nil, eds, "type EDS", m.GetType().String()},
		{"load_assignment", m.GetLoadAssignment() != nil, !eds && !original && !custom, "type STATIC, STRICT_DNS or LOGICAL_DNS", m.GetType().String()},
		{"original_dst_lb_config", m.GetOriginalDstLbConfig() != nil, original, "type ORIGINAL_DST", m.GetType().String()},
		{"least_request_lb_config", m.GetLeastRequestLbConfig() != nil, m.GetLbPolicy() == clusterv3.Cluster_LEAST_REQUEST, "lb_policy LEAST_REQUEST", m.GetLbPolicy().String()},
		{"round_robin_lb_config", m.GetRoundRobinLbConfig() != nil, m.GetLbPolicy() == clusterv3.Cluster_ROUND_ROBIN, "lb_policy ROUND_ROBIN", m.GetLbPolicy().String()},
		{"ring_hash_lb_config", m.GetRingHashLbConfig() != nil, m.GetLbPolicy() == clusterv3.Cluster_RING_HASH, "lb_policy RING_HASH", m.GetLbPolicy().String()},
		{"maglev_lb_config", m.GetMaglevLbConfig() != nil, m.GetLbPolicy() == clusterv3.Cluster_MAGLEV, "lb_policy MAGLEV", m.GetLbPolicy().String()},
	} {
		if x.set && !x.fits {
			r.add(join(path, x.field), "it is for clusters with %s, and this one has %s", x.wants, x.has)
			if custom {
				r.add(join(path, "cluster_type"), "with it %s has no meaning", x.field)
			}
		}
	}
}

func (r *read) discovery(path string, m *clusterv3.Cluster, c *config.Cluster) {
	switch m.GetType() {
	case clusterv3.Cluster_STATIC:
		c.Type = config.StaticCluster
	case clusterv3.Cluster_EDS:
		c.Type = config.EDS
		c.EndpointsWait = r.adsOnly(join(path, "eds_cluster_config.eds_config"), m.GetEdsClusterConfig().GetEdsConfig())
		return
	case clusterv3.Cluster_STRICT_DNS:
		c.Type = config.StrictDNS
	case clusterv3.Cluster_LOGICAL_DNS:
		c.Type = config.LogicalDNS
	case clusterv3.Cluster_ORIGINAL_DST:
		c.Type = config.OriginalDst
		return
	}
	dns := c.Type == config.StrictDNS || c.Type == config.LogicalDNS
	c.Assignment = &config.Assignment{}
	if m.GetLoadAssignment() != nil {
		c.Assignment = r.assignment(join(path, "load_assignment"), m.GetLoadAssignment(), dns)
	}
	c.Endpoints = c.Assignment
}

// protocols reads how HTTP is spoken to the cluster: the typed options, or the deprecated fields of the cluster itself.
func (r *read) protocols(path string, m *clusterv3.Cluster, c *config.Cluster) {
	common := m.GetCommonHttpProtocolOptions()
	p := join(path, "common_http_protocol_options")
	r.noHTTP10(path, m.GetHttpProtocolOptions())
	if m.GetHttp2ProtocolOptions() != nil {
		c.Speaks, c.Frames = config.SpeaksHTTP2, r.frames(join(path, "http2_protocol_options"), m.GetHttp2ProtocolOptions())
	}
	for name, any := range m.GetTypedExtensionProtocolOptions() {
		at := join(path, "typed_extension_protocol_options[\""+name+"\"]")
		o, ok := into[*httpv3.HttpProtocolOptions](&r.problems, at, any)
		if !ok {
			continue
		}
		if name != httpProtocolOptions {
			r.add(at, "%s is found under its own name only", httpProtocolOptions)
		}
		if o.GetCommonHttpProtocolOptions() != nil {
			common, p = o.GetCommonHttpProtocolOptions(), at+".common_http_protocol_options"
		}
		r.speaks(at, o, c)
		if o.GetOutlierDetection() != nil {
			c.Errors = r.errorCodes(at+".outlier_detection.error_matcher", o.GetOutlierDetection().GetErrorMatcher())
		}
	}
	if common.GetIdleTimeout() != nil {
		c.IdleTimeout = r.duration(p+".idle_timeout", common.GetIdleTimeout(), 0)
	}
	c.MaxConnDuration = r.duration(p+".max_connection_duration", common.GetMaxConnectionDuration(), 0)
	if n := common.GetMaxRequestsPerConnection(); n != nil {
		c.MaxRequestsPerConn = n.GetValue()
	}
	for field, set := range map[string]bool{"max_headers_count": common.GetMaxHeadersCount() != nil, "max_stream_duration": common.GetMaxStreamDuration() != nil,
		"headers_with_underscores_action": common.GetHeadersWithUnderscoresAction() != 0} {
		if set {
			r.add(p+"."+field, "it is honoured for clients only")
		}
	}
}

// noHTTP10: upstreams are asked in HTTP/1.1.
func (r *read) noHTTP10(path string, m *corev3.Http1ProtocolOptions) {
	for field, set := range map[string]bool{"accept_http_10": m.GetAcceptHttp_10(), "default_host_for_http_10": m.GetDefaultHostForHttp_10() != ""} {
		if set {
			r.add(join(path, "http_protocol_options."+field), "it is honoured for clients only")
		}
	}
}

// speaks reads which version of HTTP goes to the cluster.
func (r *read) speaks(path string, o *httpv3.HttpProtocolOptions, c *config.Cluster) {
	explicit, client := o.GetExplicitHttpConfig(), o.GetUseDownstreamProtocolConfig()
	r.noHTTP10(path+".explicit_http_config", explicit.GetHttpProtocolOptions())
	r.noHTTP10(path+".use_downstream_protocol_config", client.GetHttpProtocolOptions())
	switch {
	case explicit.GetHttp2ProtocolOptions() != nil:
		c.Speaks, c.Frames = config.SpeaksHTTP2, r.frames(path+".explicit_http_config.http2_protocol_options", explicit.GetHttp2ProtocolOptions())
	case client != nil:
		c.Speaks, c.Frames = config.SpeaksAsClient, r.frames(path+".use_downstream_protocol_config.http2_protocol_options", client.GetHttp2ProtocolOptions())
	default:
		c.Speaks, c.Frames = config.SpeaksHTTP1, config.Frames{}
	}
}

// autoSNI reads UpstreamHttpProtocolOptions.auto_sni and auto_san_validation, which concern the cluster's TLS contexts.
func (r *read) autoSNI(c *config.Cluster, m *clusterv3.Cluster) {
	auto, check := m.GetUpstreamHttpProtocolOptions().GetAutoSni(), m.GetUpstreamHttpProtocolOptions().GetAutoSanValidation()
	if any := m.GetTypedExtensionProtocolOptions()[httpProtocolOptions]; any != nil {
		if o, err := open(any); err == nil {
			if h, ok := o.(*httpv3.HttpProtocolOptions); ok {
				auto = auto || h.GetUpstreamHttpProtocolOptions().GetAutoSni()
				check = check || h.GetUpstreamHttpProtocolOptions().GetAutoSanValidation()
			}
		}
	}
	if c.TLS != nil {
		c.TLS.AutoSNI, c.TLS.AutoSAN = auto, check
	}
	for _, t := range c.Matches {
		if t.TLS != nil {
			t.TLS.AutoSNI, t.TLS.AutoSAN = auto, check
		}
	}
}

func (r *read) breakers(path string, list []*clusterv3.CircuitBreakers_Thresholds, c *config.Cluster) {
	for i := range c.Thresholds {
		c.Thresholds[i] = config.Thresholds{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3}
	}
	seen := map[corev3.RoutingPriority]bool{}
	for i, t := range list {
		if seen[t.GetPriority()] || t.GetPriority() > corev3.RoutingPriority_HIGH || t.GetPriority() < 0 {
			r.add(path+indexed(i)+".priority", "it is there twice or unknown")
			continue
		}
		seen[t.GetPriority()] = true
		to := &c.Thresholds[t.GetPriority()]
		to.Connections, to.Pending = number(t.GetMaxConnections(), to.Connections), number(t.GetMaxPendingRequests(), to.Pending)
		to.Requests, to.Retries = number(t.GetMaxRequests(), to.Requests), number(t.GetMaxRetries(), to.Retries)
		if b := t.GetRetryBudget(); b != nil {
			to.Budget, to.BudgetPercent, to.BudgetMin = true, 20, number(b.GetMinRetryConcurrency(), 3)
			if b.GetBudgetPercent() != nil {
				to.BudgetPercent = b.GetBudgetPercent().GetValue()
			}
			to.BudgetInterval = r.duration(path+indexed(i)+".retry_budget.budget_interval", b.GetBudgetInterval(), 0)
			if to.BudgetInterval > 0 && t.GetPriority() != corev3.RoutingPriority_DEFAULT {
				r.add(path+indexed(i)+".retry_budget.budget_interval", "it is honoured at the default priority only")
			}
		}
	}
}

func (r *read) outlier(path string, m *clusterv3.OutlierDetection) *config.Outlier {
	if m == nil {
		return nil
	}
	o := &config.Outlier{
		Consecutive5xx: number(m.GetConsecutive_5Xx(), 5), ConsecutiveGateway: number(m.GetConsecutiveGatewayFailure(), 5), ConsecutiveLocal: number(m.GetConsecutiveLocalOriginFailure(), 5),
		Enforce5xx: number(m.GetEnforcingConsecutive_5Xx(), 100), EnforceGateway: number(m.GetEnforcingConsecutiveGatewayFailure(), 0),
		EnforceLocal: number(m.GetEnforcingConsecutiveLocalOriginFailure(), 100), SplitLocal: m.GetSplitExternalLocalOriginErrors(),
		Interval: r.duration(path+".interval", m.GetInterval(), defaultOutlierInterval), BaseEjection: r.duration(path+".base_ejection_time", m.GetBaseEjectionTime(), 30*time.Second),
		MaxEjectionPercent: number(m.GetMaxEjectionPercent(), 10), AlwaysEjectOne: m.GetAlwaysEjectOneHost().GetValue(),
		MaxJitter: r.duration(path+".max_ejection_time_jitter", m.GetMaxEjectionTimeJitter(), 0), KeepEjected: !boolean(m.GetSuccessfulActiveHealthCheckUnejectHost(), true),
		SuccessRate: config.Statistical{
			Hosts: number(m.GetSuccessRateMinimumHosts(), 5), Volume: number(m.GetSuccessRateRequestVolume(), 100), Enforce: number(m.GetEnforcingSuccessRate(), 100),
			EnforceLocal: number(m.GetEnforcingLocalOriginSuccessRate(), 100),
		},
		FailurePercentage: config.Statistical{
			Hosts: number(m.GetFailurePercentageMinimumHosts(), 5), Volume: number(m.GetFailurePercentageRequestVolume(), 50), Enforce: number(m.GetEnforcingFailurePercentage(), 0),
			EnforceLocal: number(m.GetEnforcingFailurePercentageLocalOrigin(), 0),
		},
		StdevFactor: float64(number(m.GetSuccessRateStdevFactor(), 1900)) / 1000, FailureThreshold: number(m.GetFailurePercentageThreshold(), 85),
	}
	o.MaxEjection = r.duration(path+".max_ejection_time", m.GetMaxEjectionTime(), max(300*time.Second, o.BaseEjection))
	if o.Interval == 0 {
		r.add(path+".interval", "want more than 0")
	}
	if o.MaxEjection < o.BaseEjection {
		r.add(path+".max_ejection_time", "%v is below base_ejection_time %v", o.MaxEjection, o.BaseEjection)
	}
	return o
}

func (r *read) bind(path string, m *corev3.BindConfig, c *config.Cluster) {
	if m == nil {
		return
	}
	r.source(path+".source_address", m.GetSourceAddress(), c)
	for i, x := range m.GetExtraSourceAddresses() {
		r.source(at(path, "extra_source_addresses", i)+".address", x.GetAddress(), c)
	}
}

func (r *read) source(path string, m *corev3.SocketAddress, c *config.Cluster) {
	a := r.socket(path, m)
	ip := a.ip.Addr()
	if !ip.IsValid() || a.port != 0 {
		r.add(path, "want an IP address with port 0")
		return
	}
	to := &c.Bind
	if c.Bind.IsValid() && c.Bind.Is4() != ip.Is4() {
		to = &c.BindOther
	}
	if to.IsValid() {
		r.add(path, "want at most one address of each family")
	}
	*to = ip
}

func clusterTelemetry(m *corev3.Metadata) (t config.ClusterTelemetry) {
	istio := m.GetFilterMetadata()["istio"].GetFields()
	if list := istio["services"].GetListValue().GetValues(); len(list) > 0 {
		s := list[0].GetStructValue().GetFields()
		t.Service, t.ServiceName, t.ServiceNamespace = s["host"].GetStringValue(), s["name"].GetStringValue(), s["namespace"].GetStringValue()
	}
	return t
}

// words are the string values of a struct; numbers and booleans are written as JSON does.
func words(s *structpb.Struct) map[string]string {
	if len(s.GetFields()) == 0 {
		return nil
	}
	out := make(map[string]string, len(s.GetFields()))
	for k, v := range s.GetFields() {
		switch x := v.GetKind().(type) {
		case *structpb.Value_StringValue:
			out[k] = x.StringValue
		case *structpb.Value_BoolValue:
			out[k] = map[bool]string{true: "true", false: "false"}[x.BoolValue]
		default:
			if b, err := v.MarshalJSON(); err == nil {
				out[k] = string(b)
			}
		}
	}
	return out
}

// weight keeps weights inside what sums of them can hold.
func (r *read) weight(path string, n uint32) uint32 {
	if n > math.MaxInt32 {
		r.add(path, "%d is too large", n)
	}
	return n
}
