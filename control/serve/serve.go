// Package serve gives every connected proxy what it must hold: it owns the ADS streams, decides who must hear of a change, and records what was answered.
//
// In: publications (a Store and what may have changed), and proxies with their credentials. Out: responses, acknowledgements and rejections for an Observer, metrics,
// and the /debug endpoints. One goroutine per stream asks the session for the most urgent thing when the client is ready; no lock is held while it writes or compiles.
package serve
