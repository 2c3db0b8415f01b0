// Package session is the protocol state of one xDS client: subscriptions, nonces, versions, acknowledgements, and the order in which things are sent.
//
// In: requests, and the names that may have changed. Out: the most urgent response to send now. No I/O, no clock and no goroutine: time is an argument. Delta and
// state-of-the-world share it. A Session belongs to one goroutine at a time. The scripts in xds/testdata are its specification.
package session
