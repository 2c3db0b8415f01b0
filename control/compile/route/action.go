package route

import (
	"regexp"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// unknownCluster is a name that no cluster has; a route to it answers with its cluster_not_found_response_code.
const unknownCluster = "UnknownService"

// build makes one route of a rule.
func (p place) build(origin mesh.Ref, rule *mesh.HTTPRule, m *mesh.HTTPMatch) *routev3.Route {
	out := &routev3.Route{Name: rule.Name, Match: routeMatch(m), TypedPerFilterConfig: filter.PerRoute(rule, p.v.Can)}
	if m != nil && m.Name != "" {
		out.Name = strings.TrimPrefix(rule.Name+"."+m.Name, ".")
	}
	if origin.Kind == "VirtualService" {
		out.Metadata = message.Metadata(message.Fields{
			"config": "/apis/networking.istio.io/v1alpha3/namespaces/" + string(origin.Namespace) + "/virtual-service/" + origin.Name,
		})
	}
	p.counted(out, origin, m)
	p.session(out, origin, rule, m)
	edit := edits(rule.Headers)
	out.RequestHeadersToAdd, out.RequestHeadersToRemove = edit.requestAdd, edit.requestRemove
	out.ResponseHeadersToAdd, out.ResponseHeadersToRemove = edit.responseAdd, edit.responseRemove
	switch {
	case rule.Redirect != nil:
		out.Action = &routev3.Route_Redirect{Redirect: p.redirect(rule.Redirect, m)}
	case rule.Direct != nil:
		out.Action = direct(uint32(rule.Direct.Status), rule.Direct.Body)
	default:
		p.forward(out, origin, rule, m, edit.host)
	}
	p.guarded(out, origin, rule)
	return out
}

// counted gives the route counters of its own.
func (p place) counted(out *routev3.Route, origin mesh.Ref, m *mesh.HTTPMatch) {
	if m == nil || m.StatPrefix == "" {
		return
	}
	if p.v.Can(mesh.FeatureRouteStats) {
		out.StatPrefix = m.StatPrefix
		return
	}
	p.v.Notice(mesh.Problem{Object: origin, Field: "spec.http", Code: mesh.CodeNotEnforced, Message: "some connected proxies do not count what statPrefix " + m.StatPrefix + " asks for", Hint: "upgrade them"})
}

func direct(status uint32, body []byte) *routev3.Route_DirectResponse {
	r := &routev3.DirectResponseAction{Status: status}
	if len(body) > 0 {
		r.Body = &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: body}}
	}
	return &routev3.Route_DirectResponse{DirectResponse: r}
}

// forward sends requests to the rule's backends.
func (p place) forward(out *routev3.Route, origin mesh.Ref, rule *mesh.HTTPRule, m *mesh.HTTPMatch, host string) {
	gatewayAPI, failure := origin.Group == gatewayGroup, uint32(500)
	if origin.Kind == "GRPCRoute" {
		failure = 503 // gRPC's UNAVAILABLE
	}
	backends := rule.Backends
	if unused := func(b mesh.Backend) bool { return b.Weight == 0 && (len(rule.Backends) > 1 || gatewayAPI) }; slices.ContainsFunc(backends, unused) {
		backends = slices.DeleteFunc(slices.Clone(backends), unused)
	}
	if len(backends) == 0 {
		out.Action = direct(failure, nil) // Gateway API: no backend that can be referenced, or all weights are zero
		return
	}
	r := &routev3.RouteAction{Timeout: never, RetryPolicy: p.retries(rule)}
	if gatewayAPI {
		if failure == 500 {
			r.ClusterNotFoundResponseCode = routev3.RouteAction_INTERNAL_SERVER_ERROR
		}
		if rule.Retry == nil && rule.TryTimeout == nil {
			r.RetryPolicy = nil
		}
	}
	if rule.Timeout != nil {
		r.Timeout = message.Duration(*rule.Timeout)
	}
	r.AppendXForwardedHost = p.v.Kind() != mesh.Proxyless && p.v.ProxyConfig().ForwardedHost
	rewrite(r, rule.Rewrite, m)
	if host != "" {
		r.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: host}
	}
	r.HashPolicy = p.hashes(backends)
	if len(backends) == 1 {
		p.single(out, r, &backends[0])
	} else {
		r.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: p.weighted(backends)}
	}
	for _, mirror := range rule.Mirrors {
		if mirror.Backend.Invalid != "" || mirror.Percent == 0 {
			continue
		}
		r.RequestMirrorPolicies = append(r.RequestMirrorPolicies, &routev3.RouteAction_RequestMirrorPolicy{
			Cluster: p.cluster(&mirror.Backend), RuntimeFraction: &corev3.RuntimeFractionalPercent{DefaultValue: filter.Million(mirror.Percent)},
		})
	}
	out.Action = &routev3.Route_Route{Route: r}
	out.Decorator = &routev3.Decorator{Operation: view.HostPort(backends[0].Host, p.backendPort(&backends[0])) + "/*"}
}

