package pool

import "github.com/heddle-mesh/heddle/data/proxy/stats"

// Stats are the handles of a cluster's counters, in Envoy's names.
type Stats struct {
	Requests, RequestsActive, Completed                            stats.Handle
	ByClass                                                        [6]stats.Handle // by status / 100
	PendingTotal, PendingActive, PendingOverflow, PendingFailure   stats.Handle
	Timeout, TryTimeout, TryIdleTimeout, RxReset, TxReset          stats.Handle
	Retry, RetrySuccess, RetryOverflow, RetryLimit, RetryAbandoned stats.Handle
	DestinationInvalid                                             stats.Handle // in a header
	NoneHealthy, MaintenanceMode                                   stats.Handle
	Connections, ConnectionsActive, ConnectFail, ConnectTimeout    stats.Handle
	ConnectionOverflow, ConnectionDestroy, MaxRequests             stats.Handle
	RxBytes, TxBytes                                               stats.Handle
	KeepAliveTimeout                                               stats.Handle // of HTTP/2 connections
}

func newStats(r *stats.Registry, name string) *Stats {
	labels := []stats.Label{{Name: "envoy_cluster_name", Value: name}}
	counter := func(n string) stats.Handle {
		return r.Counter(stats.Desc{Name: "envoy_cluster_" + n, Labels: labels, Dotted: "cluster." + name + "." + n})
	}
	gauge := func(n string) stats.Handle {
		return r.Gauge(stats.Desc{Name: "envoy_cluster_" + n, Labels: labels, Dotted: "cluster." + name + "." + n})
	}
	s := &Stats{
		Requests: counter("upstream_rq_total"), RequestsActive: gauge("upstream_rq_active"), Completed: counter("upstream_rq_completed"),
		PendingTotal: counter("upstream_rq_pending_total"), PendingActive: gauge("upstream_rq_pending_active"),
		PendingOverflow: counter("upstream_rq_pending_overflow"), PendingFailure: counter("upstream_rq_pending_failure_eject"),
		Timeout: counter("upstream_rq_timeout"), TryTimeout: counter("upstream_rq_per_try_timeout"), TryIdleTimeout: counter("upstream_rq_per_try_idle_timeout"),
		RxReset: counter("upstream_rq_rx_reset"), TxReset: counter("upstream_rq_tx_reset"),
		Retry: counter("upstream_rq_retry"), RetrySuccess: counter("upstream_rq_retry_success"), RetryOverflow: counter("upstream_rq_retry_overflow"),
		RetryLimit: counter("upstream_rq_retry_limit_exceeded"), RetryAbandoned: counter("retry_or_shadow_abandoned"),
		NoneHealthy: counter("upstream_cx_none_healthy"), MaintenanceMode: counter("upstream_rq_maintenance_mode"),
		Connections: counter("upstream_cx_total"), ConnectionsActive: gauge("upstream_cx_active"), ConnectFail: counter("upstream_cx_connect_fail"),
		ConnectTimeout: counter("upstream_cx_connect_timeout"), ConnectionOverflow: counter("upstream_cx_overflow"), ConnectionDestroy: counter("upstream_cx_destroy"),
		MaxRequests: counter("upstream_cx_max_requests"), RxBytes: counter("upstream_cx_rx_bytes_total"), TxBytes: counter("upstream_cx_tx_bytes_total"),
	}
	s.KeepAliveTimeout = r.Counter(stats.Desc{Name: "envoy_cluster_http2_keepalive_timeout", Labels: labels, Dotted: "cluster." + name + ".http2.keepalive_timeout"})
	s.DestinationInvalid = counter("original_dst_host_invalid")
	for i, class := range []string{"", "1", "2", "3", "4", "5"} {
		if class != "" {
			s.ByClass[i] = r.Counter(stats.Desc{
				Name: "envoy_cluster_upstream_rq_xx", Dotted: "cluster." + name + ".upstream_rq_" + class + "xx",
				Labels: []stats.Label{labels[0], {Name: "envoy_response_code_class", Value: class}},
			})
		}
	}
	return s
}
