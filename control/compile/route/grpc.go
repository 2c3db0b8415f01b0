package route

import (
	"regexp"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/control/compile/message"
	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// mostAbsences bounds the headers of one match that must not have a value: each doubles the routes.
const mostAbsences = 4

// Target finds the service and port that a gRPC client means: HOST:PORT, where a Kubernetes service may have its short names (as its clients know them from DNS), and a
// service with one port needs no number.
func Target(v *view.View, name string) (mesh.Host, uint16, bool) {
	host, port, ok := view.ParseHostPort(name)
	if !ok {
		host = mesh.Host(name)
	}
	full := v.FullHost(host)
	if !ok {
		s, known := v.Resolve(full)
		if !known || len(s.Ports) != 1 {
			return "", 0, false
		}
		port = s.Ports[0].Number
	}
	_, ok = Hosts(v, view.HostPort(full, port))
	return full, port, ok
}

// forClient turns a route into what a gRPC client reads (gRFC A28): it refuses the whole configuration for a form that it does not know. The owners of what has no form are
// told. The result is empty where no call can match.
func (p place) forClient(c candidate, host mesh.Host, in *routev3.Route) []*routev3.Route {
	if c.match != nil && !p.callsMatch(c.match, host) {
		return nil
	}
	out := &routev3.Route{Name: in.Name, Metadata: in.Metadata, TypedPerFilterConfig: in.TypedPerFilterConfig, Match: &routev3.RouteMatch{
		PathSpecifier: in.Match.PathSpecifier, CaseSensitive: in.Match.CaseSensitive, RuntimeFraction: in.Match.RuntimeFraction,
	}}
	if s := in.Match.GetPathSeparatedPrefix(); s != "" { // a path specifier that gRPC does not have
		out.Match.PathSpecifier = &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: regexp.QuoteMeta(s) + "(/.*)?"}}
	}
	for _, h := range in.Match.Headers {
		if !strings.HasPrefix(h.Name, ":") {
			out.Match.Headers = append(out.Match.Headers, h)
		}
	}
	p.unread(c)
	switch action := in.Action.(type) {
	case *routev3.Route_Route:
		p.call(out, host, c.rule, action.Route)
	case *routev3.Route_DirectResponse:
		p.abort(out, host, action.DirectResponse.Status)
	default:
		p.abort(out, host, uint32(c.rule.Redirect.Code))
	}
	return absences(out)
}

// callsMatch decides about what every call of a client has alike: it is a POST without a query to the target's name. gRPC looks at none of it (gRFC A28).
func (p place) callsMatch(m *mesh.HTTPMatch, host mesh.Host) bool {
	fixed := map[string]string{":method": "POST", ":scheme": "http", ":authority": view.HostPort(host, p.port)}
	for _, h := range m.Headers {
		if value, ok := fixed[h.Name]; ok && h.Match.Matches(value) == h.Without {
			return false
		}
	}
	return len(m.Query) == 0 && m.Method.Matches(fixed[":method"]) && m.Scheme.Matches(fixed[":scheme"]) && m.Authority.Matches(fixed[":authority"])
}

// call sends calls on, with the parts of the action that gRPC reads.
func (p place) call(out *routev3.Route, host mesh.Host, rule *mesh.HTTPRule, in *routev3.RouteAction) {
	r := &routev3.RouteAction{RetryPolicy: clientRetry(in.RetryPolicy)}
	if rule.Timeout != nil && *rule.Timeout > 0 { // gRFC A31: timeout is not read, max_stream_duration is
		r.MaxStreamDuration = &routev3.RouteAction_MaxStreamDuration{MaxStreamDuration: message.Duration(*rule.Timeout)}
	}
	for _, h := range in.HashPolicy {
		switch h.PolicySpecifier.(type) {
		case *routev3.RouteAction_HashPolicy_Header_:
			r.HashPolicy = append(r.HashPolicy, h)
		case *routev3.RouteAction_HashPolicy_ConnectionProperties_: // gRFC A42: the channel, which is one client's
			r.HashPolicy = append(r.HashPolicy, &routev3.RouteAction_HashPolicy{PolicySpecifier: &routev3.RouteAction_HashPolicy_FilterState_{
				FilterState: &routev3.RouteAction_HashPolicy_FilterState{Key: "io.grpc.channel_id"},
			}})
		}
	}
	weighted := in.GetWeightedClusters()
	if weighted == nil {
		if !p.known(in.GetCluster()) {
			p.abort(out, host, serviceUnavailable)
			return
		}
		r.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: in.GetCluster()}
		out.Action = &routev3.Route_Route{Route: r}
		return
	}
	list := &routev3.WeightedCluster{}
	for _, c := range weighted.Clusters {
		w := &routev3.WeightedCluster_ClusterWeight{Name: c.Name, Weight: c.Weight}
		if !p.known(c.Name) {
			w.Name, w.TypedPerFilterConfig = p.own(host), filter.Abort(serviceUnavailable)
		}
		list.Clusters = append(list.Clusters, w)
	}
	r.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: list}
	out.Action = &routev3.Route_Route{Route: r}
}

