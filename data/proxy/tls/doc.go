// Package tls runs TLS and mutual TLS over a loop.Conn, with crypto/tls.
//
// In: a raw loop.Conn, a ServerContext or ClientContext built from a Config, certificates and trust anchors from swappable Sources. Out: a loop.Conn of plaintext whose
// Origin holds the peer's verified facts, or an Error with Envoy's text. The handshake runs in a goroutine beside the worker, records inline in the worker.
// Contexts and Sources are safe for concurrent use; a Conn belongs to its worker.
package tls
