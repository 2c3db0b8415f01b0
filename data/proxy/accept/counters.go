package accept

import (
	"slices"
	"strings"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/loop"
	"github.com/heddle-mesh/heddle/data/proxy/proxyprotocol"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/tls"
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

// shakeCounts are the counters of a listener's TLS handshakes, in Envoy's names.
type shakeCounts struct {
	shards                                                          []*stats.Shard
	done, reused, uncertified, unverified, unnamed, missing, failed stats.Handle
}

// handshakes describes the counters of a listener; nil where no chain has TLS, or nobody counts.
func (c *Counters) handshakes(l *config.Listener) *shakeCounts {
	secure := l.Default != nil && l.Default.TLS != nil || slices.ContainsFunc(l.Chains, func(c *config.Chain) bool { return c.TLS != nil })
	if c == nil || !secure {
		return nil
	}
	at := strings.ReplaceAll(l.Address.String(), ":", "_") // Envoy's name of a listener in statistics: 0.0.0.0_80
	if l.Path != "" {
		at = l.Path
	}
	counter := func(name string) stats.Handle {
		return c.Registry.Counter(stats.Desc{Name: "envoy_listener_ssl_" + name, Labels: []stats.Label{{Name: "envoy_listener_address", Value: at}}, Dotted: "listener." + at + ".ssl." + name})
	}
	return &shakeCounts{c.Shards, counter("handshake"), counter("session_reused"), counter("no_certificate"), counter("fail_verify_error"), counter("fail_verify_san"),
		counter("fail_verify_no_cert"), counter("connection_error")}
}

// count notes the end of a handshake.
func (h *shakeCounts) count(w *loop.Worker, s *loop.TLSState, err error) {
	if h == nil {
		return
	}
	shard := h.shards[w.Index()]
	if err == nil {
		shard.Inc(h.done)
		if s.State.DidResume {
			shard.Inc(h.reused)
		}
		if s.Peer == nil {
			shard.Inc(h.uncertified)
		}
		return
	}
	switch tls.Refusal(err) {
	case tls.NoCertificate:
		shard.Inc(h.missing)
	case tls.WrongName:
		shard.Inc(h.unnamed)
	case tls.WrongChain:
		shard.Inc(h.unverified)
	case tls.NotRefused:
		shard.Inc(h.failed)
	}
}
