package view

import (
	"cmp"
	"slices"

	"github.com/heddle-mesh/heddle/mesh"
)

// lead says that a route for sidecars leads to a host. Who obeys the route knows the host, at the port, whatever its Sidecar imports.
type lead struct {
	route *mesh.Route
	port  uint16         // 0: all
	from  mesh.Namespace // of clients, "" for all
}

// counts says whether a proxy obeys the route.
func (l lead) counts(sc Scope, visible func(mesh.Visibility, mesh.Namespace) bool) bool {
	return visible(l.route.ExportTo, l.route.Origin.Namespace) && (l.from == "" || sc.here(l.from)) && sc.follows(l.route)
}

// ledPorts are the ports of a host that routes which the proxy obeys, and providers, lead to; all says that some lead to every port.
func (v *View) ledPorts(h mesh.Host, sc Scope) (out []uint16, all bool) {
	v.r.Read(leadsKey(h))
	leads, _ := v.s.Leads.Get(h)
	out = v.Settings().Reports(h)
	for _, l := range leads {
		if !l.counts(sc, v.Visible) {
			continue
		}
		if l.port == 0 {
			return nil, true
		}
		out = append(out, l.port)
	}
	return out, false
}

// leadsOf are the hosts that a route leads to.
func leadsOf(r *mesh.Route) map[mesh.Host][]lead {
	out := map[mesh.Host][]lead{}
	if r == nil || !r.Mesh {
		return out
	}
	add := func(backends []mesh.Backend, from []mesh.Namespace) {
		for _, b := range backends {
			for _, h := range []mesh.Host{b.Host, b.Service.Host} {
				for _, ns := range from {
					if l := (lead{r, b.Port, ns}); h != "" && !slices.Contains(out[h], l) {
						out[h] = append(out[h], l)
					}
				}
			}
		}
	}
	for _, rule := range r.HTTP {
		from := clients(rule.Matches, func(m mesh.HTTPMatch) mesh.Namespace { return m.SourceNamespace })
		add(rule.Destinations(), from)
	}
	space := func(m mesh.L4Match) mesh.Namespace { return m.SourceNamespace }
	for _, rule := range r.TCP {
		add(rule.Backends, clients(rule.Matches, space))
	}
	for _, rule := range r.TLS {
		add(rule.Backends, clients(rule.Matches, space))
	}
	for _, rule := range r.UDP {
		add(rule.Backends, clients[mesh.L4Match](nil, space))
	}
	return out
}

// clients are the namespaces that matches speak of; "" is all.
func clients[M any](matches []M, space func(M) mesh.Namespace) (out []mesh.Namespace) {
	for _, m := range matches {
		out = append(out, space(m))
	}
	if len(out) == 0 || slices.Contains(out, "") {
		return []mesh.Namespace{""}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// indexLeads brings the index up to date for one route and gives the hosts that it changed for.
func (s *Source) indexLeads(before *Source, ref mesh.Ref) (changed []mesh.Host) {
	old, _ := before.Routes.Get(ref)
	now, _ := s.Routes.Get(ref)
	had, has := leadsOf(old), leadsOf(now)
	put := func(h mesh.Host) {
		list, _ := s.Leads.Get(h)
		list = slices.DeleteFunc(slices.Clone(list), func(l lead) bool { return l.route.Origin == ref })
		list = append(list, has[h]...)
		slices.SortStableFunc(list, func(a, b lead) int {
			return cmp.Or(mesh.CompareRef(a.route.Origin, b.route.Origin), cmp.Compare(a.port, b.port), cmp.Compare(a.from, b.from))
		})
		if changed = append(changed, h); len(list) == 0 {
			s.Leads = s.Leads.Without(h)
		} else {
			s.Leads = s.Leads.With(h, list)
		}
	}
	for h := range had {
		put(h)
	}
	for h := range has {
		if _, both := had[h]; !both {
			put(h)
		}
	}
	return changed
}
