package resolve

import "github.com/heddle-mesh/heddle/data/proxy/stats"

// counts are the handles of a cache's counters, in Envoy's names.
type counts struct {
	attempt, success, failure, added, removed, overflow, pendingOverflow stats.Handle
}

func newCounts(r *stats.Registry, name string) counts {
	labels := []stats.Label{{Name: "envoy_dns_cache", Value: name}}
	counter := func(n string) stats.Handle {
		return r.Counter(stats.Desc{Name: "envoy_dns_cache_" + n, Labels: labels, Dotted: "dns_cache." + name + "." + n})
	}
	return counts{
		attempt: counter("dns_query_attempt"), success: counter("dns_query_success"), failure: counter("dns_query_failure"), added: counter("host_added"), removed: counter("host_removed"),
		overflow: counter("host_overflow"), pendingOverflow: counter("dns_rq_pending_overflow"),
	}
}

func (n *Names) count(h stats.Handle) {
	if n.shard != nil {
		n.shard.Inc(h)
	}
}
