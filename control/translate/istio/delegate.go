package istio

import (
	"cmp"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
)

// delegateRules reads the rules of an object without hosts, which have an effect where another VirtualService includes them.
func (v *visit) delegateRules(spec *networking.VirtualService) map[int]mesh.HTTPRule {
	if len(spec.Gateways) > 0 {
		v.Add(mesh.CodeInvalid, "spec.gateways", "remove it", "an object without hosts takes the gateways of the one that includes it")
	}
	if len(spec.Tcp)+len(spec.Tls) > 0 || len(spec.Http) == 0 {
		v.Add(mesh.CodeInvalid, "spec", "name hosts, or give http alone", "an object without hosts is a delegate, which has rules for http and nothing else")
	}
	rules := map[int]mesh.HTTPRule{}
	for i, h := range spec.Http {
		path := at("spec.http", i)
		switch {
		case h == nil:
			v.Invalid(path, "the rule is empty")
		case h.Delegate != nil:
			v.Invalid(path+".delegate", "a delegate cannot include another one")
		default:
			if rule, ok := v.httpRule(h, nil, path); ok {
				rules[i] = rule
			}
		}
	}
	return rules
}

// maxJoined bounds the pairs of matches that are tried in one object to join the rules of delegates with those that include them, because their number is a product: a few
// objects could ask for millions.
const maxJoined = 20_000

// include puts the rules of a delegate in the place of a rule that names one. What cannot be included is left out, and both objects are told why.
func (v *visit) include(rule mesh.HTTPRule, d *networking.Delegate, path string) (out []mesh.HTTPRule) {
	ref := mesh.Ref{Group: api.GroupNetworking, Kind: "VirtualService", Namespace: cmp.Or(mesh.Namespace(d.Namespace), v.ns), Name: d.Name}
	at := path + ".delegate"
	o, found := v.in.Object(ref)
	spec, _ := o.Spec.(*networking.VirtualService)
	seen, bad := mesh.Visibility{}, -1
	if spec != nil {
		if seen, bad = visibility(spec.ExportTo); len(spec.ExportTo) == 0 {
			seen = exported("VirtualService", v.in)
		}
	}
	switch {
	case !found || spec == nil || bad >= 0 || !seen.From(ref.Namespace, v.ns):
		v.NotFound(at, "", "there is no VirtualService %s in namespace %s that namespace %s sees, so the rule is left out", ref.Name, ref.Namespace, v.ns)
		return nil
	case len(spec.Hosts) > 0:
		v.Add(mesh.CodeConflict, at, "remove its hosts", "VirtualService %s in namespace %s has hosts, so it is no delegate, and the rule is left out", ref.Name, ref.Namespace)
		return nil
	}
	rules, read := v.leaves[ref]
	if !read {
		leaf := open(o, v.in)
		leaf.check(virtualServiceFields, nil)
		rules = leaf.delegateRules(spec)
		if v.leaves == nil {
			v.leaves = map[mesh.Ref]map[int]mesh.HTTPRule{}
		}
		v.leaves[ref] = rules
	}
	for _, r := range rules {
		v.joined += max(1, len(rule.Matches)) * max(1, len(r.Matches))
	}
	if v.joined > maxJoined {
		v.Add(mesh.CodeConflict, at, "give the rule or the delegate fewer matches, for example one prefix", "with the matches of VirtualService %s in namespace %s this object has more than %d pairs of matches to join, so the rule is left out",
			ref.Name, ref.Namespace, maxJoined)
		return nil
	}
	for i := range spec.Http {
		r, ok := rules[i]
		if !ok {
			continue // its own object says why
		}
		merged, fits := mergeRules(rule, r)
		if !fits {
			v.apart(ref, i, at)
			continue
		}
		out = append(out, merged)
	}
	return out
}

// apart tells both objects of a rule of a delegate that matches requests which the including rule does not.
func (v *visit) apart(ref mesh.Ref, i int, path string) {
	const hint = "let each match of the delegate be narrower than one of the rule that includes it"
	own := v.obj.Ref()
	field := at("spec.http", i)
	v.Add(mesh.CodeConflict, path, hint, "%s of VirtualService %s in namespace %s does not fit the matches of this rule, so it is left out", field, ref.Name, ref.Namespace)
	v.elsewhere = append(v.elsewhere, mesh.Problem{Object: ref, Field: field, Code: mesh.CodeConflict, Hint: hint,
		Message: "it does not fit the matches of " + strings.TrimSuffix(path, ".delegate") + " of VirtualService " + own.Name + " in namespace " + string(own.Namespace) + ", so it is left out there"})
}

