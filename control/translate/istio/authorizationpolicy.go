package istio

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/authz"
	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
	security "istio.io/api/security/v1beta1"
)

// dryRunMark is the annotation that makes a policy decide without effect.
const dryRunMark = "istio.io/dry-run"

// AuthorizationPolicy gives who may ask what of which workloads. A policy that is broken or cannot be enforced whole makes the workloads in its scope deny.
func AuthorizationPolicy(o api.Object, in Lookup) (*mesh.Authorization, []*mesh.Denial, []mesh.Problem) {
	spec, ok := o.Spec.(*security.AuthorizationPolicy)
	if !ok {
		return nil, nil, nil
	}
	v := open(o, in)
	v.Marks(o)
	p := authz.Policy{Namespace: o.Meta.Namespace, Name: o.Meta.Name, DryRun: o.Meta.Annotations[dryRunMark] == "true"}
	switch spec.Action {
	case security.AuthorizationPolicy_DENY:
		p.Action = authz.Deny
	case security.AuthorizationPolicy_AUDIT:
		p.Action = authz.Audit
	case security.AuthorizationPolicy_CUSTOM:
		p.Action = authz.Custom
	}
	if spec.Selector != nil && (len(spec.TargetRefs) > 0 || spec.TargetRef != nil) {
		v.Invalid("spec.selector", "only one of selector and targetRefs may be given")
	}
	for i, r := range spec.Rules {
		p.Rules = append(p.Rules, v.rule(r, at("spec.rules", i)))
	}
	if len(spec.Rules) == 0 && spec.Action == security.AuthorizationPolicy_DENY {
		v.NotEnforced("spec.rules", "a policy that denies needs rules: without any it denies nothing")
	}
	if denials := v.security("nobody can tell what it allows"); denials != nil {
		return nil, denials, v.Problems()
	}
	return &mesh.Authorization{Origin: o.Ref(), Scope: scopeOf(o, in)[0], Policy: p}, nil, v.Problems()
}

func (v *visit) rule(r *security.Rule, path string) authz.Rule {
	var out authz.Rule
	if r == nil {
		v.Invalid(path, "the rule is empty")
		return out
	}
	for i, f := range r.From {
		path := at(path+".from", i) + ".source"
		if s := f.GetSource(); s == nil {
			v.Invalid(path, "the source is missing")
		} else {
			out.From = append(out.From, v.source(s, path))
		}
	}
	for i, t := range r.To {
		path := at(path+".to", i) + ".operation"
		if op := t.GetOperation(); op == nil {
			v.Invalid(path, "the operation is missing")
		} else {
			out.To = append(out.To, v.operation(op, path))
		}
	}
	for i, c := range r.When { // such a policy denies; the condition is there for whoever reads the noun
		if c.GetKey() == "" {
			v.Invalid(at(path+".when", i)+".key", "the key is missing")
		}
		out.When = append(out.When, authz.Condition{Key: c.GetKey(), Values: matches(c.GetValues()), NotValues: matches(c.GetNotValues())})
	}
	return out
}

func (v *visit) source(s *security.Source, path string) authz.Source {
	if emptyMessage(s) {
		v.Add(mesh.CodeInvalid, path, "name at least one property", "an empty source would match everyone")
	}
	if len(s.ServiceAccounts)+len(s.NotServiceAccounts) > 0 && len(s.Principals)+len(s.NotPrincipals)+len(s.Namespaces)+len(s.NotNamespaces) > 0 {
		v.Invalid(path+".serviceAccounts", "serviceAccounts excludes principals and namespaces")
	}
	return authz.Source{
		Principals: v.identities(s.Principals, path+".principals"), NotPrincipals: v.identities(s.NotPrincipals, path+".notPrincipals"),
		Namespaces: v.matches(s.Namespaces, path+".namespaces"), NotNamespaces: v.matches(s.NotNamespaces, path+".notNamespaces"),
		ServiceAccounts:    v.accounts(s.ServiceAccounts, path+".serviceAccounts"),
		NotServiceAccounts: v.accounts(s.NotServiceAccounts, path+".notServiceAccounts"),
		TrustDomains:       v.matches(s.TrustDomains, path+".trustDomains"), NotTrustDomains: v.matches(s.NotTrustDomains, path+".notTrustDomains"),
		IPBlocks: v.blocks(s.IpBlocks, path+".ipBlocks"), NotIPBlocks: v.blocks(s.NotIpBlocks, path+".notIpBlocks"),
		RemoteIPBlocks: v.blocks(s.RemoteIpBlocks, path+".remoteIpBlocks"), NotRemoteIPBlocks: v.blocks(s.NotRemoteIpBlocks, path+".notRemoteIpBlocks"),
		RequestPrincipals:    v.matches(s.RequestPrincipals, path+".requestPrincipals"),
		NotRequestPrincipals: v.matches(s.NotRequestPrincipals, path+".notRequestPrincipals"),
	}
}

