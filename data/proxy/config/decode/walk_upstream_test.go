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
	const route3 = "envoy.config.route.v3."
	var predicates []string
	for i, c := range []string{inAny(previousHosts, `{}`), inAny(omitCanaries, `{}`), omitted} {
		predicates = append(predicates, fmt.Sprintf(`{"name": "n%d", "typedConfig": %s}`, i, c))
	}
	return map[string][]string{
		route3 + "RetryPolicy.retry_host_predicate":    predicates,
		omitMetadata + ".metadata_match":               {`{"filterMetadata": {"envoy.lb": {"a": 3}}}`},
		"envoy.config.endpoint.v3.LbEndpoint.metadata": {`{"filterMetadata": {"envoy.transport_socket_match": {"a": "b"}}}`, `{"filterMetadata": {"envoy.lb": {"a": "b"}}}`},
	}
}
