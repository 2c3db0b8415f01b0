package decode

import (
	"fmt"
	"maps"
)

// merged joins tables that have no key in common.
func merged(tables ...map[string][]string) map[string][]string {
	all := map[string][]string{}
	for _, t := range tables {
		n := len(all)
		maps.Copy(all, t)
		if len(all) != n+len(t) {
			panic("a field has values in two tables")
		}
	}
	return all
}

const (
	previousHosts = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
	omitCanaries  = "envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate"
	omitMetadata  = "envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig"
)

var omitted = inAny(omitMetadata, `{"metadataMatch": {"filterMetadata": {"envoy.lb": {"a": "b"}}}}`)

// upstreamValues are what fields about balancing and retries are set to where the usual values for their types will not do.
func upstreamValues() map[string][]string {
	const route3, cluster, lb = "envoy.config.route.v3.", "envoy.config.cluster.v3.", "envoy.extensions.load_balancing_policies."
	const weighted = lb + "client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin"
	policy := func(any string) string {
		return `{"policies": [{"typedExtensionConfig": {"name": "p", "typedConfig": ` + any + `}}]}`
	}
	least := inAny(lb+"least_request.v3.LeastRequest", `{}`)
	policies := []string{
		least, inAny(lb+"random.v3.Random", `{}`), inAny(lb+"round_robin.v3.RoundRobin", `{"slowStartConfig": {"slowStartWindow": "5s"}}`), inAny(lb+"ring_hash.v3.RingHash", `{}`),
		inAny(lb+"maglev.v3.Maglev", `{"tableSize": 11}`), inAny(lb+"cluster_provided.v3.ClusterProvided", `{}`), inAny(lb+"wrr_locality.v3.WrrLocality", `{"endpointPickingPolicy": `+policy(least)+`}`),
	}
	var predicates []string
	for i, c := range []string{inAny(previousHosts, `{}`), inAny(omitCanaries, `{}`), omitted} {
		predicates = append(predicates, fmt.Sprintf(`{"name": "n%d", "typedConfig": %s}`, i, c))
	}
	var typed []string
	for _, any := range policies {
		typed = append(typed, `{"name": "p", "typedConfig": `+any+`}`)
	}
	subset := inAny(lb+"subset.v3.Subset", `{"subsetSelectors": [{"keys": ["a", "b"], "fallbackPolicy": "KEYS_SUBSET", "fallbackKeysSubset": ["a"]}], "subsetLbPolicy": `+policy(policies[1])+`}`)
	policies, typed = append(policies, subset), append(typed, `{"name": "p", "typedConfig": `+subset+`}`)
	selectors := []string{`{"keys": ["c"], "singleHostPerSubset": true}`, `{"keys": ["c", "d"], "fallbackPolicy": "ANY_ENDPOINT"}`}
	ewma := inAny(lb+"peak_ewma.v3alpha.PeakEwma", `{}`)
	policies, typed = append(policies, ewma), append(typed, `{"name": "p", "typedConfig": `+ewma+`}`)
	policies, typed = append(policies, inAny(weighted, `{"blackoutPeriod": "1s"}`)), append(typed, `{"name": "p", "typedConfig": `+inAny(weighted, `{"metricNamesForComputingUtilization": ["utilization.a"]}`)+`}`)
	const common = "envoy.config.common.matcher.v3."
	status := func(code string) string {
		return `{"httpResponseHeadersMatch": {"headers": [{"name": ":status", "stringMatch": {"exact": "` + code + `"}}]}}`
	}
	labels := []string{`{"filterMetadata": {"envoy.lb": {"a": 3, "fallback_list": [{"b": 4}]}}}`}
	return map[string][]string{
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.outlier_detection":              {`{"errorMatcher": ` + status("404") + `}`},
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.OutlierDetection.error_matcher": {status("403"), `{"orMatch": {"rules": [` + status("401") + `, ` + status("402") + `]}}`},
		common + "MatchPredicate.http_response_headers_match":                                   {`{"headers": [{"name": ":status", "stringMatch": {"exact": "405"}}]}`},
		common + "MatchPredicate.or_match":                                                      {`{"rules": [` + status("400") + `, ` + status("500") + `]}`},
		common + "MatchPredicate.MatchSet.rules":                                                {status("406")},
		common + "HttpHeadersMatch.headers":                                                     {`{"name": ":status", "stringMatch": {"exact": "407"}}`},
		route3 + "RouteAction.metadata_match":                                                   labels,
		"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.metadata_match":                 labels, "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight.metadata_match": labels,
		route3 + "WeightedCluster.ClusterWeight.metadata_match": labels,
		cluster + "Cluster.lb_subset_config":                    {`{"subsetSelectors": [{"keys": ["a", "b"], "fallbackPolicy": "KEYS_SUBSET", "fallbackKeysSubset": ["a"]}]}`},
		cluster + "Cluster.LbSubsetConfig.subset_selectors":     selectors,
		weighted + ".error_utilization_penalty":                 {`3`}, weighted + ".metric_names_for_computing_utilization": {`"named_metrics.b"`},
		lb + "subset.v3.Subset.subset_selectors":                                         selectors,
		cluster + "Cluster.LbSubsetConfig.default_subset":                                {`{"a": "b"}`},
		lb + "subset.v3.Subset.default_subset":                                           {`{"a": "b"}`},
		lb + "subset.v3.Subset.subset_lb_policy":                                         {policy(least)},
		cluster + "Cluster.LbSubsetConfig.LbSubsetSelector.keys":                         {`"e"`},
		lb + "subset.v3.Subset.LbSubsetSelector.keys":                                    {`"e"`},
		route3 + "RetryPolicy.retry_host_predicate":                                      predicates,
		cluster + "Cluster.load_balancing_policy":                                        {policy(least), policy(policies[5])},
		cluster + "LoadBalancingPolicy.policies":                                         {`{"typedExtensionConfig": {"name": "p", "typedConfig": ` + least + `}}`},
		cluster + "LoadBalancingPolicy.Policy.typed_extension_config":                    typed,
		cluster + "Cluster.SlowStartConfig.aggression":                                   {`{"defaultValue": 2}`},
		lb + "common.v3.SlowStartConfig.aggression":                                      {`{"defaultValue": 2}`},
		lb + "wrr_locality.v3.WrrLocality.endpoint_picking_policy":                       {policy(policies[1])},
		cluster + "Cluster.CommonLbConfig.ConsistentHashingLbConfig.hash_balance_factor": {`150`}, lb + "common.v3.ConsistentHashingLbConfig.hash_balance_factor": {`150`},
		lb + "maglev.v3.Maglev.table_size":                 {`13`},
		lb + "ring_hash.v3.RingHash.maximum_ring_size":     {`2048`},
		"envoy.config.core.v3.RuntimeDouble.default_value": {`3`},
		omitMetadata + ".metadata_match":                   {`{"filterMetadata": {"envoy.lb": {"a": 3}}}`},
		"envoy.config.endpoint.v3.LbEndpoint.metadata":     {`{"filterMetadata": {"envoy.transport_socket_match": {"a": "b"}}}`, `{"filterMetadata": {"envoy.lb": {"a": "b"}}}`},
	}
}

// upstreamNeutral are fields that may be taken without an effect; see neutral.
var upstreamNeutral = map[string]string{
	"envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin.enable_oob_load_report": "only the value that says what is done anyway is taken",
	"envoy.config.core.v3.TypedExtensionConfig.name":                               "it only names the element; what it is says the type of its configuration",
	"envoy.config.core.v3.RuntimeDouble.runtime_key":                               "there is no runtime layer, so the default is what counts",
	"envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash.hash_function": "only the value that says what is done anyway is taken",
	"envoy.config.cluster.v3.Cluster.load_balancing_policy":                        "it may say the same as lb_policy",
}
