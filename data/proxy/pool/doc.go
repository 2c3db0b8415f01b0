// Package pool holds one worker's connections, HTTP/1.1 and HTTP/2, to endpoints.
//
// In: a host that was chosen and a place in a queue. Out: a codec.Stream on a connection, at once, later, or a reason why not. Everything belongs to one loop.Worker;
// what is counted over all workers is atomic in package upstream.
package pool
