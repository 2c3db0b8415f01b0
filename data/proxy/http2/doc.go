// Package http2 is the HTTP/2 codec (RFC 9113, RFC 7541, RFC 8441), for both sides of a connection.
//
// In: bytes of a connection, cut anywhere (Conn.Feed), and the calls of codec.Stream on its streams. Out: calls on an Owner and on the codec.Receivers of streams, and bytes
// to an Output. There is no socket, clock or goroutine here, and nothing is allocated per request once the buffers have their size. Heads and trailers are those of package
// codec, so that HTTP/1 and HTTP/2 meet in the same code: names in lower case, the host in Authority, no field that concerns the connection, an extended CONNECT in the form
// of an upgrade of HTTP/1.1.
//
// # Rules
//
// A Conn calls only from Feed, Attend, Writable and Close. A call on a Stream never calls back before it returns: what follows from it comes with Attend, for which the Owner
// is asked. Bytes that a receiver was shown are its own from then on as far as flow control goes: a receiver that wants no more calls Pause, and what comes is parked, at most
// a window, until Resume. A sender that finds a stream Full waits for Writable. A Stream is used again after Owner.Closed.
//
// # How it is driven
//
// The owner is the loop.Handler of a loop.Conn, which is the Output as it is: OnData is Feed, OnWritable is Writable, OnClose is Close, Attend is asked of the worker for later
// in the turn. When Feed fails, or the Conn is Drained behind any of these, the owner closes behind what is queued. Package stream does so for clients and package pool for
// endpoints; TestServe and TestBridge are the shortest examples.
//
// docs/decisions/006-http2-codec.md says what was rejected.
package http2
