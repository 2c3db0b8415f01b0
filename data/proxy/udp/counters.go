package udp

import (
	"strings"

	"github.com/heddle-mesh/heddle/data/proxy/stats"
)

// counters are those of a listener, in Envoy's names; listeners with one stat_prefix share them.
type counters struct {
	total, noRoute, idle, active   stats.Handle
	rxBytes, rxDatagrams, rxErrors stats.Handle
	txBytes, txDatagrams, txErrors stats.Handle
	dropped                        stats.Handle // longer than there is room for
	registry                       *stats.Registry
	byCluster                      map[string]*clusterCounters
}

// clusterCounters are those of sessions towards a cluster.
type clusterCounters struct{ rxDatagrams, rxDropped, rxErrors, txDatagrams, txErrors stats.Handle }

// newCounters makes those of listeners with a stat_prefix; dropped is the listener's own, whose socket has the address.
func newCounters(r *stats.Registry, prefix, listener string) *counters {
	counter := func(name string) stats.Handle {
		return r.Counter(stats.Desc{Name: "envoy_udp_" + name, Labels: []stats.Label{{Name: "envoy_udp_prefix", Value: prefix}}, Dotted: "udp." + prefix + "." + name})
	}
	at := strings.ReplaceAll(listener, ":", "_")
	return &counters{
		total: counter("downstream_sess_total"), noRoute: counter("downstream_sess_no_route"), idle: counter("idle_timeout"),
		active:  r.Gauge(stats.Desc{Name: "envoy_udp_downstream_sess_active", Labels: []stats.Label{{Name: "envoy_udp_prefix", Value: prefix}}, Dotted: "udp." + prefix + ".downstream_sess_active"}),
		rxBytes: counter("downstream_sess_rx_bytes"), rxDatagrams: counter("downstream_sess_rx_datagrams"), rxErrors: counter("downstream_sess_rx_errors"),
		txBytes: counter("downstream_sess_tx_bytes"), txDatagrams: counter("downstream_sess_tx_datagrams"), txErrors: counter("downstream_sess_tx_errors"),
		dropped: r.Counter(stats.Desc{Name: "envoy_listener_udp_downstream_rx_datagram_dropped", Labels: []stats.Label{{Name: "envoy_listener_address", Value: at}},
			Dotted: "listener." + at + ".udp.downstream_rx_datagram_dropped"}),
		registry: r, byCluster: map[string]*clusterCounters{},
	}
}

// cluster are the counters of a cluster. The map belongs to one worker.
func (c *counters) cluster(name string) *clusterCounters {
	if found := c.byCluster[name]; found != nil {
		return found
	}
	counter := func(n string) stats.Handle {
		return c.registry.Counter(stats.Desc{Name: "envoy_cluster_udp_" + n, Labels: []stats.Label{{Name: "envoy_cluster_name", Value: name}}, Dotted: "cluster." + name + ".udp." + n})
	}
	out := &clusterCounters{counter("sess_rx_datagrams"), counter("sess_rx_datagrams_dropped"), counter("sess_rx_errors"), counter("sess_tx_datagrams"), counter("sess_tx_errors")}
	c.byCluster[name] = out
	return out
}
