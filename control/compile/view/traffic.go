package view

import (
	"slices"

	"github.com/heddle-mesh/heddle/mesh"
)

// Traffic is the DestinationRule that the proxy obeys for a service. Istio looks in the client's namespace, then in the service's, then in the root
// namespace; of several rules for one host in one namespace the oldest counts, and one whose workload selector matches goes before one without.
func (v *View) Traffic(s *mesh.Service) *mesh.Traffic { return v.traffic(s, true) }

// ownTraffic is the DestinationRule for a service that the proxy's own workload serves; one with a workload selector is for clients.
func (v *View) ownTraffic(s *mesh.Service) *mesh.Traffic { return v.traffic(s, false) }

func (v *View) traffic(s *mesh.Service, selectors bool) *mesh.Traffic {
	for cover := range covering(s.ID.Host) {
		if cover != s.ID.Host && !wildcards(v, mesh.OfTraffic, v.s.Traffic) {
			break
		}
		rules, _ := read(v, mesh.OfTraffic, v.s.Traffic, cover)
		if len(rules) == 0 {
			continue
		}
		if t := v.pick(s, rules, selectors); t != nil {
			v.From(t.Origin)
			return t
		}
	}
	return nil
}

func (v *View) pick(s *mesh.Service, rules []*mesh.Traffic, selectors bool) *mesh.Traffic {
	// When only the service's own namespace says something, the client's namespace need not be asked for.
	foreign := slices.ContainsFunc(rules, func(t *mesh.Traffic) bool {
		return len(t.Selector) > 0 || t.Origin.Namespace != s.ID.Namespace
	})
	for _, selected := range []bool{true, false} {
		for _, t := range rules {
			if !foreign || selected && !selectors {
				break
			}
			if len(t.Selector) > 0 == selected && v.InNamespace(t.Origin.Namespace) && v.ProxyMatches(t.Selector) {
				return t
			}
		}
	}
	for _, ns := range []mesh.Namespace{s.ID.Namespace, v.Settings().RootNamespace} {
		for _, t := range rules {
			if len(t.Selector) == 0 && t.Origin.Namespace == ns && v.Visible(t.ExportTo, ns) {
				return t
			}
		}
	}
	return nil
}

// BackendTLS is how a BackendTLSPolicy has a service's port called, nil when none does. One that names the port goes before one for all.
func (v *View) BackendTLS(id mesh.ServiceID, port uint16) (out *mesh.BackendTLS) {
	list, _ := read(v, mesh.OfBackendTLS, v.s.BackendTLS, id)
	for _, t := range list {
		if t.Port == port || t.Port == 0 && out == nil {
			out = t
		}
	}
	if out != nil {
		v.From(out.Origin)
	}
	return out
}

// Policy is what a rule says about a port and subset: the subset's settings over the rule's, and a port's settings in place of the general ones.
func Policy(t *mesh.Traffic, subset string, port uint16) mesh.TrafficPolicy {
	if t == nil {
		return mesh.TrafficPolicy{}
	}
	p := overlay(mesh.TrafficPolicy{}, t.Policy, port)
	p.Tunnel = t.Policy.Tunnel
	if subset != "" {
		p.Tunnel = nil
	}
	if i := slices.IndexFunc(t.Subsets, func(s mesh.Subset) bool { return s.Name == subset }); i >= 0 {
		p = overlay(p, t.Subsets[i].Policy, port)
		p.Tunnel = t.Subsets[i].Policy.Tunnel
	}
	return p
}

// Hash says how requests to a subset's port keep to one endpoint; nil when they do not, or the proxy cannot.
func (v *View) Hash(host mesh.Host, subset string, port uint16) *mesh.ConsistentHash {
	s, ok := v.Resolve(host)
	if !ok {
		return nil
	}
	lb := Policy(v.Traffic(s), subset, port).LoadBalancer
	if lb == nil || lb.Hash == nil || !v.Can(mesh.FeatureHash) {
		return nil
	}
	return lb.Hash
}

func overlay(base, over mesh.TrafficPolicy, port uint16) mesh.TrafficPolicy {
	if over.Budget != nil {
		base.Budget = over.Budget
	}
	if over.Proxy != 0 {
		base.Proxy = over.Proxy
	}
	if p, ok := over.Ports[port]; ok {
		p.Ports, p.Budget, p.Proxy = nil, base.Budget, base.Proxy // a port has none of its own
		return p
	}
	if over.LoadBalancer != nil {
		base.LoadBalancer = over.LoadBalancer
	}
	if over.Pool != nil {
		base.Pool = over.Pool
	}
	if over.Outlier != nil {
		base.Outlier = over.Outlier
	}
	if over.TLS != nil {
		base.TLS = over.TLS
	}
	return base
}

// Subset finds a subset of a rule.
func Subset(t *mesh.Traffic, name string) (mesh.Subset, bool) {
	if t != nil {
		for _, s := range t.Subsets {
			if s.Name == name {
				return s, true
			}
		}
	}
	return mesh.Subset{}, false
}
