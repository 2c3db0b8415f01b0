package decode

import (
	"maps"
	"slices"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// maxDepth bounds the nesting of rules, so that reading them cannot exhaust the stack.
const maxDepth = 64

func (r *read) rbacRules(path string, m *rbacv3.RBAC) *config.RBACRules {
	if m == nil {
		return nil
	}
	out := &config.RBACRules{Deny: m.GetAction() == rbacv3.RBAC_DENY, Log: m.GetAction() == rbacv3.RBAC_LOG}
	for _, name := range slices.Sorted(maps.Keys(m.GetPolicies())) {
		p, in := config.RBACPolicy{Name: name}, m.GetPolicies()[name]
		at := path + ".policies[\"" + name + "\"]"
		for i, x := range in.GetPermissions() {
			p.Permissions = append(p.Permissions, r.permission(at+".permissions"+indexed(i), x, 0))
		}
		for i, x := range in.GetPrincipals() {
			p.Principals = append(p.Principals, r.principal(at+".principals"+indexed(i), x, 0))
		}
		if len(p.Permissions) == 0 || len(p.Principals) == 0 {
			r.add(at, "a policy needs a permission and a principal")
		}
		out.Policies = append(out.Policies, p)
	}
	return out
}

func (r *read) permission(path string, m *rbacv3.Permission, depth int) (n config.RBACNode) {
	if depth > maxDepth {
		r.add(path, "rules are nested more than %d deep", maxDepth)
		return n
	}
	set := func(kind config.RBACKind, field string, list []*rbacv3.Permission) config.RBACNode {
		n := config.RBACNode{Kind: kind}
		for i, x := range list {
			n.Children = append(n.Children, r.permission(path+"."+field+".rules"+indexed(i), x, depth+1))
		}
		if len(list) == 0 {
			r.add(path+"."+field, "it is empty")
		}
		return n
	}
	switch x := m.GetRule().(type) {
	case *rbacv3.Permission_Any:
		return anyOrNever(x.Any)
	case *rbacv3.Permission_AndRules:
		return set(config.RBACAnd, "and_rules", x.AndRules.GetRules())
	case *rbacv3.Permission_OrRules:
		return set(config.RBACOr, "or_rules", x.OrRules.GetRules())
	case *rbacv3.Permission_NotRule:
		return config.RBACNode{Kind: config.RBACNot, Children: []config.RBACNode{r.permission(path+".not_rule", x.NotRule, depth+1)}}
	case *rbacv3.Permission_Header:
		h := r.headerMatch(path+".header", x.Header)
		return config.RBACNode{Kind: config.RBACHeader, Header: &h}
	case *rbacv3.Permission_UrlPath:
		return config.RBACNode{Kind: config.RBACPath, Match: r.stringMatch(path+".url_path.path", x.UrlPath.GetPath())}
	case *rbacv3.Permission_DestinationIp:
		return config.RBACNode{Kind: config.RBACDestinationIP, Prefix: r.prefix(path+".destination_ip", x.DestinationIp)}
	case *rbacv3.Permission_DestinationPort:
		return config.RBACNode{Kind: config.RBACDestinationPort, Port: r.port(path+".destination_port", x.DestinationPort)}
	case *rbacv3.Permission_DestinationPortRange:
		g := x.DestinationPortRange
		if g.GetStart() < 0 || g.GetEnd() > 65535 || g.GetStart() >= g.GetEnd() {
			r.add(path+".destination_port_range", "it is not a range of ports")
		}
		return config.RBACNode{Kind: config.RBACPortRange, Port: uint16(g.GetStart()), PortEnd: uint16(g.GetEnd())}
	case *rbacv3.Permission_RequestedServerName:
		return config.RBACNode{Kind: config.RBACServerName, Match: r.stringMatch(path+".requested_server_name", x.RequestedServerName)}
	case *rbacv3.Permission_Metadata:
		return metadata(x.Metadata.GetInvert())
	}
	r.add(path, "no rule is set")
	return config.RBACNode{Kind: config.RBACNever}
}

// metadata matches against nothing, for there is no dynamic metadata; inverted, that is a match.
func metadata(invert bool) config.RBACNode {
	n := config.RBACNode{Kind: config.RBACMetadata}
	if invert {
		n = config.RBACNode{Kind: config.RBACNot, Children: []config.RBACNode{n}}
	}
	return n
}

func anyOrNever(any bool) config.RBACNode {
	if any {
		return config.RBACNode{Kind: config.RBACAny}
	}
	return config.RBACNode{Kind: config.RBACNever}
}

func (r *read) principal(path string, m *rbacv3.Principal, depth int) (n config.RBACNode) {
	if depth > maxDepth {
		r.add(path, "rules are nested more than %d deep", maxDepth)
		return n
	}
	set := func(kind config.RBACKind, field string, list []*rbacv3.Principal) config.RBACNode {
		n := config.RBACNode{Kind: kind}
		for i, x := range list {
			n.Children = append(n.Children, r.principal(path+"."+field+".ids"+indexed(i), x, depth+1))
		}
		if len(list) == 0 {
			r.add(path+"."+field, "it is empty")
		}
		return n
	}
	switch x := m.GetIdentifier().(type) {
	case *rbacv3.Principal_Any:
		return anyOrNever(x.Any)
	case *rbacv3.Principal_AndIds:
		return set(config.RBACAnd, "and_ids", x.AndIds.GetIds())
	case *rbacv3.Principal_OrIds:
		return set(config.RBACOr, "or_ids", x.OrIds.GetIds())
	case *rbacv3.Principal_NotId:
		return config.RBACNode{Kind: config.RBACNot, Children: []config.RBACNode{r.principal(path+".not_id", x.NotId, depth+1)}}
	case *rbacv3.Principal_Authenticated_:
		n := config.RBACNode{Kind: config.RBACAuthenticated}
		if name := x.Authenticated.GetPrincipalName(); name != nil {
			n.Match = r.stringMatch(path+".authenticated.principal_name", name)
		}
		return n
	case *rbacv3.Principal_SourceIp:
		return config.RBACNode{Kind: config.RBACSourceIP, Prefix: r.prefix(path+".source_ip", x.SourceIp)}
	case *rbacv3.Principal_DirectRemoteIp:
		return config.RBACNode{Kind: config.RBACDirectIP, Prefix: r.prefix(path+".direct_remote_ip", x.DirectRemoteIp)}
	case *rbacv3.Principal_RemoteIp:
		return config.RBACNode{Kind: config.RBACRemoteIP, Prefix: r.prefix(path+".remote_ip", x.RemoteIp)}
	case *rbacv3.Principal_Header:
		h := r.headerMatch(path+".header", x.Header)
		return config.RBACNode{Kind: config.RBACHeader, Header: &h}
	case *rbacv3.Principal_UrlPath:
		return config.RBACNode{Kind: config.RBACPath, Match: r.stringMatch(path+".url_path.path", x.UrlPath.GetPath())}
	case *rbacv3.Principal_Metadata:
		return metadata(x.Metadata.GetInvert())
	}
	r.add(path, "no identifier is set")
	return config.RBACNode{Kind: config.RBACNever}
}