func (v *visit) operation(o *security.Operation, path string) authz.Operation {
	if emptyMessage(o) {
		v.Add(mesh.CodeInvalid, path, "name at least one property", "an empty operation would match everything")
	}
	return authz.Operation{
		Hosts: v.matches(o.Hosts, path+".hosts"), NotHosts: v.matches(o.NotHosts, path+".notHosts"),
		Ports: v.ports(o.Ports, path+".ports"), NotPorts: v.ports(o.NotPorts, path+".notPorts"),
		Methods: v.matches(o.Methods, path+".methods"), NotMethods: v.matches(o.NotMethods, path+".notMethods"),
		Paths: v.paths(o.Paths, path+".paths"), NotPaths: v.paths(o.NotPaths, path+".notPaths"),
	}
}

func matches(list []string) []authz.Match {
	var out []authz.Match
	for _, s := range list {
		out = append(out, authz.ParseMatch(s))
	}
	return out
}

func (v *visit) matches(list []string, path string) []authz.Match {
	for i, s := range list {
		if s == "" {
			v.Invalid(at(path, i), "an empty value matches nothing")
		}
	}
	return matches(list)
}

// identities reads principals. A trust domain that is one of the mesh's, or cluster.local, which stands for them, means all of them.
func (v *visit) identities(list []string, path string) (out []authz.Match) {
	s := v.in.Settings()
	own := append([]string{cmp.Or(s.TrustDomain, identity.DefaultTrustDomain)}, s.TrustAliases...)
	for _, m := range v.matches(list, path) {
		domain, rest, ok := strings.Cut(m.Value, "/")
		within := slices.Contains(own, domain) || domain == identity.DefaultTrustDomain
		if m.Kind == authz.Suffix {
			within = slices.ContainsFunc(own, func(td string) bool { return strings.HasSuffix(td, domain) })
		}
		if !ok || domain == "" || strings.Count(rest, "/") != 3 || m.Kind == authz.Presence || !within {
			out = append(out, m)
			continue
		}
		if m.Kind == authz.Suffix { // it is kept, and covers some of them
			out = append(out, m)
		}
		for _, td := range own {
			if m.Kind == authz.Suffix && strings.HasSuffix(td, domain) {
				continue
			}
			one := authz.Match{Kind: m.Kind, Value: td + "/" + rest}
			if m.Kind == authz.Suffix {
				one.Kind = authz.Exact
			}
			out = append(out, one)
		}
	}
	return out
}

// accounts reads NAMESPACE/ACCOUNT, or ACCOUNT in the policy's own namespace; wildcards are not allowed (type Source, field service_accounts).
func (v *visit) accounts(list []string, path string) []authz.Match {
	var out []authz.Match
	for i, s := range list {
		if !strings.Contains(s, "/") {
			s = string(v.ns) + "/" + s
		}
		if space, name, _ := strings.Cut(s, "/"); strings.Contains(s, "*") || space == "" || name == "" || strings.Contains(name, "/") {
			v.Invalid(at(path, i), "%q is not NAMESPACE/ACCOUNT or ACCOUNT", list[i])
		}
		out = append(out, authz.Match{Kind: authz.Exact, Value: s})
	}
	return out
}

// paths reads paths; {*} and {**} make a URI template.
func (v *visit) paths(list []string, path string) []authz.Match {
	out := v.matches(list, path)
	for i, s := range list {
		if !strings.ContainsAny(s, "{}") {
			continue
		}
		if !uriTemplate(s) {
			v.Add(mesh.CodeInvalid, at(path, i), "use {*} for one segment, and {**} once for the rest", "%q is not a path template", s)
		}
		out[i] = authz.Match{Kind: authz.Template, Value: s}
	}
	return out
}

// uriTemplate says whether s is a template of Envoy's URI template matcher: {*} and {**} each as a whole segment, {**} at most once, no other stars or braces.
func uriTemplate(s string) bool {
	if !strings.HasPrefix(s, "/") {
		return false
	}
	rest := 0
	for seg := range strings.SplitSeq(s[1:], "/") {
		switch {
		case seg == "{**}":
			rest++
		case seg == "{*}":
			if rest > 0 {
				return false
			}
		case strings.HasPrefix(seg, "{**}"), strings.ContainsAny(seg, "{}*"):
			return false
		}
	}
	return rest <= 1
}

func (v *visit) blocks(list []string, path string) []netip.Prefix {
	var out []netip.Prefix
	for i, s := range list {
		p, ok := parsePrefix(s)
		if !ok {
			v.Invalid(at(path, i), "%q is neither an IP address nor a CIDR block", s)
			continue
		}
		out = append(out, p)
	}
	return out
}

func (v *visit) ports(list []string, path string) []uint16 {
	var out []uint16
	for i, s := range list {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n == 0 {
			v.Invalid(at(path, i), "%q is not a port number", s)
			continue
		}
		out = append(out, uint16(n))
	}
	return out
}

func keyedPort(path string, port uint32) string { return fmt.Sprintf("%s[%q]", path, fmt.Sprint(port)) }
