package authz

import (
	"net/netip"
	"strings"

	"github.com/heddle-mesh/heddle/identity"
)

// Request is what a decision looks at. Peer is zero for a client without mutual TLS.
type Request struct {
	Peer     identity.ID
	SourceIP netip.Addr // the peer of the connection
	RemoteIP netip.Addr // the client behind trusted proxies; the peer when there are none
	Port     uint16     // destination port of the workload
	// TCP says that there is no request, only a connection: Host, Method and Path are unknown.
	TCP                bool
	Host, Method, Path string // Host in any case, with its port if the client sent one; Path normalised and without query
}

// Decision tells the outcome and the policy that caused it.
type Decision struct {
	Allowed bool
	// Policy is NAMESPACE/NAME of the policy whose rule decided; "" when none matched.
	Policy string
	Rule   int // index of the rule, -1 when none matched
	Reason Reason
}

// Reason says why a decision came out as it did.
type Reason uint8

// The reasons, in words: see String.
const (
	NoPolicy  Reason = iota // no ALLOW policy applies, so everything not denied is allowed
	Allowed                 // an ALLOW rule matched
	Denied                  // a DENY rule matched
	NoneMatch               // ALLOW policies apply and none matched
)

// String is a sentence for logs and explanations.
func (r Reason) String() string {
	return [...]string{"no policy applies", "allowed by a rule", "denied by a rule", "no ALLOW rule matched"}[r]
}

// Decide evaluates policies in Istio's order: a matching DENY denies; without ALLOW policies everything else is allowed; otherwise an ALLOW must match.
// AUDIT and CUSTOM policies and dry runs decide nothing here.
func Decide(policies []Policy, r *Request) Decision {
	for i := range policies {
		if p := &policies[i]; p.Action == Deny && !p.DryRun {
			if n := p.match(r); n >= 0 {
				return Decision{Policy: p.Namespace + "/" + p.Name, Rule: n, Reason: Denied}
			}
		}
	}
	allowing := false
	for i := range policies {
		p := &policies[i]
		if p.Action != Allow || p.DryRun {
			continue
		}
		allowing = true
		if n := p.match(r); n >= 0 {
			return Decision{Allowed: true, Policy: p.Namespace + "/" + p.Name, Rule: n, Reason: Allowed}
		}
	}
	if allowing {
		return Decision{Rule: -1, Reason: NoneMatch}
	}
	return Decision{Allowed: true, Rule: -1, Reason: NoPolicy}
}

// match is the index of the first rule that matches, or -1.
func (p *Policy) match(r *Request) int {
	for i := range p.Rules {
		if p.Rules[i].matches(r, p.Action) {
			return i
		}
	}
	return -1
}

func (rule *Rule) matches(r *Request, a Action) bool {
	from := len(rule.From) == 0
	for i := range rule.From {
		from = from || rule.From[i].matches(r)
	}
	if !from {
		return false
	}
	to := len(rule.To) == 0
	for i := range rule.To {
		to = to || rule.To[i].matches(r, a)
	}
	// Conditions are refused at translation; a policy that has one all the same narrows access.
	return to && (len(rule.When) == 0 || a == Deny)
}

func (s *Source) matches(r *Request) bool {
	if len(s.RequestPrincipals)+len(s.NotRequestPrincipals) > 0 {
		return false // no request has a verified token yet
	}
	peer := &r.Peer
	known := !peer.IsZero()
	return lists(s.Principals, s.NotPrincipals, known, func(m Match) bool { return m.Text(peer.Principal()) }) &&
		lists(s.Namespaces, s.NotNamespaces, known, func(m Match) bool { return m.Text(peer.Namespace()) }) &&
		lists(s.ServiceAccounts, s.NotServiceAccounts, known, func(m Match) bool { return m.Text(peer.Account()) }) &&
		lists(s.TrustDomains, s.NotTrustDomains, known, func(m Match) bool { return m.Text(peer.TrustDomain().String()) }) &&
		blocks(s.IPBlocks, s.NotIPBlocks, r.SourceIP) && blocks(s.RemoteIPBlocks, s.NotRemoteIPBlocks, r.RemoteIP)
}

func (o *Operation) matches(r *Request, a Action) bool {
	if len(o.Ports) > 0 && !hasPort(o.Ports, r.Port) || hasPort(o.NotPorts, r.Port) {
		return false
	}
	http := len(o.Hosts)+len(o.NotHosts)+len(o.Methods)+len(o.NotMethods)+len(o.Paths)+len(o.NotPaths) > 0
	if r.TCP && http {
		return a == Deny // what cannot be looked at narrows access: ALLOW rules do not match, DENY rules match by the rest
	}
	return lists(o.Hosts, o.NotHosts, true, func(m Match) bool { return m.Fold(r.Host) }) &&
		lists(o.Methods, o.NotMethods, true, func(m Match) bool { return m.Text(r.Method) }) &&
		lists(o.Paths, o.NotPaths, true, func(m Match) bool { return m.Text(r.Path) })
}

// lists says whether a positive list (when there is one) has a match and the negative one has none. An unknown value matches nothing.
func lists(positive, negative []Match, known bool, match func(Match) bool) bool {
	if len(positive) > 0 && (!known || !anyMatch(positive, match)) {
		return false
	}
	return !known || !anyMatch(negative, match)
}

func anyMatch(list []Match, match func(Match) bool) bool {
	for _, m := range list {
		if match(m) {
			return true
		}
	}
	return false
}

func blocks(positive, negative []netip.Prefix, ip netip.Addr) bool {
	ip = ip.Unmap()
	return (len(positive) == 0 || contains(positive, ip)) && !contains(negative, ip)
}

func contains(list []netip.Prefix, ip netip.Addr) bool {
	for _, p := range list {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

func hasPort(list []uint16, port uint16) bool {
	for _, p := range list {
		if p == port {
			return true
		}
	}
	return false
}

// Text compares a value, case-sensitive.
func (m Match) Text(s string) bool {
	switch m.Kind {
	case Exact:
		return s == m.Value
	case Prefix:
		return strings.HasPrefix(s, m.Value)
	case Suffix:
		return strings.HasSuffix(s, m.Value)
	case Presence:
		return s != ""
	}
	return false // templates are refused at translation
}

// Fold compares a value without regard to the case of ASCII letters.
func (m Match) Fold(s string) bool {
	switch m.Kind {
	case Exact:
		return strings.EqualFold(s, m.Value)
	case Prefix:
		return len(s) >= len(m.Value) && strings.EqualFold(s[:len(m.Value)], m.Value)
	case Suffix:
		return len(s) >= len(m.Value) && strings.EqualFold(s[len(s)-len(m.Value):], m.Value)
	case Presence:
		return s != ""
	}
	return false
}
