// Package dial opens outgoing connections for a worker: TCP and unix sockets, TLS on top, or through a relay to the outside.
//
// In: a Target. Out: a loop.Conn ready to be written, or an Error whose Reason is Envoy's text. Everything runs on the worker's goroutine.
package dial
