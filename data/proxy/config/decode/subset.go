package decode

import (
	"maps"
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	subsetv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/subset/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/heddle-mesh/heddle/data/proxy/config"
)

// subsetSettings is what both forms of subsets have.
type subsetSettings interface {
	GetDefaultSubset() *structpb.Struct
	GetLocalityWeightAware() bool
	GetScaleLocalityWeight() bool
	GetPanicModeAny() bool
	GetListAsAny() bool
}

// subsetSelector is what both forms of selectors have.
type subsetSelector interface {
	GetKeys() []string
	GetSingleHostPerSubset() bool
	GetFallbackKeysSubset() []string
}

// lbSubsets reads Cluster.lb_subset_config.
func (r *read) lbSubsets(path string, m *clusterv3.Cluster_LbSubsetConfig, c *config.Cluster) {
	if m == nil || len(m.GetSubsetSelectors()) == 0 { // Envoy divides nothing then
		return
	}
	if c.Policy == config.ClusterProvided {
		r.add(path, "CLUSTER_PROVIDED leaves nothing to divide")
	}
	c.Subsets = subsetsOf(m, int32(m.GetFallbackPolicy()), m.GetMetadataFallbackPolicy() == clusterv3.Cluster_LbSubsetConfig_FALLBACK_LIST)
	for i, s := range m.GetSubsetSelectors() {
		r.selector(at(path, "subset_selectors", i), s, int32(s.GetFallbackPolicy()), c.Subsets)
	}
}

// subsetPolicy reads the policy of that name, and the one within a subset.
func (r *read) subsetPolicy(path string, m *subsetv3.Subset, c *config.Cluster) {
	r.policy(path+".subset_lb_policy", m.GetSubsetLbPolicy(), c)
	if c.Subsets != nil || c.Policy == config.ClusterProvided {
		r.add(path+".subset_lb_policy", "want a policy that chooses among the endpoints of a subset")
	}
	if len(m.GetSubsetSelectors()) == 0 {
		r.add(path+".subset_selectors", "it is empty")
	}
	c.Subsets = subsetsOf(m, int32(m.GetFallbackPolicy()), m.GetMetadataFallbackPolicy() == subsetv3.Subset_FALLBACK_LIST)
	for i, s := range m.GetSubsetSelectors() {
		r.selector(at(path, "subset_selectors", i), s, int32(s.GetFallbackPolicy()), c.Subsets)
	}
}

func subsetsOf(m subsetSettings, fallback int32, list bool) *config.Subsets {
	return &config.Subsets{
		Fallback: config.SubsetFallback(fallback + 1), Default: jsonValues(m.GetDefaultSubset()), LocalityAware: m.GetLocalityWeightAware(), ScaleWeights: m.GetScaleLocalityWeight(),
		PanicAny: m.GetPanicModeAny(), ListAsAny: m.GetListAsAny(), List: list,
	}
}

func (r *read) selector(path string, m subsetSelector, fallback int32, into *config.Subsets) {
	s := config.SubsetSelector{Keys: sortedOnce(m.GetKeys()), Fallback: config.SubsetFallback(fallback), FallbackKeys: sortedOnce(m.GetFallbackKeysSubset()), Single: m.GetSingleHostPerSubset()}
	if len(s.Keys) == 0 {
		r.add(path+".keys", "it is empty")
	}
	switch {
	case s.Fallback != config.FallbackKeys && len(s.FallbackKeys) > 0:
		r.add(path+".fallback_policy", "fallback_keys_subset is for KEYS_SUBSET")
	case s.Fallback != config.FallbackKeys:
	case len(s.FallbackKeys) == 0, len(s.FallbackKeys) >= len(s.Keys), slices.ContainsFunc(s.FallbackKeys, func(k string) bool { return !slices.Contains(s.Keys, k) }):
		r.add(path+".fallback_keys_subset", "want some of the keys, and not all")
	}
	into.Selectors = append(into.Selectors, s)
}

func sortedOnce(keys []string) []string { return slices.Compact(slices.Sorted(slices.Values(keys))) }

// fallbackList is the label that holds alternatives, for clusters with FALLBACK_LIST.
const fallbackList = "fallback_list"

// subsetMatch reads metadata_match; of its namespaces only envoy.lb is about endpoints. over takes precedence, label by label.
func (r *read) subsetMatch(path string, m, over *corev3.Metadata) *config.SubsetMatch {
	for _, x := range []*corev3.Metadata{m, over} {
		for name := range x.GetFilterMetadata() {
			if name != "envoy.lb" {
				r.add(path, "%q is not looked at, only envoy.lb", name)
			}
		}
		if len(x.GetTypedFilterMetadata()) > 0 {
			r.add(path, "only filter_metadata is looked at")
		}
	}
	labels := maps.Clone(m.GetFilterMetadata()["envoy.lb"].GetFields())
	if labels == nil {
		labels = map[string]*structpb.Value{}
	}
	maps.Copy(labels, over.GetFilterMetadata()["envoy.lb"].GetFields())
	if len(labels) == 0 {
		return nil
	}
	out := config.NewSubsetMatch(jsonValues(&structpb.Struct{Fields: labels}))
	list := labels[fallbackList].GetListValue().GetValues()
	if len(list) == 0 {
		return out
	}
	delete(labels, fallbackList)
	rest := jsonValues(&structpb.Struct{Fields: labels})
	out.Rest = config.NewSubsetMatch(rest)
	for _, v := range list {
		one := maps.Clone(rest)
		maps.Copy(one, jsonValues(v.GetStructValue()))
		out.List = append(out.List, config.NewSubsetMatch(one))
	}
	return out
}
