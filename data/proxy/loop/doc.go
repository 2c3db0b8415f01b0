// Package loop is the worker: one goroutine that owns connections, timers and buffers, and drives handlers with their bytes.
//
// In: sockets (accepted or dialled), readiness from a Poller, time from a Clock, functions from a Mailbox. Out: calls on a Handler
// per connection, and bytes to sockets, at most one gathered write per connection and turn.
//
// Everything except Worker.Post, Worker.Load, Worker.Index, Worker.Stop and Worker.BufferBytes must be called on the worker's own goroutine. A connection, its
// streams and its upstream connections live and die in one worker, so nothing here takes a lock on the data path.
package loop
