package istio

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
)

// HostConflicts tells about VirtualServices that claim the same host for sidecars: the oldest one that a namespace sees wins there. Every object is told,
// the winner too; those that ask to be merged, with whom they are. routes are those with the host, in any order; routes for gateways only are none of it, because rules for one host are joined there.
func HostConflicts(host mesh.Host, routes []*mesh.Route) []mesh.Problem {
	var claims []*mesh.Route
	for _, r := range routes {
		if r.Mesh && r.Origin.Kind == "VirtualService" && slices.Contains(r.Hosts, host) {
			claims = append(claims, r)
		}
	}
	slices.SortFunc(claims, mesh.CompareRoutes)
	var out []mesh.Problem
	for i, r := range claims {
		field := fmt.Sprintf("spec.hosts[%d]", slices.Index(r.Hosts, host))
		add := func(code mesh.Code, hint, format string, args ...any) {
			out = append(out, mesh.Problem{Object: r.Origin, Field: field, Code: code, Message: fmt.Sprintf(format, args...), Hint: hint})
		}
		for j, other := range claims {
			if i == j || !sharesViewer(r, other) {
				continue
			}
			if r.Merge && other.Merge && claims[0].Merge {
				together(claims, i, host, add)
				break
			}
			const hint = "put the rules of a host into one VirtualService, or give each of them the annotation " + mergeMark
			if j < i {
				add(mesh.CodeConflict, hint, "%s claims host %s too and is older, so this object has no effect for that host", other.Origin, host)
			} else {
				add(mesh.CodeConflict, hint, "%s claims host %s too, and this object is older, so this one counts", other.Origin, host)
			}
			break
		}
	}
	return out
}

// together tells a VirtualService with whom it counts, and which rules of it never do because an older one's match the same.
func together(claims []*mesh.Route, i int, host mesh.Host, add func(code mesh.Code, hint, format string, args ...any)) {
	r := claims[i]
	var with []string
	for j, other := range claims {
		if j != i && other.Merge {
			with = append(with, other.Origin.String())
		}
	}
	add(mesh.CodeMerged, "", "its rules for host %s count together with those of %s, those of the oldest object first, and last what matches everything", host, strings.Join(with, ", "))
	older := map[string]string{} // where the oldest object says what to do with such requests
	for _, other := range claims[:i] {
		for m := range other.HTTP {
			if key := wanted(other.HTTP[m].Matches); other.Merge && older[key] == "" {
				older[key] = fmt.Sprintf("spec.http[%d] of %s", m, other.Origin)
			}
		}
	}
	for n := range r.HTTP {
		if where := older[wanted(r.HTTP[n].Matches)]; where != "" {
			add(mesh.CodeConflict, "narrow the matches of one of them", "%s, which is older, matches what spec.http[%d] of this object does, so that one counts for host %s", where, n, host)
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

// sharesViewer says whether some namespace may see both routes.
func sharesViewer(a, b *mesh.Route) bool {
	for _, pair := range [2][2]*mesh.Route{{a, b}, {b, a}} {
		viewers := pair[0].ExportTo.Namespaces
		if pair[0].ExportTo.Private {
			viewers = append(viewers[:len(viewers):len(viewers)], pair[0].Origin.Namespace)
		}
		if pair[0].ExportTo.Nobody {
			return false
		}
		if len(viewers) == 0 {
			continue // everyone sees it: ask the other
		}
		return slices.ContainsFunc(viewers, func(ns mesh.Namespace) bool { return pair[1].ExportTo.From(pair[1].Origin.Namespace, ns) })
	}
	return true
}

// TrafficConflicts tells about DestinationRules of one namespace that speak of the same host to the same clients. They are joined; of what two say, the older one counts.
// Every object is told what is lost. rules are those with the host, in any order.
func TrafficConflicts(host mesh.Host, rules []*mesh.Traffic) []mesh.Problem {
	claims := slices.SortedFunc(slices.Values(rules), mesh.CompareTraffic)
	together := func(a, b *mesh.Traffic) bool {
		return a.Origin.Namespace == b.Origin.Namespace && sameLabels(a.Selector, b.Selector)
	}
	origin := func(t *mesh.Traffic) mesh.Ref { return t.Origin }
	const hint = "put the settings and subsets of a host into one DestinationRule"
	policy := func(a, b *mesh.Traffic) bool {
		return together(a, b) && !reflect.ValueOf(a.Policy).IsZero() && !reflect.ValueOf(b.Policy).IsZero()
	}
	out := rivals(claims, policy, origin, "spec.trafficPolicy", "has a policy for host "+string(host), hint, "its policy has")
	subset := func(a, b *mesh.Traffic) bool {
		return together(a, b) && slices.ContainsFunc(a.Subsets, func(x mesh.Subset) bool {
			return slices.ContainsFunc(b.Subsets, func(y mesh.Subset) bool { return x.Name == y.Name })
		})
	}
	return append(out, rivals(claims, subset, origin, "spec.subsets", "defines a subset of host "+string(host)+" that this object defines", hint, "that subset of it has")...)
}

// rivals tells of objects of which only the oldest counts. list comes with the oldest first.
func rivals[T any](list []T, collide func(a, b T) bool, origin func(T) mesh.Ref, field, what, hint, lost string) (out []mesh.Problem) {
	for i, x := range list {
		j := slices.IndexFunc(list, func(y T) bool { return origin(y) != origin(x) && collide(x, y) })
		if j < 0 {
			continue
		}
		p := mesh.Problem{Object: origin(x), Field: field, Code: mesh.CodeConflict, Hint: hint,
			Message: fmt.Sprintf("%s %s too, and this object is older, so this one counts", origin(list[j]), what)}
		if j < i {
			p.Message = fmt.Sprintf("%s %s too and is older, so %s no effect", origin(list[j]), what, lost)
		}
		out = append(out, p)
	}
	return out
}

// sameLabels says whether two selectors are one; one without labels is none.
func sameLabels(a, b mesh.Labels) bool { return len(a) == len(b) && maps.Equal(a, b) }
