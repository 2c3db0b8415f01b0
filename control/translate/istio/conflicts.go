package istio

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
)

// HostConflicts tells about VirtualServices that claim the same host for sidecars: the oldest one that a namespace sees wins there. Every object is told,
// the winner too; those that ask to be merged, with whom they are. routes are those with the host, in any order; routes for gateways only are none of it, because rules for one host are joined there.
// The work grows with the number of claims, not with that of their pairs.
func HostConflicts(host mesh.Host, routes []*mesh.Route) []mesh.Problem {
	var claims []*mesh.Route
	for _, r := range routes {
		if r.Mesh && r.Origin.Kind == "VirtualService" && !r.ExportTo.Nobody && slices.Contains(r.Hosts, host) {
			claims = append(claims, r)
		}
	}
	slices.SortFunc(claims, mesh.CompareRoutes)
	oldest, merged := oldestSeen(claims), mergedClaims{host: host}
	var out []mesh.Problem
	for i, r := range claims {
		field := fmt.Sprintf("spec.hosts[%d]", slices.Index(r.Hosts, host))
		add := func(code mesh.Code, hint, format string, args ...any) {
			out = append(out, mesh.Problem{Object: r.Origin, Field: field, Code: code, Message: fmt.Sprintf(format, args...), Hint: hint})
		}
		const hint = "put the rules of a host into one VirtualService, or give each of them the annotation " + mergeMark
		switch j := oldest.rival(i, r); {
		case j < 0:
		case r.Merge && claims[j].Merge && claims[0].Merge:
			merged.tell(claims, i, add)
		case j < i:
			add(mesh.CodeConflict, hint, "%s claims host %s too and is older, so this object has no effect for that host", claims[j].Origin, host)
		default:
			add(mesh.CodeConflict, hint, "%s claims host %s too, and this object is older, so this one counts", claims[j].Origin, host)
		}
	}
	return out
}

// mergedClaims are the VirtualServices of a host that count together, as far as they were told so: the oldest first.
type mergedClaims struct {
	host  mesh.Host
	names []string          // of all
	older map[string]string // where the oldest object says what to do with requests that match so
}

// named is how many others an object is told of by name.
const named = 5

// tell tells a VirtualService with whom it counts, and which rules of it never do because an older one's match the same. It is called for one after the other, from the oldest on.
func (m *mergedClaims) tell(claims []*mesh.Route, i int, add func(code mesh.Code, hint, format string, args ...any)) {
	r := claims[i]
	if m.older == nil {
		m.older = map[string]string{}
		for _, c := range claims {
			if c.Merge {
				m.names = append(m.names, c.Origin.String())
			}
		}
	}
	with := make([]string, 0, named+1)
	for _, name := range m.names {
		if name == r.Origin.String() {
			continue
		}
		if len(with) == named {
			with = append(with, fmt.Sprintf("%d others", len(m.names)-1-named))
			break
		}
		with = append(with, name)
	}
	add(mesh.CodeMerged, "", "its rules for host %s count together with those of %s, those of the oldest object first, and last what matches everything", m.host, strings.Join(with, ", "))
	keys := make([]string, len(r.HTTP))
	for n := range r.HTTP {
		keys[n] = wanted(r.HTTP[n].Matches)
		if where := m.older[keys[n]]; where != "" {
			add(mesh.CodeConflict, "narrow the matches of one of them", "%s, which is older, matches what spec.http[%d] of this object does, so that one counts for host %s", where, n, m.host)
		}
	}
	for n, key := range keys {
		if m.older[key] == "" {
			m.older[key] = fmt.Sprintf("spec.http[%d] of %s", n, r.Origin)
		}
	}
}

// wanted is what matches ask for, in a form that is the same for the same; without any they match everything.
func wanted(matches []mesh.HTTPMatch) string {
	out := slices.Clone(matches)
	for i := range out {
		out[i].Name, out[i].StatPrefix = "", ""
	}
	return fmt.Sprintf("%+v", out)
}

// viewers are the namespaces that see a route; all says that each does.
func viewers(r *mesh.Route) (list []mesh.Namespace, all bool) {
	list = r.ExportTo.Namespaces
	if r.ExportTo.Private {
		list = append(list[:len(list):len(list)], r.Origin.Namespace)
	}
	return list, len(list) == 0
}

// seen are the oldest claims that each namespace sees.
type seen struct {
	any, everywhere firstTwo
	byNamespace     map[mesh.Namespace]firstTwo // those that are not for all
}

func oldestSeen(claims []*mesh.Route) seen {
	s := seen{byNamespace: map[mesh.Namespace]firstTwo{}}
	for i, r := range claims {
		s.any.add(i)
		list, all := viewers(r)
		if all {
			s.everywhere.add(i)
		}
		for _, ns := range list {
			f := s.byNamespace[ns]
			f.add(i)
			s.byNamespace[ns] = f
		}
	}
	return s
}

// rival is the oldest other claim that some namespace sees beside claim i, or -1.
func (s seen) rival(i int, r *mesh.Route) int {
	list, all := viewers(r)
	if all {
		return s.any.besides(i)
	}
	best := s.everywhere.besides(i)
	for _, ns := range list {
		best = lower(best, s.byNamespace[ns].besides(i))
	}
	return best
}

// TrafficConflicts tells about DestinationRules of one namespace that speak of the same host to the same clients. They are joined; of what two say, the older one counts.
// Every object is told what is lost. rules are those with the host, in any order.
func TrafficConflicts(host mesh.Host, rules []*mesh.Traffic) []mesh.Problem {
	claims := slices.SortedFunc(slices.Values(rules), mesh.CompareTraffic)
	together := func(t *mesh.Traffic) string { return string(t.Origin.Namespace) + "/" + labelKey(t.Selector) }
	origin := func(t *mesh.Traffic) mesh.Ref { return t.Origin }
	const hint = "put the settings and subsets of a host into one DestinationRule"
	policy := func(t *mesh.Traffic) []string {
		if reflect.ValueOf(t.Policy).IsZero() {
			return nil
		}
		return []string{together(t)}
	}
	out := rivals(claims, policy, origin, "spec.trafficPolicy", "has a policy for host "+string(host), hint, "its policy has")
	subsets := func(t *mesh.Traffic) (keys []string) {
		for _, s := range t.Subsets {
			keys = append(keys, together(t)+"/"+s.Name)
		}
		return keys
	}
	return append(out, rivals(claims, subsets, origin, "spec.subsets", "defines a subset of host "+string(host)+" that this object defines", hint, "that subset of it has")...)
}
