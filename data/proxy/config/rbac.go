package config

import "net/netip"

// RBAC is envoy.config.rbac.v3.RBAC with its shadow rules: a plain tree of permissions and principals.
type RBAC struct {
	// Stat and ShadowStat are prefixes of statistics.
	Stat, ShadowStat string
	Rules            *RBACRules // nil: everything passes
	Shadow           *RBACRules // only counted; nil for connections
}

// RBACRules allow or deny what a policy matches.
type RBACRules struct {
	Deny     bool // action DENY; else ALLOW. LOG never denies.
	Log      bool
	Policies []RBACPolicy // ordered by name
}

// RBACPolicy matches when one permission and one principal do.
type RBACPolicy struct {
	Name        string
	Permissions []RBACNode
	Principals  []RBACNode
}

// RBACKind is the kind of a node.
type RBACKind uint8

// The kinds of permission and principal.
const (
	RBACAny RBACKind = iota
	RBACAnd
	RBACOr
	RBACNot
	RBACHeader
	RBACPath          // url_path: the path without query
	RBACDestinationIP // CIDR
	RBACDestinationPort
	RBACPortRange
	RBACServerName
	RBACAuthenticated // a peer certificate; with Match, one of its URI SANs (or DNS SANs, or the subject) matches
	RBACDirectIP      // address at the other end of the connection itself
	RBACSourceIP      // remote address of the connection, as a PROXY header has it
	RBACRemoteIP      // remote address behind trusted proxies
	RBACMetadata      // dynamic metadata: there is none, so the match is against nothing
	RBACNever
)

// RBACNode is one node of the tree.
type RBACNode struct {
	Kind     RBACKind
	Children []RBACNode // And, Or, Not (one)
	Header   *HeaderMatch
	Match    *StringMatch // Path, ServerName, Authenticated (nil: any certificate)
	Prefix   netip.Prefix
	Port     uint16
	PortEnd  uint16 // exclusive
}
