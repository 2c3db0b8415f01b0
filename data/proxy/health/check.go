package health

import (
	"math"
	"slices"
	"strconv"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/data/proxy/upstream"
)

// check is the health check of one cluster.
type check struct {
	p        *Prober
	cluster  *upstream.Cluster
	config   *config.HealthCheck
	def      *config.Cluster // the cluster of its targets
	sessions []*session      // in the order of def's endpoints
	made     int
	stale    bool // def has more than sessions
	stats    counters
}

func newCheck(p *Prober, c *upstream.Cluster) *check {
	def := c.Config()
	return &check{p: p, cluster: c, config: def.Check, def: targets(def), stats: newCounters(p.Stats, def)}
}

// targets is a cluster for the checks of another one: the same transport, and none of the limits.
func targets(of *config.Cluster) *config.Cluster {
	k, none := of.Check, config.Thresholds{Connections: math.MaxUint32, Pending: math.MaxUint32, Requests: math.MaxUint32, Retries: math.MaxUint32}
	def := &config.Cluster{
		Name: of.Name, Version: "1", Frames: of.Frames, ConnectTimeout: k.Timeout, Bind: of.Bind, BindOther: of.BindOther, Keepalive: of.Keepalive,
		TLS: offering(of.TLS, k.ALPN), Proxy: of.Proxy, Thresholds: [2]config.Thresholds{none, none},
	}
	for _, m := range of.Matches {
		m.TLS = offering(m.TLS, k.ALPN)
		def.Matches = append(def.Matches, m)
	}
	if k.GRPC != nil || k.HTTP != nil && k.HTTP.HTTP2 {
		def.Speaks = config.SpeaksHTTP2
	}
	if !k.Reuse {
		def.MaxRequestsPerConn = 1
	}
	return def
}

func offering(t *config.ClientTLS, protocols []string) *config.ClientTLS {
	if t == nil || len(protocols) == 0 {
		return t
	}
	own := *t
	own.ALPN = protocols
	return &own
}

// list makes a session for each endpoint that is to be checked and has none, and ends those of others.
func (c *check) list() {
	before := make(map[*upstream.Host]*session, len(c.sessions))
	for _, s := range c.sessions {
		before[s.host] = s
	}
	sessions, changed := make([]*session, 0, len(c.sessions)), c.stale
	for _, h := range c.cluster.Hosts() {
		if !h.IsChecked() {
			continue
		}
		s := before[h]
		if s != nil && s.goes(h.Config()) {
			delete(before, h)
		} else {
			c.made++
			s, changed = newSession(c, h, strconv.Itoa(c.made)), true
		}
		sessions = append(sessions, s)
	}
	for _, s := range before {
		s.end()
		changed = true
	}
	if changed {
		c.sessions, c.stale = sessions, false
		def := *c.def
		def.Endpoints = &config.Assignment{Localities: []config.Locality{{}}}
		for _, s := range sessions {
			def.Endpoints.Localities[0].Endpoints = append(def.Endpoints.Localities[0].Endpoints, s.endpoint)
		}
		c.def = &def
	}
}

// start begins the sessions that are new, now that their targets are there.
func (c *check) start(targets []*upstream.Host) {
	for i, s := range c.sessions {
		if s.target == nil {
			s.start(targets[i])
		}
	}
}

// drop ends the session of an endpoint that is gone.
func (c *check) drop(s *session) {
	s.end()
	c.sessions = slices.DeleteFunc(slices.Clone(c.sessions), func(x *session) bool { return x == s })
	c.stale = true
	c.p.Loop.Defer(c.p.Review)
}

func (c *check) end() {
	for _, s := range c.sessions {
		s.end()
	}
}

// counters are the handles of a health check's counters, in Envoy's names.
type counters struct {
	attempt, success, failure, network, passive, verify stats.Handle
	healthy, degraded                                   stats.Handle
}

func newCounters(r *stats.Registry, def *config.Cluster) counters {
	name, prefix := def.Name, "health_check."
	if def.AltStat != "" {
		name = def.AltStat
	}
	labels := []stats.Label{{Name: "envoy_cluster_name", Value: name}}
	if n := def.Check.Name; n != "" {
		prefix += "name." + n + "."
		labels = append(labels, stats.Label{Name: "envoy_health_check_name", Value: n})
	}
	of := func(n string) stats.Desc {
		return stats.Desc{Name: "envoy_cluster_health_check_" + n, Labels: labels, Dotted: "cluster." + name + "." + prefix + n}
	}
	return counters{
		attempt: r.Counter(of("attempt")), success: r.Counter(of("success")), failure: r.Counter(of("failure")), network: r.Counter(of("network_failure")),
		passive: r.Counter(of("passive_failure")), verify: r.Counter(of("verify_cluster")), healthy: r.Gauge(of("healthy")), degraded: r.Gauge(of("degraded")),
	}
}
