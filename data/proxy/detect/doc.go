// Package detect tells protocols apart by their first bytes, as Envoy's tls_inspector and http_inspector do.
//
// In: all bytes of a stream seen so far. Out: a verdict, and what the bytes announce. Pure functions; safe for concurrent use. Nothing
// is consumed: whoever handles the stream later reads the same bytes again.
package detect

// MaxInspect is the number of bytes after which an inspector gives up (Envoy's limits for both inspectors).
const MaxInspect = 64 << 10

// Verdict is what an inspector knows.
type Verdict uint8

// The verdicts.
const (
	// More says that the bytes so far are a beginning of the protocol.
	More Verdict = iota
	// Found says that the protocol was recognised.
	Found
	// Other says that the bytes are something else.
	Other
)
