package endpoint

import (
	"cmp"
	"slices"

	"github.com/heddle-mesh/heddle/control/compile/view"
	"github.com/heddle-mesh/heddle/mesh"
)

// place is where endpoints stand for a client: their locality, and how many of the labels that it prefers they lack.
type place struct {
	locality mesh.Locality
	behind   int
}

// group are the endpoints of one place.
type group struct {
	place
	weight   uint32
	priority uint32
	runs     []run
}

// grouping are the groups of a cluster's endpoints.
type grouping struct {
	list []*group
	by   map[place]*group // nil up to the second group
}

// of is the group of an endpoint, made if need be. last is that of the endpoint before, which it nearly always is.
func (x *grouping) of(v *view.View, last *group, near *mesh.LocalityBalance, failover bool, e *mesh.Endpoint) *group {
	at := place{locality: e.Locality}
	if failover && len(near.Distribute) == 0 {
		at.behind = behind(v, near.Labels, e)
	}
	if last != nil && last.place == at {
		return last
	}
	g := x.by[at]
	if g != nil {
		return g
	}
	g = &group{place: at}
	if x.list = append(x.list, g); len(x.list) == 2 {
		x.by = map[place]*group{x.list[0].place: x.list[0]}
	}
	if x.by != nil {
		x.by[at] = g
	}
	return g
}

func (x *grouping) ordered() []*group {
	slices.SortFunc(x.list, comparePlaces)
	return x.list
}

func comparePlaces(a, b *group) int {
	x, y := a.locality, b.locality
	return cmp.Or(cmp.Compare(x.Region, y.Region), cmp.Compare(x.Zone, y.Zone), cmp.Compare(x.Subzone, y.Subzone), cmp.Compare(a.behind, b.behind))
}

// behind is how many of the labels are left from the first on that an endpoint does not have.
func behind(v *view.View, labels []mesh.LabelPriority, e *mesh.Endpoint) int {
	for i, l := range labels {
		value, ok := mesh.Topology(l.Key, e.Network, e.Cluster, e.Locality)
		if l.Key == mesh.LabelHostname && e.Node != "" {
			value, ok = e.Node, true
		}
		if !ok {
			value = e.Labels[l.Key]
		}
		if l.Value != nil && *l.Value != value || l.Value == nil && !v.LabelIs(l.Key, value) {
			return len(labels) - i
		}
	}
	return 0
}

// arrange gives the groups weights or priorities, whichever the setting is about.
func arrange(v *view.View, near *mesh.LocalityBalance, failover bool, groups []*group) []*group {
	if len(near.Distribute) > 0 {
		return distribute(v, near.Distribute, groups)
	}
	if failover && len(groups) > 1 {
		prioritize(v, near, groups)
	}
	return groups
}

// distribute weighs localities by the first distribution that fits the client and leaves out those that it does not name. Within a share they weigh as many endpoints as
// they have.
func distribute(v *view.View, list []mesh.Distribution, groups []*group) (out []*group) {
	i := slices.IndexFunc(list, func(d mesh.Distribution) bool { return v.InLocality(d.From) })
	if i < 0 {
		return groups
	}
	for _, to := range list[i].To {
		var named []*group
		sum := uint64(0)
		for _, g := range groups {
			if to.To.Matches(g.locality) {
				named = append(named, g)
				sum += uint64(g.weight)
			}
		}
		for _, g := range named {
			g.weight = uint32((uint64(g.weight)*uint64(to.Weight) + sum - 1) / sum)
		}
		out = append(out, named...)
	}
	slices.SortFunc(out, comparePlaces)
	return out
}

// ranks is one more than the most distant rank of a locality.
const ranks = 5

// prioritize orders groups by labels, and by distance within: without labels, or where a failover of regions is set. Priorities have no gaps, which Envoy asks for.
func prioritize(v *view.View, near *mesh.LocalityBalance, groups []*group) {
	var used []int
	order := make([]int, len(groups))
	for i, g := range groups {
		order[i] = g.behind * ranks
		if near.Zoned || len(near.Labels) == 0 || len(near.Failover) > 0 {
			order[i] += distance(v, near, g.locality)
		}
		used = append(used, order[i])
	}
	slices.Sort(used)
	used = slices.Compact(used)
	for i, g := range groups {
		g.priority = uint32(slices.Index(used, order[i]))
	}
}

// distance is the rank of a locality; of other regions, those that are not the one to fail over to are one further. Where the proxy itself keeps requests in its zone, all of
// its region is near.
func distance(v *view.View, near *mesh.LocalityBalance, l mesh.Locality) int {
	rank := v.LocalityRank(l)
	switch {
	case rank < ranks-2 && near.Zoned:
		return 0
	case rank < ranks-2:
		return rank
	}
	for _, f := range near.Failover {
		if v.InLocality(mesh.LocalityPattern{Region: f.From}) {
			if l.Region != f.To {
				rank++
			}
			break
		}
	}
	return rank
}
