package message

import (
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/heddle-mesh/heddle/mesh"
)

// StringMatcher is nil for a match that only asks for presence.
func StringMatcher(m mesh.StringMatch) *matcherv3.StringMatcher {
	switch m.Kind {
	case mesh.MatchExact:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: m.Value}, IgnoreCase: m.IgnoreCase}
	case mesh.MatchPrefix, mesh.MatchPathPrefix:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: m.Value}, IgnoreCase: m.IgnoreCase}
	case mesh.MatchRegex:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: m.Value}}}
	}
	return nil
}
