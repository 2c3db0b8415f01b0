package stream

import "github.com/heddle-mesh/heddle/data/proxy/stats"

// Stats are the handles of a connection manager's counters, in Envoy's names.
type Stats struct {
	Requests, RequestsActive, Completed               stats.Handle
	ByClass                                           [6]stats.Handle // by status / 100
	Connections, ConnectionsActive, Destroyed         stats.Handle
	ProtocolError, RxReset, TxReset                   stats.Handle
	Timeout, HeaderTimeout, IdleTimeout, MaxDuration  stats.Handle
	NoRoute, NoCluster, Direct, Redirect, Total       stats.Handle
	TooLarge, DrainClose                              stats.Handle
	KeepAliveTimeout                                  stats.Handle // of HTTP/2 connections, all managers together
	OverloadRequest, OverloadKeepAlive, OverloadReset stats.Handle
	Time                                              stats.Histogram
}

func newStats(r *stats.Registry, prefix string) Stats {
	labels := []stats.Label{{Name: "envoy_http_conn_manager_prefix", Value: prefix}}
	counter := func(n string) stats.Handle {
		return r.Counter(stats.Desc{Name: "envoy_http_" + n, Labels: labels, Dotted: "http." + prefix + "." + n})
	}
	gauge := func(n string) stats.Handle {
		return r.Gauge(stats.Desc{Name: "envoy_http_" + n, Labels: labels, Dotted: "http." + prefix + "." + n})
	}
	s := Stats{
		Requests: counter("downstream_rq_total"), RequestsActive: gauge("downstream_rq_active"), Completed: counter("downstream_rq_completed"),
		Connections: counter("downstream_cx_total"), ConnectionsActive: gauge("downstream_cx_active"), Destroyed: counter("downstream_cx_destroy"),
		ProtocolError: counter("downstream_cx_protocol_error"), RxReset: counter("downstream_rq_rx_reset"), TxReset: counter("downstream_rq_tx_reset"),
		Timeout: counter("downstream_rq_timeout"), HeaderTimeout: counter("downstream_rq_header_timeout"), IdleTimeout: counter("downstream_rq_idle_timeout"),
		MaxDuration: counter("downstream_rq_max_duration_reached"), NoRoute: counter("no_route"), NoCluster: counter("no_cluster"), Direct: counter("rq_direct_response"),
		Redirect: counter("rq_redirect"), Total: counter("rq_total"), TooLarge: counter("downstream_rq_too_large"), DrainClose: counter("downstream_cx_drain_close"),
		OverloadRequest: counter("downstream_rq_overload_close"), OverloadKeepAlive: counter("downstream_cx_overload_disable_keepalive"),
		OverloadReset: counter("downstream_rq_overload_reset"), Time: r.Milliseconds(stats.Desc{Name: "envoy_http_downstream_rq_time", Labels: labels, Dotted: "http." + prefix + ".downstream_rq_time"}),
	}
	s.KeepAliveTimeout = r.Counter(stats.Desc{Name: "envoy_http2_keepalive_timeout", Dotted: "http2.keepalive_timeout"})
	for i := 1; i <= 5; i++ {
		class := string(rune('0' + i))
		s.ByClass[i] = r.Counter(stats.Desc{
			Name: "envoy_http_downstream_rq_xx", Dotted: "http." + prefix + ".downstream_rq_" + class + "xx",
			Labels: []stats.Label{labels[0], {Name: "envoy_response_code_class", Value: class}},
		})
	}
	return s
}
