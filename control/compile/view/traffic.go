package view

import (
	"maps"
	"reflect"
	"slices"

	"github.com/heddle-mesh/heddle/mesh"
)

// Traffic is the DestinationRule that the proxy obeys for a service. Istio looks in the client's namespace, then in the service's, then in the root namespace, and takes the
// rules for the narrowest host there. Several for one host are joined: see join.
func (v *View) Traffic(s *mesh.Service) *mesh.Traffic { return v.traffic(s, true) }

// ownTraffic is the DestinationRule for a service that the proxy's own workload serves; one with a workload selector is for clients.
func (v *View) ownTraffic(s *mesh.Service) *mesh.Traffic { return v.traffic(s, false) }

func (v *View) traffic(s *mesh.Service, selectors bool) *mesh.Traffic {
	var said [][]*mesh.Traffic                                                                   // the narrowest host first
	for _, rules := range covers(v, mesh.OfHosts, v.s.Traffic, v.shape().wideRules, s.ID.Host) { // a host's key is its rules' too
		if len(rules) > 0 {
			said = append(said, rules)
		}
	}
	if len(said) == 0 {
		return nil
	}
	root := v.Settings().RootNamespace
	if own, ok := v.speaks(s, said); ok {
		t := v.narrowest(said, func(t *mesh.Traffic) bool {
			if t.Origin.Namespace != own || len(t.Selector) > 0 && !(selectors && v.ProxyMatches(t.Selector)) || !t.ExportTo.From(own, own) {
				return false
			}
			// Rules of the root namespace are for everybody, so they must not go before those of services for the proxies there.
			return own != root || t.ExportTo.Private || len(t.Selector) > 0
		})
		if t != nil {
			return t
		}
	}
	for _, ns := range []mesh.Namespace{s.ID.Namespace, root} {
		t := v.narrowest(said, func(t *mesh.Traffic) bool {
			return len(t.Selector) == 0 && t.Origin.Namespace == ns && v.Visible(t.ExportTo, ns)
		})
		if t != nil {
			return t
		}
	}
	return nil
}

// speaks gives the client's namespace if rules of it are for its own clients more than for others: when only the service's namespace says something, for everybody, the
// client's need not be asked for.
func (v *View) speaks(s *mesh.Service, covers [][]*mesh.Traffic) (mesh.Namespace, bool) {
	asked := map[mesh.Namespace]bool{}
	for _, rules := range covers {
		for _, t := range rules {
			ns := t.Origin.Namespace
			if asked[ns] || ns == s.ID.Namespace && len(t.Selector) == 0 {
				continue
			}
			if asked[ns] = true; v.InNamespace(ns) {
				return ns, true
			}
		}
	}
	return "", false
}

func (v *View) narrowest(covers [][]*mesh.Traffic, counts func(*mesh.Traffic) bool) *mesh.Traffic {
	for _, rules := range covers {
		var list []*mesh.Traffic
		for _, t := range rules {
			if counts(t) {
				list = append(list, t)
			}
		}
		if len(list) > 0 {
			return v.join(list)
		}
	}
	return nil
}

// BackendTLS is how a BackendTLSPolicy has a service's port called, nil when none does. One that names the port goes before one for all.
func (v *View) BackendTLS(id mesh.ServiceID, port uint16) (out *mesh.BackendTLS) {
	if !v.shape().backendTLS {
		return nil
	}
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

// join makes one rule of several for one host, the oldest first: those with the selector that matches go before those without. The first one's policy counts, or of those
// that have none the next one's; subsets are those of all, each as it is defined first (Istio's rule).
func (v *View) join(list []*mesh.Traffic) *mesh.Traffic {
	if i := slices.IndexFunc(list, func(t *mesh.Traffic) bool { return len(t.Selector) > 0 }); i >= 0 {
		selector := list[i].Selector
		var first, rest []*mesh.Traffic
		for _, t := range list {
			switch {
			case len(t.Selector) == 0:
				rest = append(rest, t)
			case maps.Equal(t.Selector, selector):
				first = append(first, t)
			}
		}
		list = append(first, rest...)
	}
	for _, t := range list {
		v.From(t.Origin)
	}
	if len(list) == 1 {
		return list[0]
	}
	out := *list[0]
	out.Subsets = slices.Clone(out.Subsets)
	for _, t := range list[1:] {
		if reflect.ValueOf(out.Policy).IsZero() {
			out.Policy = t.Policy
		}
		for _, sub := range t.Subsets {
			if !slices.ContainsFunc(out.Subsets, func(x mesh.Subset) bool { return x.Name == sub.Name }) {
				out.Subsets = append(out.Subsets, sub)
			}
		}
	}
	return &out
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

// Policy is what a rule says about a port and subset of a service that is called, and below it the mesh's default: of a block that the rule says nothing of, all.
func (v *View) Policy(t *mesh.Traffic, subset string, port uint16) mesh.TrafficPolicy {
	p := Policy(t, subset, port)
	if p.Pool == nil {
		p.Pool = v.Settings().Baseline.Pool
	}
	if p.Outlier == nil {
		p.Outlier = v.Settings().Baseline.Outlier
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
