// Package client is an ADS client, delta or state-of-the-world, over one stream that is opened again with jittered back-off.
//
// In: subscriptions by type and name. Out: calls of a Handler with encoded resources; its error becomes a rejection (NACK). After a reconnect the client announces
// the versions that it holds, so that only differences come. Subscribe, Unsubscribe and Close are safe from any goroutine; Handler is called from one.
package client
