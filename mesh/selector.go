package mesh

import "slices"

// LabelName is the label that every namespace has: its name.
const LabelName = "kubernetes.io/metadata.name"

// Selector chooses by labels, as Kubernetes does: all of Labels and all of Needs. The zero value chooses everything.
type Selector struct {
	Labels Labels
	Needs  []Need
}

// Need is a condition on one label.
type Need struct {
	Key    string
	Op     LabelOp
	Values []string // of In and NotIn
}

// LabelOp says what a label must be.
type LabelOp uint8

// The operators. NotIn also takes what does not have the label.
const (
	In LabelOp = iota
	NotIn
	Exists
	DoesNotExist
)

// Matches says whether labels are chosen.
func (s Selector) Matches(have Labels) bool {
	for key, value := range s.Labels {
		if got, ok := have[key]; !ok || got != value {
			return false
		}
	}
	for _, n := range s.Needs {
		value, ok := have[n.Key]
		if in := ok && slices.Contains(n.Values, value); n.Op == In && !in || n.Op == NotIn && in || n.Op == Exists && !ok || n.Op == DoesNotExist && ok {
			return false
		}
	}
	return true
}

// NamespaceLabels are the labels of a namespace with its name among them, which a Namespace of a folder may lack.
func NamespaceLabels(ns Namespace, have Labels) Labels {
	if _, ok := have[LabelName]; ok {
		return have
	}
	out := Labels{LabelName: string(ns)}
	for key, value := range have {
		out[key] = value
	}
	return out
}

// Reach is how far an object may be seen at most.
type Reach uint8

// The reaches, the widest first.
const (
	Everyone Reach = iota
	OwnNamespace
	Nowhere
)

// Reaches bounds who sees the ServiceEntries of a namespace (MeshConfig.serviceEntryVisibility): the first policy counts whose selectors all choose it.
type Reaches struct {
	Default  Reach
	Policies []ReachPolicy
}

// ReachPolicy is for the namespaces that all selectors choose.
type ReachPolicy struct {
	Reach      Reach
	Namespaces []Selector
}

// Of is the reach of objects in a namespace with such labels.
func (r *Reaches) Of(labels Labels) Reach {
	for _, p := range r.Policies {
		if !slices.ContainsFunc(p.Namespaces, func(s Selector) bool { return !s.Matches(labels) }) {
			return p.Reach
		}
	}
	return r.Default
}

// HostScope says of hosts whether their endpoints are for clients of their own cluster alone (MeshConfig.serviceSettings).
type HostScope struct {
	Host         Host
	ClusterLocal bool
}

// ClusterLocal says whether a service is for clients of its own cluster alone: what is said of the narrowest host that covers it counts.
func (s *Settings) ClusterLocal(h Host) bool {
	var best *HostScope
	for i, x := range s.Scopes {
		if x.Host.Matches(h) && (best == nil || len(x.Host) > len(best.Host) || !x.Host.IsWildcard()) {
			best = &s.Scopes[i]
		}
	}
	return best != nil && best.ClusterLocal
}
