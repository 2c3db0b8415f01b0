package filter

import (
	"net/netip"
	"regexp"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/heddle-mesh/heddle/authz"
	"github.com/heddle-mesh/heddle/control/compile/message"
)

// The two sides of a rule in Envoy's terms. They decide as authz.Decide does; see there for the rules about what cannot be looked at.

func anyPrincipal() *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_Any{Any: true}}
}

func anyPermission() *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_Any{Any: true}}
}

// principals are alternatives; an empty result says that no source can match.
func principals(sources []authz.Source) []*rbacv3.Principal {
	if len(sources) == 0 {
		return []*rbacv3.Principal{anyPrincipal()}
	}
	var out []*rbacv3.Principal
	for i := range sources {
		if s := &sources[i]; len(s.RequestPrincipals)+len(s.NotRequestPrincipals) == 0 {
			out = append(out, allPrincipals(source(s)))
		}
	}
	return out
}

func source(s *authz.Source) []*rbacv3.Principal {
	var all []*rbacv3.Principal
	add := func(positive, negative []authz.Match, pattern func(authz.Match) *matcherv3.StringMatcher) {
		if len(positive) > 0 {
			all = append(all, anyOfPrincipals(authenticated(positive, pattern)))
		}
		if len(negative) > 0 {
			all = append(all, notPrincipal(anyOfPrincipals(authenticated(negative, pattern))))
		}
	}
	add(s.Principals, s.NotPrincipals, wholePrincipal)
	add(s.Namespaces, s.NotNamespaces, namespacePattern)
	add(s.ServiceAccounts, s.NotServiceAccounts, accountPattern)
	add(s.TrustDomains, s.NotTrustDomains, domainPattern)
	blocks := func(positive, negative []netip.Prefix, one func(*corev3.CidrRange) *rbacv3.Principal) {
		if len(positive) > 0 {
			all = append(all, anyOfPrincipals(ranges(positive, one)))
		}
		if len(negative) > 0 {
			all = append(all, notPrincipal(anyOfPrincipals(ranges(negative, one))))
		}
	}
	blocks(s.IPBlocks, s.NotIPBlocks, func(r *corev3.CidrRange) *rbacv3.Principal {
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_DirectRemoteIp{DirectRemoteIp: r}}
	})
	blocks(s.RemoteIPBlocks, s.NotRemoteIPBlocks, func(r *corev3.CidrRange) *rbacv3.Principal {
		return &rbacv3.Principal{Identifier: &rbacv3.Principal_RemoteIp{RemoteIp: r}}
	})
	return all
}

func ranges(list []netip.Prefix, one func(*corev3.CidrRange) *rbacv3.Principal) []*rbacv3.Principal {
	var out []*rbacv3.Principal
	for _, p := range list {
		out = append(out, one(message.Prefix(p)))
	}
	return out
}

func authenticated(list []authz.Match, pattern func(authz.Match) *matcherv3.StringMatcher) []*rbacv3.Principal {
	var out []*rbacv3.Principal
	for _, m := range list {
		out = append(out, &rbacv3.Principal{Identifier: &rbacv3.Principal_Authenticated_{
			Authenticated: &rbacv3.Principal_Authenticated{PrincipalName: pattern(m)},
		}})
	}
	return out
}

func wholePrincipal(m authz.Match) *matcherv3.StringMatcher {
	switch m.Kind {
	case authz.Exact:
		return exact("spiffe://" + m.Value)
	case authz.Prefix:
		return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "spiffe://" + m.Value}}
	case authz.Suffix:
		return regex("spiffe://.*" + regexp.QuoteMeta(m.Value))
	}
	return regex("spiffe://.+")
}

func namespacePattern(m authz.Match) *matcherv3.StringMatcher {
	return regex("spiffe://[^/]+/ns/" + segment(m.Kind, m.Value) + "/sa/[^/]+")
}

func domainPattern(m authz.Match) *matcherv3.StringMatcher {
	return regex("spiffe://" + segment(m.Kind, m.Value) + "/ns/[^/]+/sa/[^/]+")
}

// accountPattern matches NAMESPACE/ACCOUNT, which stands as NAMESPACE/sa/ACCOUNT in the identity.
func accountPattern(m authz.Match) *matcherv3.StringMatcher {
	const domain = "spiffe://[^/]+/ns/"
	ns, sa, both := strings.Cut(m.Value, "/")
	switch {
	case m.Kind == authz.Presence:
		return regex(domain + "[^/]+/sa/[^/]+")
	case m.Kind == authz.Exact:
		return regex(domain + regexp.QuoteMeta(ns) + "/sa/" + regexp.QuoteMeta(sa))
	case m.Kind == authz.Prefix && both:
		return regex(domain + regexp.QuoteMeta(ns) + "/sa/" + segment(authz.Prefix, sa))
	case m.Kind == authz.Prefix:
		return regex(domain + segment(authz.Prefix, ns) + "/sa/[^/]+")
	case m.Kind == authz.Suffix && both:
		return regex(domain + segment(authz.Suffix, ns) + "/sa/" + regexp.QuoteMeta(sa))
	case m.Kind == authz.Suffix:
		return regex(domain + "[^/]+/sa/" + segment(authz.Suffix, ns))
	}
	return regex("[^\\s\\S]") // nothing
}

