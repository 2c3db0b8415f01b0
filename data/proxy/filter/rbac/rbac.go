// Package rbac allows and denies requests and connections (envoy.config.rbac.v3.RBAC).
//
// In: a tree of permissions and principals, and the facts of a request or connection. Out: allowed or not, and the policy that decided. Evaluation is pure; what the
// tree asks and nobody knows matches nothing. Safe for concurrent use.
package rbac

import (
	"net/netip"
	"unsafe"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/route"
)

// Facts are what a decision looks at. HTTP parts are empty for a connection.
type Facts struct {
	Origin *loop.Origin
	// Remote is the client behind trusted proxies; that of the connection when there are none.
	Remote netip.Addr
	// Destination is the address that the client meant.
	Destination netip.AddrPort
	// Header matches one header of the request, nil for a connection. Of several fields of a name, with liberal one is enough, without it all must match.
	Header interface {
		MatchesEach(m *config.HeaderMatch, liberal bool) bool
	}
	// Path is the path without query.
	Path []byte
}

// Verdict is the outcome.
type Verdict struct {
	Allowed bool
	// Policy is the name of the policy that matched, "" for none.
	Policy string
}

// Decide evaluates rules: ALLOW allows what a policy matches, DENY denies it, LOG allows all. Where a request leaves room for doubt a rule that denies matches, and one that
// allows does not.
func Decide(r *config.RBACRules, f *Facts) Verdict {
	for i := range r.Policies {
		p := &r.Policies[i]
		if anyNode(p.Permissions, f, r.Deny) && anyNode(p.Principals, f, r.Deny) {
			return Verdict{Allowed: !r.Deny || r.Log, Policy: p.Name}
		}
	}
	return Verdict{Allowed: r.Deny || r.Log}
}

func anyNode(list []config.RBACNode, f *Facts, liberal bool) bool {
	for i := range list {
		if matches(&list[i], f, liberal) {
			return true
		}
	}
	return false
}

func matches(n *config.RBACNode, f *Facts, liberal bool) bool {
	switch n.Kind {
	case config.RBACAny:
		return true
	case config.RBACAnd:
		for i := range n.Children {
			if !matches(&n.Children[i], f, liberal) {
				return false
			}
		}
		return true
	case config.RBACOr:
		return anyNode(n.Children, f, liberal)
	case config.RBACNot:
		return len(n.Children) == 1 && !matches(&n.Children[0], f, !liberal)
	case config.RBACHeader:
		return f.Header != nil && n.Header != nil && f.Header.MatchesEach(n.Header, liberal)
	case config.RBACPath:
		return f.Header != nil && n.Match != nil && route.String(n.Match, f.Path)
	case config.RBACDestinationIP:
		return f.Destination.IsValid() && n.Prefix.Contains(f.Destination.Addr().Unmap())
	case config.RBACDestinationPort:
		return f.Destination.IsValid() && f.Destination.Port() == n.Port
	case config.RBACPortRange:
		return f.Destination.IsValid() && n.Port <= f.Destination.Port() && f.Destination.Port() < n.PortEnd
	case config.RBACServerName:
		return n.Match != nil && route.String(n.Match, view(f.Origin.ServerName))
	case config.RBACAuthenticated:
		return authenticated(n.Match, f.Origin)
	case config.RBACDirectIP:
		return contains(n.Prefix, f.Origin.DirectRemote().Addr())
	case config.RBACSourceIP:
		return contains(n.Prefix, f.Origin.Remote.Addr())
	case config.RBACRemoteIP:
		return contains(n.Prefix, f.Remote)
	}
	return false // metadata, of which there is none, and what is never true
}

func contains(p netip.Prefix, a netip.Addr) bool { return a.IsValid() && p.Contains(a.Unmap()) }

// authenticated wants a verified peer certificate; with a match, one of its URI names, else of its DNS names, else its subject.
func authenticated(m *config.StringMatch, o *loop.Origin) bool {
	if o.TLS == nil || o.TLS.Peer == nil {
		return false
	}
	if m == nil {
		return true
	}
	p := o.TLS.Peer
	names := p.URIs
	if len(names) == 0 {
		names = p.DNS
	}
	for _, n := range names {
		if route.String(m, view(n)) {
			return true
		}
	}
	return len(names) == 0 && route.String(m, view(p.Subject))
}

// view shows a string as bytes for the time of a comparison, without a copy.
func view(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
