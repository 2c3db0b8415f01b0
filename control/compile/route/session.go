package route

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/heddle-mesh/heddle/control/compile/filter"
	"github.com/heddle-mesh/heddle/mesh"
)

// session makes clients of the route keep to the endpoint that answered them.
func (p place) session(out *routev3.Route, origin mesh.Ref, rule *mesh.HTTPRule, m *mesh.HTTPMatch) {
	if rule.Session == nil || rule.Redirect != nil || rule.Direct != nil || p.v.Kind() == mesh.Proxyless { // whose clients are told apart, see unread
		return
	}
	if !p.v.Can(mesh.FeatureSession) {
		p.v.Notice(mesh.Problem{Object: origin, Field: "spec.rules.sessionPersistence", Code: mesh.CodeNotEnforced, Message: "some connected proxies do not keep clients to an endpoint", Hint: "upgrade them"})
		return
	}
	var attributes []string
	if p.tls {
		attributes = append(attributes, "Secure", "")
	}
	if p.gateway != nil { // browsers call gateways only
		attributes = append(attributes, "SameSite", "Strict")
	}
	if out.TypedPerFilterConfig == nil {
		out.TypedPerFilterConfig = map[string]*anypb.Any{}
	}
	name, config := filter.SessionOf(rule.Session, cookiePath(m), attributes...)
	out.TypedPerFilterConfig[name] = config
}

// cookiePath is the part of a match's path that is the same for all requests: whole segments, "/" for none (GEP-1619, "Path").
func cookiePath(m *mesh.HTTPMatch) string {
	if m == nil {
		return "/"
	}
	switch m.Path.Kind {
	case mesh.MatchExact, mesh.MatchPathPrefix, mesh.MatchPrefix:
		return m.Path.Value
	case mesh.MatchRegex:
		re, err := regexp.Compile(m.Path.Value)
		if err != nil {
			return "/"
		}
		fixed, whole := re.LiteralPrefix()
		if whole && strings.HasPrefix(fixed, "/") {
			return fixed
		}
		if i := strings.LastIndexByte(fixed, '/'); i > 0 {
			return fixed[:i]
		}
	}
	return "/"
}

// kept are the shares of clients that have a session already: each backend has a cookie of its own, so that they find their backend whatever the weights are, also one that new
// clients are not led to.
func kept(rule *mesh.HTTPRule) (out []share) {
	for i := range rule.Backends {
		b := rule.Backends[i]
		if b.Invalid != "" {
			continue
		}
		b.Weight = 1
		s := share{rule: own(rule, &b), upTo: million}
		s.rule.Session = sessionAt(rule.Session, &b)
		s.cookie = s.rule.Session.Name
		out = append(out, s)
	}
	return out
}

// parted says whether clients must find their backend again among several.
func parted(rule *mesh.HTTPRule) bool {
	return rule.Session != nil && !rule.Session.Header && len(rule.Backends) > 1
}

// sessionAt is the session of a rule at one of its backends.
func sessionAt(s *mesh.Session, b *mesh.Backend) *mesh.Session {
	h := fnv.New32a()
	h.Write(fmt.Appendf(nil, "%s:%d", b.Host, b.Port))
	at := *s
	at.Name = fmt.Sprintf("%s.%08x", s.Name, h.Sum32())
	return &at
}

// hasCookie matches requests with a cookie; some codecs join several fields with a comma.
func hasCookie(name string) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{Name: "cookie", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: &matcherv3.StringMatcher{
		MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: "(?:.*[;,] *)?" + regexp.QuoteMeta(name) + "=.*"}},
	}}}
}