// segment matches one part of an identity, which has no slash.
func segment(k authz.MatchKind, value string) string {
	switch k {
	case authz.Exact:
		return regexp.QuoteMeta(value)
	case authz.Prefix:
		return regexp.QuoteMeta(value) + "[^/]*"
	case authz.Suffix:
		return "[^/]*" + regexp.QuoteMeta(value)
	}
	return "[^/]+"
}

// permissions are alternatives; an empty result says that no operation can match.
func permissions(operations []authz.Operation, action authz.Action, tcp bool) []*rbacv3.Permission {
	if len(operations) == 0 {
		return []*rbacv3.Permission{anyPermission()}
	}
	var out []*rbacv3.Permission
	for i := range operations {
		o := &operations[i]
		requests := len(o.Hosts)+len(o.NotHosts)+len(o.Methods)+len(o.NotMethods)+len(o.Paths)+len(o.NotPaths) > 0
		if tcp && requests && action != authz.Deny {
			continue
		}
		all := ports(o)
		if !tcp {
			all = append(all, request(o)...)
		}
		out = append(out, allPermissions(all))
	}
	return out
}

func ports(o *authz.Operation) (all []*rbacv3.Permission) {
	list := func(numbers []uint16) (out []*rbacv3.Permission) {
		for _, n := range numbers {
			out = append(out, &rbacv3.Permission{Rule: &rbacv3.Permission_DestinationPort{DestinationPort: uint32(n)}})
		}
		return out
	}
	if len(o.Ports) > 0 {
		all = append(all, anyOfPermissions(list(o.Ports)))
	}
	if len(o.NotPorts) > 0 {
		all = append(all, notPermission(anyOfPermissions(list(o.NotPorts))))
	}
	return all
}

func request(o *authz.Operation) (all []*rbacv3.Permission) {
	add := func(positive, negative []authz.Match, one func(authz.Match) *rbacv3.Permission) {
		list := func(in []authz.Match) (out []*rbacv3.Permission) {
			for _, m := range in {
				out = append(out, one(m))
			}
			return out
		}
		if len(positive) > 0 {
			all = append(all, anyOfPermissions(list(positive)))
		}
		if len(negative) > 0 {
			all = append(all, notPermission(anyOfPermissions(list(negative))))
		}
	}
	header := func(name string, fold bool) func(authz.Match) *rbacv3.Permission {
		return func(m authz.Match) *rbacv3.Permission {
			return &rbacv3.Permission{Rule: &rbacv3.Permission_Header{Header: &routev3.HeaderMatcher{
				Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: text(m, fold)},
			}}}
		}
	}
	add(o.Hosts, o.NotHosts, header(":authority", true))
	add(o.Methods, o.NotMethods, header(":method", false))
	add(o.Paths, o.NotPaths, func(m authz.Match) *rbacv3.Permission {
		return &rbacv3.Permission{Rule: &rbacv3.Permission_UrlPath{UrlPath: &matcherv3.PathMatcher{
			Rule: &matcherv3.PathMatcher_Path{Path: text(m, false)},
		}}}
	})
	return all
}

// text compares a whole value; presence is any value but the empty one.
func text(m authz.Match, fold bool) *matcherv3.StringMatcher {
	var out *matcherv3.StringMatcher
	switch m.Kind {
	case authz.Exact:
		out = exact(m.Value)
	case authz.Prefix:
		out = &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: m.Value}}
	case authz.Suffix:
		out = &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Suffix{Suffix: m.Value}}
	case authz.Presence:
		return regex(".+")
	default:
		return regex("[^\\s\\S]")
	}
	out.IgnoreCase = fold
	return out
}

func exact(s string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: s}}
}

func regex(s string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: s}}}
}

func anyOfPrincipals(ids []*rbacv3.Principal) *rbacv3.Principal {
	if len(ids) == 1 {
		return ids[0]
	}
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_OrIds{OrIds: &rbacv3.Principal_Set{Ids: ids}}}
}

func allPrincipals(ids []*rbacv3.Principal) *rbacv3.Principal {
	switch len(ids) {
	case 0:
		return anyPrincipal()
	case 1:
		return ids[0]
	}
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_AndIds{AndIds: &rbacv3.Principal_Set{Ids: ids}}}
}

func notPrincipal(p *rbacv3.Principal) *rbacv3.Principal {
	return &rbacv3.Principal{Identifier: &rbacv3.Principal_NotId{NotId: p}}
}

func anyOfPermissions(rules []*rbacv3.Permission) *rbacv3.Permission {
	if len(rules) == 1 {
		return rules[0]
	}
	return &rbacv3.Permission{Rule: &rbacv3.Permission_OrRules{OrRules: &rbacv3.Permission_Set{Rules: rules}}}
}

func allPermissions(rules []*rbacv3.Permission) *rbacv3.Permission {
	switch len(rules) {
	case 0:
		return anyPermission()
	case 1:
		return rules[0]
	}
	return &rbacv3.Permission{Rule: &rbacv3.Permission_AndRules{AndRules: &rbacv3.Permission_Set{Rules: rules}}}
}

func notPermission(p *rbacv3.Permission) *rbacv3.Permission {
	return &rbacv3.Permission{Rule: &rbacv3.Permission_NotRule{NotRule: p}}
}
