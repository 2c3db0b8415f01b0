package decode

import (
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

func (r *read) stringMatch(path string, m *matcherv3.StringMatcher) *config.StringMatch {
	out := &config.StringMatch{IgnoreCase: m.GetIgnoreCase()}
	switch p := m.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		out.Kind, out.Value = config.Exact, p.Exact
	case *matcherv3.StringMatcher_Prefix:
		out.Kind, out.Value = config.Prefix, p.Prefix
	case *matcherv3.StringMatcher_Suffix:
		out.Kind, out.Value = config.Suffix, p.Suffix
	case *matcherv3.StringMatcher_Contains:
		out.Kind, out.Value = config.Contains, p.Contains
	case *matcherv3.StringMatcher_SafeRegex: // ignore_case has no effect on it (StringMatcher.ignore_case)
		return r.regexMatch(path+".safe_regex", p.SafeRegex)
	default:
		r.add(path, "no pattern is set")
		return nil
	}
	if out.IgnoreCase {
		out.Value = strings.ToLower(out.Value)
	}
	return out
}

func (r *read) regexMatch(path string, m *matcherv3.RegexMatcher) *config.StringMatch {
	return &config.StringMatch{Kind: config.Regex, Value: m.GetRegex(), Regex: r.regex(path, m, true)}
}

// regex compiles RE2 syntax. whole: the pattern must match all of the value, as every matcher of Envoy wants.
func (r *read) regex(path string, m *matcherv3.RegexMatcher, whole bool) *regexp.Regexp {
	pattern := m.GetRegex()
	if pattern == "" {
		r.add(path+".regex", "it is empty")
		return nil
	}
	if whole {
		pattern = "^(?:" + pattern + ")$"
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		r.add(path+".regex", "%v", err)
	}
	return re
}

func (r *read) substitution(path string, m *matcherv3.RegexMatchAndSubstitute) *config.RegexRewrite {
	if m == nil {
		return nil
	}
	return &config.RegexRewrite{Regex: r.regex(path+".pattern", m.GetPattern(), false), Substitution: m.GetSubstitution()}
}

func (r *read) headerMatch(path string, m *routev3.HeaderMatcher) config.HeaderMatch {
	out := config.HeaderMatch{Name: strings.ToLower(m.GetName()), Invert: m.GetInvertMatch(), MissingIsEmpty: m.GetTreatMissingHeaderAsEmpty()}
	if out.Name == "" {
		r.add(path+".name", "it is empty")
	}
	literal := func(kind config.StringKind, value string) { out.String = &config.StringMatch{Kind: kind, Value: value} }
	switch s := m.GetHeaderMatchSpecifier().(type) {
	case *routev3.HeaderMatcher_StringMatch:
		out.String = r.stringMatch(path+".string_match", s.StringMatch)
	case *routev3.HeaderMatcher_PresentMatch:
		out.Present, out.PresentValue = true, s.PresentMatch
	case *routev3.HeaderMatcher_RangeMatch:
		out.Range, out.From, out.To = true, s.RangeMatch.GetStart(), s.RangeMatch.GetEnd()
	case *routev3.HeaderMatcher_ExactMatch:
		literal(config.Exact, s.ExactMatch)
	case *routev3.HeaderMatcher_PrefixMatch:
		literal(config.Prefix, s.PrefixMatch)
	case *routev3.HeaderMatcher_SuffixMatch:
		literal(config.Suffix, s.SuffixMatch)
	case *routev3.HeaderMatcher_ContainsMatch:
		literal(config.Contains, s.ContainsMatch)
	case *routev3.HeaderMatcher_SafeRegexMatch:
		out.String = r.regexMatch(path+".safe_regex_match", s.SafeRegexMatch)
	default: // nothing but the name: presence
		out.Present, out.PresentValue = true, true
	}
	return out
}

func (r *read) headerMatches(path string, list []*routev3.HeaderMatcher) (out []config.HeaderMatch) {
	for i, m := range list {
		out = append(out, r.headerMatch(path+indexed(i), m))
	}
	return out
}

func (r *read) routeMatch(path string, m *routev3.RouteMatch) config.RouteMatch {
	out := config.RouteMatch{IgnoreCase: !boolean(m.GetCaseSensitive(), true), GRPC: m.GetGrpc() != nil}
	switch p := m.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		out.Path, out.Value = config.PathPrefix, p.Prefix
	case *routev3.RouteMatch_Path:
		out.Path, out.Value = config.PathExact, p.Path
	case *routev3.RouteMatch_SafeRegex:
		out.Path, out.Value, out.Regex = config.PathRegex, p.SafeRegex.GetRegex(), r.regex(path+".safe_regex", p.SafeRegex, true)
	case *routev3.RouteMatch_PathSeparatedPrefix:
		out.Path, out.Value = config.PathSeparatedPrefix, p.PathSeparatedPrefix
		if !strings.HasPrefix(p.PathSeparatedPrefix, "/") || strings.HasSuffix(p.PathSeparatedPrefix, "/") || strings.ContainsAny(p.PathSeparatedPrefix, "?#") {
			r.add(path+".path_separated_prefix", "%q: want a path that begins with a slash and does not end with one", p.PathSeparatedPrefix)
		}
	case *routev3.RouteMatch_ConnectMatcher_:
		out.Path = config.PathConnect
	default:
		r.add(path, "no path is set")
	}
	if out.IgnoreCase && out.Path != config.PathRegex {
		out.Value = strings.ToLower(out.Value)
	}
	if f := m.GetRuntimeFraction(); f != nil {
		out.HasShare, out.Share = true, r.share(path+".runtime_fraction.default_value", f.GetDefaultValue())
	}
	for i, h := range m.GetHeaders() {
		out.Headers = append(out.Headers, r.headerMatch(at(path, "headers", i), h))
	}
	for i, q := range m.GetQueryParameters() {
		qm := config.QueryMatch{Name: q.GetName()}
		if s := q.GetStringMatch(); s != nil {
			qm.String = r.stringMatch(at(path, "query_parameters", i)+".string_match", s)
		} else if qm.Present = true; q.GetQueryParameterMatchSpecifier() != nil && !q.GetPresentMatch() {
			r.add(at(path, "query_parameters", i)+".present_match", "false is not supported")
		}
		out.Query = append(out.Query, qm)
	}
	return out
}