// mergeRules gives a delegate's rule what the including one says and it does not. It says whether the matches fit.
func mergeRules(root, leaf mesh.HTTPRule) (mesh.HTTPRule, bool) {
	matches, ok := mergeMatches(root.Matches, leaf.Matches)
	if !ok {
		return leaf, false
	}
	leaf.Matches, leaf.Name = matches, joined(root.Name, leaf.Name)
	if leaf.Redirect == nil {
		leaf.Rewrite = cmp.Or(leaf.Rewrite, root.Rewrite)
	}
	leaf.Timeout, leaf.Retry = cmp.Or(leaf.Timeout, root.Timeout), cmp.Or(leaf.Retry, root.Retry)
	leaf.Fault, leaf.CORS = cmp.Or(leaf.Fault, root.Fault), cmp.Or(leaf.CORS, root.CORS)
	if len(leaf.Mirrors) == 0 {
		leaf.Mirrors = root.Mirrors
	}
	if leaf.Headers.Request.IsZero() && leaf.Headers.Response.IsZero() {
		leaf.Headers = root.Headers
	}
	return leaf, true
}

func joined(root, leaf string) string {
	if root == "" || leaf == "" {
		return root + leaf
	}
	return root + "-" + leaf
}

// mergeMatches joins each match of a delegate with those of the including rule that it may narrow; each must have one.
func mergeMatches(root, leaf []mesh.HTTPMatch) (out []mesh.HTTPMatch, ok bool) {
	if len(root) == 0 || len(leaf) == 0 {
		return append(root[:len(root):len(root)], leaf...), true
	}
	for i := range leaf {
		n := len(out)
		for j := range root {
			if m, ok := mergeMatch(&root[j], &leaf[i]); ok {
				out = append(out, m)
			}
		}
		if len(out) == n {
			return nil, false
		}
	}
	return out, true
}

// mergeMatch is a match that fits both; ok is false when leaf could match what root does not.
func mergeMatch(root, leaf *mesh.HTTPMatch) (m mesh.HTTPMatch, ok bool) {
	m, ok = *leaf, true
	m.Name = joined(root.Name, leaf.Name)
	m.StatPrefix = cmp.Or(leaf.StatPrefix, root.StatPrefix)
	for _, pair := range []struct {
		to   *mesh.StringMatch
		root mesh.StringMatch
	}{{&m.Path, root.Path}, {&m.Scheme, root.Scheme}, {&m.Method, root.Method}, {&m.Authority, root.Authority}} {
		ok = ok && narrows(pair.root, *pair.to)
		if pair.to.Kind == mesh.MatchAny {
			*pair.to = pair.root
		}
	}
	var fits [2]bool
	m.Headers, fits[0] = mergeNamed(root.Headers, leaf.Headers)
	m.Query, fits[1] = mergeNamed(root.Query, leaf.Query)
	m.SourceLabels = mesh.Labels{}
	for _, labels := range []mesh.Labels{root.SourceLabels, leaf.SourceLabels} {
		for k, value := range labels {
			if old, there := m.SourceLabels[k]; there && old != value {
				ok = false
			}
			m.SourceLabels[k] = value
		}
	}
	if len(m.SourceLabels) == 0 {
		m.SourceLabels = nil
	}
	ok = ok && fits[0] && fits[1] && agree(root.Port, leaf.Port) && agree(root.SourceNamespace, leaf.SourceNamespace)
	m.Port, m.SourceNamespace = cmp.Or(leaf.Port, root.Port), cmp.Or(leaf.SourceNamespace, root.SourceNamespace)
	if said := func(x *mesh.HTTPMatch) bool { return x.Mesh || len(x.Gateways) > 0 }; !said(leaf) {
		m.Gateways, m.Mesh = root.Gateways, root.Mesh
	} else if said(root) {
		ok = ok && (root.Mesh || !leaf.Mesh) && !slices.ContainsFunc(leaf.Gateways, func(id mesh.GatewayID) bool { return !slices.Contains(root.Gateways, id) })
	}
	return m, ok
}

func agree[T comparable](a, b T) bool {
	var zero T
	return a == b || a == zero || b == zero
}

// narrows says whether leaf matches no more than root, as Istio judges it: an expression stands alone.
func narrows(root, leaf mesh.StringMatch) bool {
	switch {
	case leaf.Kind == mesh.MatchAny || root.Kind == mesh.MatchAny || root == leaf:
		return true
	case root.Kind == mesh.MatchPresent:
		return true
	case root.Kind == mesh.MatchPrefix && (leaf.Kind == mesh.MatchPrefix || leaf.Kind == mesh.MatchExact):
		return root.IgnoreCase == leaf.IgnoreCase && strings.HasPrefix(leaf.Value, root.Value)
	}
	return false
}

// mergeNamed joins conditions on names. Of those on one name the delegate's takes the place of the other, but what may not be there adds up.
func mergeNamed(root, leaf []mesh.NamedMatch) (out []mesh.NamedMatch, ok bool) {
	out = slices.Clone(leaf)
	for _, r := range root {
		i := slices.IndexFunc(leaf, func(l mesh.NamedMatch) bool {
			return l.Name == r.Name && l.Without == r.Without && (!r.Without || l == r)
		})
		if i < 0 {
			out = append(out, r)
		} else if !narrows(r.Match, leaf[i].Match) {
			return nil, false
		}
	}
	slices.SortStableFunc(out, func(a, b mesh.NamedMatch) int { return strings.Compare(a.Name, b.Name) })
	return out, true
}
