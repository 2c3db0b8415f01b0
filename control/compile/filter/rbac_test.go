package filter

import (
	"math/rand/v2"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/heddle-mesh/heddle/authz"
	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
)

// The compiled rules, read as Envoy's documentation says, decide as authz.Decide does.
func TestRulesDecideAsPoliciesDo(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	allowed := 0
	for i := range 10_000 {
		policies, req := somePolicies(r), someRequest(r)
		var g Guard
		for _, p := range policies {
			a := &mesh.Authorization{Policy: p}
			if p.Action == authz.Deny {
				g.Deny = append(g.Deny, a)
			} else {
				g.Allow = append(g.Allow, a)
			}
		}
		got := true
		for _, rules := range g.rules(req.TCP) {
			got = got && (judge(rules, &req) == (rules.Action == rbacv3.RBAC_ALLOW))
		}
		if want := authz.Decide(policies, &req); got != want.Allowed {
			t.Fatalf("case %d: rules allow %v, policies %v\npolicies %+v\nrequest %+v", i, got, want.Allowed, policies, req)
		}
		if got {
			allowed++
		}
	}
	if allowed < 1000 || allowed > 9000 {
		t.Errorf("%d of 10,000 cases are allowed: the cases are too much alike to prove anything", allowed)
	}
}

func judge(rules *rbacv3.RBAC, r *authz.Request) bool {
	for _, p := range rules.Policies {
		ids, perms := false, false
		for _, id := range p.Principals {
			ids = ids || principal(id, r)
		}
		for _, perm := range p.Permissions {
			perms = perms || permission(perm, r)
		}
		if ids && perms {
			return true
		}
	}
	return false
}

func principal(p *rbacv3.Principal, r *authz.Request) bool {
	switch x := p.Identifier.(type) {
	case *rbacv3.Principal_Any:
		return x.Any
	case *rbacv3.Principal_AndIds:
		for _, id := range x.AndIds.Ids {
			if !principal(id, r) {
				return false
			}
		}
		return true
	case *rbacv3.Principal_OrIds:
		for _, id := range x.OrIds.Ids {
			if principal(id, r) {
				return true
			}
		}
		return false
	case *rbacv3.Principal_NotId:
		return !principal(x.NotId, r)
	case *rbacv3.Principal_Authenticated_:
		return !r.Peer.IsZero() && matchText(x.Authenticated.PrincipalName, r.Peer.String())
	case *rbacv3.Principal_DirectRemoteIp:
		return inRange(x.DirectRemoteIp, r.SourceIP)
	case *rbacv3.Principal_RemoteIp:
		return inRange(x.RemoteIp, r.RemoteIP)
	}
	panic("unknown principal " + p.String())
}

func permission(p *rbacv3.Permission, r *authz.Request) bool {
	switch x := p.Rule.(type) {
	case *rbacv3.Permission_Any:
		return x.Any
	case *rbacv3.Permission_AndRules:
		for _, rule := range x.AndRules.Rules {
			if !permission(rule, r) {
				return false
			}
		}
		return true
	case *rbacv3.Permission_OrRules:
		for _, rule := range x.OrRules.Rules {
			if permission(rule, r) {
				return true
			}
		}
		return false
	case *rbacv3.Permission_NotRule:
		return !permission(x.NotRule, r)
	case *rbacv3.Permission_DestinationPort:
		return x.DestinationPort == uint32(r.Port)
	case *rbacv3.Permission_Header:
		if r.TCP {
			panic("a header is asked of a connection")
		}
		return matchText(x.Header.GetStringMatch(), map[string]string{":authority": r.Host, ":method": r.Method}[x.Header.Name])
	case *rbacv3.Permission_UrlPath:
		return matchText(x.UrlPath.GetPath(), r.Path)
	}
	panic("unknown permission " + p.String())
}

func matchText(m *matcherv3.StringMatcher, s string) bool {
	fold := func(s string) string {
		if m.IgnoreCase {
			return strings.ToLower(s)
		}
		return s
	}
	switch x := m.MatchPattern.(type) {
	case *matcherv3.StringMatcher_Exact:
		return fold(x.Exact) == fold(s)
	case *matcherv3.StringMatcher_Prefix:
		return strings.HasPrefix(fold(s), fold(x.Prefix))
	case *matcherv3.StringMatcher_Suffix:
		return strings.HasSuffix(fold(s), fold(x.Suffix))
	case *matcherv3.StringMatcher_SafeRegex:
		return regexp.MustCompile("^(?:" + x.SafeRegex.Regex + ")$").MatchString(s)
	}
	panic("unknown match")
}

func inRange(r *corev3.CidrRange, ip netip.Addr) bool {
	return netip.PrefixFrom(netip.MustParseAddr(r.AddressPrefix), int(r.PrefixLen.Value)).Contains(ip)
}

