package config

import (
	"maps"
	"slices"
)

// SubsetFallback is what becomes of a request when no endpoint has its labels.
type SubsetFallback uint8

// The ways. A selector that says nothing leaves it to the cluster.
const (
	FallbackUnset   SubsetFallback = iota
	FallbackNone                   // nobody answers it
	FallbackAny                    // any endpoint does
	FallbackDefault                // those of the default subset
	FallbackKeys                   // those with some of the labels only
)

// Subsets divides endpoints by their labels (metadata envoy.lb; lb_subset_config).
type Subsets struct {
	Fallback  SubsetFallback
	Default   map[string]string // of the default subset, each value as JSON
	Selectors []SubsetSelector
	// LocalityAware: the weights of localities count within a subset; ScaleWeights: in proportion to how many of a locality's endpoints are in it.
	LocalityAware, ScaleWeights bool
	PanicAny                    bool // any endpoint, when the fallback has none either
	ListAsAny                   bool // an endpoint whose label is a list has each of its values
	List                        bool // requests bring a list of alternatives (FALLBACK_LIST)
}

// SubsetSelector is which labels make subsets together.
type SubsetSelector struct {
	Keys         []string // sorted
	Fallback     SubsetFallback
	FallbackKeys []string // sorted
	Single       bool     // a subset is one endpoint
}

// SubsetMatch is what a route asks of endpoints (metadata_match).
type SubsetMatch struct {
	Labels map[string]string // each value as JSON
	Keys   []string          // of Labels, sorted
	// Rest and List are for clusters with FALLBACK_LIST: the labels but for the list, and the list, each with the rest.
	Rest *SubsetMatch
	List []*SubsetMatch
}

// NewSubsetMatch sorts the keys.
func NewSubsetMatch(labels map[string]string) *SubsetMatch {
	return &SubsetMatch{Labels: labels, Keys: slices.Sorted(maps.Keys(labels))}
}
