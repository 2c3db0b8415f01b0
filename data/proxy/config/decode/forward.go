package decode

import (
	"strings"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	omitcanariesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/omit_canary_hosts/v3"
	omitmetadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/omit_host_metadata/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	prioritiesv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/priority/previous_priorities/v3"

	"google.golang.org/protobuf/types/known/anypb"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

func (r *read) forward(path string, m *routev3.RouteAction) *config.Forward {
	f := &config.Forward{
		Cluster: m.GetCluster(), ClusterHeader: strings.ToLower(m.GetClusterHeader()), HostRewrite: m.GetHostRewriteLiteral(), HostRewriteAuto: m.GetAutoHostRewrite().GetValue(),
		AppendXFH: m.GetAppendXForwardedHost(), RegexRewrite: r.substitution(path+".regex_rewrite", m.GetRegexRewrite()),
		Timeout: r.duration(path+".timeout", m.GetTimeout(), defaultRouteTimeout), Retry: r.retry(path+".retry_policy", m.GetRetryPolicy()),
		Hedge: r.hedge(m.GetHedgePolicy()),
		NotFoundCode: map[routev3.RouteAction_ClusterNotFoundResponseCode]int{
			routev3.RouteAction_SERVICE_UNAVAILABLE: 503, routev3.RouteAction_NOT_FOUND: 404, routev3.RouteAction_INTERNAL_SERVER_ERROR: 500,
		}[m.GetClusterNotFoundResponseCode()],
	}
	if p := m.GetPrefixRewrite(); p != "" {
		f.PrefixRewrite = &p
	}
	f.Level = uint8(m.GetPriority())
	f.Match = r.subsetMatch(path+".metadata_match", m.GetMetadataMatch(), nil)
	f.IdleTimeout, f.MaxGRPCTimeout = r.optional(path+".idle_timeout", m.GetIdleTimeout()), r.optional(path+".max_grpc_timeout", m.GetMaxGrpcTimeout())
	if d := m.GetMaxStreamDuration(); d != nil {
		// It replaces the older time-outs altogether, as in Envoy ("using new timeouts").
		f.Timeout, f.MaxGRPCTimeout = 0, nil
		f.MaxStreamDuration = r.optional(path+".max_stream_duration.max_stream_duration", d.GetMaxStreamDuration())
		f.GRPCHeaderMax = r.optional(path+".max_stream_duration.grpc_timeout_header_max", d.GetGrpcTimeoutHeaderMax())
	}
	switch m.GetClusterSpecifier().(type) {
	case *routev3.RouteAction_Cluster, *routev3.RouteAction_ClusterHeader:
		if f.Cluster == "" && f.ClusterHeader == "" {
			r.add(path+".cluster", "it is empty")
		}
	case *routev3.RouteAction_WeightedClusters:
		r.weighted(path+".weighted_clusters", m, f)
	default:
		r.add(path, "no cluster is set")
	}
	for i, p := range m.GetRequestMirrorPolicies() {
		mirror := config.Mirror{Cluster: p.GetCluster(), Share: 1_000_000, NoSuffix: p.GetDisableShadowHostSuffixAppend()}
		if p.GetRuntimeFraction() != nil {
			mirror.Share = r.share(at(path, "request_mirror_policies", i)+".runtime_fraction.default_value", p.GetRuntimeFraction().GetDefaultValue())
		}
		f.Mirrors = append(f.Mirrors, mirror)
	}
	for i, h := range m.GetHashPolicy() {
		f.Hash = append(f.Hash, r.hash(at(path, "hash_policy", i), h))
	}
	for i, u := range m.GetUpgradeConfigs() {
		if f.Upgrades == nil {
			f.Upgrades = map[string]bool{}
		}
		name := strings.ToLower(u.GetUpgradeType())
		f.Upgrades[name] = boolean(u.GetEnabled(), true)
		if u.GetConnectConfig() != nil {
			if f.EndConnect = true; name != "connect" {
				r.add(at(path, "upgrade_configs", i)+".connect_config", "it is for the upgrade type CONNECT")
			}
		}
	}
	return f
}

func (r *read) weighted(path string, action *routev3.RouteAction, f *config.Forward) {
	m := action.GetWeightedClusters()
	for i, w := range m.GetClusters() {
		p := at(path, "clusters", i)
		if w.GetName() == "" {
			r.add(p+".name", "it is empty")
		}
		f.Weighted = append(f.Weighted, config.WeightedCluster{
			Name: w.GetName(), Weight: w.GetWeight().GetValue(), HostRewrite: w.GetHostRewriteLiteral(), PerFilter: r.perFilter(p+".typed_per_filter_config", w.GetTypedPerFilterConfig()),
			Match:   r.subsetMatch(p+".metadata_match", action.GetMetadataMatch(), w.GetMetadataMatch()),
			Headers: r.edits(p, w.GetRequestHeadersToAdd(), w.GetRequestHeadersToRemove(), w.GetResponseHeadersToAdd(), w.GetResponseHeadersToRemove()),
		})
		f.TotalWeight += w.GetWeight().GetValue()
	}
	if f.TotalWeight == 0 {
		r.add(path, "the sum of the weights is 0")
	}
	if t := m.GetTotalWeight(); t != nil && t.GetValue() != f.TotalWeight {
		r.add(path+".total_weight", "it is %d but the weights add up to %d", t.GetValue(), f.TotalWeight)
	}
}

func (r *read) hash(path string, m *routev3.RouteAction_HashPolicy) config.HashPolicy {
	out := config.HashPolicy{Terminal: m.GetTerminal(), Header: strings.ToLower(m.GetHeader().GetHeaderName()), Query: m.GetQueryParameter().GetName(),
		SourceIP: m.GetConnectionProperties().GetSourceIp()}
	if c := m.GetCookie(); c != nil {
		out.Cookie = r.cookie(path+".cookie", c)
	}
	if out.Header == "" && out.Cookie == nil && out.Query == "" && !out.SourceIP {
		r.add(path, "it says nothing to hash by")
	}
	return out
}

func (r *read) cookie(path string, m *routev3.RouteAction_HashPolicy_Cookie) *config.HashCookie {
	c := &config.HashCookie{Name: m.GetName(), Path: m.GetPath()}
	if c.Name == "" {
		r.add(path+".name", "it is empty")
	}
	if m.GetTtl() != nil {
		ttl := r.duration(path+".ttl", m.GetTtl(), 0)
		c.TTL = &ttl
	}
	for _, a := range m.GetAttributes() {
		c.Attributes = append(c.Attributes, attribute(a.GetName(), a.GetValue()))
	}
	return c
}

// attribute is one of a cookie.
func attribute(name, value string) string {
	if value == "" {
		return name
	}
	return name + "=" + value
}

var retryWords = map[string]config.RetryOn{
	"5xx": config.Retry5xx, "gateway-error": config.RetryGatewayError, "reset": config.RetryReset, "reset-before-request": config.RetryResetBeforeRequest,
	"connect-failure": config.RetryConnectFailure, "envoy-ratelimited": config.RetryEnvoyRateLimited, "retriable-4xx": config.RetryRetriable4xx, "refused-stream": config.RetryRefusedStream,
	"retriable-status-codes": config.RetryRetriableStatusCodes, "retriable-headers": config.RetryRetriableHeaders, "http3-post-connect-failure": config.RetryHTTP3PostConnect,
	"cancelled": config.RetryGRPCCancelled, "deadline-exceeded": config.RetryGRPCDeadline, "resource-exhausted": config.RetryGRPCResource, "unavailable": config.RetryGRPCUnavailable,
	"internal": config.RetryGRPCInternal,
}

func (r *read) retry(path string, m *routev3.RetryPolicy) *config.Retry {
	if m == nil {
		return nil
	}
	out := &config.Retry{
		Attempts: number(m.GetNumRetries(), 1), PerTry: r.duration(path+".per_try_timeout", m.GetPerTryTimeout(), 0), PerTryIdle: r.duration(path+".per_try_idle_timeout", m.GetPerTryIdleTimeout(), 0),
		SelectAttempts: int(m.GetHostSelectionRetryMaxAttempts()), BackoffBase: 25 * time.Millisecond,
		Headers: r.headerMatches(path+".retriable_headers", m.GetRetriableHeaders()), RequestHeaders: r.headerMatches(path+".retriable_request_headers", m.GetRetriableRequestHeaders()),
	}
	for word := range strings.SplitSeq(m.GetRetryOn(), ",") {
		switch word = strings.TrimSpace(word); {
		case word == "":
		case retryWords[word] != 0:
			out.On |= retryWords[word]
		default: // Istio passes status codes in the same list
			if code, ok := statusCode(word); ok {
				out.Codes = append(out.Codes, code)
				out.On |= config.RetryRetriableStatusCodes
			} else {
				r.add(path+".retry_on", "%q is unknown", word)
			}
		}
	}
	for _, c := range m.GetRetriableStatusCodes() {
		out.Codes = append(out.Codes, int(c))
	}
	if b := m.GetRetryBackOff(); b != nil {
		out.BackoffBase = max(r.duration(path+".retry_back_off.base_interval", b.GetBaseInterval(), out.BackoffBase), time.Millisecond)
		out.BackoffMax = r.duration(path+".retry_back_off.max_interval", b.GetMaxInterval(), 0)
		if out.BackoffMax != 0 && out.BackoffMax < out.BackoffBase {
			r.add(path+".retry_back_off.max_interval", "%v is below base_interval %v", out.BackoffMax, out.BackoffBase)
		}
	}
	if out.BackoffMax == 0 {
		out.BackoffMax = 10 * out.BackoffBase
	}
	if b := m.GetRateLimitedRetryBackOff(); b != nil {
		r.resets(path+".rate_limited_retry_back_off", b, out)
	}
	for i, p := range m.GetRetryHostPredicate() {
		r.hostPredicate(at(path, "retry_host_predicate", i)+".typed_config", p.GetTypedConfig(), out)
	}
	if p := m.GetRetryPriority(); p != nil {
		if c, ok := into[*prioritiesv3.PreviousPrioritiesConfig](&r.problems, path+".retry_priority.typed_config", p.GetTypedConfig()); ok {
			out.PriorityForfeit = int(max(c.GetUpdateFrequency(), 1))
		}
	}
	return out
}

// hostPredicate reads which endpoints are left out when a retry chooses.
func (r *read) hostPredicate(path string, any *anypb.Any, out *config.Retry) {
	m, err := open(any)
	if err != nil {
		return // reported by honour
	}
	switch m := m.(type) {
	case *previoushostsv3.PreviousHostsPredicate:
		out.PreviousHosts = true
	case *omitcanariesv3.OmitCanaryHostsPredicate:
		out.OmitCanaries = true
	case *omitmetadatav3.OmitHostMetadataConfig:
		labels := jsonValues(m.GetMetadataMatch().GetFilterMetadata()["envoy.lb"])
		if len(labels) == 0 {
			r.add(path+".metadata_match", "want metadata under envoy.lb")
		}
		out.OmitLabels = append(out.OmitLabels, labels)
	default:
		r.add(path, "%s is not expected here, want a predicate of hosts", short(any.MessageName()))
	}
}

// hedge reads hedge_policy, nil when there is none.
func (r *read) hedge(m *routev3.HedgePolicy) *bool {
	if m == nil {
		return nil
	}
	on := m.GetHedgeOnPerTryTimeout()
	return &on
}

// defaultResetMax is Envoy's for max_interval.
const defaultResetMax = 5 * time.Minute

func (r *read) resets(path string, m *routev3.RetryPolicy_RateLimitedRetryBackOff, out *config.Retry) {
	out.ResetMax = r.duration(path+".max_interval", m.GetMaxInterval(), defaultResetMax)
	if out.ResetMax == 0 {
		r.add(path+".max_interval", "want more than 0")
	}
	for i, h := range m.GetResetHeaders() {
		if h.GetName() == "" {
			r.add(at(path, "reset_headers", i)+".name", "it is empty")
		}
		out.Resets = append(out.Resets, config.ResetHeader{Name: strings.ToLower(h.GetName()), Unix: h.GetFormat() == routev3.RetryPolicy_UNIX_TIMESTAMP})
	}
	if len(m.GetResetHeaders()) == 0 {
		r.add(path+".reset_headers", "it is empty")
	}
}

func statusCode(word string) (code int, ok bool) {
	if len(word) != 3 {
		return 0, false
	}
	for _, c := range []byte(word) {
		if c < '0' || c > '9' {
			return 0, false
		}
		code = code*10 + int(c-'0')
	}
	return code, code >= 100
}
