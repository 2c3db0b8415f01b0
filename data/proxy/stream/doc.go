// Package stream is the life of one HTTP exchange: from a request's head to the last byte of its response.
//
// In: a loop.Conn whose transport is ready, and a Manager made of a connection manager's configuration. Out: the request at an endpoint and the response at the
// client, or a local reply; counters, one access log record, and the trail of decisions. A Manager is immutable and shared; everything else belongs to one worker.
package stream