func somePolicies(r *rand.Rand) []authz.Policy {
	var out []authz.Policy
	for i := range r.IntN(4) {
		p := authz.Policy{Namespace: "ns", Name: "p" + strconv.Itoa(i), Action: authz.Action(r.IntN(2))}
		for range r.IntN(3) {
			rule := authz.Rule{}
			for range r.IntN(3) {
				rule.From = append(rule.From, someSource(r))
			}
			for range r.IntN(3) {
				rule.To = append(rule.To, someOperation(r))
			}
			if r.IntN(20) == 0 {
				rule.When = []authz.Condition{{Key: "request.headers[x]"}}
			}
			p.Rules = append(p.Rules, rule)
		}
		out = append(out, p)
	}
	return out
}

func matches(r *rand.Rand, values ...string) []authz.Match {
	if r.IntN(3) > 0 {
		return nil
	}
	var out []authz.Match
	for range 1 + r.IntN(2) {
		v := values[r.IntN(len(values))]
		switch r.IntN(5) {
		case 0:
			out = append(out, authz.Match{Kind: authz.Presence})
		case 1:
			out = append(out, authz.Match{Kind: authz.Prefix, Value: v[:1+r.IntN(len(v))]})
		case 2:
			out = append(out, authz.Match{Kind: authz.Suffix, Value: v[r.IntN(len(v)):]})
		default:
			out = append(out, authz.Match{Kind: authz.Exact, Value: v})
		}
	}
	return out
}

var (
	somePrincipals = []string{"td/ns/shop/sa/web", "td.x/ns/shop/sa/we", "td/ns/sho/sa/web"}
	someNamespaces = []string{"shop", "sho", "other"}
	someAccounts   = []string{"shop/web", "shop/we", "sho/web"}
	someDomains    = []string{"td", "td.x"}
	somePrefixes   = []string{"10.0.0.0/8", "10.1.0.0/16", "fd00::/8", "0.0.0.0/0"}
	someHosts      = []string{"web.shop", "WEB.shop:80", "other"}
	someMethods    = []string{"GET", "POST"}
	somePaths      = []string{"/", "/admin", "/admin/x.php"}
)

func blocks(r *rand.Rand) []netip.Prefix {
	if r.IntN(4) > 0 {
		return nil
	}
	return []netip.Prefix{netip.MustParsePrefix(somePrefixes[r.IntN(len(somePrefixes))])}
}

func someSource(r *rand.Rand) authz.Source {
	s := authz.Source{
		Principals: matches(r, somePrincipals...), NotPrincipals: matches(r, somePrincipals...), Namespaces: matches(r, someNamespaces...), NotNamespaces: matches(r, someNamespaces...),
		ServiceAccounts: matches(r, someAccounts...), NotServiceAccounts: matches(r, someAccounts...), TrustDomains: matches(r, someDomains...), NotTrustDomains: matches(r, someDomains...),
		IPBlocks: blocks(r), NotIPBlocks: blocks(r), RemoteIPBlocks: blocks(r), NotRemoteIPBlocks: blocks(r),
	}
	if r.IntN(30) == 0 {
		s.RequestPrincipals = []authz.Match{{Kind: authz.Presence}}
	}
	return s
}

func someOperation(r *rand.Rand) authz.Operation {
	o := authz.Operation{
		Hosts: matches(r, someHosts...), NotHosts: matches(r, someHosts...), Methods: matches(r, someMethods...), NotMethods: matches(r, someMethods...),
		Paths: matches(r, somePaths...), NotPaths: matches(r, somePaths...),
	}
	if r.IntN(3) == 0 {
		o.Ports = []uint16{80}
	}
	if r.IntN(5) == 0 {
		o.NotPorts = []uint16{80}
	}
	return o
}

func someRequest(r *rand.Rand) authz.Request {
	ips := []string{"10.1.2.3", "10.2.0.1", "fd00::1", "192.0.2.1"}
	out := authz.Request{SourceIP: netip.MustParseAddr(ips[r.IntN(len(ips))]), RemoteIP: netip.MustParseAddr(ips[r.IntN(len(ips))]), Port: []uint16{80, 81}[r.IntN(2)]}
	if r.IntN(3) > 0 {
		id, err := identity.ParseID("spiffe://" + somePrincipals[r.IntN(len(somePrincipals))])
		if err != nil {
			panic(err)
		}
		out.Peer = id
	}
	if r.IntN(4) == 0 {
		out.TCP = true
		return out
	}
	out.Host, out.Method, out.Path = someHosts[r.IntN(len(someHosts))], someMethods[r.IntN(2)], somePaths[r.IntN(len(somePaths))]
	return out
}
