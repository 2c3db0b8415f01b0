// Package authz is the vocabulary and the decision of authorization: policies in, a request in, a decision with its reason out.
//
// Everything here is pure and safe for concurrent use; nothing is allocated by a decision.
package authz

import "net/netip"

// Action is AuthorizationPolicy.action.
type Action uint8

// The actions, in the order in which Istio evaluates them: CUSTOM, DENY, ALLOW; AUDIT decides nothing.
const (
	Allow Action = iota
	Deny
	Audit
	Custom
)

// Policy is one AuthorizationPolicy as it applies to a workload. A policy without rules matches no request, so an ALLOW policy without rules allows nothing.
type Policy struct {
	Namespace, Name string
	Action          Action
	DryRun          bool // istio.io/dry-run: decided and reported, not enforced
	Rules           []Rule
}

// Rule matches when one source (or none is listed), one operation (or none) and all conditions match (AuthorizationPolicy.rules).
type Rule struct {
	From []Source
	To   []Operation
	When []Condition
}

// Source matches when every non-empty list has a match and no negative list has one (AuthorizationPolicy.rules.from.source).
type Source struct {
	Principals, NotPrincipals           []Match // TRUST-DOMAIN/ns/NS/sa/SA
	Namespaces, NotNamespaces           []Match
	ServiceAccounts, NotServiceAccounts []Match // NS/SA
	TrustDomains, NotTrustDomains       []Match
	IPBlocks, NotIPBlocks               []netip.Prefix // the peer's address of the connection
	RemoteIPBlocks, NotRemoteIPBlocks   []netip.Prefix // the client's address behind trusted proxies
	RequestPrincipals                   []Match
	NotRequestPrincipals                []Match
}

// Operation matches when every non-empty list has a match and no negative list has one (AuthorizationPolicy.rules.to.operation).
type Operation struct {
	Hosts, NotHosts     []Match // case-insensitive
	Ports, NotPorts     []uint16
	Methods, NotMethods []Match
	Paths, NotPaths     []Match // of the normalised path, without query
}

// Condition is AuthorizationPolicy.rules.when.
type Condition struct {
	Key               string
	Values, NotValues []Match
}

// MatchKind tells how Match compares.
type MatchKind uint8

// The kinds of AuthorizationPolicy's string matching: "abc", "abc*", "*abc", "*".
const (
	Exact MatchKind = iota
	Prefix
	Suffix
	Presence
	Template // URI template with {*} and {**}
)

// Match compares one string.
type Match struct {
	Kind  MatchKind
	Value string
}

// ParseMatch reads Istio's notation: "*" is presence, a trailing star is a prefix, a leading star a suffix, everything else is exact.
func ParseMatch(s string) Match {
	switch {
	case s == "*":
		return Match{Kind: Presence}
	case len(s) > 1 && s[len(s)-1] == '*':
		return Match{Kind: Prefix, Value: s[:len(s)-1]}
	case len(s) > 1 && s[0] == '*':
		return Match{Kind: Suffix, Value: s[1:]}
	default:
		return Match{Kind: Exact, Value: s}
	}
}
