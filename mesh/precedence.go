package mesh

import "cmp"

// ComparePrecedence orders matches as the Gateway API wants rules to be tried (HTTPRouteRule.matches): exact paths first, then the longest prefix, then
// those with a method, then those with more headers, then with more query parameters. Regular expressions stand between exact paths and prefixes. Routes
// whose matches are equal are ordered by age, then by name.
func ComparePrecedence(a, b HTTPMatch) int {
	return cmp.Or(
		cmp.Compare(pathRank(a.Path), pathRank(b.Path)),
		cmp.Compare(len(b.Path.Value), len(a.Path.Value)),
		cmp.Compare(matchesAny(a.Method), matchesAny(b.Method)),
		cmp.Compare(len(b.Headers), len(a.Headers)),
		cmp.Compare(len(b.Query), len(a.Query)),
	)
}

func pathRank(m StringMatch) int {
	switch m.Kind {
	case MatchExact:
		return 0
	case MatchRegex:
		return 1
	case MatchPrefix, MatchPathPrefix:
		return 2
	}
	return 3
}

func matchesAny(m StringMatch) int {
	if m.Kind == MatchAny {
		return 1
	}
	return 0
}