// never is a timeout that is switched off, frozen.
var never = message.Frozen(message.Duration(0))

// retries is the policy of a rule; the usual one is frozen.
func (p place) retries(rule *mesh.HTTPRule) *routev3.RetryPolicy {
	unsaid := p.v.Settings().Retry
	if unsaid == nil && rule.Retry == nil && rule.TryTimeout == nil && p.v.Kind() != mesh.Proxyless {
		return usualRetries
	}
	return retry(unsaid, rule)
}

// single puts what a lone backend edits on the route itself.
func (p place) single(out *routev3.Route, r *routev3.RouteAction, b *mesh.Backend) {
	r.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: p.cluster(b)}
	e := edits(b.Headers)
	out.RequestHeadersToAdd = append(out.RequestHeadersToAdd, e.requestAdd...)
	out.RequestHeadersToRemove = append(out.RequestHeadersToRemove, e.requestRemove...)
	out.ResponseHeadersToAdd = append(out.ResponseHeadersToAdd, e.responseAdd...)
	out.ResponseHeadersToRemove = append(out.ResponseHeadersToRemove, e.responseRemove...)
	if e.host != "" {
		r.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: e.host}
	}
}

func (p place) weighted(backends []mesh.Backend) *routev3.WeightedCluster {
	out := &routev3.WeightedCluster{}
	for i := range backends {
		b := &backends[i]
		e := edits(b.Headers)
		w := &routev3.WeightedCluster_ClusterWeight{
			Name: p.cluster(b), Weight: message.UInt32(b.Weight),
			RequestHeadersToAdd: e.requestAdd, RequestHeadersToRemove: e.requestRemove,
			ResponseHeadersToAdd: e.responseAdd, ResponseHeadersToRemove: e.responseRemove,
		}
		if e.host != "" {
			w.HostRewriteSpecifier = &routev3.WeightedCluster_ClusterWeight_HostRewriteLiteral{HostRewriteLiteral: e.host}
		}
		out.Clusters = append(out.Clusters, w)
	}
	return out
}

func (p place) cluster(b *mesh.Backend) string {
	if b.Invalid != "" {
		return unknownCluster
	}
	return view.ClusterName(p.backendPort(b), b.Subset, p.v.Canonical(b.Host))
}

// backendPort is the port that the backend names, else the only port of its service, else the port that the client called.
func (p place) backendPort(b *mesh.Backend) uint16 {
	if b.Port != 0 {
		return b.Port
	}
	if s, ok := p.v.Resolve(b.Host); ok && len(s.Ports) == 1 {
		return s.Ports[0].Number
	}
	return p.port
}

func rewrite(r *routev3.RouteAction, in *mesh.Rewrite, m *mesh.HTTPMatch) {
	if in == nil {
		return
	}
	if in.Authority != "" {
		r.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: in.Authority}
	}
	switch {
	case in.Regex != "":
		r.RegexRewrite = substitution(in.Regex, in.RegexReplaced)
	case in.Path == nil:
	case in.FullPath:
		r.RegexRewrite = substitution("^/.*$", literal(*in.Path))
	default:
		if r.RegexRewrite = joinRewrite(*in.Path, m); r.RegexRewrite == nil {
			r.PrefixRewrite = *in.Path
		}
	}
}

// joinRewrite replaces whole path segments so that exactly one slash stands between the replacement and the rest (Gateway API ReplacePrefixMatch).
// It is nil where a plain prefix rewrite does it.
func joinRewrite(to string, m *mesh.HTTPMatch) *matcherv3.RegexMatchAndSubstitute {
	if m == nil || m.Path.Kind != mesh.MatchPathPrefix {
		return nil
	}
	to = strings.TrimRight(to, "/")
	from := strings.TrimRight(m.Path.Value, "/")
	if to != "" && from != "" {
		return nil
	}
	return substitution("^"+regexp.QuoteMeta(from)+"/*(.*)$", literal(to)+`/\1`)
}

func literal(s string) string { return strings.ReplaceAll(s, `\`, `\\`) }

func substitution(pattern, to string) *matcherv3.RegexMatchAndSubstitute {
	return &matcherv3.RegexMatchAndSubstitute{Pattern: &matcherv3.RegexMatcher{Regex: pattern}, Substitution: to}
}

// passthrough sends what no virtual host knows to where the client dialled.
func passthrough(cluster string) *routev3.Route {
	return &routev3.Route{Name: "allow_any", Match: routeMatch(nil), Action: &routev3.Route_Route{Route: &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster}, Timeout: message.Duration(time.Duration(0)),
	}}}
}
