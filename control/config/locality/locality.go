// Package locality reads Istio's LocalityLoadBalancerSetting and ZoneAwareLoadBalancerSetting, which stand in DestinationRules and in MeshConfig.
//
// In: the message. Out: mesh.LocalityBalance, and mistakes by field. Pure; safe for concurrent use.
package locality

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/mesh"
	networking "istio.io/api/networking/v1alpha3"
)

// Read reads a setting; nil stays nil. Mistakes go to invalid, each with the path of the field below the setting.
func Read(x *networking.LocalityLoadBalancerSetting, invalid func(field, message string)) *mesh.LocalityBalance {
	if x == nil {
		return nil
	}
	r := reader{invalid}
	out := &mesh.LocalityBalance{Off: x.Enabled != nil && !x.Enabled.Value}
	out.Distribute, out.Failover, out.Labels = r.distribute(x.Distribute), r.failover(x.Failover), r.labels(x.FailoverPriority)
	if len(x.Distribute) > 0 && len(x.Failover)+len(x.FailoverPriority) > 0 {
		invalid("distribute", "distribute excludes failover and failoverPriority")
	}
	if len(x.Failover) > 0 {
		for i, l := range out.Labels {
			if l.Key == mesh.LabelRegion || l.Key == mesh.LabelZone || l.Key == mesh.LabelSubzone {
				invalid(fmt.Sprintf("failoverPriority[%d]", i), "label "+l.Key+" and failover both say where requests go next, and only one may")
			}
		}
	}
	return out
}

// Zones reads Istio's ZoneAwareLoadBalancerSetting; nil stays nil.
func Zones(x *networking.ZoneAwareLoadBalancerSetting, invalid func(field, message string)) *mesh.LocalityBalance {
	if x == nil {
		return nil
	}
	r := reader{invalid}
	out := &mesh.LocalityBalance{Zoned: true, Off: x.Enabled != nil && !x.Enabled.Value, Labels: r.labels(x.FailoverPriority)}
	var failover []*networking.LocalityLoadBalancerSetting_Failover
	for _, f := range x.Failover {
		failover = append(failover, &networking.LocalityLoadBalancerSetting_Failover{From: f.GetFrom(), To: f.GetTo()})
	}
	out.Failover = r.failover(failover)
	if n := x.MinClusterSize; n != nil {
		if out.Least = n.Value; n.Value == 0 {
			invalid("minClusterSize", "0 is not a number of 1 or more")
		}
	}
	for i, l := range out.Labels {
		if l.Key == mesh.LabelRegion || l.Key == mesh.LabelZone || l.Key == mesh.LabelSubzone {
			invalid(fmt.Sprintf("failoverPriority[%d]", i), "label "+l.Key+" has no place in it: regions are kept apart and zones preferred in any case")
		}
	}
	return out
}

type reader struct{ invalid func(field, message string) }

func (r reader) distribute(list []*networking.LocalityLoadBalancerSetting_Distribute) (out []mesh.Distribution) {
	for i, d := range list {
		at := fmt.Sprintf("distribute[%d]", i)
		one := mesh.Distribution{From: r.pattern(d.GetFrom(), at+".from")}
		sum := uint64(0)
		for _, to := range slices.Sorted(maps.Keys(d.GetTo())) {
			field, weight := fmt.Sprintf("%s.to[%q]", at, to), d.To[to]
			p := r.pattern(to, field)
			if weight == 0 || weight > 100 {
				r.invalid(field, fmt.Sprintf("%d is not a share from 1 to 100", weight))
			}
			if slices.ContainsFunc(one.To, func(other mesh.LocalityShare) bool { return p.Overlaps(other.To) }) {
				r.invalid(field, "it overlaps with another locality of the list")
			}
			one.To = append(one.To, mesh.LocalityShare{To: p, Weight: weight})
			sum += uint64(weight)
		}
		if sum != 100 {
			r.invalid(at+".to", fmt.Sprintf("the shares add up to %d, not to 100", sum))
		}
		out = append(out, one)
	}
	return out
}

// pattern reads REGION/ZONE/SUBZONE, of which the end may be missing or "*".
func (r reader) pattern(s, field string) mesh.LocalityPattern {
	parts := strings.Split(s, "/")
	last := len(parts) - 1
	wild := strings.Contains(strings.Join(parts[:last], ""), "*") || strings.Contains(parts[last], "*") && parts[last] != "*"
	if len(parts) > 3 || slices.Contains(parts, "") || wild {
		r.invalid(field, fmt.Sprintf("%q is not a locality such as eu, eu/zone-a, eu/zone-a/rack-1 and eu/*", s))
	}
	parts = append(parts, "", "")
	return mesh.LocalityPattern{Region: parts[0], Zone: parts[1], Subzone: parts[2]}
}

func (r reader) failover(list []*networking.LocalityLoadBalancerSetting_Failover) (out []mesh.RegionFailover) {
	for i, f := range list {
		from, to := f.GetFrom(), f.GetTo()
		at := fmt.Sprintf("failover[%d]", i)
		switch {
		case from == "" || to == "" || strings.ContainsAny(from+to, "*/"):
			r.invalid(at, "from and to are names of regions, without zone and wildcard")
		case from == to:
			r.invalid(at, "from and to are the same region")
		}
		out = append(out, mesh.RegionFailover{From: from, To: to})
	}
	return out
}

func (r reader) labels(list []string) (out []mesh.LabelPriority) {
	for i, s := range list {
		at := fmt.Sprintf("failoverPriority[%d]", i)
		l := mesh.LabelPriority{}
		key, value, given := strings.Cut(s, "=")
		if l.Key = key; given {
			l.Value = &value
		}
		switch {
		case key == "" || strings.Contains(value, "="):
			r.invalid(at, fmt.Sprintf("%q is neither LABEL nor LABEL=VALUE", s))
		}
		out = append(out, l)
	}
	return out
}
