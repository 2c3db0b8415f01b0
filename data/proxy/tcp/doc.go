// Package tcp is Envoy's tcp_proxy: it joins an accepted stream to one of an upstream.
//
// In: a loop.Conn whose transport is ready, a config.TCP, and Upstreams that connect to clusters. Out: the bytes of both directions, in order, with half
// closes and back-pressure, and a Record for the access log and metrics. Everything runs on the connection's worker.
package tcp
