package accept

import (
	"strings"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/proxyprotocol"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// Counters are where the counters of listeners live.
type Counters struct {
	Registry *stats.Registry
	Shards   []*stats.Shard // by worker
}

// headerCounts are the counters of PROXY headers, in Envoy's names; listeners with one stat_prefix share them.
type headerCounts struct {
	shards             []*stats.Shard
	byVersion          [3]versionCounts // the first is not used
	failed             stats.Handle
	allowed, forbidden stats.Handle // no header
}

type versionCounts struct{ found, disallowed, broken stats.Handle }

// headers describes the counters of a listener; nil where it takes no headers, or nobody counts.
func (c *Counters) headers(l *config.Listener) *headerCounts {
	if c == nil || l.Inspect.Proxy == nil {
		return nil
	}
	prefix := "proxy_proto."
	if own := strings.Trim(l.Inspect.Proxy.Stat, "."); own != "" {
		prefix += own + "."
	}
	counter := func(name string) stats.Handle {
		return c.Registry.Counter(stats.Desc{Name: "envoy_" + strings.ReplaceAll(name, ".", "_"), Dotted: name})
	}
	h := &headerCounts{shards: c.Shards, failed: counter("downstream_cx_proxy_proto_error"), allowed: counter(prefix + "not_found_allowed"), forbidden: counter(prefix + "not_found_disallowed")}
	for i, version := range []string{1: "versions.v1.", 2: "versions.v2."} {
		if version != "" {
			h.byVersion[i] = versionCounts{counter(prefix + version + "found"), counter(prefix + version + "disallowed"), counter(prefix + version + "error")}
		}
	}
	return h
}

// count notes what became of a header.
func (h *headerCounts) count(w *loop.Worker, version uint8, v proxyprotocol.Verdict) {
	if h == nil {
		return
	}
	shard, of := h.shards[w.Index()], &h.byVersion[version]
	switch v {
	case proxyprotocol.Found:
		shard.Inc(of.found)
	case proxyprotocol.Disallowed:
		shard.Inc(of.found)
		shard.Inc(of.disallowed)
	case proxyprotocol.Broken:
		shard.Inc(of.broken)
		shard.Inc(h.failed)
	case proxyprotocol.Missing:
		shard.Inc(h.forbidden)
		shard.Inc(h.failed)
	case proxyprotocol.Absent:
		shard.Inc(h.allowed)
	}
}
