package decode

import (
	"strings"
	"time"

	compressorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/compressor/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	dfpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/dynamic_forward_proxy/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	chainv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/filter_chain/v3"
	grpcstatsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	grpcwebv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_web/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	sessionv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/stateful_session/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	statsv1 "istio.io/api/envoy/extensions/stats"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// Envoy's defaults for HTTP connection managers.
const (
	defaultHTTPIdle   = time.Hour
	defaultStreamIdle = 5 * time.Minute
	defaultDrain      = 5 * time.Second
	delayedClose      = time.Second // Envoy's default, and the only one
	defaultHeadKiB    = 60
	defaultFields     = 100
)

func (r *read) manager(path string, m *hcmv3.HttpConnectionManager) *config.HTTP {
	options := m.GetCommonHttpProtocolOptions()
	op := path + ".common_http_protocol_options."
	h := &config.HTTP{
		Stat: m.GetStatPrefix(), ServerName: m.GetServerName(), ServerHeader: config.ServerHeader(m.GetServerHeaderTransformation()),
		UseRemoteAddress: m.GetUseRemoteAddress().GetValue(), TrustedHops: m.GetXffNumTrustedHops(), SkipXFFAppend: m.GetSkipXffAppend(), AppendXFP: m.GetAppendXForwardedPort(),
		XFCC: config.XFCC(m.GetForwardClientCertDetails()), GenerateRequestID: boolean(m.GetGenerateRequestId(), true), PreserveExternalID: m.GetPreserveExternalRequestId(),
		AlwaysSetIDInResponse: m.GetAlwaysSetRequestIdInResponse(), Proxy100Continue: m.GetProxy_100Continue(), NormalizePath: m.GetNormalizePath().GetValue(), MergeSlashes: m.GetMergeSlashes(),
		StripAnyPort: m.GetStripAnyHostPort(), StripMatchPort: m.GetStripMatchingHostPort(), StripHostDot: m.GetStripTrailingHostDot(), Via: m.GetVia(),
		MaxHeadBytes: int(number(m.GetMaxRequestHeadersKb(), defaultHeadKiB)) << 10, MaxFields: int(number(options.GetMaxHeadersCount(), defaultFields)),
		Underscores:        config.Underscores(options.GetHeadersWithUnderscoresAction()),
		IdleTimeout:        r.duration(op+"idle_timeout", options.GetIdleTimeout(), defaultHTTPIdle),
		MaxConnDuration:    r.duration(op+"max_connection_duration", options.GetMaxConnectionDuration(), 0),
		MaxStreamDuration:  r.duration(op+"max_stream_duration", options.GetMaxStreamDuration(), 0),
		MaxRequestsPerConn: options.GetMaxRequestsPerConnection().GetValue(),
		StreamIdleTimeout:  r.duration(path+".stream_idle_timeout", m.GetStreamIdleTimeout(), defaultStreamIdle),
		RequestTimeout:     r.duration(path+".request_timeout", m.GetRequestTimeout(), 0),
		HeadersTimeout:     r.duration(path+".request_headers_timeout", m.GetRequestHeadersTimeout(), 0),
		DrainTimeout:       r.duration(path+".drain_timeout", m.GetDrainTimeout(), defaultDrain),
		Codec:              config.Codec(m.GetCodecType()),
		Frames:             r.frames(path+".http2_protocol_options", m.GetHttp2ProtocolOptions()),
		DefaultHost:        r.defaultHost(path+".http_protocol_options.default_host_for_http_10", m.GetHttpProtocolOptions().GetDefaultHostForHttp_10()),
		AcceptHTTP10:       m.GetHttpProtocolOptions().GetAcceptHttp_10(), Trailers: m.GetHttpProtocolOptions().GetEnableTrailers(), AccessLogs: r.accessLogs(path+".access_log", m.GetAccessLog()),
	}
	if d := r.duration(path+".delayed_close_timeout", m.GetDelayedCloseTimeout(), delayedClose); d != delayedClose {
		r.add(path+".delayed_close_timeout", "a closed connection always waits %s for the client's end", delayedClose)
	}
	if h.ServerName == "" {
		h.ServerName = "envoy"
	}
	if d := m.GetSetCurrentClientCertDetails(); d != nil {
		h.XFCCDetails = config.XFCCDetails{Subject: d.GetSubject().GetValue(), Cert: d.GetCert(), Chain: d.GetChain(), DNS: d.GetDns(), URI: d.GetUri()}
	}
	h.EscapedSlashes = map[hcmv3.HttpConnectionManager_PathWithEscapedSlashesAction]config.EscapedSlashes{
		hcmv3.HttpConnectionManager_REJECT_REQUEST: config.RejectEscaped, hcmv3.HttpConnectionManager_UNESCAPE_AND_REDIRECT: config.UnescapeRedirect,
		hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD: config.UnescapeForward,
	}[m.GetPathWithEscapedSlashesAction()]
	for _, u := range m.GetUpgradeConfigs() {
		if boolean(u.GetEnabled(), true) {
			h.Upgrades = append(h.Upgrades, strings.ToLower(u.GetUpgradeType()))
		}
	}
	h.Tracing = r.tracing(path+".tracing", m.GetTracing())
	r.requestIDs(path+".request_id_extension", m.GetRequestIdExtension(), h)
	r.routes(path, m, h)
	r.httpFilters(path, m.GetHttpFilters(), h)
	return h
}

func (r *read) defaultHost(path, host string) string {
	if codec.StrangeHost([]byte(host)) {
		r.add(path, "%q is not a host", host)
	}
	return host
}

func (r *read) routes(path string, m *hcmv3.HttpConnectionManager, h *config.HTTP) {
	switch s := m.GetRouteSpecifier().(type) {
	case *hcmv3.HttpConnectionManager_Rds:
		h.RouteWait = r.adsOnly(path+".rds.config_source", s.Rds.GetConfigSource())
		if h.RouteName = s.Rds.GetRouteConfigName(); h.RouteName == "" {
			r.add(path+".rds.route_config_name", "it is empty")
		}
	case *hcmv3.HttpConnectionManager_RouteConfig:
		h.Inline = r.routeTable(path+".route_config", s.RouteConfig)
		if h.Inline != nil && h.Inline.VHDS {
			r.add(path+".route_config.vhds", "virtual hosts come one by one for a route configuration over RDS only")
		}
	default:
		r.add(path, "neither rds nor route_config is set")
	}
}

func (r *read) httpFilters(path string, list []*hcmv3.HttpFilter, h *config.HTTP) {
	session := "" // the filter for sessions
	var metrics *config.Metrics
	for i, f := range list {
		p := at(path, "http_filters", i)
		if f.GetTypedConfig() == nil {
			r.add(p+".typed_config", "it is missing")
			continue
		}
		m, err := open(f.GetTypedConfig())
		if err != nil {
			continue
		}
		last := i == len(list)-1
		if _, router := m.(*routerv3.Router); router != last {
			r.add(p, "the router must be the last filter, and only the last")
		}
		switch m := m.(type) {
		case *routerv3.Router:
			h.SuppressEnvoy = m.GetSuppressEnvoyHeaders()
		case *dfpv3.FilterConfig:
			h.Filters = append(h.Filters, config.Filter{Name: f.GetName(), Names: r.nameCache(p+".typed_config.dns_cache_config", m.GetDnsCacheConfig())})
		case *extauthzv3.ExtAuthz:
			h.Filters = append(h.Filters, config.Filter{Name: f.GetName(), ExtAuthz: r.extAuthz(p+".typed_config", m)})
		case *chainv3.FilterChainConfig:
			h.Filters = append(h.Filters, config.Filter{Name: f.GetName(), Checks: true})
		case *sessionv3.StatefulSession:
			r.sessions(p, session, m, f.GetDisabled(), h)
			session = p
		case *corsv3.Cors:
			h.Filters = append(h.Filters, config.Filter{Name: f.GetName(), CORS: true})
		case *grpcwebv3.GrpcWeb:
			h.Filters = append(h.Filters, config.Filter{Name: f.GetName(), GRPCWeb: true})
		case *grpcstatsv3.FilterConfig:
			h.Filters = append(h.Filters, config.Filter{Name: f.GetName(), GRPCStats: r.grpcStats(p+".typed_config", m)})
		case *compressorv3.Compressor:
			h.Filters = append(h.Filters, config.Filter{Name: f.GetName(), Compressor: r.compressor(p+".typed_config", m, h.Stat)})
		case *faultv3.HTTPFault:
			h.Filters = append(h.Filters, config.Filter{Name: f.GetName(), Fault: r.fault(p+".typed_config", m)})
		case *statsv1.PluginConfig:
			metrics = r.metrics(p+".typed_config", m)
		case *httprbacv3.RBAC:
			h.Filters = append(h.Filters, config.Filter{Name: f.GetName(), RBAC: r.httpRBAC(p+".typed_config", m)})
		default:
			r.add(p+".typed_config", "%s is not an HTTP filter that is supported", m.ProtoReflect().Descriptor().FullName())
		}
	}
	if len(list) == 0 {
		r.add(path+".http_filters", "the router is missing")
	}
	if r.d.Telemetry || metrics != nil {
		h.Filters = append(h.Filters, config.Filter{Name: "istio.stats", Telemetry: true, Metrics: metrics})
	}
}

func (r *read) httpRBAC(path string, m *httprbacv3.RBAC) *config.RBAC {
	if m == nil {
		return nil
	}
	return &config.RBAC{Stat: m.GetRulesStatPrefix(), ShadowStat: m.GetShadowRulesStatPrefix(), Rules: r.rbacRules(path+".rules", m.GetRules()), Shadow: r.rbacRules(path+".shadow_rules", m.GetShadowRules())}
}

func (r *read) fault(path string, m *faultv3.HTTPFault) *config.Fault {
	f := &config.Fault{Upstream: m.GetUpstreamCluster(), MaxActive: m.GetMaxActiveFaults().GetValue(), AbortGRPC: -1}
	if d := m.GetDelay(); d != nil {
		f.Delay, f.DelayShare = r.duration(path+".delay.fixed_delay", d.GetFixedDelay(), 0), r.share(path+".delay.percentage", d.GetPercentage())
	}
	if a := m.GetAbort(); a != nil {
		f.AbortShare = r.share(path+".abort.percentage", a.GetPercentage())
		switch e := a.GetErrorType().(type) {
		case *faultv3.FaultAbort_HttpStatus:
			f.AbortStatus = int(e.HttpStatus)
			if e.HttpStatus < 200 || e.HttpStatus > 599 {
				r.add(path+".abort.http_status", "%d is not a status from 200 to 599", e.HttpStatus)
			}
		case *faultv3.FaultAbort_GrpcStatus:
			f.AbortGRPC = int(e.GrpcStatus)
		default:
			r.add(path+".abort", "neither http_status nor grpc_status is set")
		}
	}
	for i, h := range m.GetHeaders() {
		f.Headers = append(f.Headers, r.headerMatch(at(path, "headers", i), h))
	}
	return f
}
