// Package accept turns listening sockets into connections with a known origin on the least loaded worker.
//
// In: bound or inherited listening sockets and the listeners of a config. Out: a loop.Conn per accepted connection, its original destination restored and
// inspected, with the filter chain that Envoy's rules choose for it. A Listener may be drained from any goroutine; everything else runs on workers.
package accept
