// Package udp is Envoy's udp_proxy: it passes datagrams on between clients and endpoints, by sessions.
//
// In: the listeners of a Config whose protocol is UDP, and Upstreams that choose endpoints. Out: datagrams, in sessions of one client and one endpoint that end when both have been
// silent, and counters in Envoy's names. Each worker has a socket of its own for every listener (SO_REUSEPORT), so that a client's datagrams come to one worker, and its sessions
// live and die there. Datagrams that programs beside the proxy send to services are captured where a Table leads them to the proxy: to an alias for each destination, so that
// one socket tells them apart by the address that they come to, and answers come from there. A Set may be used from any goroutine; everything else runs on workers.
package udp
