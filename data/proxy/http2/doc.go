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
// Of a client's connection (package stream), next to conn, which is HTTP/1's:
//
//	type conn2 struct { w *Worker; m *Manager; lc loop.Conn; h2 http2.Conn; attend func() }
//	OnData(p)    n, err := h2.Feed(p); if err != nil || h2.Drained() { lc.Close() }; return n
//	OnWritable() h2.Writable()
//	OnEOF()      h2.Close(codec.ConnectionTermination, ""); lc.Close()
//	OnClose(err) h2.Close(codec.ConnectionTermination, ...)
//	Attend()     w.Loop.Defer(attend)                          // attend is h2.Attend, and Drained afterwards
//	Request(s, h, end)  x := w.take(); x.Request, *h = *h, x.Request; x.begin(end); return (*asker)(x)
//	Malformed(s, h, e)  the same with x.refuse(e.Status, ...)   // the stream is reset when it returns
//	Closed(s)           the books of the connection; MaxRequestsPerConn, draining: h2.Shutdown()
//
// asker is the Exchange as a codec.Receiver: Body and Trailers are x.body, Abort is x.gone, Writable is x.clientWritable. loop.Conn is the Output as it is.
//
// Of an endpoint's connection (package pool), next to Conn: Acquire looks for a connection with Available() > 0 before it dials; Send is Open(r) and Head. The receiver passes
// through a wrapper that turns Abort of a stream that was Refused into a reason that retry policies know. Closed(s) gives back the place at the breaker and serves the queue.
// GoingAway connections get no new streams, Drained ones are closed. A keep-alive timer calls Ping and looks at Unanswered.
//
// docs/decisions/006-http2-codec.md says what was rejected.
package http2