const serviceUnavailable = 503

// abort answers every call at the client, with the gRPC status of an HTTP status (gRFC A33): gRPC has no other action than to send a call on, and some clients refuse the
// configuration for one.
func (p place) abort(out *routev3.Route, host mesh.Host, status uint32) {
	out.TypedPerFilterConfig = filter.Abort(status)
	out.Action = &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: p.own(host)}}}
}

// own is the cluster of the target itself.
func (p place) own(host mesh.Host) string { return view.ClusterName(p.port, "", host) }

// known says whether there is a cluster. A client waits a quarter of a minute for one that is not there before it makes any call of the target (gRFC A57, A74).
func (p place) known(cluster string) bool {
	port, subset, host, ok := view.ParseClusterName(cluster)
	if !ok {
		return false
	}
	s, ok := p.v.Resolve(host)
	if !ok {
		return false
	}
	if _, ok = s.Port(port); ok && subset != "" {
		_, ok = view.Subset(p.v.Traffic(s), subset)
	}
	return ok
}

// absences adds routes for calls that lack a header which must not have a value: a matcher that is inverted does not match those in every implementation.
func absences(r *routev3.Route) []*routev3.Route {
	out := []*routev3.Route{r}
	found := 0
	for i, h := range r.Match.Headers {
		if !h.InvertMatch || h.GetStringMatch() == nil {
			continue
		}
		if found++; found > mostAbsences {
			break
		}
		for _, with := range out {
			headers := slices.Clone(with.Match.Headers)
			headers[i] = &routev3.HeaderMatcher{Name: h.Name, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}, InvertMatch: true}
			out = append(out, &routev3.Route{Name: r.Name, Metadata: r.Metadata, TypedPerFilterConfig: r.TypedPerFilterConfig, Action: r.Action, Match: &routev3.RouteMatch{
				PathSpecifier: r.Match.PathSpecifier, CaseSensitive: r.Match.CaseSensitive, RuntimeFraction: r.Match.RuntimeFraction, Headers: headers,
			}})
		}
	}
	return out
}

// clientWords are the conditions of a retry policy that gRPC reads (gRFC A44).
var clientWords = []string{"cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"}

// clientRetry is the part of a policy that gRPC reads (gRFC A44). It refuses a policy without a retry, or with a base interval above the longest.
func clientRetry(in *routev3.RetryPolicy) *routev3.RetryPolicy {
	if in.GetNumRetries().GetValue() == 0 {
		return nil
	}
	words := slices.DeleteFunc(strings.Split(in.RetryOn, ","), func(w string) bool { return !slices.Contains(clientWords, w) })
	if len(words) == 0 {
		return nil
	}
	out := &routev3.RetryPolicy{RetryOn: strings.Join(words, ","), NumRetries: in.NumRetries}
	if b := in.RetryBackOff; b != nil {
		out.RetryBackOff = &routev3.RetryPolicy_RetryBackOff{BaseInterval: b.BaseInterval, MaxInterval: b.MaxInterval}
		if b.MaxInterval.AsDuration() < b.BaseInterval.AsDuration() {
			out.RetryBackOff.MaxInterval = nil
		}
	}
	return out
}
